use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use metaflow_protocol::WireLimits;
use metaflow_query::{QueryEngine, QueryLimits};
use metaflow_storage_embedded::{Embedded, Stats};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::failure::Failure;
use crate::ingest::Ingest;
use crate::names::Names;
use crate::retention::{Retention, Sweeper};
use crate::store::{Opened, StoreAt};
use crate::{http, ingest, postgres, store};

/// What a server is made of.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where rows are kept.
    pub store: StoreAt,
    /// Where agents and questions come in; port 0 takes a free one. None: a server that nobody can reach, for `sql --data`.
    pub listen: Option<SocketAddr>,
    /// Where PostgreSQL clients come in.
    pub listen_postgres: Option<SocketAddr>,
    /// Listen beyond this machine although nobody is asked for a password.
    pub insecure: bool,
    /// Bounds.
    pub limits: Limits,
}

/// Bounds of a server.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Of batches.
    pub wire: WireLimits,
    /// Of questions.
    pub query: QueryLimits,
    /// Connections at once on each port; further ones wait in the system's queue.
    pub connections: usize,
    /// Batches taken in at once: each may be as long as the wire allows.
    pub ingests: usize,
    /// Longest time a client may take to send a request, and longest time in which a batch is stored.
    pub request_time: Duration,
    /// How long rows are kept.
    pub retention: Retention,
    /// How long running requests may go on after the server was told to end.
    pub grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            wire: WireLimits::default(),
            query: QueryLimits::default(),
            connections: 1024,
            ingests: 16,
            request_time: Duration::from_secs(30),
            retention: Retention::default(),
            grace: Duration::from_secs(10),
        }
    }
}

/// A running server.
#[derive(Debug)]
pub struct Server {
    engine: Arc<QueryEngine>,
    address: Option<SocketAddr>,
    postgres_address: Option<SocketAddr>,
    stop: CancellationToken,
    listeners: Vec<JoinHandle<()>>,
    /// Kept until the end; dropped away from async code, which must not wait for its threads.
    queries: Option<Runtime>,
}

impl Server {
    /// Opens the store, reads its names and begins to listen. When it returns, connections are taken.
    ///
    /// # Errors
    /// Each with the line that says what to do.
    pub async fn start(config: Config) -> Result<Self, Failure> {
        let Config { store: place, listen, listen_postgres, insecure, limits } = config;
        for address in [listen, listen_postgres].into_iter().flatten().filter(|address| !address.ip().is_loopback()) {
            if !insecure {
                return Err(Failure::configuration(format!(
                    "{address} can be reached from other machines and nobody is asked for a password: listen on 127.0.0.1, or say --insecure"
                )));
            }
        }
        // Ports first: a server that cannot listen leaves its store alone.
        let http_listener = bind(listen, "--listen").await?;
        let postgres_listener = bind(listen_postgres, "--listen-postgres").await?;
        let Opened { storage, embedded } = store::open(&place, limits.retention.bytes).await?;
        let failed = |error: anyhow::Error| Failure::unavailable(format!("{error:#}"));
        let names = Arc::new(Names::load(Arc::clone(&storage), random_epoch()).await.map_err(failed)?);
        let (ingest, tables) =
            Ingest::new(Arc::clone(&storage), Arc::clone(&names), limits.retention.clone()).await.map_err(failed)?;
        let queries = query_runtime().map_err(failed)?;
        let engine =
            QueryEngine::new(&storage, tables, &names.writers(), limits.query.clone(), queries.handle().clone())
                .map_err(|error| Failure::query(&error))?;
        let engine = Arc::new(engine);
        let stop = CancellationToken::new();
        let mut server = Self {
            engine: Arc::clone(&engine),
            address: None,
            postgres_address: None,
            stop: stop.clone(),
            listeners: Vec::new(),
            queries: Some(queries),
        };
        // Whoever only asks drops nothing.
        if http_listener.is_some() || postgres_listener.is_some() {
            let sweeper = Sweeper::new(Arc::clone(&storage), limits.retention.clone());
            server.listeners.push(tokio::spawn(tidy(sweeper, embedded, stop.clone())));
        }
        if let Some(listener) = http_listener {
            server.address = listener.local_addr().ok();
            let router = http::router(Arc::clone(&engine), Arc::new(ingest), &limits);
            server.listeners.push(tokio::spawn(http::serve(listener, router, limits.clone(), stop.clone())));
        }
        if let Some(listener) = postgres_listener {
            server.postgres_address = listener.local_addr().ok();
            server.listeners.push(tokio::spawn(postgres::serve(listener, engine, limits, stop)));
        }
        Ok(server)
    }

    /// Where agents and questions come in.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Where PostgreSQL clients come in.
    #[must_use]
    pub fn postgres_address(&self) -> Option<SocketAddr> {
        self.postgres_address
    }

    /// For questions from within this process.
    #[must_use]
    pub fn engine(&self) -> &Arc<QueryEngine> {
        &self.engine
    }

    /// Takes no more connections, lets running requests end within [`Limits::grace`], and closes the store.
    pub async fn stop(mut self) {
        self.stop.cancel();
        for listener in std::mem::take(&mut self.listeners) {
            let _ = listener.await;
        }
        info!("stopped");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(queries) = self.queries.take() {
            queries.shutdown_background();
        }
    }
}

/// Once a minute: drops what is too old, and says what the store did on its own.
async fn tidy(mut sweeper: Sweeper, embedded: Option<Arc<Embedded>>, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(Duration::from_secs(60));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut before = Stats::default();
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        sweeper.sweep(ingest::now()).await;
        let Some(stats) = embedded.as_ref().map(|store| store.stats()) else { continue };
        if stats.rows_expired > before.rows_expired {
            let (rows, files) = (stats.rows_expired - before.rows_expired, stats.files_expired - before.files_expired);
            warn!(rows, files, "dropped the oldest files: the sealed files reached the bound of --retention-bytes");
        }
        if stats.failures() > before.failures() {
            let last = stats.last_failure.as_deref().unwrap_or_default();
            warn!(failures = stats.failures() - before.failures(), last, "the store failed at some of its work");
        }
        before = stats;
    }
}

async fn bind(address: Option<SocketAddr>, option: &str) -> Result<Option<TcpListener>, Failure> {
    let Some(address) = address else { return Ok(None) };
    TcpListener::bind(address).await.map(Some).map_err(|error| match error.kind() {
        std::io::ErrorKind::AddrInUse => Failure::unavailable(format!(
            "{address} is in use: stop what listens there, or choose another with {option}"
        )),
        std::io::ErrorKind::PermissionDenied => Failure::permission(format!(
            "{address} may not be used by this user: choose a port above 1023 with {option}"
        )),
        _ => Failure::unavailable(format!("cannot listen on {address}: {error}")),
    })
}

/// Questions run on threads of their own, so that a heavy one does not hold up what agents send; with stacks for deep statements.
fn query_runtime() -> anyhow::Result<Runtime> {
    const STACK: usize = 64 << 20;
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(threads).thread_stack_size(STACK).thread_name("metaflow-query").enable_all();
    builder.build().context("cannot start the threads of queries")
}

/// Which life of the server this is.
fn random_epoch() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    // Keyed by the system's randomness.
    RandomState::new().hash_one(Handle::current().id().to_string())
}
