//! Bounds of everything that grows with what is observed.

use std::time::Duration;

/// Bounds of one [`FlowEngine`](crate::FlowEngine). Each has its counter in [`Stats`](crate::Stats).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// Conversations followed at once. Beyond it the one that would end first if nothing more came makes room: of those that only one
    /// end takes part in as long as there are any.
    pub flows: usize,
    /// Streams open at once. Others are left out until one of them is closed: who opens them knows which are still needed.
    pub streams: usize,
    /// A TCP connection without a packet for this long has ended.
    pub tcp_idle: Duration,
    /// A TCP connection that both sides closed, or one reset, is kept this long for what still comes.
    pub tcp_closing: Duration,
    /// A UDP conversation without a packet for this long has ended.
    pub udp_idle: Duration,
    /// An ICMP conversation without a packet for this long has ended.
    pub icmp_idle: Duration,
    /// Memory that one direction of a TCP connection may hold while earlier bytes are missing. Beyond it the hole is given up.
    pub reassembly_bytes_per_side: usize,
    /// The same for all connections together.
    pub reassembly_bytes: usize,
    /// Segments that one direction may hold while earlier bytes are missing.
    pub reassembly_segments: usize,
    /// IP datagrams in pieces at once. The oldest makes room.
    pub fragmented_datagrams: usize,
    /// Pieces of one IP datagram.
    pub fragments_per_datagram: usize,
    /// Pieces of a datagram that is not complete after this long are dropped (RFC 8200 §4.5: 60 seconds; Linux: 30).
    pub fragment_timeout: Duration,
    /// Rows of metrics per window. Calls beyond it are counted in rows without domain and endpoint, and beyond twice of it not at all.
    pub metric_rows: usize,
    /// Bytes of text (verb, domain, endpoint) in the rows of one window. Calls beyond it are counted in rows without.
    pub metric_text_bytes: usize,
    /// Records that wait for [`poll`](crate::FlowEngine::poll); more are dropped and counted.
    pub waiting_records: usize,
}

impl Limits {
    /// The longest that anything may be quiet.
    pub(crate) fn longest_idle(&self) -> Duration {
        self.tcp_idle.max(self.tcp_closing).max(self.udp_idle).max(self.icmp_idle).max(self.fragment_timeout)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            flows: 1_000_000,
            streams: 1_000_000,
            tcp_idle: Duration::from_secs(300),
            tcp_closing: Duration::from_secs(2),
            udp_idle: Duration::from_secs(60),
            icmp_idle: Duration::from_secs(60),
            reassembly_bytes_per_side: 1 << 20,
            reassembly_bytes: 64 << 20,
            reassembly_segments: 1024,
            fragmented_datagrams: 1024,
            fragments_per_datagram: 64,
            fragment_timeout: Duration::from_secs(30),
            metric_rows: 65_536,
            metric_text_bytes: 16 << 20,
            waiting_records: 1 << 20,
        }
    }
}
