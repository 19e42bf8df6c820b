//! The fields of records, by their names.

use std::time::Duration;

use flow_core::{CallRecord, Close, FlowRecord};
use metaflow_protocol::build::{Event, Evidence, Place, Process};
use protocol_parsers::{Call, Protocol, Value};
use serde::ser::{Serialize, SerializeMap, Serializer};

use super::text::Named;

/// The value of one field.
#[derive(Clone, Copy)]
pub(super) enum Cell<'a> {
    Null,
    Text(&'a str),
    Number(u64),
    Flag(bool),
    /// A number that readers must not calculate with, written as text: JSON numbers of other languages have 53 bits.
    Id(u64),
    Address(Named<'a>),
    Tunnel(&'a FlowRecord),
    Vlan(&'a FlowRecord),
    Attributes(Call<'a>),
    Facts(&'a Event<'a>),
    Process(Process<'a>),
}

impl Serialize for Cell<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Text(text) => serializer.serialize_str(text),
            Self::Number(number) => serializer.serialize_u64(*number),
            Self::Flag(flag) => serializer.serialize_bool(*flag),
            Self::Id(id) => serializer.collect_str(id),
            Self::Address(address) => serializer.collect_str(address),
            Self::Tunnel(flow) => serializer.collect_seq(flow.tunnels().map(|layer| layer.to_string())),
            Self::Vlan(flow) => serializer.collect_seq(flow.vlans()),
            Self::Attributes(call) => {
                let mut map = serializer.serialize_map(None)?;
                for (key, value) in call.attributes() {
                    match value {
                        Value::Text(text) => map.serialize_entry(key, text)?,
                        Value::Number(number) => map.serialize_entry(key, &number)?,
                        Value::Flag(flag) => map.serialize_entry(key, &flag)?,
                    }
                }
                map.end()
            }
            Self::Facts(event) => serializer.collect_map(event.attributes.iter().map(|(key, value)| (key, value))),
            Self::Process(process) => {
                let mut map = serializer.serialize_map(Some(5))?;
                map.serialize_entry("pid", &process.pid)?;
                map.serialize_entry("start_ns", &process.start_ns)?;
                map.serialize_entry("name", process.name)?;
                map.serialize_entry("thread", &process.thread)?;
                map.serialize_entry("container", &process.container)?;
                map.end()
            }
        }
    }
}

macro_rules! cell_from {
    ($lifetime:lifetime, $($from:ty => $to:expr;)*) => {$(
        impl<$lifetime> From<$from> for Cell<$lifetime> {
            fn from(value: $from) -> Self {
                $to(value)
            }
        }

        impl<$lifetime> From<Option<$from>> for Cell<$lifetime> {
            fn from(value: Option<$from>) -> Self {
                value.map_or(Self::Null, $to)
            }
        }
    )*};
}

cell_from! { 'a,
    &'a str => Cell::Text;
    u64 => Cell::Number;
    u32 => |number: u32| Cell::Number(number.into());
    bool => Cell::Flag;
    Named<'a> => Cell::Address;
    Process<'a> => Cell::Process;
    Duration => |duration: Duration| Cell::Number(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX));
    Protocol => |protocol: Protocol| Cell::Text(protocol.name());
    Close => |close: Close| Cell::Text(close.name());
}

/// A kind of record: the names of its fields, and a function that gives their values in the same order.
macro_rules! record {
    ($names:ident, $function:ident<$a:lifetime>($record:ident: $kind:ty $(, $place:ident)?) { $($name:ident: $value:expr,)* }) => {
        /// Names of the fields.
        pub(super) const $names: &[&str] = &[$(stringify!($name)),*];

        /// Their values.
        pub(super) fn $function<$a>($record: $kind $(, $place: &Place<$a>)?) -> [Cell<$a>; $names.len()] {
            [$($value.into()),*]
        }
    };
}

record! {
    CALL, call<'a>(record: &CallRecord<'a>, place) {
        type: "call",
        protocol: record.call.protocol(),
        transport: record.conversation.transport.name(),
        client: Named { endpoint: record.conversation.client, path: place.paths.client },
        server: Named { endpoint: record.conversation.server, path: place.paths.server },
        start_ns: record.call.start().as_nanos(),
        duration_ns: record.call.duration(),
        kind: record.call.kind().name(),
        request_type: record.call.request_type(),
        domain: record.call.domain(),
        resource: record.call.resource(),
        endpoint: record.call.endpoint(),
        request_id: record.call.request_id(),
        status: record.call.status().name(),
        status_code: record.call.status_code(),
        exception: record.call.exception(),
        request_bytes: record.call.request_bytes(),
        response_bytes: record.call.response_bytes(),
        captured_complete: record.call.captured_complete(),
        trace_id: record.call.trace_id(),
        span_id: record.call.span_id(),
        parent_span_id: record.call.parent_span_id(),
        x_request_id: record.call.x_request_id(),
        id: Cell::Id(record.id),
        flow_id: Cell::Id(record.conversation.flow_id),
        observation_point: place.observation_point,
        capture: place.capture,
        process: place.process,
        tcp_seq_request: record.tcp_seq_request,
        tcp_seq_response: record.tcp_seq_response,
        attributes: Cell::Attributes(record.call),
    }
}

record! {
    FLOW, flow<'a>(record: &'a FlowRecord, place) {
        type: "flow",
        transport: record.conversation.transport.name(),
        client: Named { endpoint: record.conversation.client, path: place.paths.client },
        server: Named { endpoint: record.conversation.server, path: place.paths.server },
        client_confidence: record.confidence.name(),
        start_ns: record.start.as_nanos(),
        end_ns: record.end.as_nanos(),
        packets_client: record.counters.packets.client,
        packets_server: record.counters.packets.server,
        bytes_client: record.counters.bytes.client,
        bytes_server: record.counters.bytes.server,
        payload_bytes_client: record.counters.payload_bytes.client,
        payload_bytes_server: record.counters.payload_bytes.server,
        close: record.close,
        syn_client: record.counters.syn.client,
        syn_server: record.counters.syn.server,
        syn_ack_client: record.counters.syn_ack.client,
        syn_ack_server: record.counters.syn_ack.server,
        fin: record.counters.fin,
        rst_client: record.counters.rst.client,
        rst_server: record.counters.rst.server,
        rtt_ns: record.rtt,
        rtt_client_ns: record.rtt_client,
        rtt_server_ns: record.rtt_server,
        srt_count: record.counters.srt.count,
        srt_sum_ns: record.counters.srt.sum_ns,
        srt_max_ns: record.counters.srt.max_ns,
        art_count: record.counters.art.count,
        art_sum_ns: record.counters.art.sum_ns,
        art_max_ns: record.counters.art.max_ns,
        idle_count: record.counters.idle.count,
        idle_sum_ns: record.counters.idle.sum_ns,
        idle_max_ns: record.counters.idle.max_ns,
        retransmissions_client: record.counters.retransmissions.client,
        retransmissions_server: record.counters.retransmissions.server,
        syn_retransmissions_client: record.counters.syn_retransmissions.client,
        syn_retransmissions_server: record.counters.syn_retransmissions.server,
        syn_ack_retransmissions_client: record.counters.syn_ack_retransmissions.client,
        syn_ack_retransmissions_server: record.counters.syn_ack_retransmissions.server,
        data_retransmissions_client: record.counters.data_retransmissions.client,
        data_retransmissions_server: record.counters.data_retransmissions.server,
        spurious_retransmissions_client: record.counters.spurious_retransmissions.client,
        spurious_retransmissions_server: record.counters.spurious_retransmissions.server,
        out_of_order_client: record.counters.out_of_order.client,
        out_of_order_server: record.counters.out_of_order.server,
        duplicate_acks_client: record.counters.duplicate_acks.client,
        duplicate_acks_server: record.counters.duplicate_acks.server,
        zero_windows_client: record.counters.zero_windows.client,
        zero_windows_server: record.counters.zero_windows.server,
        zero_window_ns_client: record.counters.zero_window_ns.client,
        zero_window_ns_server: record.counters.zero_window_ns.server,
        window_limited_ns_client: record.counters.window_limited_ns.client,
        window_limited_ns_server: record.counters.window_limited_ns.server,
        tunnel: Cell::Tunnel(record),
        vlan: Cell::Vlan(record),
        protocol: record.protocol,
        flow_id: Cell::Id(record.conversation.flow_id),
        observation_point: place.observation_point,
        capture: place.capture,
        process: place.process,
    }
}

record! {
    EVIDENCE, evidence<'a>(record: Evidence) {
        syscall_trace_id_request: record.syscall_trace_id_request.map_or(Cell::Null, Cell::Id),
        syscall_trace_id_response: record.syscall_trace_id_response.map_or(Cell::Null, Cell::Id),
        thread_id: record.thread_id,
    }
}

record! {
    EVENT, event<'a>(record: &'a Event<'a>) {
        type: "event",
        time_ns: record.time_ns,
        kind: record.kind,
        text: &*record.text,
        capture: record.capture,
        process: record.process,
        attributes: Cell::Facts(record),
    }
}
