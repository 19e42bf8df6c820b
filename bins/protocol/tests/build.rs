//! Rows of every table from the records they are made of.
#![allow(clippy::unwrap_used, reason = "tests end by it")]

use std::net::SocketAddr;
use std::time::Duration;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int16Type, Int64Type, TimestampNanosecondType, UInt16Type, UInt32Type, UInt64Type};
use arrow_array::{Array, RecordBatch, StringArray};
use flow_core::{
    CallRecord, Close, Confidence, Conversation, Counters, Durations, Endpoint, FlowRecord, Histogram, Layer, Metric,
    MetricKey, MetricValues, Sides, Transport,
};
use metaflow_protocol::build::{
    CallsBuilder, Event, EventsBuilder, Evidence, FlowsBuilder, Loss, LossesBuilder, MetricsBuilder, Place, Process,
};
use metaflow_protocol::tables::{CALLS, EVENTS, FLOWS, LOSSES, METRICS_1M, METRICS_1S};
use metaflow_protocol::{Table, WireLimits, decode_batch, encode_batch};
use protocol_parsers::{Connection, Dissector, Opening, Options, Protocol, Side, StreamChunk, Timestamp};

const START: u64 = 1_790_000_000_000_000_000;
const REQUEST: &[u8] = b"GET /cart/17?x=1 HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: curl\r\n\
    traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n\r\n";
const RESPONSE: &[u8] = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
const NO_PATHS: Sides<Option<&str>> = Sides { client: None, server: None };
const FILE: Place<'_> =
    Place { observation_point: "unknown", capture: Some("shop.pcap"), process: None, paths: NO_PATHS, evidence: None };
const SERVER: Place<'_> = Place {
    observation_point: "server_nic",
    capture: Some("eth0"),
    process: Some(Process { pid: 7, start_ns: START - 1, name: "nginx", thread: None, container: Some("c0ffee") }),
    paths: NO_PATHS,
    evidence: None,
};

fn conversation() -> Conversation {
    let address = |text: &str| text.parse::<SocketAddr>().unwrap();
    Conversation {
        flow_id: 3,
        transport: Transport::Tcp,
        client: address("10.0.0.1:40000").into(),
        server: address("[2001:db8::1]:80").into(),
        interface: 2,
    }
}

/// Hands the call of one HTTP exchange to `then`.
fn with_call(then: impl FnOnce(&CallRecord<'_>)) {
    let mut dissector = Dissector::new(Options::default());
    let mut connection = Connection::new(Opening::TCP);
    for (side, bytes, after) in [(Side::Client, REQUEST, 0), (Side::Server, RESPONSE, 1500)] {
        let chunk = StreamChunk { side, time: Timestamp::from_nanos(START + after), offset: 0, bytes, missing: 0 };
        dissector.push(&mut connection, chunk);
    }
    let call = dissector.poll().unwrap();
    let record = CallRecord {
        call,
        id: 9,
        conversation: conversation(),
        stream: None,
        tcp_seq_request: Some(u32::MAX),
        tcp_seq_response: None,
    };
    then(&record);
}

/// What the server reads of it.
fn over_the_wire(table: &'static Table, batch: &RecordBatch) -> RecordBatch {
    let bytes = encode_batch(table, batch).unwrap();
    let read = decode_batch(table, table.version, bytes, &WireLimits::default()).unwrap();
    assert_eq!(&read, batch);
    read
}

fn name(batch: &RecordBatch, column: &str, row: usize) -> Option<String> {
    let names = batch.column_by_name(column).unwrap().as_dictionary::<UInt32Type>();
    let texts = names.downcast_dict::<StringArray>().unwrap();
    texts.is_valid(row).then(|| texts.values().value(names.keys().value(row) as usize).to_owned())
}

#[test]
fn a_call_becomes_a_row_of_calls() {
    with_call(|record| {
        let mut builder = CallsBuilder::new();
        builder.append(record, &FILE);
        let bytes_of_one = builder.bytes();
        builder.append(record, &SERVER);
        assert_eq!((builder.len(), builder.table()), (2, &CALLS));
        assert!(builder.bytes() > bytes_of_one && builder.bytes() < 2 * bytes_of_one, "names count once");
        let batch = over_the_wire(&CALLS, &builder.finish().unwrap());
        assert!(builder.is_empty() && builder.bytes() == 0);

        let column = |name: &str| batch.column_by_name(name).unwrap().clone();
        for name in ["syscall_trace_id_request", "syscall_trace_id_response", "thread_id", "client_path", "server_path"]
        {
            assert_eq!(column(name).null_count(), 2, "{name}: packets do not tell it");
        }
        assert_eq!(column("time").as_primitive::<TimestampNanosecondType>().value(0), START as i64);
        assert_eq!(column("duration_ns").as_primitive::<Int64Type>().value(0), 1500);
        assert_eq!(column("client_address").as_fixed_size_binary().value(0)[10..], [0xff, 0xff, 10, 0, 0, 1]);
        assert_eq!(column("server_address").as_fixed_size_binary().value(0)[..4], [0x20, 1, 0x0d, 0xb8]);
        assert_eq!(column("server_port").as_primitive::<UInt16Type>().value(0), 80);
        for (column, value) in [
            ("protocol", "http1"),
            ("transport", "tcp"),
            ("kind", "request_response"),
            ("request_type", "GET"),
            ("domain", "shop.example"),
            ("status", "client_error"),
            ("status_code", "404"),
            ("observation_point", "unknown"),
            ("capture", "shop.pcap"),
        ] {
            assert_eq!(name(&batch, column, 0).as_deref(), Some(value), "{column}");
        }
        assert_eq!(column("trace_id").as_binary::<i32>().value(0)[..3], [0x4b, 0xf9, 0x2f]);
        assert_eq!(column("span_id").as_binary::<i32>().value(0).len(), 8);
        assert!(column("parent_span_id").is_null(0) && column("request_id").is_null(0));
        assert_eq!(column("id").as_primitive::<UInt64Type>().value(0), 9);
        assert_eq!(column("tcp_seq_request").as_primitive::<UInt32Type>().value(0), u32::MAX);
        assert!(column("tcp_seq_response").is_null(0));
        assert!(column("process_pid").is_null(0) && name(&batch, "process_name", 0).is_none());
        assert_eq!(column("process_pid").as_primitive::<UInt32Type>().value(1), 7);
        assert_eq!(column("process_start_ns").as_primitive::<Int64Type>().value(1), START as i64 - 1);
        assert_eq!(name(&batch, "process_container", 1).as_deref(), Some("c0ffee"));
        let attributes = column("attributes");
        let values = attributes.as_map().values().as_string::<i32>().iter().flatten().collect::<Vec<_>>();
        assert!(values.contains(&"curl"), "{values:?}");
    });
}

#[test]
fn a_call_seen_in_system_calls_keeps_what_they_tell() {
    with_call(|record| {
        let mut record = *record;
        record.conversation.transport = Transport::Unix;
        record.conversation.client = Endpoint::Unix(0x1_2345);
        record.conversation.server = Endpoint::Unix(0x1_2346);
        let evidence =
            Evidence { syscall_trace_id_request: Some(u64::MAX), syscall_trace_id_response: None, thread_id: Some(71) };
        let paths = Sides { client: None, server: Some("/run/shop.sock") };
        let mut builder = CallsBuilder::new();
        builder.append(&record, &Place { paths, evidence: Some(evidence), ..SERVER });
        let batch = over_the_wire(&CALLS, &builder.finish().unwrap());
        let column = |name: &str| batch.column_by_name(name).unwrap().clone();
        assert_eq!(column("syscall_trace_id_request").as_primitive::<UInt64Type>().value(0), u64::MAX);
        assert!(column("syscall_trace_id_response").is_null(0));
        assert_eq!(column("thread_id").as_primitive::<UInt32Type>().value(0), 71);
        assert!(column("client_path").is_null(0));
        assert_eq!(column("server_path").as_string::<i32>().value(0), "/run/shop.sock");
        assert_eq!(name(&batch, "transport", 0).as_deref(), Some("unix"));
        let number = column("server_address").as_fixed_size_binary().value(0).to_owned();
        assert_eq!(u128::from_be_bytes(number.try_into().unwrap()), 0x1_2346, "the number of the inode");
        assert_eq!(column("server_port").as_primitive::<UInt16Type>().value(0), 0);
    });
}

#[test]
fn a_flow_becomes_a_row_of_flows() {
    let (packets, duplicate_acks) = (Sides { client: 5, server: 4 }, Sides { client: 3, server: 0 });
    let idle = Durations { count: 2, sum_ns: 70, max_ns: 40 };
    let counters = Counters { packets, fin: 2, duplicate_acks, idle, ..Counters::default() };
    let whole = FlowRecord {
        conversation: conversation(),
        start: Timestamp::from_nanos(START),
        end: Timestamp::MAX,
        counters,
        confidence: Confidence::Port,
        close: Some(Close::Finished),
        piece: 0,
        rtt: Some(Duration::from_nanos(300)),
        rtt_client: None,
        rtt_server: None,
        layers: Box::new([Layer::Vlan(7), Layer::Vxlan(42), Layer::Vlan(8)]),
        protocol: Some(Protocol::HTTP1),
    };
    let piece = FlowRecord { close: None, piece: 3, layers: Box::new([]), protocol: None, ..whole.clone() };
    let mut builder = FlowsBuilder::new();
    builder.append(&whole, &SERVER);
    builder.append(&piece, &FILE);
    let batch = over_the_wire(&FLOWS, &builder.finish().unwrap());
    let column = |name: &str| batch.column_by_name(name).unwrap().clone();
    assert_eq!(column("end_ns").as_primitive::<Int64Type>().value(0), i64::MAX, "a time beyond the year 2262");
    assert_eq!(column("packets_server").as_primitive::<UInt64Type>().value(0), 4);
    assert_eq!(column("rtt_ns").as_primitive::<Int64Type>().value(0), 300);
    assert_eq!(column("duplicate_acks_client").as_primitive::<UInt64Type>().value(0), 3);
    assert_eq!(column("idle_max_ns").as_primitive::<UInt64Type>().value(0), 40);
    assert_eq!(name(&batch, "client_confidence", 0).as_deref(), Some("port"));
    assert!(column("rtt_client_ns").is_null(0));
    assert_eq!(column("tunnel").as_list::<i32>().value(0).as_string::<i32>().value(0), "vxlan:42");
    assert_eq!(column("vlan").as_list::<i32>().value(0).as_primitive::<UInt16Type>().values(), &[7, 8]);
    assert!(column("tunnel").is_null(1) && column("vlan").is_null(1));
    assert_eq!((name(&batch, "close", 0), name(&batch, "close", 1)), (Some("finished".to_owned()), None));
    assert_eq!(column("piece").as_primitive::<UInt32Type>().values(), &[0, 3]);
    assert_eq!(name(&batch, "process_name", 0).as_deref(), Some("nginx"));
}

#[test]
fn a_metric_becomes_a_row_of_its_windows_table() {
    let mut latency = Histogram::default();
    latency.add(Duration::from_secs(1));
    latency.add(Duration::from_millis(1500));
    let mut metric = Metric {
        start: Timestamp::from_nanos(START),
        window: Duration::from_secs(1),
        key: MetricKey {
            transport: Transport::Tcp,
            client: conversation().client.ip(),
            server: conversation().server.ip(),
            server_port: 80,
            interface: 2,
            protocol: Some(Protocol::HTTP1),
            request_type: Some("GET".into()),
            domain: None,
            endpoint: Some("/cart/{}".into()),
        },
        values: MetricValues { requests: 2, latency, ..MetricValues::default() },
    };
    for (table, mut builder) in
        [(&METRICS_1S, MetricsBuilder::of_seconds()), (&METRICS_1M, MetricsBuilder::of_minutes())]
    {
        builder.append(&metric, &SERVER);
        let empty = Metric { values: MetricValues::default(), ..metric.clone() };
        builder.append(&empty, &FILE);
        assert_eq!(builder.table(), table);
        let batch = over_the_wire(table, &builder.finish().unwrap());
        let column = |name: &str| batch.column_by_name(name).unwrap().clone();
        assert_eq!(column("requests").as_primitive::<UInt64Type>().values(), &[2, 0]);
        assert_eq!(column("latency_bucket").as_list::<i32>().value(0).as_primitive::<Int16Type>().values(), &[0, 5]);
        assert_eq!(column("latency_count").as_list::<i32>().value(0).as_primitive::<UInt32Type>().values(), &[1, 1]);
        assert!(column("latency_bucket").is_null(1) && column("latency_count").is_null(1));
        assert_eq!(name(&batch, "endpoint", 0).as_deref(), Some("/cart/{}"));
        assert_eq!(MetricsBuilder::is_minute(metric.window), table.name == "metrics_1m");
        metric.window = Duration::from_secs(60);
    }
}

#[test]
fn a_loss_becomes_a_row_of_losses() {
    let loss = Loss {
        from_ns: START,
        until_ns: START + 1,
        place: "ring",
        reason: "full",
        count: 12,
        unit: "packets",
        capture: Some("eth0".to_owned()),
    };
    let mut builder = LossesBuilder::new();
    builder.append(&loss);
    builder.append(&Loss { capture: None, ..loss });
    let batch = over_the_wire(&LOSSES, &builder.finish().unwrap());
    assert_eq!(batch.column_by_name("count").unwrap().as_primitive::<UInt64Type>().values(), &[12, 12]);
    assert_eq!((name(&batch, "capture", 0), name(&batch, "capture", 1)), (Some("eth0".to_owned()), None));
}

#[test]
fn an_event_becomes_a_row_of_events() {
    let unseen = Event {
        time_ns: START,
        kind: "tls_unseen",
        text: "TLS of node cannot be read: its library is linked into it and has no symbols".into(),
        capture: Some("tls"),
        process: SERVER.process,
        attributes: vec![("process.executable.path", "/usr/bin/node".into())],
    };
    let bare = Event { process: None, capture: None, attributes: Vec::new(), ..unseen.clone() };
    let mut builder = EventsBuilder::new();
    builder.append(&unseen);
    let bytes_of_one = builder.bytes();
    assert!(bytes_of_one > unseen.text.len());
    builder.append(&bare);
    assert_eq!((builder.len(), builder.table()), (2, &EVENTS));
    let batch = over_the_wire(&EVENTS, &builder.finish().unwrap());
    let column = |name: &str| batch.column_by_name(name).unwrap().clone();
    assert_eq!(column("time").as_primitive::<TimestampNanosecondType>().value(0), START as i64);
    for (column, of_unseen, of_bare) in [
        ("kind", Some("tls_unseen"), Some("tls_unseen")),
        ("capture", Some("tls"), None),
        ("process_name", Some("nginx"), None),
        ("process_thread", None, None),
        ("process_container", Some("c0ffee"), None),
    ] {
        let (first, second) = (name(&batch, column, 0), name(&batch, column, 1));
        assert_eq!((first.as_deref(), second.as_deref()), (of_unseen, of_bare), "{column}");
    }
    assert_eq!(column("text").as_string::<i32>().value(1), unseen.text);
    assert_eq!(column("process_pid").as_primitive::<UInt32Type>().value(0), 7);
    assert_eq!(column("process_start_ns").as_primitive::<Int64Type>().value(0), START as i64 - 1);
    let attributes = column("attributes");
    assert_eq!(attributes.as_map().values().as_string::<i32>().value(0), "/usr/bin/node");
    assert!(column("process_pid").is_null(1) && attributes.is_null(1));
}
