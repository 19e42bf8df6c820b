//! Sealed files in a bucket of a real S3-compatible server on loopback.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures::TryStreamExt;
use metaflow_storage_embedded::{Bucket, Embedded, Limits, OpenError, Options};
use storage_api::conformance::Fixture;
use storage_api::{AppendError, Durability, IngestBatch, ScanRequest, Storage};
use tempfile::TempDir;

use crate::python::python;
use crate::support::{append, id, name, plain, quiet, rows, run, values};

/// The server, with one bucket named `rows`.
pub(crate) struct S3 {
    child: Child,
    address: SocketAddr,
}

/// What a signature looks like; this server does not compare it.
const SIGNED: &str =
    "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0";

/// It ends when whoever started it does, however that ends.
const PROGRAM: &str = r#"
import os, sys, threading
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
from moto.server import main
main(["-H", "127.0.0.1", "-p", "0"])
"#;

impl S3 {
    pub(crate) fn start() -> Option<Self> {
        let mut child = Command::new(python()?)
            .args(["-c", PROGRAM])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let running =
            lines.find_map(|line| line.unwrap().split_once("Running on http://").map(|(_, rest)| rest.to_owned()));
        let address = running.expect("the server says where it listens").trim().parse().unwrap();
        // Its pipe must be read, or it stops at its next line.
        std::thread::spawn(move || lines.for_each(drop));
        let server = Self { child, address };
        let (status, _) = server.http("PUT", "/rows", b"");
        assert_eq!(status, 200);
        Some(server)
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// One request. This server takes any signature.
    fn http(&self, method: &str, path: &str, body: &[u8]) -> (u16, Vec<u8>) {
        let mut stream = TcpStream::connect(self.address).unwrap();
        let head = format!(
            "{method} {path} HTTP/1.0\r\nHost: {}\r\nAuthorization: {SIGNED}\r\nContent-Length: {}\r\n\r\n",
            self.address,
            body.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(body).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
        let status = std::str::from_utf8(&answer[9..12]).unwrap().parse().unwrap();
        (status, answer[end + 4..].to_vec())
    }

    /// The keys below a prefix.
    fn keys(&self, prefix: &str) -> Vec<String> {
        let (_, list) = self.http("GET", &format!("/rows?list-type=2&prefix={prefix}"), b"");
        let list = String::from_utf8(list).unwrap();
        let keys = list.split("<Key>").skip(1).map(|rest| rest.split("</Key>").next().unwrap().to_owned());
        keys.collect()
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One server for all tests that only need their own prefix.
static SHARED: LazyLock<Option<S3>> = LazyLock::new(S3::start);

pub(crate) fn bucket(root: &Path, endpoint: &str, prefix: &str) -> Bucket {
    let settings = [
        ("AWS_ENDPOINT_URL", endpoint),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
        ("AWS_TIMEOUT", "2s"),
    ];
    Bucket::new(root, &format!("s3://rows/{prefix}"), settings).unwrap()
}

pub(crate) fn options(root: &Path, endpoint: &str, prefix: &str) -> Options {
    Options { disk: Arc::new(bucket(root, endpoint, prefix)), ..quiet() }
}

async fn open(root: &Path, endpoint: &str, prefix: &str) -> Result<Embedded, OpenError> {
    Embedded::open(root, options(root, endpoint, prefix)).await
}

struct InBucket {
    store: Option<Arc<Embedded>>,
    folder: TempDir,
    prefix: String,
}

impl InBucket {
    async fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let mut fixture = Self {
            store: None,
            folder: TempDir::new().unwrap(),
            prefix: format!("suite/{}", NEXT.fetch_add(1, Ordering::Relaxed)),
        };
        fixture.open().await;
        fixture
    }

    async fn open(&mut self) {
        let endpoint = SHARED.as_ref().unwrap().endpoint();
        let options = options(self.folder.path(), &endpoint, &self.prefix);
        // Written to files all the time.
        let limits = Limits { flush: 4096, ..Limits::default() };
        let options = Options { flush_after: Duration::from_millis(200), limits, ..options };
        self.store = Some(Arc::new(Embedded::open(self.folder.path(), options).await.unwrap()));
    }
}

#[async_trait]
impl Fixture for InBucket {
    fn storage(&self) -> Arc<dyn Storage> {
        self.store.clone().unwrap()
    }

    async fn reopen(&mut self) -> bool {
        Arc::into_inner(self.store.take().unwrap()).expect("nobody else holds the store").close().await;
        self.open().await;
        true
    }
}

/// Runs where there is a server.
fn run_with_server(test: impl Future<Output = ()>) {
    if SHARED.is_some() {
        run(test);
    }
}

mod conformance {
    use super::*;

    storage_api::conformance_suite!(run_with_server, InBucket::new);
}

#[test]
fn sealed_files_lie_in_the_bucket_and_go_when_their_rows_do() {
    let Some(server) = S3::start() else { return };
    let folder = TempDir::new().unwrap();
    run(async {
        let store = open(folder.path(), &server.endpoint(), "one").await.unwrap();
        store.create_table(&plain()).await.unwrap();
        for round in 0..4 {
            append(&store, round, round * 100..round * 100 + 100).await;
            store.flush().await.unwrap();
        }
        assert_eq!(std::fs::read_dir(folder.path().join("tables/plain")).unwrap().count(), 0);
        store.merge().await.unwrap();
        append(&store, 9, [1000]).await;
        store.close().await;
        // What is no longer needed was removed, at the latest by closing.
        let keys = server.keys("one/tables");
        assert_eq!(keys.len(), 1, "{keys:?}");
        let store = open(folder.path(), &server.endpoint(), "one").await.unwrap();
        assert!(store.recovery().is_complete(), "{}", store.recovery());
        assert_eq!(values(&store).await.len(), 401);
        store.flush().await.unwrap();
        store.drop_before(&name("plain"), storage_api::Timestamp::MAX).await.unwrap();
        store.close().await;
        assert!(server.keys("one/tables").is_empty());
    });
}

/// What is missing or changed in the bucket is found and mended as in a directory.
#[test]
fn a_check_reads_the_bucket_and_a_repair_mends_it() {
    let Some(server) = S3::start() else { return };
    let folder = TempDir::new().unwrap();
    run(async {
        let store = open(folder.path(), &server.endpoint(), "two").await.unwrap();
        store.create_table(&plain()).await.unwrap();
        for round in 0..3 {
            append(&store, round, round * 100..round * 100 + 100).await;
            store.flush().await.unwrap();
        }
        store.close().await;
    });
    let keys = server.keys("two/tables");
    assert_eq!(keys.len(), 3);
    server.http("DELETE", &format!("/rows/{}", keys[0]), b"");
    let (_, mut bytes) = server.http("GET", &format!("/rows/{}", keys[1]), b"");
    bytes[100] ^= 1;
    server.http("PUT", &format!("/rows/{}", keys[1]), &bytes);
    let options = || options(folder.path(), &server.endpoint(), "two");
    let found = metaflow_storage_embedded::check(folder.path(), options(), &mut |_| {}).unwrap();
    assert_eq!((found.missing.len(), found.damaged.len()), (1, 1), "{found:?}");
    let mended = metaflow_storage_embedded::repair(folder.path(), options(), &[], &mut |_| {}).unwrap();
    assert_eq!(mended.rows_lost(), 200);
    assert_eq!(std::fs::read(&mended.mended[0].kept_as).unwrap(), bytes);
    assert!(metaflow_storage_embedded::check(folder.path(), options(), &mut |_| {}).unwrap().is_whole());
}

#[test]
fn a_bucket_belongs_to_one_store_and_a_store_to_its_bucket() {
    let Some(server) = S3::start() else { return };
    let (folder, other) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    run(async {
        let endpoint = server.endpoint();
        open(folder.path(), &endpoint, "three").await.unwrap().close().await;
        let error = open(other.path(), &endpoint, "three").await.unwrap_err();
        assert!(error.to_string().contains("belongs to another store: choose another prefix"), "{error}");
        let error = open(folder.path(), &endpoint, "four").await.unwrap_err();
        assert!(matches!(&error, OpenError::Elsewhere { stored, .. } if stored == "s3://rows/three"), "{error}");
        let error = Embedded::open(folder.path(), quiet()).await.unwrap_err();
        assert!(matches!(&error, OpenError::Elsewhere { asked, .. } if asked == "the directory"), "{error}");
        let local = TempDir::new().unwrap();
        Embedded::open(local.path(), quiet()).await.unwrap().close().await;
        let error = open(local.path(), &endpoint, "five").await.unwrap_err();
        assert!(matches!(&error, OpenError::Elsewhere { stored, .. } if stored == "the directory"), "{error}");
        open(folder.path(), &endpoint, "three/").await.unwrap().close().await;
    });
}

/// A way to a server that can be closed.
struct Door {
    address: SocketAddr,
    open: Arc<AtomicBool>,
    streams: Arc<Mutex<Vec<TcpStream>>>,
}

impl Door {
    fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let open = Arc::new(AtomicBool::new(true));
        let streams: Arc<Mutex<Vec<TcpStream>>> = Arc::default();
        let (is_open, all) = (open.clone(), streams.clone());
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if !is_open.load(Ordering::SeqCst) {
                    continue;
                }
                let Ok(behind) = TcpStream::connect(server) else { continue };
                all.lock().unwrap().extend([client.try_clone().unwrap(), behind.try_clone().unwrap()]);
                for (mut from, mut to) in [(client.try_clone().unwrap(), behind.try_clone().unwrap()), (behind, client)]
                {
                    std::thread::spawn(move || {
                        let _ = std::io::copy(&mut from, &mut to);
                        let _ = to.shutdown(Shutdown::Both);
                    });
                }
            }
        });
        Self { address, open, streams }
    }

    fn set_open(&self, open: bool) {
        self.open.store(open, Ordering::SeqCst);
        if !open {
            for stream in self.streams.lock().unwrap().drain(..) {
                let _ = stream.shutdown(Shutdown::Both);
            }
        }
    }
}

#[test]
fn while_the_bucket_is_away_nothing_acknowledged_is_lost_and_memory_has_its_bound() {
    let Some(server) = S3::start() else { return };
    let door = Door::to(server.address);
    let endpoint = format!("http://{}", door.address);
    let folder = TempDir::new().unwrap();
    run(async {
        let limits = Limits { memory: 96 << 10, flush: 32 << 10, batch_bytes: 16 << 10, ..Limits::default() };
        let options = || Options { limits, ..options(folder.path(), &endpoint, "away") };
        let store = Embedded::open(folder.path(), options()).await.unwrap();
        store.create_table(&plain()).await.unwrap();
        append(&store, 0, 0..100).await;
        store.flush().await.unwrap();

        door.set_open(false);
        let mut stored = 1;
        let error = loop {
            let batch = IngestBatch::new(id(stored), rows(stored * 100..stored * 100 + 100));
            match store.append(&name("plain"), batch).await {
                Ok(()) => stored += 1,
                Err(error) => break error,
            }
            assert!(stored < 1000, "memory has no bound");
        };
        assert!(matches!(error, AppendError::Busy { .. }) && error.is_retryable(), "{error}");
        assert!(stored > 1, "the log takes rows while the bucket is away");
        let flush = store.flush().await.unwrap_err();
        assert!(flush.is_retryable(), "{flush}");
        let answer = store.scan(ScanRequest::new(name("plain"))).await.unwrap().try_collect::<Vec<_>>().await;
        let error = answer.unwrap_err();
        assert!(error.is_retryable(), "{error}");
        store.close().await;
        let error = Embedded::open(folder.path(), options()).await.unwrap_err();
        assert!(matches!(error, OpenError::Io { .. }), "{error}");

        door.set_open(true);
        let store = Embedded::open(folder.path(), options()).await.unwrap();
        assert!(store.recovery().is_complete());
        assert_eq!(values(&store).await, (0..stored * 100).collect::<Vec<_>>());
        append(&store, stored, [7_000_000]).await;
        store.flush().await.unwrap();
        assert_eq!(values(&store).await.len() as u64, stored * 100 + 1);
        assert_eq!(store.stats().rows_in_memory, 0);

        // And it comes back while the store is open.
        door.set_open(false);
        append(&store, stored + 1, [8_000_000]).await;
        assert!(store.flush().await.is_err());
        door.set_open(true);
        store.flush().await.unwrap();
        assert_eq!(values(&store).await.len() as u64, stored * 100 + 2);
        store.close().await;
    });
}

/// Answers everything in one way, or never.
fn stubborn(answer: Option<&'static str>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let mut kept = Vec::new();
        for mut client in listener.incoming().map_while(Result::ok) {
            if let Some(answer) = answer {
                let _ = client.read(&mut [0; 4096]);
                let _ = client.write_all(answer.as_bytes());
            } else {
                kept.push(client);
            }
        }
    });
    endpoint
}

#[test]
fn a_bucket_that_refuses_or_never_answers_is_an_error_that_says_so() {
    let folder = TempDir::new().unwrap();
    run(async {
        let denied = stubborn(Some("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"));
        let error = open(folder.path(), &denied, "x").await.unwrap_err();
        let OpenError::Io { source, .. } = &error else { panic!("{error}") };
        assert_eq!(source.kind(), std::io::ErrorKind::PermissionDenied, "{error}");
        let silent = stubborn(None);
        let error = open(folder.path(), &silent, "x").await.unwrap_err();
        let OpenError::Io { path, source } = &error else { panic!("{error}") };
        assert_eq!(source.kind(), std::io::ErrorKind::Other, "{error}");
        assert_eq!(path, Path::new("s3://rows/x"));
        // Nothing was stored, so any other place will do.
        Embedded::open(folder.path(), quiet()).await.unwrap().close().await;
    });
}

#[test]
fn places_that_are_no_bucket_are_refused() {
    for url in ["rows", "s3://", "s3:///x", "gs://rows/x", "s3://rows/a//b"] {
        let error = Bucket::new(PathBuf::from("/store"), url, [("", "")]).unwrap_err();
        assert!(error.to_string().contains("s3://BUCKET/PREFIX"), "{error}");
    }
}

#[test]
fn batches_acknowledged_at_every_level_reach_the_bucket() {
    let Some(server) = S3::start() else { return };
    run(async {
        for durability in [Durability::Memory, Durability::Os, Durability::Disk] {
            let folder = TempDir::new().unwrap();
            let prefix = format!("{durability:?}");
            let options = Options { durability, ..options(folder.path(), &server.endpoint(), &prefix) };
            let store = Embedded::open(folder.path(), options).await.unwrap();
            store.create_table(&plain()).await.unwrap();
            append(&store, 0, 0..10).await;
            store.flush().await.unwrap();
            store.close().await;
            assert_eq!(server.keys(&format!("{prefix}/tables")).len(), 1);
        }
    });
}
