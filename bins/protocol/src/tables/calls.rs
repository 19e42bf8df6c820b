//! Requests with their answers.

use crate::column::{
    Table, address, attributes, bytes, flag, instant, name, nanos, number16, number32, number64, text, time,
};

/// One request with its answer at one observation point.
pub const CALLS: Table = Table {
    name: "calls",
    version: 2,
    description: "one request with its answer at one observation point",
    // Requests of one connection lie together: what they share costs nothing, and their sequence numbers hardly differ.
    sort: &["protocol", "server_address", "server_port", "client_address", "client_port", "time"],
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
