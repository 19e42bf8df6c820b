use std::any::Any;
use std::fmt;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::path::Path as Key;
use object_store::{ClientOptions, ObjectStore, ObjectStoreExt, PutMode, PutPayload, RetryConfig};
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;

use crate::{Disk, DiskFile, OsDisk};

/// Longest time of one request, and of all its repetitions; then the caller hears that trying again later may help.
const TIMEOUT: Duration = Duration::from_secs(30);
const CONNECT: Duration = Duration::from_secs(5);
const RETRIES: usize = 3;
/// Larger files go up in parts of this size.
const PART: usize = 16 << 20;
/// Files that are removed at once.
const REMOVALS: usize = 8;
/// How long closing waits for files that are being removed. Those that stay are removed when the store is opened.
const CLOSING: Duration = Duration::from_secs(5);

/// A disk of which the sealed files lie in a bucket of an object store (S3 API); log, manifest and everything else stay in
/// the directory.
///
/// A file is written in the directory, goes up as a whole when it is finished, and only then is named by the manifest. While
/// the bucket cannot be reached, rows stay in memory and in the log, appends are refused when memory is full, and scans
/// that need sealed files fail with an error that says that trying again helps.
///
/// It runs a thread of its own for the network. A bucket and prefix belong to one store, which leaves its mark there.
pub struct Bucket {
    local: OsDisk,
    root: PathBuf,
    url: String,
    store: Arc<dyn ObjectStore>,
    prefix: Key,
    removals: Arc<Semaphore>,
    /// Each removal that runs holds a copy of the sender.
    removing: Option<Sender<()>>,
    removed: Mutex<Receiver<()>>,
    /// Given up in the background when dropped, since that may happen in async code.
    runtime: Option<Runtime>,
}

/// Why a bucket cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BucketError {
    /// Not `s3://BUCKET` or `s3://BUCKET/PREFIX`.
    #[error("`{0}` is no place for sealed files: expected s3://BUCKET/PREFIX")]
    Url(String),
    /// A setting that contradicts the others or is no value of its kind.
    #[error("the bucket's settings: {0}")]
    Settings(#[source] object_store::Error),
    /// The thread could not be started.
    #[error("the bucket's thread could not be started: {0}")]
    Thread(#[source] io::Error),
}

impl Bucket {
    /// The bucket and prefix of an URL `s3://BUCKET/PREFIX`, for the store in the directory `root`. Settings are pairs as in
    /// the environment of Amazon's tools: `AWS_ENDPOINT_URL`, `AWS_REGION`, `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`,
    /// `AWS_SESSION_TOKEN` …; others are ignored. Without keys it asks the machine it runs on (instance or container role).
    /// Nothing is sent yet.
    ///
    /// # Errors
    /// See [`BucketError`].
    pub fn new<K: AsRef<str>, V: Into<String>>(
        root: impl AsRef<Path>,
        url: &str,
        settings: impl IntoIterator<Item = (K, V)>,
    ) -> Result<Self, BucketError> {
        let wrong = || BucketError::Url(url.to_owned());
        let (name, prefix) =
            url.strip_prefix("s3://").map(|rest| rest.split_once('/').unwrap_or((rest, ""))).ok_or_else(wrong)?;
        if name.is_empty() {
            return Err(wrong());
        }
        let prefix = Key::parse(prefix.trim_end_matches('/')).map_err(|_| wrong())?;
        let retry = RetryConfig { max_retries: RETRIES, retry_timeout: TIMEOUT, ..RetryConfig::default() };
        let client = ClientOptions::new().with_timeout(TIMEOUT).with_connect_timeout(CONNECT);
        let mut builder = AmazonS3Builder::new().with_bucket_name(name).with_retry(retry).with_client_options(client);
        for (key, value) in settings {
            let Ok(key) = key.as_ref().to_ascii_lowercase().parse::<AmazonS3ConfigKey>() else { continue };
            let value = value.into();
            // Whoever names such an endpoint means it.
            if matches!(key, AmazonS3ConfigKey::Endpoint | AmazonS3ConfigKey::S3Endpoint)
                && value.starts_with("http://")
            {
                builder = builder.with_allow_http(true);
            }
            builder = builder.with_config(key, value);
        }
        let store = builder.build().map_err(BucketError::Settings)?;
        Self::over(root, url, Arc::new(store), prefix)
    }

    fn over(root: impl AsRef<Path>, url: &str, store: Arc<dyn ObjectStore>, prefix: Key) -> Result<Self, BucketError> {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(1).thread_name("metaflow-bucket").enable_all();
        let runtime = builder.build().map_err(BucketError::Thread)?;
        let (removing, removed) = channel();
        Ok(Self {
            local: OsDisk,
            root: root.as_ref().to_owned(),
            url: url.trim_end_matches('/').to_owned(),
            store,
            prefix,
            removals: Arc::new(Semaphore::new(REMOVALS)),
            removing: Some(removing),
            removed: Mutex::new(removed),
            runtime: Some(runtime),
        })
    }

    /// The key of a sealed file, or of a folder of them; none for what stays in the directory.
    fn key(&self, path: &Path) -> Option<Key> {
        let below = path.strip_prefix(&self.root).ok()?;
        let unfinished = path.extension().is_some_and(|extension| extension == "new");
        (below.starts_with("tables") && !unfinished).then(|| {
            below.components().fold(self.prefix.clone(), |key, part| key.join(&*part.as_os_str().to_string_lossy()))
        })
    }

    /// Runs on the bucket's thread and waits, whatever thread this is.
    fn wait<T: Send + 'static>(
        &self,
        work: impl Future<Output = object_store::Result<T>> + Send + 'static,
    ) -> io::Result<T> {
        let (answer, done) = sync_channel(1);
        let gone = || io::Error::other("the bucket is closed");
        self.runtime.as_ref().ok_or_else(gone)?.spawn(async move {
            // Whoever asked waits for it.
            let _ = answer.send(work.await);
        });
        done.recv().map_err(|_| gone())?.map_err(in_bucket)
    }

    fn upload(&self, bytes: Bytes, key: Key) -> io::Result<()> {
        let store = self.store.clone();
        self.wait(async move {
            if bytes.len() <= PART {
                return store.put(&key, PutPayload::from_bytes(bytes)).await.map(drop);
            }
            let mut upload = store.put_multipart(&key).await?;
            let parts = async {
                let mut rest = bytes;
                while !rest.is_empty() {
                    let part = rest.split_to(rest.len().min(PART));
                    upload.put_part(PutPayload::from_bytes(part)).await?;
                }
                upload.complete().await.map(drop)
            };
            let done = parts.await;
            if done.is_err() {
                // What stays of it costs money until the bucket's own rules remove it.
                let _ = upload.abort().await;
            }
            done
        })
    }
}

impl Disk for Bucket {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.local.create_dir(path)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Any + Send + Sync>> {
        self.local.lock(path)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        match self.key(path) {
            Some(key) => Err(io::Error::new(io::ErrorKind::Unsupported, format!("{key} is made by renaming"))),
            None => self.local.create(path),
        }
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let Some(key) = self.key(path) else { return self.local.read(path) };
        let store = self.store.clone();
        self.wait(async move { store.get(&key).await?.bytes().await }).map(Vec::from)
    }

    fn read_ranges(&self, path: &Path, ranges: &[Range<u64>]) -> io::Result<Vec<Vec<u8>>> {
        let Some(key) = self.key(path) else { return self.local.read_ranges(path, ranges) };
        let (store, wanted) = (self.store.clone(), ranges.to_vec());
        let parts = self.wait(async move { store.get_ranges(&key, &wanted).await })?;
        let whole = parts.iter().zip(ranges).all(|(part, range)| part.len() as u64 == range.end - range.start);
        if whole { Ok(parts.into_iter().map(Vec::from).collect()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    fn sync_file(&self, path: &Path) -> io::Result<()> {
        if self.key(path).is_some() { Ok(()) } else { self.local.sync_file(path) }
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let mut names = self.local.list(path)?;
        if let Some(key) = self.key(path) {
            let store = self.store.clone();
            let found = self.wait(async move { store.list_with_delimiter(Some(&key)).await })?;
            let keys = found.objects.iter().map(|object| &object.location).chain(&found.common_prefixes);
            names.extend(keys.filter_map(|key| key.filename()).map(str::to_owned));
            names.sort_unstable();
            names.dedup();
        }
        Ok(names)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        match (self.key(from), self.key(to)) {
            (None, None) => self.local.rename(from, to),
            (None, Some(key)) => {
                self.upload(self.local.read(from)?.into(), key)?;
                self.local.remove(from)
            }
            (Some(_), _) => Err(io::Error::new(io::ErrorKind::Unsupported, "sealed files are not renamed")),
        }
    }

    /// Does not wait for the bucket: a file that stays is removed when the store is opened the next time.
    fn remove(&self, path: &Path) -> io::Result<()> {
        let Some(key) = self.key(path) else { return self.local.remove(path) };
        let (Some(runtime), Some(removing)) = (&self.runtime, self.removing.clone()) else { return Ok(()) };
        let (store, removals) = (self.store.clone(), self.removals.clone());
        runtime.spawn(async move {
            if let Ok(_turn) = removals.acquire().await {
                let _ = store.delete(&key).await;
            }
            drop(removing);
        });
        Ok(())
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.local.sync_dir(path)
    }

    fn sealed_in(&self) -> Option<&str> {
        Some(&self.url)
    }

    fn claim(&self, store: &str) -> io::Result<()> {
        let (objects, key) = (self.store.clone(), self.prefix.clone().join("OWNER"));
        let mark = store.to_owned();
        let owner = self.wait(async move {
            match objects.put_opts(&key, mark.clone().into(), PutMode::Create.into()).await {
                Ok(_) => Ok(mark.into()),
                Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => {
                    objects.get(&key).await?.bytes().await
                }
                Err(error) => Err(error),
            }
        })?;
        if owner == store.as_bytes() {
            return Ok(());
        }
        let other = format!("{} belongs to another store: choose another prefix", self.url);
        Err(io::Error::new(io::ErrorKind::AlreadyExists, other))
    }
}

/// What an object store's error means to whoever uses a disk: those that may pass are of the kind `Other`.
fn in_bucket(error: object_store::Error) -> io::Error {
    use object_store::Error;
    let kind = match &error {
        Error::NotFound { .. } => io::ErrorKind::NotFound,
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => io::ErrorKind::PermissionDenied,
        Error::AlreadyExists { .. } => io::ErrorKind::AlreadyExists,
        _ => io::ErrorKind::Other,
    };
    // Servers answer with pages of XML; an error is one line.
    io::Error::new(kind, error.to_string().split_whitespace().collect::<Vec<_>>().join(" "))
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bucket").field("url", &self.url).finish_non_exhaustive()
    }
}

impl Drop for Bucket {
    fn drop(&mut self) {
        self.removing = None;
        // Nothing is ever sent: it ends when the last removal has.
        let _ = self.removed.get_mut().unwrap_or_else(PoisonError::into_inner).recv_timeout(CLOSING);
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
