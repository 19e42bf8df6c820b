//! The standard tables. Names and meanings are those of the records that the agent prints.

use crate::column::{
    Column, Table, address, attributes, buckets, bytes, counts, flag, instant, name, nanos, number16, number32,
    number64, numbers16, overflow, text, texts, time, writer,
};

/// Every table that agents fill.
pub const TABLES: &[&Table] = &[&CALLS, &FLOWS, &METRICS_1S, &METRICS_1M, &LOSSES, &EVENTS];

/// The table of this name, if it is one that agents fill.
#[must_use]
pub fn table(name: &str) -> Option<&'static Table> {
    TABLES.iter().copied().find(|table| table.name == name)
}

/// One request with its answer at one observation point.
pub const CALLS: Table = Table {
    name: "calls",
    version: 2,
    description: "one request with its answer at one observation point",
    sort: &["protocol", "endpoint", "time"],
    columns: &[
        time("time", "", "first byte of the request; of the answer, if only that was seen").required(),
        nanos("duration_ns", "ns", "first byte of the request to last byte of the answer (of its head for HTTP)"),
        name("protocol", "application protocol, e.g. http1, dns, redis, mysql").required(),
        name("transport", "tcp, udp or unix").required(),
        address(
            "client_address",
            "",
            "who asked; of a Unix socket its inode's number, in the lower half of an IPv6 address",
        ),
        number16("client_port", "", "port of who asked; 0 of a Unix socket"),
        address(
            "server_address",
            "",
            "who answers; of a Unix socket its inode's number, in the lower half of an IPv6 address",
        ),
        number16("server_port", "", "port of who answers; 0 of a Unix socket"),
        name("kind", "request_response, request_only, response_only or one_way").required(),
        name("request_type", "the protocol's verb: method, command, query type; none if only the answer was seen"),
        name("domain", "host, schema, queried name, client id: by protocol"),
        text("resource", "", "what was asked for: path, SQL text, key, topic"),
        name("endpoint", "form of the resource with few distinct values, for grouping"),
        text("request_id", "", "the protocol's own correlation id"),
        name("status", "ok, client_error, server_error, timeout or unknown").required(),
        name("status_code", "the protocol's own code, as text"),
        text("exception", "", "the protocol's error text"),
        number64("request_bytes", "By", "payload bytes of the request on the wire").required(),
        number64("response_bytes", "By", "payload bytes of the answer on the wire").required(),
        flag("captured_complete", "", "false when bytes that the parser needed were missing").required(),
        bytes("trace_id", "", "trace named in the message"),
        bytes("span_id", "", "the sender's span named in the message"),
        bytes("parent_span_id", "", "parent of that span, where the format carries one"),
        text("x_request_id", "", "request id of a proxy"),
        number64("id", "", "number of the call, unique with agent and epoch").required(),
        number64("flow_id", "", "number of the conversation it was part of, unique with agent and epoch"),
        name("observation_point", "where it was seen, e.g. client_process, server_nic, unknown").required(),
        name("capture", "interface, file, syscall or tls"),
        number32("process_pid", "", "process at the observation point"),
        instant("process_start_ns", "ns", "start of that process, since the Unix epoch"),
        name("process_name", "name of that process"),
        name("process_thread", "thread of that process"),
        name("process_container", "container of that process"),
        number32("tcp_seq_request", "", "TCP sequence number of the request's first byte"),
        number32("tcp_seq_response", "", "TCP sequence number of the answer's first byte"),
        attributes("attributes", "further facts of the protocol, keys as in OpenTelemetry's semantic conventions"),
        number64(
            "syscall_trace_id_request",
            "",
            "links calls of one thread: what it sends has the number of what it received before; of the request",
        )
        .since(2),
        number64("syscall_trace_id_response", "", "the same of the answer").since(2),
        number32("thread_id", "", "thread of the process at the observation point").since(2),
        text("client_path", "", "path of the Unix socket of who asked, if it has one").since(2),
        text("server_path", "", "path of the Unix socket of who answers").since(2),
    ],
};

/// One transport conversation, or a piece of a long one.
pub const FLOWS: Table = Table {
    name: "flows",
    version: 2,
    description: "one transport conversation, or a piece of a long one: counters of pieces of one flow_id add up",
    sort: &["server_address", "server_port", "time"],
    columns: &[
        time("time", "", "first packet").required(),
        instant("end_ns", "ns", "last packet, since the Unix epoch").required(),
        name("transport", "tcp, udp or icmp").required(),
        address("client_address", "", "who opened the conversation"),
        number16("client_port", "", "port of who opened the conversation"),
        address("server_address", "", "the other side"),
        number16("server_port", "", "port of the other side"),
        number64("packets_client", "packets", "sent by the client").required(),
        number64("packets_server", "packets", "sent by the server").required(),
        number64("bytes_client", "By", "frame bytes sent by the client").required(),
        number64("bytes_server", "By", "frame bytes sent by the server").required(),
        number64("payload_bytes_client", "By", "transport payload sent by the client, repeats included").required(),
        number64("payload_bytes_server", "By", "transport payload sent by the server, repeats included").required(),
        name("close", "how it ended: finished, client_reset, server_reset, idle_timeout, still_open, …"),
        number64("syn_client", "packets", "SYN of the client").required(),
        number64("syn_server", "packets", "SYN of the server, where both sides opened").required(),
        number64("syn_ack_client", "packets", "SYN-ACK of the client, where both sides opened").required(),
        number64("syn_ack_server", "packets", "SYN-ACK of the server").required(),
        number64("fin", "packets", "FIN of both sides").required(),
        number64("rst_client", "packets", "RST of the client").required(),
        number64("rst_server", "packets", "RST of the server").required(),
        nanos("rtt_ns", "ns", "handshake: first SYN to ACK"),
        nanos("rtt_client_ns", "ns", "handshake: SYN-ACK to ACK"),
        nanos("rtt_server_ns", "ns", "handshake: SYN to SYN-ACK"),
        number64("srt_count", "", "system responses: data to the other kernel's ACK of it").required(),
        number64("srt_sum_ns", "ns", "sum of the system response times").required(),
        number64("srt_max_ns", "ns", "longest system response time").required(),
        number64("art_count", "", "application responses: last request segment to first response segment").required(),
        number64("art_sum_ns", "ns", "sum of the application response times").required(),
        number64("art_max_ns", "ns", "longest application response time").required(),
        number64("retransmissions_client", "packets", "sent again by the client").required(),
        number64("retransmissions_server", "packets", "sent again by the server").required(),
        number64("out_of_order_client", "packets", "of the client, out of order").required(),
        number64("out_of_order_server", "packets", "of the server, out of order").required(),
        number64("zero_windows_client", "packets", "of the client, closing its window").required(),
        number64("zero_windows_server", "packets", "of the server, closing its window").required(),
        texts("tunnel", "", "outer headers removed, outermost first, e.g. vxlan:42"),
        numbers16("vlan", "", "VLAN ids, outermost first"),
        name("protocol", "application protocol recognised in it"),
        number64("flow_id", "", "number of the conversation, unique with agent and epoch").required(),
        number32("piece", "", "0 for the first piece of a long conversation, then 1, 2, …").required(),
        name("observation_point", "where it was seen").required(),
        name("capture", "interface, file, syscall or tls"),
        number32("process_pid", "", "process at the observation point"),
        instant("process_start_ns", "ns", "start of that process, since the Unix epoch"),
        name("process_name", "name of that process"),
        name("process_container", "container of that process"),
        attributes("attributes", "further facts"),
        number64("syn_retransmissions_client", "packets", "SYN sent again by the client").since(2),
        number64("syn_retransmissions_server", "packets", "SYN sent again by the server").since(2),
        number64("syn_ack_retransmissions_client", "packets", "SYN-ACK sent again by the client").since(2),
        number64("syn_ack_retransmissions_server", "packets", "SYN-ACK sent again by the server").since(2),
        number64("data_retransmissions_client", "packets", "data sent again by the client").since(2),
        number64("data_retransmissions_server", "packets", "data sent again by the server").since(2),
        number64("spurious_retransmissions_client", "packets", "sent again by the client though acknowledged").since(2),
        number64("spurious_retransmissions_server", "packets", "sent again by the server though acknowledged").since(2),
        number64("duplicate_acks_client", "packets", "bare ACKs of the client that repeat the last").since(2),
        number64("duplicate_acks_server", "packets", "bare ACKs of the server that repeat the last").since(2),
        number64("zero_window_ns_client", "ns", "how long the client's window was closed").since(2),
        number64("zero_window_ns_server", "ns", "how long the server's window was closed").since(2),
        number64("window_limited_ns_client", "ns", "how long the server's window kept the client from sending")
            .since(2),
        number64("window_limited_ns_server", "ns", "how long the client's window kept the server from sending")
            .since(2),
        number64("idle_count", "", "client's pauses: last response segment to first segment of the next request")
            .since(2),
        number64("idle_sum_ns", "ns", "sum of the client's pauses").since(2),
        number64("idle_max_ns", "ns", "longest pause of the client").since(2),
        name(
            "client_confidence",
            "what tells who is the client, surest first: handshake, protocol, history, port or guess",
        )
        .since(2),
    ],
};

/// Requests, errors, latency and TCP health of one second.
pub const METRICS_1S: Table = Table {
    name: "metrics_1s",
    version: 2,
    description: "requests, errors, latency and TCP health of one second; rows are deltas and add up",
    sort: &["protocol", "endpoint", "time"],
    columns: METRIC,
};

/// The same of one minute.
pub const METRICS_1M: Table = Table {
    name: "metrics_1m",
    version: 2,
    description: "requests, errors, latency and TCP health of one minute; rows are deltas and add up",
    sort: &["protocol", "endpoint", "time"],
    columns: METRIC,
};

const METRIC: &[Column] = &[
    time("time", "", "start of the window").required(),
    nanos("window_ns", "ns", "length of the window").required(),
    name("transport", "tcp, udp or unix").required(),
    address(
        "client_address",
        "",
        "who asked; of a Unix socket its inode's number, in the lower half of an IPv6 address",
    ),
    address(
        "server_address",
        "",
        "who answers; of a Unix socket its inode's number, in the lower half of an IPv6 address",
    ),
    number16("server_port", "", "port of who answers; 0 of a Unix socket"),
    name("protocol", "application protocol"),
    name("request_type", "the protocol's verb"),
    name("domain", "host, schema, queried name: by protocol"),
    name("endpoint", "what was asked for, with few distinct values"),
    name("observation_point", "where it was seen").required(),
    name("capture", "interface, file, syscall or tls"),
    number32("process_pid", "", "process at the observation point"),
    name("process_name", "name of that process"),
    name("process_container", "container of that process"),
    number64("requests", "requests", "requests that ended in the window, errors included").required(),
    number64("client_errors", "requests", "ended with client_error").required(),
    number64("server_errors", "requests", "ended with server_error").required(),
    number64("timeouts", "requests", "ended with timeout").required(),
    number64("duration_count", "requests", "requests with a duration").required(),
    number64("duration_sum_ns", "ns", "sum of the durations").required(),
    number64("duration_max_ns", "ns", "longest duration").required(),
    buckets("latency_bucket", "", "histogram of the durations: bucket b holds (2^((b-1)/8), 2^(b/8)] seconds"),
    counts("latency_count", "requests", "histogram of the durations: requests in the bucket at the same place"),
    number64("request_bytes", "By", "payload bytes of the requests").required(),
    number64("response_bytes", "By", "payload bytes of the answers").required(),
    number64("packets_client", "packets", "sent by the client").required(),
    number64("packets_server", "packets", "sent by the server").required(),
    number64("bytes_client", "By", "frame bytes sent by the client").required(),
    number64("bytes_server", "By", "frame bytes sent by the server").required(),
    number64("flows_opened", "flows", "conversations that began").required(),
    number64("flows_closed", "flows", "conversations that ended").required(),
    number64("flows_failed", "flows", "conversations refused, reset or never answered").required(),
    number64("retransmissions_client", "packets", "sent again by the client").required(),
    number64("retransmissions_server", "packets", "sent again by the server").required(),
    number64("out_of_order_client", "packets", "of the client, out of order").required(),
    number64("out_of_order_server", "packets", "of the server, out of order").required(),
    number64("zero_windows_client", "packets", "of the client, closing its window").required(),
    number64("zero_windows_server", "packets", "of the server, closing its window").required(),
    number64("rtt_count", "", "handshakes measured").required(),
    number64("rtt_sum_ns", "ns", "sum of the handshake round trips").required(),
    number64("rtt_max_ns", "ns", "longest handshake round trip").required(),
    number64("srt_count", "", "system responses").required(),
    number64("srt_sum_ns", "ns", "sum of the system response times").required(),
    number64("srt_max_ns", "ns", "longest system response time").required(),
    number64("art_count", "", "application responses").required(),
    number64("art_sum_ns", "ns", "sum of the application response times").required(),
    number64("art_max_ns", "ns", "longest application response time").required(),
    number64("syn_retransmissions_client", "packets", "SYN sent again by the client").since(2),
    number64("syn_retransmissions_server", "packets", "SYN sent again by the server").since(2),
    number64("syn_ack_retransmissions_client", "packets", "SYN-ACK sent again by the client").since(2),
    number64("syn_ack_retransmissions_server", "packets", "SYN-ACK sent again by the server").since(2),
    number64("data_retransmissions_client", "packets", "data sent again by the client").since(2),
    number64("data_retransmissions_server", "packets", "data sent again by the server").since(2),
    number64("spurious_retransmissions_client", "packets", "sent again by the client though acknowledged").since(2),
    number64("spurious_retransmissions_server", "packets", "sent again by the server though acknowledged").since(2),
    number64("duplicate_acks_client", "packets", "bare ACKs of the client that repeat the last").since(2),
    number64("duplicate_acks_server", "packets", "bare ACKs of the server that repeat the last").since(2),
    number64("zero_window_ns_client", "ns", "how long the client's window was closed").since(2),
    number64("zero_window_ns_server", "ns", "how long the server's window was closed").since(2),
    number64("window_limited_ns_client", "ns", "how long the server's window kept the client from sending").since(2),
    number64("window_limited_ns_server", "ns", "how long the client's window kept the server from sending").since(2),
    number64("idle_count", "", "client's pauses: last response segment to first segment of the next request").since(2),
    number64("idle_sum_ns", "ns", "sum of the client's pauses").since(2),
    number64("idle_max_ns", "ns", "longest pause of the client").since(2),
];

/// What was not recorded, and why.
pub const LOSSES: Table = Table {
    name: "losses",
    version: 1,
    description: "what was not recorded, where and why",
    sort: &["time"],
    columns: &[
        time("time", "", "start of the span in which it was lost").required(),
        instant("until_ns", "ns", "end of that span, since the Unix epoch").required(),
        name("place", "ring, decode, reassembly, parser, engine, queue, spool or server").required(),
        name("reason", "why, e.g. a limit's name").required(),
        number64("count", "", "how many").required(),
        name("unit", "of what: packets, bytes, chunks, calls, records, …").required(),
        name("capture", "interface, file, syscall or tls"),
    ],
};

/// What happened to processes and to the observation itself.
pub const EVENTS: Table = Table {
    name: "events",
    version: 1,
    description: "what happened to a process, or to the observation of one",
    sort: &["kind", "time"],
    columns: &[
        time("time", "", "when it happened").required(),
        name("kind", "what happened: process_start, process_exit, tls_unseen, io_uring, …").required(),
        text("text", "", "what happened and why, for people").required(),
        name("capture", "interface, file, syscall or tls"),
        number32("process_pid", "", "process to which it happened"),
        instant("process_start_ns", "ns", "start of that process, since the Unix epoch"),
        name("process_name", "name of that process"),
        name("process_thread", "thread of that process"),
        name("process_container", "container of that process"),
        attributes("attributes", "further facts, keys as in OpenTelemetry's semantic conventions"),
    ],
};

/// The name of every integer that the server gave out. Filled by the server, before the rows that use them.
pub const DICTIONARY: Table = Table {
    name: "dictionary",
    version: 1,
    description: "the name of every integer that a server gave out",
    sort: &["dictionary", "id"],
    columns: &[
        time("time", "", "when the server met the name").required(),
        text("dictionary", "", "kind of name, e.g. endpoint").required(),
        number32("id", "", "number of the name within writer and dictionary").required(),
        text("name", "", "the name").required(),
    ],
};

/// What the server adds to every row.
pub(crate) const ADDED_BY_SERVER: &[Column] = &[
    writer("writer", "", "server that gave out the integers of the row").required(),
    name("agent", "agent that sent the row"),
    number64("agent_epoch", "", "life of that agent"),
    overflow("overflow", "", "texts that found no integer because a dictionary was full, by column"),
];

/// Where the text of an attribute with a key that found no integer stands in the column `overflow`: behind this prefix and the key.
pub const OVERFLOWED_ATTRIBUTE: &str = "attributes.";
/// The column of texts that found no integer.
pub const OVERFLOW_COLUMN: &str = "overflow";
