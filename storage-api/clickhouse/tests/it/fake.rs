//! Servers that are none: away, silent, cut off, talking nonsense.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arrow_array::{RecordBatch, StringArray};
use arrow_ipc::writer::StreamWriter;
use futures::TryStreamExt;
use metaflow_storage_clickhouse::{Address, ClickHouse, Limits, OpenError, Options};
use storage_api::{ScanError, ScanRequest, Storage};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::{SECOND, append, fresh_address, id, name, open, plain, port, rows, run_alone};

/// What a fake answers to every request; then it closes.
type Script = Arc<dyn Fn() -> Vec<u8> + Send + Sync>;

async fn fake(script: Script) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let answer = script();
            tokio::spawn(async move {
                let mut request = vec![0; 64 << 10];
                let _ = stream.read(&mut request).await;
                let _ = stream.write_all(&answer).await;
                if answer.is_empty() {
                    // Silent until the other side goes.
                    let _ = stream.read(&mut request).await;
                }
            });
        }
    });
    address
}

fn ok(body: &[u8]) -> Vec<u8> {
    [format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len()).as_bytes(), body]
        .concat()
}

fn hurried() -> Options {
    let limits = Limits { piece_bytes: 1 << 20, ..Limits::default() };
    Options { silence: Duration::from_millis(300), connect: Duration::from_millis(300), limits, ..Options::default() }
}

async fn opened(address: SocketAddr) -> OpenError {
    let address: Address = format!("clickhouse://{address}/x").parse().unwrap();
    ClickHouse::open(address, hurried()).await.unwrap_err()
}

#[test]
fn who_does_not_answer_like_a_clickhouse_is_no_store() {
    run_alone(async {
        let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let error = opened(nobody).await;
        assert!(error.is_retryable() && error.to_string().contains("no answer"), "{error}");
        for (answer, words) in [
            (vec![], "said nothing"),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nshort".to_vec(), "ended early"),
            (b"220 smtp.example.org ESMTP\r\n".to_vec(), "ended early"),
            (b"HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\n\r\nhello".to_vec(), "404"),
            (b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n".to_vec(), "503"),
            (ok(&[0xff; 40]), "nonsense"),
        ] {
            let error = opened(fake(Arc::new(move || answer.clone())).await).await;
            assert!(error.is_retryable() && error.to_string().contains(words), "{error}");
        }
        let refused =
            "Code: 516. DB::Exception: default: Authentication failed: password is incorrect. (AUTHENTICATION_FAILED)";
        let head = format!("HTTP/1.1 403 Forbidden\r\nContent-Length: {}\r\n\r\n{refused}", refused.len());
        let error = opened(fake(Arc::new(move || head.clone().into_bytes())).await).await;
        assert!(!error.is_retryable() && error.to_string().contains("Authentication failed"), "{error}");
        let error = opened(fake(Arc::new(|| ok(b"1.1.54\n"))).await).await;
        assert!(matches!(error, OpenError::Unsupported { .. } | OpenError::Request { .. }), "{error}");
    });
}

/// Hands requests on to the real server until it is told to answer by itself.
struct Proxy {
    address: SocketAddr,
    lies: Arc<AtomicBool>,
}

async fn proxy(real: u16, lie: Script) -> Proxy {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let lies = Arc::new(AtomicBool::new(false));
    let told = lies.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (told, lie) = (told.clone(), lie.clone());
            tokio::spawn(async move {
                let mut request = vec![0; 1 << 20];
                if told.load(Ordering::SeqCst) {
                    let _ = stream.read(&mut request).await;
                    let _ = stream.write_all(&lie()).await;
                    return;
                }
                let Ok(mut server) = TcpStream::connect(("127.0.0.1", real)).await else { return };
                let _ = tokio::io::copy_bidirectional(&mut stream, &mut server).await;
            });
        }
    });
    Proxy { address, lies }
}

/// A right answer of some rows, as the bytes that a server would send.
fn right_answer() -> Vec<u8> {
    let rows = RecordBatch::try_from_iter([("C0", Arc::new(StringArray::from(vec![Some("abc"), None])) as _)]).unwrap();
    let mut bytes = Vec::new();
    let mut writer = StreamWriter::try_new(&mut bytes, rows.schema_ref()).unwrap();
    writer.write(&rows).unwrap();
    writer.finish().unwrap();
    drop(writer);
    bytes
}

async fn read_through(store: &ClickHouse) -> Result<usize, ScanError> {
    let request = ScanRequest::new(name("plain")).columns(["note"]);
    let batches: Vec<RecordBatch> = store.scan(request).await?.try_collect().await?;
    Ok(batches.iter().map(RecordBatch::num_rows).sum())
}

/// A store whose table is known, on a server that from now on answers so.
async fn lied_to(lie: Script) -> (ClickHouse, Proxy) {
    let address = fresh_address();
    let proxy = proxy(port().unwrap(), lie).await;
    let database = address.to_string().rsplit('/').next().unwrap().to_owned();
    let through: Address = format!("clickhouse://{}/{database}", proxy.address).parse().unwrap();
    // Each request has a connection of its own, which ends up at the real server or not.
    let keep_alive = Duration::ZERO;
    let store = open(&through, Options { limits: hurried().limits, keep_alive, ..Options::default() }).await;
    store.create_table(&plain()).await.unwrap();
    append(&store, id(1, 1), rows(SECOND, [1])).await.unwrap();
    proxy.lies.store(true, Ordering::SeqCst);
    (store, proxy)
}

#[test]
fn an_answer_is_taken_only_whole() {
    if port().is_none() {
        return println!("skipped: there is no ClickHouse");
    }
    run_alone(async {
        let length = right_answer().len();
        let cut = Arc::new(std::sync::atomic::AtomicUsize::new(length));
        let now = cut.clone();
        let (store, _proxy) = lied_to(Arc::new(move || ok(&right_answer()[..now.load(Ordering::SeqCst)]))).await;
        assert_eq!(read_through(&store).await.unwrap(), 2);
        for bytes in 0..length {
            cut.store(bytes, Ordering::SeqCst);
            let error = read_through(&store).await.expect_err("a part of an answer");
            assert!(error.is_retryable(), "{bytes}: {error}");
        }
    });
}

#[test]
fn nonsense_is_an_error_and_never_a_panic_nor_a_full_memory() {
    if port().is_none() {
        return println!("skipped: there is no ClickHouse");
    }
    run_alone(async {
        let seed = Arc::new(std::sync::atomic::AtomicU64::new(0));
        let now = seed.clone();
        let lie = move || {
            let mut bytes = right_answer();
            let seed = now.fetch_add(1, Ordering::SeqCst).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let place = (seed >> 33) as usize % bytes.len();
            bytes[place] ^= 1 << (seed >> 20 & 7);
            if seed & 1 << 10 != 0 {
                let place = (seed >> 45) as usize % bytes.len();
                bytes[place] = 0xff;
            }
            ok(&bytes)
        };
        let (store, _proxy) = lied_to(Arc::new(lie)).await;
        let (mut taken, mut refused) = (0, 0);
        for _ in 0..600 {
            // A flipped bit of a text or of padding is nobody's to notice; all else is refused.
            match read_through(&store).await {
                Ok(rows) => {
                    assert!(rows <= 2, "{rows} rows of two");
                    taken += 1;
                }
                Err(_) => refused += 1,
            }
        }
        assert!(refused > 50 && taken > 50, "{refused} refused, {taken} taken");
    });
}

#[test]
fn an_answer_without_an_end_is_refused_at_the_bound() {
    if port().is_none() {
        return println!("skipped: there is no ClickHouse");
    }
    run_alone(async {
        // A message that announces four gigabytes, and brings some of them.
        let endless = || {
            let mut bytes = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n\xff\xff\xff\xff\xff\xff\xff\x7f".to_vec();
            bytes.resize(4 << 20, 0);
            bytes
        };
        let (store, _proxy) = lied_to(Arc::new(endless)).await;
        let error = read_through(&store).await.unwrap_err();
        assert!(error.to_string().contains("more than 1048576 bytes"), "{error}");
    });
}

#[test]
fn an_acknowledgement_that_is_lost_does_not_double_the_batch() {
    if port().is_none() {
        return println!("skipped: there is no ClickHouse");
    }
    run_alone(async {
        let address = fresh_address();
        let direct = open(&address, Options::default()).await;
        let database = address.to_string().rsplit('/').next().unwrap().to_owned();
        // Everything goes through, but the answer does not come back.
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mute = listener.local_addr().unwrap();
        let deaf = Arc::new(AtomicBool::new(false));
        let told = deaf.clone();
        let real = port().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let told = told.clone();
                tokio::spawn(async move {
                    let Ok(mut server) = TcpStream::connect(("127.0.0.1", real)).await else { return };
                    if !told.load(Ordering::SeqCst) {
                        let _ = tokio::io::copy_bidirectional(&mut stream, &mut server).await;
                        return;
                    }
                    let (mut from, _to) = stream.split();
                    let (mut answer, mut to) = server.split();
                    let mut sink = [0; 1024];
                    tokio::select! {
                        _ = tokio::io::copy(&mut from, &mut to) => {}
                        // Answered: the batch is stored, and the sender will not hear of it.
                        _ = answer.read(&mut sink) => {}
                    }
                });
            }
        });
        let through: Address = format!("clickhouse://{mute}/{database}").parse().unwrap();
        let limits = Limits { insert_window: 1, ..Limits::default() };
        let store = open(&through, Options { limits, keep_alive: Duration::ZERO, ..Options::default() }).await;
        store.create_table(&plain()).await.unwrap();
        append(&store, id(1, 1), rows(SECOND, [1])).await.unwrap();
        deaf.store(true, Ordering::SeqCst);
        let error = append(&store, id(1, 2), rows(SECOND, [2])).await.unwrap_err();
        assert!(error.is_retryable(), "{error}");
        deaf.store(false, Ordering::SeqCst);
        // Others come between, so that the server's own window has moved on.
        for sequence in 0..5 {
            append(&direct, id(2, sequence), rows(SECOND, [100 + sequence])).await.unwrap();
        }
        append(&store, id(1, 2), rows(SECOND, [2])).await.unwrap();
        assert_eq!(crate::support::values(&store).await, [1, 2, 100, 101, 102, 103, 104]);
    });
}
