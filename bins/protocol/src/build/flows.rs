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
        row.u64("packets_client", counters.packets.client);
        row.u64("packets_server", counters.packets.server);
        row.u64("bytes_client", counters.bytes.client);
        row.u64("bytes_server", counters.bytes.server);
        row.u64("payload_bytes_client", counters.payload_bytes.client);
        row.u64("payload_bytes_server", counters.payload_bytes.server);
        row.name("close", record.close.map(flow_core::Close::name));
        row.u64("syn_client", counters.syn.client);
        row.u64("syn_server", counters.syn.server);
        row.u64("syn_ack_client", counters.syn_ack.client);
        row.u64("syn_ack_server", counters.syn_ack.server);
        row.u64("fin", counters.fin);
        row.u64("rst_client", counters.rst.client);
        row.u64("rst_server", counters.rst.server);
        row.nanos("rtt_ns", record.rtt);
        row.nanos("rtt_client_ns", record.rtt_client);
        row.nanos("rtt_server_ns", record.rtt_server);
        row.durations(["srt_count", "srt_sum_ns", "srt_max_ns"], &counters.srt);
        row.durations(["art_count", "art_sum_ns", "art_max_ns"], &counters.art);
        row.u64("retransmissions_client", counters.retransmissions.client);
        row.u64("retransmissions_server", counters.retransmissions.server);
        row.u64("out_of_order_client", counters.out_of_order.client);
        row.u64("out_of_order_server", counters.out_of_order.server);
        row.u64("zero_windows_client", counters.zero_windows.client);
        row.u64("zero_windows_server", counters.zero_windows.server);
        row.texts("tunnel", record.tunnels());
        row.u16s("vlan", record.vlans());
        row.name("protocol", record.protocol.as_ref().map(|protocol| protocol.name()));
        row.u64("flow_id", conversation.flow_id);
        row.u32("piece", record.piece);
        row.name("observation_point", place.observation_point);
        row.name("capture", place.capture);
        row.process(place.process);
        row.attributes("attributes", std::iter::empty::<(&str, &str)>());
        row.end_row();
    }
}

builder!(FlowsBuilder);

impl Default for FlowsBuilder {
    fn default() -> Self {
        Self::new()
    }
}
