use tokio::signal::unix::{SignalKind, signal};
use tracing::info;

use crate::cli::RunOptions;
use crate::failure::Failure;
use crate::server::{Config, Limits, Server};
use crate::store::StoreAt;

/// `metaflow-server run`: serves until SIGTERM or Ctrl-C, then ends in order.
///
/// # Errors
/// When it cannot begin.
pub async fn run(options: RunOptions) -> Result<(), Failure> {
    let store = match (options.storage, options.data) {
        (Some(store), _) => store,
        (None, Some(directory)) => StoreAt::directory(directory),
        (None, None) => return Err(Failure::usage("say where to keep the data with --data DIR")),
    };
    let mut terminate = signal(SignalKind::terminate()).map_err(Failure::from_io)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Failure::from_io)?;
    let config = Config {
        store,
        listen: Some(options.listen),
        listen_postgres: options.listen_postgres,
        insecure: options.insecure,
        limits: Limits { retention: options.retention.with_bytes(options.retention_bytes), ..Limits::default() },
    };
    let server = Server::start(config).await?;
    if let Some(address) = server.address() {
        info!(%address, "listening for agents and HTTP");
    }
    if let Some(address) = server.postgres_address() {
        info!(%address, "listening for PostgreSQL clients: psql -h {} -p {} -U metaflow metaflow", address.ip(), address.port());
    }
    tokio::select! {
        _ = terminate.recv() => info!("told to end"),
        _ = interrupt.recv() => info!("interrupted"),
    }
    server.stop().await;
    Ok(())
}
