use flow_core::FlowRecord;

use super::Place;
use super::rows::Rows;
use crate::tables::FLOWS;

/// Rows of the table `flows`.
pub struct FlowsBuilder(Rows);

impl FlowsBuilder {
    /// Without rows.
    #[must_use]
    pub fn new() -> Self {
        Self(Rows::new(&FLOWS))
    }

    /// Adds one row.
    pub fn append(&mut self, record: &FlowRecord, place: &Place<'_>) {
        let (row, conversation, counters) = (&mut self.0, &record.conversation, &record.counters);
        row.time("time", record.start.as_nanos());
        row.instant("end_ns", record.end.as_nanos());
        row.name("transport", conversation.transport.name());
        row.socket("client_address", "client_port", conversation.client);
        row.socket("server_address", "server_port", conversation.server);
        row.sides(["packets_client", "packets_server"], counters.packets);
        row.sides(["bytes_client", "bytes_server"], counters.bytes);
        row.sides(["payload_bytes_client", "payload_bytes_server"], counters.payload_bytes);
        row.name("close", record.close.map(flow_core::Close::name));
        row.sides(["syn_client", "syn_server"], counters.syn);
        row.sides(["syn_ack_client", "syn_ack_server"], counters.syn_ack);
        row.u64("fin", counters.fin);
        row.sides(["rst_client", "rst_server"], counters.rst);
        row.nanos("rtt_ns", record.rtt);
        row.nanos("rtt_client_ns", record.rtt_client);
        row.nanos("rtt_server_ns", record.rtt_server);
        row.durations(["srt_count", "srt_sum_ns", "srt_max_ns"], &counters.srt);
        row.durations(["art_count", "art_sum_ns", "art_max_ns"], &counters.art);
        row.sides(["retransmissions_client", "retransmissions_server"], counters.retransmissions);
        row.sides(["out_of_order_client", "out_of_order_server"], counters.out_of_order);
        row.sides(["zero_windows_client", "zero_windows_server"], counters.zero_windows);
        row.texts("tunnel", record.tunnels());
        row.u16s("vlan", record.vlans());
        row.name("protocol", record.protocol.as_ref().map(|protocol| protocol.name()));
        row.u64("flow_id", conversation.flow_id);
        row.u32("piece", record.piece);
        row.name("observation_point", place.observation_point);
        row.name("capture", place.capture);
        row.process(place.process);
        row.attributes("attributes", std::iter::empty::<(&str, &str)>());
        row.health(counters);
        row.name("client_confidence", record.confidence.name());
        row.end_row();
    }
}

builder!(FlowsBuilder);

impl Default for FlowsBuilder {
    fn default() -> Self {
        Self::new()
    }
}
