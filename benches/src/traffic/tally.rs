//! What there is in some traffic: told by who made it, or counted by who read it.

/// Protocols that the traffic speaks, in the order of [`Tally::calls`].
pub const PROTOCOLS: [&str; 4] = ["http1", "redis", "mysql", "dns"];

/// Counts of some traffic.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Frames.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Conversations.
    pub flows: u64,
    /// Of these over IPv6, in a VLAN, in a VXLAN.
    pub ipv6_flows: u64,
    /// In a VLAN.
    pub vlan_flows: u64,
    /// In a VXLAN.
    pub vxlan_flows: u64,
    /// TCP connections that both sides closed.
    pub finished: u64,
    /// TCP connections that the client reset.
    pub reset: u64,
    /// Handshakes.
    pub handshakes: u64,
    /// Sum of their durations, first SYN → ACK, in nanoseconds.
    pub handshakes_ns: u64,
    /// Segments sent again.
    pub retransmissions: u64,
    /// Segments that came behind their successor.
    pub out_of_order: u64,
    /// Packets that closed a window.
    pub zero_windows: u64,
    /// Requests with their answers, by protocol as in [`PROTOCOLS`].
    pub calls: [Calls; PROTOCOLS.len()],
    /// Calls of other protocols, unanswered calls, conversations with another end.
    pub unexpected: u64,
}

/// Calls of one protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Calls {
    /// How many.
    pub count: u64,
    /// Of these answered with an error of the client.
    pub client_errors: u64,
    /// Of these answered with an error of the server.
    pub server_errors: u64,
    /// Sum of their durations in nanoseconds.
    pub duration_ns: u64,
}

impl Tally {
    /// The same without what is known of payload.
    #[must_use]
    pub fn without_calls(mut self) -> Self {
        self.calls = Default::default();
        self
    }

    /// Adds what another one found.
    pub fn add(&mut self, other: &Self) {
        let Self {
            packets,
            bytes,
            flows,
            ipv6_flows,
            vlan_flows,
            vxlan_flows,
            finished,
            reset,
            handshakes,
            handshakes_ns,
            retransmissions,
            out_of_order,
            zero_windows,
            calls,
            unexpected,
        } = other;
        self.packets += packets;
        self.bytes += bytes;
        self.flows += flows;
        self.ipv6_flows += ipv6_flows;
        self.vlan_flows += vlan_flows;
        self.vxlan_flows += vxlan_flows;
        self.finished += finished;
        self.reset += reset;
        self.handshakes += handshakes;
        self.handshakes_ns += handshakes_ns;
        self.retransmissions += retransmissions;
        self.out_of_order += out_of_order;
        self.zero_windows += zero_windows;
        self.unexpected += unexpected;
        for (sum, more) in self.calls.iter_mut().zip(calls) {
            sum.count += more.count;
            sum.client_errors += more.client_errors;
            sum.server_errors += more.server_errors;
            sum.duration_ns += more.duration_ns;
        }
    }

    /// Calls of all protocols.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.calls.iter().map(|calls| calls.count).sum()
    }
}
