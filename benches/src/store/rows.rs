//! Rows of the table `calls` as a server stores them: the day of a cluster, the same for the same seed.
//!
//! 300 services with up to 20 endpoints each, popular by Zipf's law, in pods; 20,000 connections that are kept open, over which requests go
//! one after the other, each with its sequence numbers; one connection in 200 calls is replaced by a new one.

use std::sync::Arc;

use arrow_array::builder::{BinaryBuilder, MapBuilder, MapFieldNames, StringBuilder, UInt32Builder};
use arrow_array::{
    ArrayRef, BooleanArray, FixedSizeBinaryArray, Int64Array, RecordBatch, StringArray, TimestampNanosecondArray,
    UInt16Array, UInt32Array, UInt64Array, new_null_array,
};
use arrow_schema::DataType;
use fastrand::Rng;
use metaflow_protocol::tables::CALLS;
use storage_api::TableDefinition;

use crate::traffic::Zipf;

/// Calls of a second.
pub(super) const RATE: i64 = 20_000;
/// When the day begins: nanoseconds since 1970, a full hour.
pub(super) const START: i64 = 1_790_000_000_000_000_000 / 3_600_000_000_000 * 3_600_000_000_000;
/// Rows of a batch.
pub(super) const BATCH: usize = 8192;
const SERVICES: usize = 300;
const ENDPOINTS: usize = 20;
const CONNECTIONS: usize = 20_000;
const CLIENTS: u64 = 5000;
/// Calls over a connection, about.
const LIFE: u64 = 200;

/// What calls carry besides numbers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Texts {
    /// Path with query.
    pub(super) resource: bool,
    /// One call in so many has a trace; none if 0.
    pub(super) traced: u64,
}

struct Connection {
    service: u64,
    client: u64,
    server: u64,
    port: u16,
    flow: u64,
    requested: u32,
    answered: u32,
}

/// Makes the rows, batch after batch.
pub(super) struct Rows {
    table: TableDefinition,
    texts: Texts,
    rng: Rng,
    services: Zipf,
    endpoints: Zipf,
    connections: Vec<Connection>,
    flows: u64,
    made: u64,
}

/// One call.
struct Call {
    time: i64,
    duration: i64,
    connection: usize,
    endpoint: u64,
    failed: bool,
    request_bytes: u64,
    response_bytes: u64,
    port: u16,
    flow: u64,
    sequence: (u32, u32),
    service: u64,
    client: u64,
    server: u64,
    id: u64,
}

impl Rows {
    pub(super) fn new(texts: Texts) -> Self {
        let mut rows = Self {
            table: CALLS.definition().expect("the standard table"),
            texts,
            rng: Rng::with_seed(7),
            services: Zipf::new(SERVICES),
            endpoints: Zipf::new(ENDPOINTS),
            connections: Vec::new(),
            flows: 0,
            made: 0,
        };
        for _ in 0..CONNECTIONS {
            let connection = rows.connect();
            rows.connections.push(connection);
        }
        rows
    }

    pub(super) fn table(&self) -> &TableDefinition {
        &self.table
    }

    fn connect(&mut self) -> Connection {
        self.flows += 1;
        let service = self.services.any(&mut self.rng) as u64;
        Connection {
            service,
            client: self.rng.u64(..CLIENTS),
            server: service * 16 + self.rng.u64(..16),
            port: self.rng.u16(32_768..60_999),
            flow: self.flows,
            requested: self.rng.u32(..),
            answered: self.rng.u32(..),
        }
    }

    fn call(&mut self) -> Call {
        let step = 1_000_000_000 / RATE;
        let place = self.rng.usize(..CONNECTIONS);
        if self.rng.u64(..LIFE) == 0 {
            self.connections[place] = self.connect();
        }
        let endpoint = self.endpoints.any(&mut self.rng) as u64;
        let connection = &mut self.connections[place];
        let endpoint = connection.service * ENDPOINTS as u64 + endpoint;
        // Durations of an endpoint spread by a factor of ten, as those of real ones do.
        let usual = 200_000.0 * (1.0 + (endpoint % 97) as f64);
        let call = Call {
            time: START + self.made as i64 * step + self.rng.i64(..step),
            duration: (usual * 10_f64.powf(self.rng.f64() + self.rng.f64() - 1.0)) as i64,
            connection: place,
            endpoint,
            failed: self.rng.u32(..100) == 0,
            request_bytes: 150 + endpoint % 300 + self.rng.u64(..40),
            response_bytes: 200 + endpoint * 7 % 3000 + self.rng.u64(..1 + endpoint % 5 * 400),
            port: connection.port,
            flow: connection.flow,
            sequence: (connection.requested, connection.answered),
            service: connection.service,
            client: connection.client,
            server: connection.server,
            id: self.made + 1,
        };
        connection.requested = connection.requested.wrapping_add(call.request_bytes as u32);
        connection.answered = connection.answered.wrapping_add(call.response_bytes as u32);
        self.made += 1;
        call
    }

    /// The next rows.
    pub(super) fn batch(&mut self) -> RecordBatch {
        let calls: Vec<Call> = (0..BATCH).map(|_| self.call()).collect();
        let schema = self.table.schema().clone();
        let columns = schema.fields().iter().map(|field| {
            let made = self.column(field.name(), &calls);
            made.unwrap_or_else(|| match field.is_nullable() {
                true => new_null_array(field.data_type(), BATCH),
                false => panic!("no values for the column {}", field.name()),
            })
        });
        let columns: Vec<ArrayRef> = columns.collect();
        RecordBatch::try_new(schema, columns).expect("columns of the table's types")
    }

    fn column(&mut self, name: &str, calls: &[Call]) -> Option<ArrayRef> {
        fn u16s(calls: &[Call], of: impl Fn(&Call) -> u16) -> ArrayRef {
            Arc::new(UInt16Array::from_iter_values(calls.iter().map(of)))
        }
        fn u32s(calls: &[Call], of: impl Fn(&Call) -> u64) -> ArrayRef {
            Arc::new(UInt32Array::from_iter_values(calls.iter().map(|call| of(call) as u32)))
        }
        fn u64s(calls: &[Call], of: impl Fn(&Call) -> u64) -> ArrayRef {
            Arc::new(UInt64Array::from_iter_values(calls.iter().map(of)))
        }
        fn addresses(calls: &[Call], net: u8, of: impl Fn(&Call) -> u64) -> ArrayRef {
            let values = calls.iter().map(|call| {
                let pod = of(call);
                [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, net, (pod >> 8) as u8, pod as u8]
            });
            Arc::new(FixedSizeBinaryArray::try_from_iter(values).expect("16 bytes each"))
        }
        // Ids as a server gives them out: small numbers, most of them met early.
        Some(match name {
            "time" => {
                let times = calls.iter().map(|call| call.time);
                Arc::new(TimestampNanosecondArray::from_iter_values(times).with_timezone("+00:00"))
            }
            "duration_ns" => Arc::new(Int64Array::from_iter_values(calls.iter().map(|call| call.duration))),
            "protocol" => u32s(calls, |call| 1 + call.service % 5),
            "transport" | "kind" | "observation_point" | "capture" | "agent" => u32s(calls, |_| 1),
            "writer" => u16s(calls, |_| 1),
            "agent_epoch" => u64s(calls, |_| 0x5eed_0123_4567_89ab),
            "client_address" => addresses(calls, 1, |call| call.client),
            "client_port" => u16s(calls, |call| call.port),
            "server_address" => addresses(calls, 2, |call| call.server),
            "server_port" => u16s(calls, |call| 8000 + (call.service % 50) as u16),
            "request_type" => u32s(calls, |call| 1 + call.endpoint % 7),
            "domain" => u32s(calls, |call| 1 + call.service),
            "endpoint" => u32s(calls, |call| 1 + call.endpoint),
            "status" => u32s(calls, |call| 1 + u64::from(call.failed)),
            "status_code" => u32s(calls, |call| 1 + u64::from(call.failed)),
            "request_bytes" => u64s(calls, |call| call.request_bytes),
            "response_bytes" => u64s(calls, |call| call.response_bytes),
            "captured_complete" => Arc::new(BooleanArray::from(vec![true; calls.len()])),
            "id" => u64s(calls, |call| call.id),
            "flow_id" => u64s(calls, |call| call.flow),
            "tcp_seq_request" => u32s(calls, |call| call.sequence.0.into()),
            "tcp_seq_response" => u32s(calls, |call| call.sequence.1.into()),
            "process_pid" => u32s(calls, |call| 1000 + call.server),
            "process_name" | "process_thread" => u32s(calls, |call| 1 + call.service),
            "process_container" => u32s(calls, |call| 1 + call.server),
            "process_start_ns" => {
                Arc::new(Int64Array::from_iter_values(calls.iter().map(|call| START - 1_000_007 * call.server as i64)))
            }
            "resource" if self.texts.resource => {
                let paths = calls.iter().map(|call| {
                    format!("/api/v1/things/{}/{}?page={}", call.endpoint, call.connection, self.rng.u32(..1000))
                });
                Arc::new(StringArray::from_iter_values(paths.collect::<Vec<_>>()))
            }
            "trace_id" | "span_id" if self.texts.traced > 0 => {
                let width = if name == "trace_id" { 16 } else { 8 };
                let mut ids = BinaryBuilder::new();
                for call in calls {
                    let bytes = trace_of(call.id);
                    ids.append_option(call.id.is_multiple_of(self.texts.traced).then(|| &bytes[16 - width..]));
                }
                Arc::new(ids.finish())
            }
            "attributes" => {
                let names = MapFieldNames { entry: "entries".into(), key: "keys".into(), value: "values".into() };
                let mut builder = MapBuilder::new(Some(names), UInt32Builder::new(), StringBuilder::new());
                for _ in calls {
                    builder.append(true).expect("as many keys as values");
                }
                Arc::new(builder.finish())
            }
            "exception" if self.texts.resource => {
                Arc::new(calls.iter().map(|call| call.failed.then_some("connection refused")).collect::<StringArray>())
            }
            _ => return None,
        })
    }
}

/// The trace of a call: not to be guessed from its neighbours'.
pub(super) fn trace_of(id: u64) -> [u8; 16] {
    let mut rng = Rng::with_seed(id);
    rng.u128(..).to_be_bytes()
}

/// The types of a column that a peer must know, too.
pub(super) fn is_number(data_type: &DataType) -> bool {
    data_type.is_integer()
}
