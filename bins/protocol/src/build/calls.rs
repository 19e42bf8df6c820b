use flow_core::CallRecord;

use super::Place;
use super::rows::Rows;
use crate::tables::CALLS;

/// Rows of the table `calls`.
pub struct CallsBuilder(Rows);

impl CallsBuilder {
    /// Without rows.
    #[must_use]
    pub fn new() -> Self {
        Self(Rows::new(&CALLS))
    }

    /// Adds one row.
    pub fn append(&mut self, record: &CallRecord<'_>, place: &Place<'_>) {
        let (row, call, conversation) = (&mut self.0, &record.call, &record.conversation);
        row.time("time", call.start().as_nanos());
        row.nanos("duration_ns", call.duration());
        row.name("protocol", call.protocol().name());
        row.name("transport", conversation.transport.name());
        row.socket("client_address", "client_port", conversation.client);
        row.socket("server_address", "server_port", conversation.server);
        row.name("kind", call.kind().name());
        row.name("request_type", call.request_type());
        row.name("domain", call.domain());
        row.text("resource", call.resource());
        row.name("endpoint", call.endpoint());
        row.text("request_id", call.request_id());
        row.name("status", call.status().name());
        row.name("status_code", call.status_code());
        row.text("exception", call.exception());
        row.u64("request_bytes", call.request_bytes());
        row.u64("response_bytes", call.response_bytes());
        row.flag("captured_complete", call.captured_complete());
        row.identifier("trace_id", call.trace_id());
        row.identifier("span_id", call.span_id());
        row.identifier("parent_span_id", call.parent_span_id());
        row.text("x_request_id", call.x_request_id());
        row.u64("id", record.id);
        row.u64("flow_id", conversation.flow_id);
        row.name("observation_point", place.observation_point);
        row.name("capture", place.capture);
        row.process(place.process);
        row.u32("tcp_seq_request", record.tcp_seq_request);
        row.u32("tcp_seq_response", record.tcp_seq_response);
        row.attributes("attributes", call.attributes());
        let evidence = place.evidence.unwrap_or_default();
        row.u64("syscall_trace_id_request", evidence.syscall_trace_id_request);
        row.u64("syscall_trace_id_response", evidence.syscall_trace_id_response);
        row.u32("thread_id", evidence.thread_id);
        row.text("client_path", place.paths.client);
        row.text("server_path", place.paths.server);
        row.end_row();
    }
}

builder!(CallsBuilder);

impl Default for CallsBuilder {
    fn default() -> Self {
        Self::new()
    }
}
