//! PostgreSQL's wire protocol (its documentation, chapter 55): psql, drivers and dashboards connect with nothing installed.

mod cancel;
mod connection;
mod handler;
mod parameters;
mod rows;
mod types;

use std::sync::Arc;

use metaflow_query::QueryEngine;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::debug;

use crate::accept::Acceptor;
use crate::server::Limits;
use handler::Handlers;

/// Takes connections until told to stop, then lets running ones end.
pub(crate) async fn serve(listener: TcpListener, engine: Arc<QueryEngine>, limits: Limits, stop: CancellationToken) {
    let handlers = Arc::new(Handlers::new(engine));
    let acceptor = Acceptor::new(listener, limits.connections, stop.clone());
    let connections = TaskTracker::new();
    // A statement, or the values of its parameters, and what stands around them.
    let longest = limits.query.statement_bytes.saturating_mul(2).saturating_add(64 << 10);
    let patience = limits.request_time;
    while let Some((stream, turn)) = acceptor.next().await {
        let (handlers, stop) = (Arc::clone(&handlers), stop.clone());
        connections.spawn(async move {
            // A client of this protocol stays for hours: it is not waited for.
            let ended = tokio::select! {
                ended = connection::serve(stream, handlers, longest, patience) => ended,
                () = stop.cancelled() => Ok(()),
            };
            if let Err(error) = ended {
                debug!(%error, "a PostgreSQL connection ended early");
            }
            drop(turn);
        });
    }
    connections.close();
    let _ = tokio::time::timeout(limits.grace, connections.wait()).await;
}
