//! A server that takes batches, and fails as it is told.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex};

use arrow_array::cast::AsArray;
use arrow_array::types::{UInt16Type, UInt32Type, UInt64Type};
use arrow_array::{Array, RecordBatch, StringArray};
use metaflow_protocol::ingest_server::{Ingest, IngestServer};
use metaflow_protocol::{AppendRequest, AppendResponse, HelloRequest, HelloResponse, WireLimits, decode_batch, tables};
use tokio::runtime::Runtime;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

use crate::program::PATIENCE;

/// What happens to one request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fate {
    /// Stored and acknowledged.
    Stored,
    /// Not stored: try later.
    Unavailable,
    /// Stored, but the answer is lost.
    AnswerLost,
    /// Never taken.
    Refused,
}

/// Batches by who sent them as which one, so that the same batch counts once.
type Batches = BTreeMap<(u64, u64), RecordBatch>;

#[derive(Default)]
struct State {
    /// Of the next requests; then all are stored.
    fates: VecDeque<Fate>,
    tables: BTreeMap<String, Batches>,
    hellos: usize,
    appends: usize,
}

#[derive(Clone, Default)]
struct Service(Arc<(Mutex<State>, Condvar)>);

#[tonic::async_trait]
impl Ingest for Service {
    async fn hello(&self, request: Request<HelloRequest>) -> Result<Response<HelloResponse>, Status> {
        let hello = request.into_inner();
        assert!(hello.software.starts_with("metaflow-agent 0."));
        self.0.0.lock().unwrap().hellos += 1;
        Ok(Response::new(HelloResponse { batch_bytes: 1 << 24, batch_rows: 1 << 17, ..HelloResponse::default() }))
    }

    async fn append(&self, request: Request<AppendRequest>) -> Result<Response<AppendResponse>, Status> {
        let request = request.into_inner();
        let mut state = self.0.0.lock().unwrap();
        state.appends += 1;
        let fate = state.fates.pop_front().unwrap_or(Fate::Stored);
        match fate {
            Fate::Unavailable => return Err(Status::unavailable("the disk is full")),
            Fate::Refused => return Err(Status::invalid_argument("not of my liking")),
            Fate::Stored | Fate::AnswerLost => {}
        }
        let table = tables::table(&request.table).unwrap();
        let batch = decode_batch(table, request.schema_version, request.batch, &WireLimits::default())
            .map_err(|error| Status::invalid_argument(error.to_string()))?;
        let rows = batch.num_rows() as u64;
        let epoch = request.sender.unwrap().epoch;
        let before = state.tables.entry(request.table).or_default().insert((epoch, request.sequence), batch.clone());
        assert!(before.is_none_or(|before| before == batch), "a number stands for one batch");
        self.0.1.notify_all();
        match fate {
            Fate::AnswerLost => Err(Status::unavailable("the connection broke")),
            _ => Ok(Response::new(AppendResponse { rows })),
        }
    }
}

/// A server on a loopback port; dropping it ends it, and what it stored stays in `stored`.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) stored: Stored,
    _runtime: Runtime,
}

impl Server {
    /// On a free port.
    pub(crate) fn start(fates: &[Fate]) -> Self {
        Self::start_at(SocketAddr::from(([127, 0, 0, 1], 0)), fates)
    }

    pub(crate) fn start_at(address: SocketAddr, fates: &[Fate]) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let service = Service::default();
        service.0.0.lock().unwrap().fates.extend(fates);
        let stored = Stored(service.clone());
        let entered = runtime.enter();
        let incoming = TcpIncoming::bind(address).unwrap();
        let address = incoming.local_addr().unwrap();
        let server = IngestServer::new(service).max_decoding_message_size(1 << 25);
        runtime.spawn(tonic::transport::Server::builder().add_service(server).serve_with_incoming(incoming));
        drop(entered);
        Self { address, stored, _runtime: runtime }
    }
}

/// What a server has.
pub(crate) struct Stored(Service);

impl Stored {
    /// Waits until this holds.
    pub(crate) fn wait_until(&self, ready: impl Fn(&Self) -> bool) {
        let (state, changed) = &*self.0.0;
        let deadline = std::time::Instant::now() + PATIENCE;
        while !ready(self) {
            let left = deadline.saturating_duration_since(std::time::Instant::now());
            assert!(!left.is_zero(), "the rows did not come");
            let guard = state.lock().unwrap();
            drop(changed.wait_timeout(guard, left.min(std::time::Duration::from_millis(100))).unwrap());
        }
    }

    pub(crate) fn batches(&self, table: &str) -> Vec<RecordBatch> {
        let state = self.0.0.0.lock().unwrap();
        state.tables.get(table).into_iter().flatten().map(|(_, batch)| batch.clone()).collect()
    }

    pub(crate) fn rows(&self, table: &str) -> usize {
        self.batches(table).iter().map(RecordBatch::num_rows).sum()
    }

    pub(crate) fn epochs(&self) -> usize {
        let state = self.0.0.0.lock().unwrap();
        let mut epochs: Vec<_> = state.tables.values().flatten().map(|((epoch, _), _)| *epoch).collect();
        epochs.sort_unstable();
        epochs.dedup();
        epochs.len()
    }

    /// Greetings, and batches that came, repeated ones too.
    pub(crate) fn requests(&self) -> (usize, usize) {
        let state = self.0.0.0.lock().unwrap();
        (state.hellos, state.appends)
    }

    pub(crate) fn names(&self, table: &str, column: &str) -> Vec<Option<String>> {
        let names = |batch: &RecordBatch| {
            let names = batch.column_by_name(column).unwrap().as_dictionary::<UInt32Type>().clone();
            let texts = names.values().as_any().downcast_ref::<StringArray>().unwrap().clone();
            names.keys().iter().map(|key| Some(texts.value(key? as usize).to_owned())).collect::<Vec<_>>()
        };
        self.batches(table).iter().flat_map(names).collect()
    }

    pub(crate) fn ports(&self, table: &str) -> Vec<u16> {
        let ports = |batch: &RecordBatch| {
            batch.column_by_name("server_port").unwrap().as_primitive::<UInt16Type>().values().to_vec()
        };
        self.batches(table).iter().flat_map(ports).collect()
    }

    pub(crate) fn sum(&self, table: &str, column: &str) -> u64 {
        let sum = |batch: &RecordBatch| {
            batch.column_by_name(column).unwrap().as_primitive::<UInt64Type>().values().iter().sum::<u64>()
        };
        self.batches(table).iter().map(sum).sum()
    }
}
