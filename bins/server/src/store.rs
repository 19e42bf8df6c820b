use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use metaflow_protocol::tables::DICTIONARY;
use metaflow_storage_clickhouse::{Address, AddressError, ClickHouse};
use metaflow_storage_embedded::{Bucket, Embedded, Limits, OpenError, Options};
use storage_api::{Durability, Memory, Storage, TableName};
use tracing::{info, warn};

use crate::failure::Failure;
use crate::retention::parse_bytes;

/// Where rows are kept. As text it is a URL: `memory://` or
/// `embedded:///DIR?durability=disk&memory=256MiB&flush_after=60s&sealed=s3://BUCKET/PREFIX`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreAt {
    /// In memory: gone when the process ends.
    Memory,
    /// In files of a directory.
    Embedded(EmbeddedAt),
    /// In a ClickHouse, or a cluster of them.
    ClickHouse(Address),
}

/// Where and how the embedded store keeps rows.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct EmbeddedAt {
    /// The directory.
    pub directory: PathBuf,
    /// What an acknowledged batch survives.
    pub durability: Durability,
    /// Bytes of rows in memory.
    pub memory: usize,
    /// Rows are written to files at least this often.
    pub flush_after: Duration,
    /// The bucket for sealed files, `s3://BUCKET/PREFIX`; none: the directory.
    pub sealed: Option<String>,
}

/// An opened store.
pub(crate) struct Opened {
    pub(crate) storage: Arc<dyn Storage>,
    /// The same, for what only this store can be asked.
    pub(crate) embedded: Option<Arc<Embedded>>,
}

impl StoreAt {
    /// In files of this directory, as ever.
    #[must_use]
    pub fn directory(directory: impl Into<PathBuf>) -> Self {
        Self::Embedded(EmbeddedAt::new(directory))
    }
}

impl FromStr for StoreAt {
    type Err = String;

    fn from_str(url: &str) -> Result<Self, String> {
        match url.split_once("://") {
            Some(("memory", "")) => Ok(Self::Memory),
            Some(("embedded", rest)) => rest.parse().map(Self::Embedded),
            Some(("clickhouse", _)) => {
                url.parse().map(Self::ClickHouse).map_err(|error: AddressError| error.to_string())
            }
            _ => Err(format!(
                "`{url}` names no store: expected embedded:///DIR, clickhouse://HOST:8123/DATABASE or memory://"
            )),
        }
    }
}

impl EmbeddedAt {
    /// In this directory, as ever.
    #[must_use]
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        let Options { durability, flush_after, limits, .. } = Options::default();
        Self { directory: directory.into(), durability, memory: limits.memory, flush_after, sealed: None }
    }

    /// For the store itself, of which sealed files may have so many bytes.
    pub(crate) fn options(&self, sealed_bytes: Option<u64>) -> Result<Options, Failure> {
        let usual = Limits::default();
        let limits = Limits {
            memory: self.memory,
            flush: usual.flush.min(self.memory / 4),
            batch_bytes: usual.batch_bytes.min(self.memory / 4),
            sealed_bytes,
            ..usual
        };
        let lasting = TableName::new(DICTIONARY.name).into_iter().collect();
        let (durability, flush_after) = (self.durability, self.flush_after);
        let mut options = Options { durability, flush_after, limits, lasting, ..Options::default() };
        if let Some(url) = &self.sealed {
            let settings = std::env::vars().filter(|(key, _)| key.starts_with("AWS_"));
            let bucket = Bucket::new(&self.directory, url, settings);
            options.disk = Arc::new(bucket.map_err(|error| Failure::configuration(error.to_string()))?);
        }
        Ok(options)
    }
}

/// What follows `embedded://`.
impl FromStr for EmbeddedAt {
    type Err = String;

    fn from_str(rest: &str) -> Result<Self, String> {
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        if !path.starts_with('/') || path.len() < 2 {
            return Err(format!("`embedded://{path}` names no directory: expected embedded:///DIR with a whole path"));
        }
        let mut at = Self::new(path);
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            match key {
                "durability" => {
                    at.durability = match value {
                        "memory" => Durability::Memory,
                        "os" => Durability::Os,
                        "disk" => Durability::Disk,
                        _ => return Err(format!("`{value}` is no durability: expected memory, os or disk")),
                    }
                }
                "memory" => at.memory = usize::try_from(parse_bytes(value)?).unwrap_or(usize::MAX),
                "flush_after" => {
                    at.flush_after = humantime::parse_duration(value)
                        .map_err(|_| format!("`{value}` is no length of time: expected 60s, 5m …"))?;
                }
                "sealed" if value.starts_with("s3://") => at.sealed = Some(value.to_owned()),
                "sealed" => return Err(format!("`{value}` is no place for sealed files: expected s3://BUCKET/PREFIX")),
                _ => {
                    return Err(format!(
                        "the embedded store has no setting `{key}`: there are durability, memory, flush_after and sealed"
                    ));
                }
            }
        }
        Ok(at)
    }
}

/// Opens the store.
pub(crate) async fn open(place: &StoreAt, sealed_bytes: Option<u64>) -> Result<Opened, Failure> {
    match place {
        StoreAt::Memory => Ok(Opened { storage: Arc::new(Memory::default()), embedded: None }),
        StoreAt::ClickHouse(address) => {
            Ok(Opened { storage: Arc::new(open_clickhouse(address).await?), embedded: None })
        }
        StoreAt::Embedded(at) => {
            let opened = Embedded::open(&at.directory, at.options(sealed_bytes)?).await;
            let store = Arc::new(opened.map_err(|error| explain(&at.directory, error))?);
            let report = store.recovery();
            info!(directory = %at.directory.display(), batches = report.batches, rows = report.rows, "store opened");
            if !report.is_complete() {
                warn!(
                    quarantined = report.quarantined.len(),
                    missing = report.missing.len(),
                    "parts of the store are lost: stop the server and see metaflow-server check"
                );
            }
            Ok(Opened { storage: Arc::clone(&store) as Arc<dyn Storage>, embedded: Some(store) })
        }
    }
}

/// Opens a ClickHouse, and lets those who ask it themselves have names for its integers.
async fn open_clickhouse(address: &Address) -> Result<ClickHouse, Failure> {
    let store = ClickHouse::open(address.clone(), metaflow_storage_clickhouse::Options::default()).await;
    let store = store.map_err(|error| match error.is_retryable() {
        true => Failure::unavailable(error.to_string()),
        false => Failure::configuration(error.to_string()),
    })?;
    info!(%address, version = store.version(), features = %store.features(), "store opened");
    let failed = |error: &dyn std::error::Error| Failure::unavailable(format!("{address}: {error}"));
    let names = DICTIONARY.definition().map_err(|error| failed(&error))?;
    let names = store.create_table(&names).await.map_err(|error| failed(&error))?;
    if let Err(error) = store.create_dictionary(&names, &["dictionary", "writer", "id"], "name").await {
        warn!(%error, "dictGet has no names in this ClickHouse; MetaFlow itself needs none");
    }
    Ok(store)
}

/// What an error of the embedded store means to whoever runs the program.
pub(crate) fn explain(directory: &Path, error: OpenError) -> Failure {
    match &error {
        OpenError::Locked { .. } => Failure::unavailable(format!(
            "{} is in use by a running server: ask that one with --server HOST:PORT, or stop it",
            directory.display()
        )),
        OpenError::Damaged { .. } | OpenError::Missing { .. } => {
            Failure::damaged(format!("{error}: metaflow-server check --repair saves what is readable"))
        }
        OpenError::NewerFormat { .. } | OpenError::Limits(_) | OpenError::Elsewhere { .. } => {
            Failure::configuration(error.to_string())
        }
        OpenError::Io { path, source } if path.starts_with("s3:") => match source.kind() {
            std::io::ErrorKind::PermissionDenied => Failure::permission(format!(
                "{error}: see AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and the bucket's rights"
            )),
            std::io::ErrorKind::NotFound => Failure::configuration(format!("{error}: make the bucket first")),
            std::io::ErrorKind::AlreadyExists => Failure::configuration(source.to_string()),
            _ => {
                Failure::unavailable(format!("{error}: start again when the bucket can be reached (AWS_ENDPOINT_URL)"))
            }
        },
        OpenError::Io { source, .. } => match source.kind() {
            std::io::ErrorKind::PermissionDenied => {
                Failure::permission(format!("{error}: run as its owner or choose another directory with --data"))
            }
            std::io::ErrorKind::StorageFull => Failure::unavailable(format!("{error}: make room on this disk")),
            _ => Failure::unavailable(error.to_string()),
        },
        _ => Failure::unavailable(error.to_string()),
    }
}
