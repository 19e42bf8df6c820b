//! What is kept of one conversation: as little as can be while nothing special happens.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use protocol_parsers::Timestamp;

use crate::counts::{self, Counts, Event, Large, by_role};
use crate::decode::{Header, View};
use crate::echo::Echoes;
use crate::key::{End, Hosts, Tuple};
use crate::marks::Marks;
use crate::reader::Reading;
use crate::record::{SYSTEM_PORTS, nanos};
use crate::segments::Early;
use crate::slab::Slab;
use crate::tag::Tag;
use crate::tcp::{Again, Ended, Handshake, Holes, Tcp};
use crate::{Close, Confidence, Conversation, Endpoint, FlowRecord, Layer, Limits, Transport};

/// One conversation. A million of them are a million times this size.
#[derive(Default)]
pub(crate) struct Flow {
    pub(crate) who: Who,
    /// Times of its first and last packet.
    pub(crate) first: Timestamp,
    pub(crate) last: Timestamp,
    /// When the last packet came, on the steady clock.
    pub(crate) quiet_since: Timestamp,
    pub(crate) counts: Counts,
    pub(crate) tcp: Tcp,
    pub(crate) marks: Marks,
    /// What its payload says; `None` before there is any.
    pub(crate) reading: Option<Box<Reading>>,
    pub(crate) side: Option<Box<Side>>,
}

const _: () = assert!(size_of::<Flow>() <= 168, "it pays for every byte a million times");

/// Which conversation it is.
#[derive(Clone, Copy, Default)]
pub(crate) struct Who {
    pub(crate) tag: Tag,
    pub(crate) between: Between,
}

/// Between whom a conversation is, and where it was seen.
#[derive(Clone, Copy, Default)]
pub(crate) struct Between {
    /// Of IPv4 the addresses; of IPv6 their place in [`Addresses`], and 0.
    hosts: [u32; 2],
    pub(crate) interface: u32,
    pub(crate) ports: [u16; 2],
}

/// Addresses of IPv6.
pub(crate) type Addresses = Slab<[[u64; 2]; 2]>;

/// What few conversations have.
#[derive(Default)]
pub(crate) struct Side {
    pub(crate) layers: Box<[Layer]>,
    /// What [`Counts`] has no room for.
    large: Option<Box<Large>>,
    /// A handshake that is not as all others.
    pub(crate) handshake: Option<Box<Handshake>>,
    pub(crate) holes: Option<Box<[Holes; 2]>>,
    /// What came before the bytes that it acknowledges.
    pub(crate) early: Option<Box<Early>>,
    pub(crate) echoes: Option<Box<Echoes>>,
    /// What each end sent again.
    pub(crate) again: Option<Box<[Option<Again>; 2]>>,
    piece: Option<Box<Piece>>,
}

/// The running piece of a conversation that was recorded before.
struct Piece {
    number: u32,
    /// Its first packet.
    first: Option<Timestamp>,
    /// What was counted before it.
    before: Large,
}

/// What a conversation had counted at a time.
#[derive(Clone, Default)]
pub(crate) struct Snapshot {
    counts: Counts,
    large: Option<Box<Large>>,
    has_rtt: bool,
}

impl Between {
    pub(crate) fn new(tuple: &Tuple, interface: u32, addresses: &mut Addresses) -> Self {
        let hosts = match tuple.hosts {
            Hosts::V4(hosts) => hosts,
            Hosts::V6(hosts) => [addresses.insert(hosts), 0],
        };
        Self { hosts, interface, ports: tuple.ports }
    }

    /// Whether these are its addresses and ports.
    #[inline]
    pub(crate) fn is(&self, tuple: &Tuple, is_v6: bool, addresses: &Addresses) -> bool {
        self.ports == tuple.ports
            && match tuple.hosts {
                Hosts::V4(hosts) => !is_v6 && hosts == self.hosts,
                Hosts::V6(hosts) => is_v6 && self.addresses(addresses) == Some(&hosts),
            }
    }

    pub(crate) fn tuple(&self, protocol: u8, is_v6: bool, addresses: &Addresses) -> Tuple {
        Tuple { hosts: self.hosts(is_v6, addresses), ports: self.ports, protocol }
    }

    fn hosts(&self, is_v6: bool, addresses: &Addresses) -> Hosts {
        if is_v6 { Hosts::V6(self.addresses(addresses).copied().unwrap_or_default()) } else { Hosts::V4(self.hosts) }
    }

    /// If these are of IPv6.
    #[inline(always)]
    pub(crate) fn addresses<'a>(&self, addresses: &'a Addresses) -> Option<&'a [[u64; 2]; 2]> {
        let [place, _] = self.hosts;
        addresses.get(place)
    }

    pub(crate) fn forget(&self, is_v6: bool, addresses: &mut Addresses) {
        if is_v6 {
            addresses.remove(self.hosts[0]);
        }
    }
}

impl Who {
    /// The conversation, `client` being one of its ends.
    pub(crate) fn conversation(&self, marks: Marks, client: End, addresses: &Addresses) -> Conversation {
        let hosts = self.between.hosts(marks.is_v6(), addresses);
        let address = |end: End| {
            let host = match hosts {
                Hosts::V4(hosts) => IpAddr::V4(Ipv4Addr::from_bits(hosts[end])),
                Hosts::V6(hosts) => {
                    let [upper, lower] = hosts[end];
                    IpAddr::V6(Ipv6Addr::from_bits(u128::from(upper) << 64 | u128::from(lower)))
                }
            };
            Endpoint::Ip(SocketAddr::new(host, self.between.ports[end]))
        };
        Conversation {
            flow_id: self.tag.id(),
            transport: marks.transport(),
            client: address(client),
            server: address(client.other()),
            interface: self.between.interface,
        }
    }
}

impl Flow {
    /// A conversation that begins with a packet captured at this time.
    pub(crate) fn new(who: Who, time: Timestamp, view: &View<'_>, layers: &[Layer]) -> Self {
        let transport = match view.header {
            Header::Tcp(_) => Transport::Tcp,
            Header::Udp => Transport::Udp,
            Header::Icmp(_) => Transport::Icmp,
        };
        let (client, is_client_sure) = client(&view.tuple, view.from, view.header);
        let is_v6 = matches!(view.tuple.hosts, Hosts::V6(_));
        Self {
            who,
            first: time,
            last: time,
            marks: Marks::new(transport, is_v6, client, is_client_sure),
            side: (!layers.is_empty()).then(|| Box::new(Side { layers: layers.into(), ..Side::default() })),
            ..Self::default()
        }
    }

    /// Counts a packet.
    #[inline]
    pub(crate) fn count(&mut self, view: &View<'_>, time: Timestamp, now: Timestamp) {
        if time < self.first {
            self.begin_earlier(time);
        }
        if self.side.is_some() {
            self.count_aside(time);
        }
        if self.marks.tell_windows() {
            self.count_limited(time);
        }
        self.last = self.last.max(time);
        self.quiet_since = now;
        self.marks.set(Marks::FRESH, true);
        if !self.counts.packets(view.from, view.frames, view.frame_bytes, view.payload_len()) {
            self.carry_over(view);
        }
    }

    /// Since the packet before the window of an end may have kept the other from sending.
    #[inline]
    fn count_limited(&mut self, time: Timestamp) {
        for sender in End::BOTH {
            if self.tcp.is_limited(sender, self.who.tag) {
                let passed = nanos(time.since(self.last));
                self.large_mut()[sender].window_limited_ns += passed;
            }
        }
    }

    /// What only conversations with a [`Side`] need of a packet of this time.
    fn count_aside(&mut self, time: Timestamp) {
        let Some(side) = &mut self.side else { return };
        if let Some(piece) = &mut side.piece {
            piece.first = Some(piece.first.map_or(time, |first| first.min(time)));
        }
        if let Some(large) = side.large.as_deref_mut().filter(|_| self.marks.has(Marks::WINDOW_CLOSED * 3)) {
            // Who closed its window has a [`Side`]: that was counted.
            let passed = nanos(time.since(self.last));
            for end in End::BOTH.into_iter().filter(|end| self.marks.of(*end, Marks::WINDOW_CLOSED)) {
                large[end].zero_window_ns += passed;
            }
        }
    }

    /// Counts what a packet is.
    #[inline]
    pub(crate) fn event(&mut self, from: End, event: Event) {
        if !self.counts.event(from, event) {
            self.large_mut()[from].count(event);
        }
    }

    /// This end's kernel has acknowledged after this time. Nobody asks for that of a sure client.
    pub(crate) fn add_srt(&mut self, end: End, duration: Duration) {
        let is_server = end != self.marks.client();
        if is_server && self.counts.srt(duration) || !is_server && self.marks.has(Marks::CLIENT_SURE) {
            return;
        }
        self.large_mut()[end].srt.add(duration);
    }

    /// This end's application has spoken so long after the other's.
    #[inline]
    pub(crate) fn add_turn(&mut self, end: End, duration: Duration) {
        if !self.counts.turn(end != self.marks.client(), duration) {
            self.large_mut()[end].turn.add(duration);
        }
    }

    /// The counters for what the small ones have no room for.
    #[cold]
    fn large_mut(&mut self) -> &mut Large {
        self.side_mut().large.get_or_insert_default()
    }

    /// Makes room in the small counters, and counts the packet for which there was none.
    #[cold]
    fn carry_over(&mut self, view: &View<'_>) {
        let counts = std::mem::take(&mut self.counts);
        let server = self.marks.client().other();
        let large = self.large_mut();
        counts.add_to(large, server);
        let sums = &mut large[view.from];
        sums.packets += u64::from(view.frames);
        sums.bytes += view.frame_bytes;
        sums.payload_bytes += u64::from(view.payload_len());
    }

    /// When bytes that others wait for are given up.
    pub(crate) fn early_deadline(&self) -> Option<Timestamp> {
        self.side.as_deref()?.early.as_deref()?.deadline()
    }

    pub(crate) fn side_mut(&mut self) -> &mut Side {
        self.side.get_or_insert_default()
    }

    /// A packet comes that was captured before the first.
    #[cold]
    fn begin_earlier(&mut self, time: Timestamp) {
        // Its times are kept as distances from the first packet.
        let handshake = self.handshake();
        self.first = time;
        self.set_handshake(handshake);
    }

    pub(crate) fn layers(&self) -> &[Layer] {
        self.side.as_deref().map_or(&[], |side| &side.layers)
    }

    /// Everything counted so far.
    fn totals(&self) -> Large {
        let mut large = self.side.as_deref().and_then(|side| side.large.as_deref()).copied().unwrap_or_default();
        self.counts.add_to(&mut large, self.marks.client().other());
        large
    }

    /// When it is over if nothing more comes, on the steady clock.
    pub(crate) fn idle_deadline(&self, limits: &Limits) -> Timestamp {
        let patience = match self.marks.transport() {
            Transport::Tcp if self.is_over() => limits.tcp_closing,
            Transport::Tcp => limits.tcp_idle,
            Transport::Udp => limits.udp_idle,
            _ => limits.icmp_idle,
        };
        self.quiet_since + patience
    }

    /// Whether both ends took part: such conversations make room last.
    pub(crate) fn is_mutual(&self) -> bool {
        let is_open = self.marks.transport() != Transport::Tcp || self.is_established();
        is_open && End::BOTH.iter().all(|&end| self.counts.has_packets(end) || self.has_counted(end))
    }

    /// Whether this end sent anything before the small counters began anew.
    fn has_counted(&self, end: End) -> bool {
        let large = self.side.as_deref().and_then(|side| side.large.as_deref());
        large.is_some_and(|large| large[end].packets > 0)
    }

    /// Who asks: the one that opened it, else what the protocol says.
    pub(crate) fn client_end(&self) -> End {
        let client = self.marks.client();
        if self.marks.has(Marks::CLIENT_SURE) {
            return client;
        }
        let is_turned = || self.reading.as_deref().is_some_and(Reading::is_turned);
        self.opener().unwrap_or_else(|| if is_turned() { client.other() } else { client })
    }

    /// Who opened it, by a part of the handshake that was seen behind other packets.
    fn opener(&self) -> Option<End> {
        if self.marks.has(Marks::SYN_ACK) {
            return Some(self.marks.accepter().other());
        }
        self.marks.who(Marks::BEGUN).filter(|_| self.marks.has(Marks::SYN))
    }

    /// Who serves is known from other conversations, if this one's handshake does not tell.
    pub(crate) fn learn_server(&mut self, server: End) {
        if !self.marks.has(Marks::CLIENT_SURE) {
            self.marks.set_client(server.other());
            self.marks.set(Marks::SERVER_KNOWN, true);
        }
    }

    /// What tells that this end asks.
    fn confidence(&self, client: End) -> Confidence {
        let ports = self.who.between.ports;
        match self.reading.as_deref().and_then(Reading::protocol) {
            _ if self.marks.has(Marks::CLIENT_SURE) || self.opener().is_some() => Confidence::Handshake,
            Some(_) => Confidence::Protocol,
            None if self.marks.has(Marks::SERVER_KNOWN) => Confidence::History,
            None => Confidence::of_ports(ports[client], ports[client.other()]),
        }
    }

    /// The end that answered requests, where only these tell who serves.
    pub(crate) fn server_by_protocol(&self, addresses: &Addresses) -> Option<(Tuple, End)> {
        let client = self.client_end();
        let protocol = if self.marks.transport() == Transport::Tcp { Tuple::TCP } else { Tuple::UDP };
        let is_it = self.confidence(client) == Confidence::Protocol;
        is_it.then(|| (self.who.between.tuple(protocol, self.marks.is_v6(), addresses), client.other()))
    }

    pub(crate) fn conversation(&self, addresses: &Addresses) -> Conversation {
        self.who.conversation(self.marks, self.client_end(), addresses)
    }

    pub(crate) fn close(&self, ended: Ended) -> Close {
        match self.marks.transport() {
            Transport::Tcp => self.close_of_tcp(self.client_end(), &self.totals(), ended),
            _ if ended == Ended::Capture => Close::IdleTimeout,
            _ => ended.close(),
        }
    }

    /// What it has counted now.
    pub(crate) fn snapshot(&self) -> Snapshot {
        Snapshot {
            counts: self.counts,
            large: self.side.as_deref().and_then(|side| side.large.clone()),
            has_rtt: self.handshake().rtt().is_some(),
        }
    }

    /// What it has counted since, whether it began since, and the handshake's time if it ended since.
    pub(crate) fn since(&self, before: &Snapshot) -> (crate::Counters, bool, Option<Duration>) {
        let mut large = before.large.as_deref().copied().unwrap_or_default();
        before.counts.add_to(&mut large, self.marks.client().other());
        let is_opened = large == Large::default();
        let rtt = self.handshake().rtt().filter(|_| !before.has_rtt);
        (by_role(self.client_end(), &counts::since(&self.totals(), &large)), is_opened, rtt)
    }

    /// The record of the piece that is over now, if anything was counted in it. The next begins.
    pub(crate) fn cut_piece(&mut self, addresses: &Addresses) -> Option<FlowRecord> {
        let (number, has_packets) = self.piece().map_or((0, true), |piece| (piece.number, piece.first.is_some()));
        let record = has_packets.then(|| self.record(None, addresses))?;
        let piece = Piece { number: number + 1, first: None, before: self.totals() };
        self.side_mut().piece = Some(Box::new(piece));
        Some(record)
    }

    /// Whether it is recorded in pieces, of which one is over.
    pub(crate) fn has_piece(&self) -> bool {
        self.piece().is_some()
    }

    fn piece(&self) -> Option<&Piece> {
        self.side.as_deref()?.piece.as_deref()
    }

    /// The record of it, or of the piece since the last.
    pub(crate) fn record(&self, close: Option<Close>, addresses: &Addresses) -> FlowRecord {
        let client = self.client_end();
        let handshake = self.handshake();
        let totals = self.totals();
        let (number, first, counted) = match self.piece() {
            Some(piece) => (piece.number, piece.first.unwrap_or(self.last), &counts::since(&totals, &piece.before)),
            None => (0, self.first, &totals),
        };
        FlowRecord {
            conversation: self.who.conversation(self.marks, client, addresses),
            start: first,
            end: self.last,
            counters: by_role(client, counted),
            confidence: self.confidence(client),
            close,
            piece: number,
            rtt: handshake.rtt(),
            rtt_client: handshake.rtt_client(),
            rtt_server: handshake.rtt_server(),
            layers: self.layers().into(),
            protocol: self.reading.as_deref().and_then(Reading::protocol),
        }
    }
}

/// Who opened the conversation of which this is the first packet, and whether that is sure.
fn client(tuple: &Tuple, from: End, header: Header) -> (End, bool) {
    let (mine, other) = (tuple.ports[from], tuple.ports[from.other()]);
    match header {
        Header::Tcp(tcp) if tcp.flags.syn() => (if tcp.flags.ack() { from.other() } else { from }, true),
        // Joined in its middle: servers have the lower port.
        Header::Tcp(_) => (if mine < other { from.other() } else { from }, false),
        Header::Udp if mine < SYSTEM_PORTS && other >= SYSTEM_PORTS => (from.other(), false),
        Header::Icmp(Some(echo)) => (if echo.is_reply { from.other() } else { from }, true),
        Header::Udp | Header::Icmp(None) => (from, false),
    }
}
