use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::accept::Acceptor;
use crate::server::Limits;

/// Requests that one HTTP/2 connection may have open.
const STREAMS: u32 = 64;
/// Bytes that one HTTP/2 stream may send before it is read from.
const WINDOW: u32 = 1 << 20;
/// How often a silent HTTP/2 peer is asked whether it is there.
const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// Takes connections until told to stop, then lets running requests end.
pub(crate) async fn serve(listener: TcpListener, router: Router, limits: Limits, stop: CancellationToken) {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(limits.request_time).max_buf_size(64 << 10);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(4 * WINDOW)
        .max_header_list_size(64 << 10)
        .keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(limits.request_time);
    let acceptor = Acceptor::new(listener, limits.connections, stop);
    let graceful = GracefulShutdown::new();
    while let Some((stream, turn)) = acceptor.next().await {
        let _ = stream.set_nodelay(true);
        let service = TowerToHyperService::new(router.clone());
        let connection = builder.serve_connection(TokioIo::new(stream), service).into_owned();
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                debug!(%error, "a connection ended early");
            }
            drop(turn);
        });
    }
    drop(acceptor);
    let _ = tokio::time::timeout(limits.grace, graceful.shutdown()).await;
}
