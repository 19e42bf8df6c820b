//! The suite of every backend, with all that the server can do and with no more than every store needs.

use std::sync::Arc;

use async_trait::async_trait;
use metaflow_storage_clickhouse::{Address, ClickHouse, Features, Options};
use storage_api::Storage;
use storage_api::conformance::Fixture;

use crate::support::{fresh_address, open, run};

pub(crate) struct Fresh {
    store: Option<Arc<ClickHouse>>,
    address: Address,
    options: Options,
}

impl Fresh {
    pub(crate) async fn new(address: Address, options: Options) -> Self {
        let store = Some(Arc::new(open(&address, options.clone()).await));
        Self { store, address, options }
    }
}

#[async_trait]
impl Fixture for Fresh {
    fn storage(&self) -> Arc<dyn Storage> {
        self.store.clone().unwrap()
    }

    async fn reopen(&mut self) -> bool {
        Arc::into_inner(self.store.take().unwrap()).expect("nobody else holds the store");
        self.store = Some(Arc::new(open(&self.address, self.options.clone()).await));
        true
    }
}

mod with_everything {
    use super::*;

    storage_api::conformance_suite!(run, || Fresh::new(fresh_address(), Options::default()));
}

mod with_nothing_beyond_the_least {
    use super::*;

    fn least() -> Options {
        Options { features: Features::NONE, ..Options::default() }
    }

    storage_api::conformance_suite!(run, || Fresh::new(fresh_address(), least()));
}
