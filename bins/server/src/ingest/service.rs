use std::sync::Arc;
use std::sync::atomic::Ordering;

use metaflow_protocol::ingest_server::Ingest as IngestApi;
use metaflow_protocol::tables::{TABLES, table};
use metaflow_protocol::{
    AppendRequest, AppendResponse, DecodeError, HelloRequest, HelloResponse, Refusal, SenderError, TableVersion,
    WireLimits, decode_batch,
};
use tonic::{Request, Response, Status};
use tracing::{debug, info};

use super::{Ingest, Origin};

/// The agents' way in.
#[derive(Debug)]
pub(crate) struct IngestService {
    ingest: Arc<Ingest>,
    limits: WireLimits,
}

impl IngestService {
    pub(crate) fn new(ingest: Arc<Ingest>, limits: WireLimits) -> Self {
        Self { ingest, limits }
    }

    async fn take(&self, request: AppendRequest) -> Result<u64, Refusal> {
        let malformed = |error: SenderError| Refusal::Malformed(error.to_string());
        let sender = request.sender.ok_or(SenderError::Missing).map_err(malformed)?;
        let id = sender.batch_id(request.sequence).map_err(malformed)?;
        let table = table(&request.table).ok_or_else(|| {
            let known: Vec<_> = TABLES.iter().map(|table| table.name).collect();
            Refusal::Unknown(format!("there is no table of this name; there are {}", known.join(", ")))
        })?;
        let limits = self.limits;
        // Not on a thread that serves connections: it takes milliseconds, and a fault in it costs this request alone.
        let decoding =
            tokio::task::spawn_blocking(move || decode_batch(table, request.schema_version, request.batch, &limits));
        let batch = match decoding.await {
            Ok(decoded) => decoded.map_err(|error| refuse(&error))?,
            Err(fault) => return Err(Refusal::Malformed(format!("the batch could not be read: {fault}"))),
        };
        self.ingest.store(table, &Origin { id, agent: sender.name }, &batch).await?;
        debug!(table = table.name, rows = batch.num_rows(), %id, "stored");
        Ok(batch.num_rows() as u64)
    }
}

#[tonic::async_trait]
impl IngestApi for IngestService {
    async fn hello(&self, request: Request<HelloRequest>) -> Result<Response<HelloResponse>, Status> {
        let HelloRequest { sender, software } = request.into_inner();
        let name = sender.map(|sender| sender.name).unwrap_or_default();
        // Both are the agent's own words.
        info!(agent = ?name.chars().take(100).collect::<String>(), software = ?software.chars().take(100).collect::<String>(), "hello");
        let tables =
            TABLES.iter().map(|table| TableVersion { table: table.name.to_owned(), version: table.version }).collect();
        Ok(Response::new(HelloResponse {
            software: concat!("metaflow-server ", env!("CARGO_PKG_VERSION")).to_owned(),
            tables,
            batch_bytes: self.limits.batch_bytes as u64,
            batch_rows: self.limits.batch_rows as u64,
        }))
    }

    async fn append(&self, request: Request<AppendRequest>) -> Result<Response<AppendResponse>, Status> {
        match self.take(request.into_inner()).await {
            Ok(rows) => Ok(Response::new(AppendResponse { rows })),
            Err(refusal) => {
                self.ingest.counters().refused.fetch_add(1, Ordering::Relaxed);
                debug!(%refusal, "batch refused");
                Err(refusal.into())
            }
        }
    }
}

fn refuse(error: &DecodeError) -> Refusal {
    let text = error.to_string();
    match error {
        DecodeError::TooLong { .. } | DecodeError::TooManyRows { .. } => Refusal::TooLarge(text),
        DecodeError::Version { .. } => Refusal::Unknown(text),
        _ => Refusal::Malformed(text),
    }
}
