//! What is kept of one conversation.

use std::time::Duration;

use protocol_parsers::Timestamp;

use crate::decode::{Header, Layers, View};
use crate::key::{End, Tuple};
use crate::reader::{Dialog, Reading};
use crate::rollup::{Key, Rollup};
use crate::tcp::{EndCounters, Ended, Tcp};
use crate::{Close, Counters, Durations, FlowRecord, Layer, Limits, Packet, Sides, Transport};

/// One conversation.
pub(crate) struct Flow {
    pub(crate) dialog: Dialog,
    pub(crate) layers: Box<[Layer]>,
    last: Timestamp,
    /// When the last packet came, on the steady clock.
    quiet_since: Timestamp,
    pub(crate) counters: [EndCounters; 2],
    pub(crate) tcp: Option<Box<Tcp>>,
    /// Bytes of datagrams handed to the parser.
    pub(crate) datagram_bytes: [u64; 2],
    /// Metrics know that it has something new.
    pub(crate) is_touched: bool,
    /// Counters that metrics, and pieces of the record, have already.
    in_metrics: [EndCounters; 2],
    in_pieces: [EndCounters; 2],
    is_rtt_in_metrics: bool,
    /// The running piece: its number, when it began on the steady clock, and its first packet.
    piece: u32,
    piece_since: Timestamp,
    piece_first: Option<Timestamp>,
}

/// Ports below are given out by IANA to servers; others than root may not listen on them.
const SYSTEM_PORTS: u16 = 1024;

impl Flow {
    /// A conversation that begins with this packet.
    pub(crate) fn new(id: u64, packet: &Packet<'_>, view: &View<'_>, layers: &Layers, now: Timestamp) -> Self {
        let transport = match view.header {
            Header::Tcp(_) => Transport::Tcp,
            Header::Udp => Transport::Udp,
            Header::Icmp => Transport::Icmp,
        };
        let (client, is_client_sure) = client(&view.tuple, view.from, view.header);
        let (tuple, interface) = (view.tuple, packet.interface);
        Self {
            dialog: Dialog {
                id,
                tuple,
                interface,
                transport,
                client,
                is_client_sure,
                base: [None; 2],
                reading: Reading::Not,
            },
            layers: layers.as_slice().into(),
            last: packet.time,
            quiet_since: now,
            counters: Default::default(),
            tcp: matches!(view.header, Header::Tcp(_)).then(Box::default),
            datagram_bytes: [0; 2],
            is_touched: false,
            in_metrics: Default::default(),
            in_pieces: Default::default(),
            is_rtt_in_metrics: false,
            piece: 0,
            piece_since: now,
            piece_first: None,
        }
    }

    /// Counts a packet.
    pub(crate) fn count(&mut self, view: &View<'_>, time: Timestamp, now: Timestamp) {
        self.last = self.last.max(time);
        self.quiet_since = now;
        self.piece_first = Some(self.piece_first.map_or(time, |first| first.min(time)));
        let mine = &mut self.counters[view.from];
        mine.packets += u64::from(view.frames);
        mine.bytes += view.frame_bytes;
        mine.payload_bytes += u64::from(view.payload.len);
    }

    /// When it is over if nothing more comes, on the steady clock.
    pub(crate) fn idle_deadline(&self, limits: &Limits) -> Timestamp {
        self.quiet_since + self.patience(limits)
    }

    fn patience(&self, limits: &Limits) -> Duration {
        match (&self.tcp, self.dialog.transport) {
            (Some(tcp), _) if tcp.is_over() => limits.tcp_closing,
            (Some(_), _) => limits.tcp_idle,
            (None, Transport::Icmp) => limits.icmp_idle,
            (None, _) => limits.udp_idle,
        }
    }

    /// Whether it is over but for what still comes, and whether both ends took part: what its place among the others depends on.
    pub(crate) fn standing(&self) -> (bool, bool) {
        (self.tcp.as_ref().is_some_and(|tcp| tcp.is_over()), self.is_mutual())
    }

    /// Whether both ends took part: such conversations make room last.
    pub(crate) fn is_mutual(&self) -> bool {
        match &self.tcp {
            Some(tcp) => tcp.is_established() && self.both_sent(),
            None => self.both_sent(),
        }
    }

    fn both_sent(&self) -> bool {
        self.counters.iter().all(|end| end.packets > 0)
    }

    pub(crate) fn close(&self, ended: Ended) -> Close {
        match &self.tcp {
            Some(tcp) => tcp.close(self.dialog.client_end(), &self.counters, ended),
            None if ended == Ended::Capture => Close::IdleTimeout,
            None => ended.close(),
        }
    }

    /// Counts in the metrics what is new.
    pub(crate) fn roll(&mut self, close: Option<Close>, rollup: &mut Rollup) {
        let client = self.dialog.client_end();
        let key = Key::of(&self.dialog.conversation(client), self.dialog.protocol());
        let new = counters(client, &self.counters, &self.in_metrics);
        let is_opened = self.in_metrics == <[EndCounters; 2]>::default();
        let rtt = self.tcp.as_ref().and_then(|tcp| tcp.handshake.rtt()).filter(|_| !self.is_rtt_in_metrics);
        rollup.add(key, |values| {
            values.counters.merge(&new);
            values.flows_opened += u64::from(is_opened);
            values.flows_closed += u64::from(close.is_some());
            values.flows_failed += u64::from(close.is_some_and(Close::is_failure));
            if let Some(rtt) = rtt {
                values.rtt.add(rtt);
            }
        });
        self.is_rtt_in_metrics |= rtt.is_some();
        self.in_metrics = self.counters;
    }

    /// When the running piece is over, on the steady clock.
    pub(crate) fn piece_deadline(&self, length: Duration) -> Timestamp {
        self.piece_since + length
    }

    /// The record of the piece that is over now, on the steady clock, if anything was counted in it. The next begins.
    pub(crate) fn cut_piece(&mut self, now: Timestamp) -> Option<FlowRecord> {
        let piece = self.piece_first.map(|_| self.record(None));
        self.in_pieces = self.counters;
        self.piece += u32::from(piece.is_some());
        self.piece_since = now;
        self.piece_first = None;
        piece
    }

    /// The record of it, or of the piece since the last.
    pub(crate) fn record(&self, close: Option<Close>) -> FlowRecord {
        let client = self.dialog.client_end();
        let handshake = self.tcp.as_ref().map(|tcp| tcp.handshake).unwrap_or_default();
        FlowRecord {
            conversation: self.dialog.conversation(client),
            start: self.piece_first.unwrap_or(self.last),
            end: self.last,
            counters: counters(client, &self.counters, &self.in_pieces),
            close,
            piece: self.piece,
            rtt: handshake.rtt(),
            rtt_client: handshake.rtt_client(),
            rtt_server: handshake.rtt_server(),
            layers: self.layers.clone(),
            protocol: self.dialog.protocol(),
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
        Header::Udp | Header::Icmp => (from, false),
    }
}

/// What was counted since, by role.
fn counters(client: End, now: &[EndCounters; 2], since: &[EndCounters; 2]) -> Counters {
    let sides = |field: fn(&EndCounters) -> u64| {
        let of = |end: End| field(&now[end]).saturating_sub(field(&since[end]));
        Sides { client: of(client), server: of(client.other()) }
    };
    let server = client.other();
    let durations = |field: fn(&EndCounters) -> Durations| {
        let (now, since) = (field(&now[server]), field(&since[server]));
        Durations {
            count: now.count - since.count,
            sum_ns: now.sum_ns - since.sum_ns,
            // The longest of all so far, if there was one since.
            max_ns: if now.count > since.count { now.max_ns } else { 0 },
        }
    };
    let fin = sides(|end| end.fin);
    Counters {
        packets: sides(|end| end.packets),
        bytes: sides(|end| end.bytes),
        payload_bytes: sides(|end| end.payload_bytes),
        syn: sides(|end| end.syn),
        syn_ack: sides(|end| end.syn_ack),
        fin: fin.client + fin.server,
        rst: sides(|end| end.rst),
        retransmissions: sides(|end| end.retransmissions),
        out_of_order: sides(|end| end.out_of_order),
        zero_windows: sides(|end| end.zero_windows),
        srt: durations(|end| end.srt),
        art: durations(|end| end.art),
    }
}
