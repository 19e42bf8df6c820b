//! HTTP/1.1 and HTTP/2 on one port: questions, health, and agents' gRPC.

mod format;
mod listener;
mod sql;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use metaflow_protocol::Refusal;
use metaflow_protocol::ingest_server::IngestServer;
use metaflow_query::QueryEngine;
use serde_json::json;
use tokio::sync::Semaphore;

use crate::ingest::{Ingest, IngestService};
use crate::server::Limits;

pub(crate) use format::{RowFormat, write_rows};
pub(crate) use listener::serve;

/// Room for the other fields of a request beside its batch.
const REQUEST_MARGIN: usize = 64 << 10;

#[derive(Clone)]
struct Shared {
    engine: Arc<QueryEngine>,
    ingest: Arc<Ingest>,
    request_time: Duration,
}

/// All paths of the port.
pub(crate) fn router(engine: Arc<QueryEngine>, ingest: Arc<Ingest>, limits: &Limits) -> Router {
    let longest = limits.wire.batch_bytes + REQUEST_MARGIN;
    let service = IngestServer::new(IngestService::new(Arc::clone(&ingest), limits.wire))
        .max_decoding_message_size(longest)
        .max_encoding_message_size(REQUEST_MARGIN);
    let turns =
        Turns { free: Arc::new(Semaphore::new(limits.ingests)), limits: limits.clone(), ingest: Arc::clone(&ingest) };
    let agents = Router::new()
        .route_service("/metaflow.v1.Ingest/{method}", service)
        .layer(middleware::from_fn_with_state(turns, in_turn));
    let body = limits.query.statement_bytes.saturating_mul(2).saturating_add(REQUEST_MARGIN);
    Router::new()
        .route("/health", get(health))
        .route("/sql", post(sql::post_sql).layer(DefaultBodyLimit::max(body)))
        .fallback(unknown)
        .with_state(Shared { engine, ingest, request_time: limits.request_time })
        .merge(agents)
}

async fn health(State(shared): State<Shared>) -> Response {
    let (count, names) = (shared.ingest.counters(), shared.ingest.names());
    let status = json!({
        "status": "ok",
        "version": env!("CARGO_PKG_VERSION"),
        "batches": count.batches.load(Ordering::Relaxed),
        "rows": count.rows.load(Ordering::Relaxed),
        "refused": count.refused.load(Ordering::Relaxed),
        "too_old": count.too_old.load(Ordering::Relaxed),
        "names": names.names,
        "names_overflowed": names.overflowed,
    });
    axum::Json(status).into_response()
}

async fn unknown() -> Response {
    let text = "no such path: there are GET /health and POST /sql";
    (StatusCode::NOT_FOUND, axum::Json(json!({ "error": text }))).into_response()
}

#[derive(Clone)]
struct Turns {
    free: Arc<Semaphore>,
    limits: Limits,
    ingest: Arc<Ingest>,
}

/// So many batches at once, and each within its time: what they hold in memory is bounded.
async fn in_turn(State(turns): State<Turns>, request: Request, next: Next) -> Response {
    let time = turns.limits.request_time;
    let stored = async {
        let _turn = turns.free.acquire().await;
        next.run(request).await
    };
    match tokio::time::timeout(time, stored).await {
        Ok(response) => response,
        Err(_) => {
            turns.ingest.counters().refused.fetch_add(1, Ordering::Relaxed);
            let busy = Refusal::Busy(format!("not stored within {} s: try again later", time.as_secs_f32()));
            tonic::Status::from(busy).into_http()
        }
    }
}
