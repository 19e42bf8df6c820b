//! What comes out. Names and meanings are those of the records the agent prints.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use protocol_parsers::{Call, Protocol, Side, Timestamp};

use crate::Layer;
use crate::key::Tuple;

/// How a conversation's bytes travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Transport {
    /// TCP (RFC 9293).
    Tcp,
    /// UDP (RFC 768).
    Udp,
    /// ICMP (RFC 792) and ICMPv6 (RFC 4443). Both ports of a conversation are the identifier of an echo, or 0.
    Icmp,
    /// A stream over Unix sockets (unix(7)).
    Unix,
    /// Datagrams over Unix sockets.
    UnixDatagram,
}

impl Transport {
    /// The name used in records.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Icmp => "icmp",
            Self::Unix | Self::UnixDatagram => "unix",
        }
    }

    /// Its number in a [`Tuple`].
    pub(crate) const fn ip_protocol(self) -> u8 {
        match self {
            Self::Tcp => Tuple::TCP,
            Self::Udp => Tuple::UDP,
            Self::Icmp => Tuple::ICMP,
            // Never in packets.
            Self::Unix | Self::UnixDatagram => 0,
        }
    }
}

/// One value for each side of a conversation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Sides<T> {
    /// Of the client.
    pub client: T,
    /// Of the server.
    pub server: T,
}

impl<T: Copy> Sides<T> {
    /// The value of `side`.
    #[must_use]
    pub fn of(&self, side: Side) -> T {
        match side {
            Side::Client => self.client,
            Side::Server => self.server,
        }
    }
}

/// Count, sum and longest of some durations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Durations {
    /// How many.
    pub count: u64,
    /// Their sum, in nanoseconds.
    pub sum_ns: u64,
    /// The longest, in nanoseconds.
    pub max_ns: u64,
}

impl Durations {
    /// Adds one.
    pub fn add(&mut self, duration: Duration) {
        let nanos = nanos(duration);
        self.count += 1;
        self.sum_ns = self.sum_ns.saturating_add(nanos);
        self.max_ns = self.max_ns.max(nanos);
    }

    /// Adds those of `other`.
    pub fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.sum_ns = self.sum_ns.saturating_add(other.sum_ns);
        self.max_ns = self.max_ns.max(other.max_ns);
    }
}

pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// How a conversation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Close {
    /// Both sides closed (FIN).
    Finished,
    /// The client reset it.
    ClientReset,
    /// The server reset it after it was open.
    ServerReset,
    /// The server closed, the client never did.
    ClientHalfClose,
    /// The client closed, the server never did.
    ServerHalfClose,
    /// Nothing was sent for the time of [`Limits`](crate::Limits).
    IdleTimeout,
    /// Only SYNs of the client were seen.
    SynUnanswered,
    /// The server's SYN-ACK was never acknowledged.
    SynAckUnanswered,
    /// The server answered the SYN with a reset.
    Refused,
    /// The client opened a new connection between the same ports.
    PortReused,
    /// It was open when the capture ended.
    StillOpen,
    /// It made room for others: see [`Limits::flows`](crate::Limits::flows).
    Evicted,
}

impl Close {
    /// The name used in records.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::ClientReset => "client_reset",
            Self::ServerReset => "server_reset",
            Self::ClientHalfClose => "client_half_close",
            Self::ServerHalfClose => "server_half_close",
            Self::IdleTimeout => "idle_timeout",
            Self::SynUnanswered => "syn_unanswered",
            Self::SynAckUnanswered => "syn_ack_unanswered",
            Self::Refused => "refused",
            Self::PortReused => "port_reused",
            Self::StillOpen => "still_open",
            Self::Evicted => "evicted",
        }
    }

    /// Whether the conversation did not come to its end as its sides wanted: refused, reset or never answered.
    #[must_use]
    pub const fn is_failure(self) -> bool {
        matches!(
            self,
            Self::ClientReset | Self::ServerReset | Self::SynUnanswered | Self::SynAckUnanswered | Self::Refused
        )
    }
}

impl fmt::Display for Close {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Ports below are given out by IANA to servers; others than root may not listen on them.
pub(crate) const SYSTEM_PORTS: u16 = 1024;
/// Ports from here on Linux gives to clients (`ip_local_port_range`), and nearly all others do.
const EPHEMERAL_PORTS: u16 = 32_768;

/// What tells which end of a conversation is the client, the least sure first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Confidence {
    /// Who sent the first packet that was seen, or has the higher port.
    Guess,
    /// The server has a port of servers (below 1024: RFC 6335 §6; or below 32768, from where on clients get theirs), the client has none.
    Port,
    /// The server was seen to answer handshakes, or requests, in other conversations from the same port; the client was not.
    History,
    /// The messages are those of a client of the protocol.
    Protocol,
    /// It was seen to open the conversation: SYN or SYN-ACK, or the request of an echo.
    Handshake,
}

impl Confidence {
    /// The name used in records.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Guess => "guess",
            Self::Port => "port",
            Self::History => "history",
            Self::Protocol => "protocol",
            Self::Handshake => "handshake",
        }
    }

    /// What ports tell.
    pub(crate) fn of_ports(client: u16, server: u16) -> Self {
        let divides = |port: u16| server < port && client >= port;
        if divides(SYSTEM_PORTS) || divides(EPHEMERAL_PORTS) { Self::Port } else { Self::Guess }
    }
}

/// One end of a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Endpoint {
    /// An address and a port.
    Ip(SocketAddr),
    /// A Unix socket, by the number of its inode.
    Unix(u64),
}

impl Endpoint {
    /// The address. Of a Unix socket the IPv6 address whose lower half is the number: that is how records keep it.
    #[must_use]
    pub const fn ip(self) -> IpAddr {
        match self {
            Self::Ip(address) => address.ip(),
            Self::Unix(inode) => IpAddr::V6(Ipv6Addr::from_bits(inode as u128)),
        }
    }

    /// The port; 0 of a Unix socket.
    #[must_use]
    pub const fn port(self) -> u16 {
        match self {
            Self::Ip(address) => address.port(),
            Self::Unix(_) => 0,
        }
    }
}

impl From<SocketAddr> for Endpoint {
    fn from(address: SocketAddr) -> Self {
        Self::Ip(address)
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Unix(inode) => f.pad(&format!("unix:[{inode}]")),
        }
    }
}

/// Who talks to whom, and where it was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conversation {
    /// Number of the conversation, unique in its engine.
    pub flow_id: u64,
    /// How its bytes travel.
    pub transport: Transport,
    /// Who opened it.
    pub client: Endpoint,
    /// The other side.
    pub server: Endpoint,
    /// The interface that saw it, as the caller numbers them.
    pub interface: u32,
}

/// What is counted of a conversation. Everything adds up over pieces of a conversation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Packets.
    pub packets: Sides<u64>,
    /// Frame bytes on the wire, also when not captured.
    pub bytes: Sides<u64>,
    /// Transport payload on the wire, retransmissions included.
    pub payload_bytes: Sides<u64>,
    /// SYNs. Of the server too where both open at once.
    pub syn: Sides<u64>,
    /// SYN-ACKs. Of the client too where both open at once.
    pub syn_ack: Sides<u64>,
    /// FINs of both.
    pub fin: u64,
    /// Resets.
    pub rst: Sides<u64>,
    /// Segments whose sequence numbers had all been seen: SYN, SYN-ACK, FIN and data; no keep-alives, no window probes.
    pub retransmissions: Sides<u64>,
    /// Of these SYNs.
    pub syn_retransmissions: Sides<u64>,
    /// Of these SYN-ACKs.
    pub syn_ack_retransmissions: Sides<u64>,
    /// Of these with data. What is left are FINs without.
    pub data_retransmissions: Sides<u64>,
    /// Of these, of each kind, without need: the other end had been seen to acknowledge all of the segment, or tells by the clock that it
    /// echoes that it has the first (RFC 3522).
    pub spurious_retransmissions: Sides<u64>,
    /// Segments that filled a hole before data seen earlier.
    pub out_of_order: Sides<u64>,
    /// Bare ACKs that say the same as the sender's segment before, number and window, while the other end waits for more to be
    /// acknowledged (RFC 5681 §2).
    pub duplicate_acks: Sides<u64>,
    /// Packets that closed the sender's receive window.
    pub zero_windows: Sides<u64>,
    /// How long the end's receive window was closed, in nanoseconds: from the packet that closed it to the end's next that did not.
    pub zero_window_ns: Sides<u64>,
    /// How long the other end's receive window kept this one from sending, in nanoseconds: less what was under way it had no room for a full
    /// segment of 1,448 bytes; or, of windows that are not shifted, for half of it, if that is less. 0 where the SYNs, which say by how much
    /// windows are shifted, were not both seen.
    pub window_limited_ns: Sides<u64>,
    /// System response: a client's data → the server's bare ACK of all of it. ICMP: an echo's request → its reply.
    pub srt: Durations,
    /// Application response: the request's last segment or datagram → the response's first.
    pub art: Durations,
    /// The client's idle time: a response's last segment or datagram → the next request's first.
    pub idle: Durations,
}

impl Counters {
    /// Adds what `other` counted.
    pub fn merge(&mut self, other: &Self) {
        let add = |sum: &mut Sides<u64>, more: Sides<u64>| {
            sum.client += more.client;
            sum.server += more.server;
        };
        add(&mut self.packets, other.packets);
        add(&mut self.bytes, other.bytes);
        add(&mut self.payload_bytes, other.payload_bytes);
        add(&mut self.syn, other.syn);
        add(&mut self.syn_ack, other.syn_ack);
        self.fin += other.fin;
        add(&mut self.rst, other.rst);
        add(&mut self.retransmissions, other.retransmissions);
        add(&mut self.syn_retransmissions, other.syn_retransmissions);
        add(&mut self.syn_ack_retransmissions, other.syn_ack_retransmissions);
        add(&mut self.data_retransmissions, other.data_retransmissions);
        add(&mut self.spurious_retransmissions, other.spurious_retransmissions);
        add(&mut self.out_of_order, other.out_of_order);
        add(&mut self.duplicate_acks, other.duplicate_acks);
        add(&mut self.zero_windows, other.zero_windows);
        add(&mut self.zero_window_ns, other.zero_window_ns);
        add(&mut self.window_limited_ns, other.window_limited_ns);
        self.srt.merge(&other.srt);
        self.art.merge(&other.art);
        self.idle.merge(&other.idle);
    }
}

/// One transport conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowRecord {
    /// Who and where.
    pub conversation: Conversation,
    /// First packet, of a piece its own; the last packet of all where the last piece has none.
    pub start: Timestamp,
    /// Last packet.
    pub end: Timestamp,
    /// What was counted.
    pub counters: Counters,
    /// What tells who is the client.
    pub confidence: Confidence,
    /// How it ended; `None` for a piece of a conversation that goes on.
    pub close: Option<Close>,
    /// 0 for the first piece of a conversation, then 1, 2, …
    pub piece: u32,
    /// Handshake: first SYN → ACK of the SYN-ACK.
    pub rtt: Option<Duration>,
    /// Handshake: first SYN-ACK → ACK of it.
    pub rtt_client: Option<Duration>,
    /// Handshake: first SYN → first SYN-ACK.
    pub rtt_server: Option<Duration>,
    /// Tags and tunnel headers that were taken off, outermost first.
    pub layers: Box<[Layer]>,
    /// The application protocol recognised in it.
    pub protocol: Option<Protocol>,
}

impl FlowRecord {
    /// VLAN identifiers, outermost first.
    pub fn vlans(&self) -> impl Iterator<Item = u16> {
        self.layers.iter().filter_map(|layer| if let Layer::Vlan(id) = layer { Some(*id) } else { None })
    }

    /// Tunnel headers, outermost first.
    pub fn tunnels(&self) -> impl Iterator<Item = Layer> {
        self.layers.iter().copied().filter(|layer| !matches!(layer, Layer::Vlan(_)))
    }
}

/// One request with its answer. Valid until the next call of the engine.
#[derive(Clone, Copy, Debug)]
pub struct CallRecord<'a> {
    /// What the parser read.
    pub call: Call<'a>,
    /// Number of the call, unique in its engine.
    pub id: u64,
    /// The conversation, its client being the one who asked.
    pub conversation: Conversation,
    /// The stream it was read from, as its [`StreamInput`](crate::StreamInput) numbers it; `None` where packets told it.
    pub stream: Option<u64>,
    /// TCP sequence number of the request's first byte.
    pub tcp_seq_request: Option<u32>,
    /// TCP sequence number of the answer's first byte.
    pub tcp_seq_response: Option<u32>,
}
