use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use metaflow_protocol::tables::DICTIONARY;
use metaflow_storage_clickhouse::{Address, AddressError, ClickHouse};
use metaflow_storage_embedded::{Embedded, OpenError, Options};
use storage_api::{Memory, Storage};
use tracing::{info, warn};

use crate::failure::Failure;

/// Where rows are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreAt {
    /// In memory: gone when the process ends.
    Memory,
    /// In files of this directory.
    Directory(PathBuf),
    /// In a ClickHouse, or a cluster of them.
    ClickHouse(Address),
}

impl FromStr for StoreAt {
    type Err = String;

    fn from_str(url: &str) -> Result<Self, String> {
        match url.split_once(':') {
            Some(("memory", "" | "//")) => Ok(Self::Memory),
            Some(("file" | "embedded", path)) if path.len() > 2 => {
                Ok(Self::Directory(path.strip_prefix("//").unwrap_or(path).into()))
            }
            Some(("clickhouse", _)) => {
                url.parse().map(Self::ClickHouse).map_err(|error: AddressError| error.to_string())
            }
            _ => Err("expected memory:, file:///DIR or clickhouse://HOST:8123/DATABASE".to_owned()),
        }
    }
}

/// Opens the store.
pub(crate) async fn open(place: &StoreAt) -> Result<Arc<dyn Storage>, Failure> {
    match place {
        StoreAt::Memory => Ok(Arc::new(Memory::default())),
        StoreAt::ClickHouse(address) => Ok(Arc::new(open_clickhouse(address).await?)),
        StoreAt::Directory(directory) => {
            let store =
                Embedded::open(directory, Options::default()).await.map_err(|error| explain(directory, error))?;
            let report = store.recovery();
            info!(directory = %directory.display(), batches = report.batches, rows = report.rows, "store opened");
            if !report.is_complete() {
                warn!(
                    quarantined = report.quarantined.len(),
                    missing = report.missing.len(),
                    "parts of the store are lost"
                );
            }
            Ok(Arc::new(store))
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

fn explain(directory: &Path, error: OpenError) -> Failure {
    match &error {
        OpenError::Locked { .. } => Failure::unavailable(format!(
            "{} is in use by a running server: ask that one with --server HOST:PORT, or stop it",
            directory.display()
        )),
        OpenError::Damaged { .. } | OpenError::Missing { .. } => Failure::damaged(error.to_string()),
        OpenError::NewerFormat { .. } | OpenError::Limits(_) => Failure::configuration(error.to_string()),
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
