//! The suite of every backend, on a store that keeps rows in memory, on one that writes them to files all the time, and
//! at each level of durability.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use metaflow_storage_embedded::{Embedded, Limits, Options};
use storage_api::conformance::Fixture;
use storage_api::{Durability, Storage};
use tempfile::TempDir;

use crate::support::{quiet, run};

struct Fresh {
    store: Option<Arc<Embedded>>,
    folder: TempDir,
    options: Options,
}

impl Fresh {
    async fn new(options: Options) -> Self {
        let folder = TempDir::new().unwrap();
        let store = Embedded::open(folder.path(), options.clone()).await.unwrap();
        Self { store: Some(Arc::new(store)), folder, options }
    }
}

#[async_trait]
impl Fixture for Fresh {
    fn storage(&self) -> Arc<dyn Storage> {
        self.store.clone().unwrap()
    }

    async fn reopen(&mut self) -> bool {
        let store = Arc::into_inner(self.store.take().unwrap()).expect("nobody else holds the store");
        store.close().await;
        let store = Embedded::open(self.folder.path(), self.options.clone()).await.unwrap();
        assert!(store.recovery().is_complete(), "{}", store.recovery());
        self.store = Some(Arc::new(store));
        true
    }
}

mod in_memory {
    use super::*;

    storage_api::conformance_suite!(run, || Fresh::new(quiet()));
}

mod in_files {
    use super::*;

    /// Every millisecond, and whenever there are more than a few rows; merged at once.
    fn busy() -> Options {
        let limits = Limits { flush: 4096, ..Limits::default() };
        Options { flush_after: Duration::from_millis(1), limits, ..Options::default() }
    }

    storage_api::conformance_suite!(run, || Fresh::new(busy()));
}

mod written_through_the_system_only {
    use super::*;

    storage_api::conformance_suite!(run, || Fresh::new(Options { durability: Durability::Os, ..quiet() }));
}

mod acknowledged_from_memory {
    use super::*;

    storage_api::conformance_suite!(run, || Fresh::new(Options { durability: Durability::Memory, ..quiet() }));
}
