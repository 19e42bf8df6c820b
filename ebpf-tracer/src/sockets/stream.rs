//! The two directions of a stream, put in order.
//!
//! Two threads may use one socket, two processes may have it, and events may be lost. TCP's sequence numbers tell all three apart: what
//! comes too early waits for what is missing, and all that comes later on the stream waits behind it, so that no answer overtakes its
//! request. What is known already is left out.

use std::collections::VecDeque;

use flow_core::{Endpoint, StreamOpening, Transport};
use protocol_parsers::Side;

use super::direction::{Direction, Place};
use super::piece::{Piece, Way};
use crate::limits::nanos;
use crate::sink::{Data, Sink};

/// A stream of a socket.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) setting: Setting,
    /// Its number, once it is handed on.
    number: Option<u64>,
    ways: [Direction; 2],
    waiting: VecDeque<Piece>,
    waiting_bytes: usize,
    /// A datagram of which more comes.
    datagram: Option<Piece>,
    /// Messages so far whose beginning was seen.
    pub(crate) messages: u64,
    is_used: bool,
    /// Its socket is not known yet: it waits for that as for missing bytes.
    pub(crate) is_unsettled: bool,
    /// When something happened on it last.
    pub(crate) last_ns: u64,
    /// When it is looked at again.
    pub(crate) deadline: u64,
}

/// What is said of a stream when it is opened.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting {
    /// Inode of the socket; 0 if it is not known.
    pub(crate) inode: u64,
    pub(crate) begun_ns: u64,
    pub(crate) transport: Transport,
    pub(crate) is_datagrams: bool,
    /// Plaintext of TLS: sequence numbers are a count of its bytes.
    pub(crate) is_plaintext: bool,
    /// Whose side the process is on.
    pub(crate) side: Side,
    pub(crate) sides_known: bool,
    pub(crate) from_start: bool,
    pub(crate) local: Endpoint,
    pub(crate) remote: Endpoint,
    pub(crate) interface: u32,
}

impl Stream {
    pub(crate) fn new(setting: Setting) -> Self {
        Self {
            setting,
            number: None,
            ways: [Direction::default(); 2],
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            datagram: None,
            messages: 0,
            is_used: false,
            is_unsettled: false,
            last_ns: setting.begun_ns,
            deadline: u64::MAX,
        }
    }

    /// Whether nothing was sent or received so far.
    pub(crate) fn is_new(&self) -> bool {
        !self.is_used
    }

    /// Its first byte of each direction has this sequence number.
    pub(crate) fn begin_at(&mut self, seq: u32) {
        for way in &mut self.ways {
            way.seq = Some(seq);
        }
    }

    /// Whether a piece that begins at 0 is the first of another connection.
    pub(crate) fn is_over_before(&self, piece: &Piece) -> bool {
        let next = self.ways[piece.way as usize];
        self.setting.is_plaintext && piece.seq == Some(0) && next.next > 0 && next.seq.is_some_and(|seq| seq != 0)
    }

    /// Takes in a piece.
    pub(crate) fn take(&mut self, piece: Piece, sink: &mut Sink) {
        self.is_used = true;
        self.last_ns = self.last_ns.max(piece.time_ns);
        if self.setting.is_datagrams {
            return self.join(piece, sink);
        }
        let is_ahead = matches!(self.ways[piece.way as usize].place(&piece), Place::Behind(_));
        let overtakes = || {
            let fills = piece.seq.is_some() && self.waiting.iter().any(|waiting| waiting.way == piece.way);
            !self.waiting.is_empty() && !fills
        };
        if self.is_unsettled || is_ahead || overtakes() {
            self.wait(piece, sink);
        } else {
            self.hand_on(piece, sink);
            self.hand_on_waiting(sink);
        }
    }

    /// Whether what waits begins with the first byte that was counted.
    pub(crate) fn begins_at_0(&self) -> bool {
        self.waiting.front().is_some_and(|first| first.seq == Some(0))
    }

    /// Its socket is known, or nobody tells it.
    pub(crate) fn settle(&mut self, sink: &mut Sink) {
        if std::mem::take(&mut self.is_unsettled) {
            self.hand_on_waiting(sink);
        }
    }

    /// Whether something waits for missing bytes.
    pub(crate) fn waits(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// When missing bytes are given up.
    pub(crate) fn gap_deadline(&self, sink: &Sink) -> u64 {
        self.waiting.front().map_or(u64::MAX, |first| first.time_ns.saturating_add(nanos(sink.limits.gap)))
    }

    /// Gives up what was waited for long enough.
    pub(crate) fn give_up_until(&mut self, now: u64, sink: &mut Sink) {
        while self.gap_deadline(sink) <= now && !self.waiting.is_empty() {
            self.give_up(sink);
        }
    }

    /// Hands on what it has, however much is missing, and closes.
    pub(crate) fn end(mut self, time_ns: u64, sink: &mut Sink) {
        while !self.waiting.is_empty() {
            self.give_up(sink);
        }
        if let Some(datagram) = self.datagram.take() {
            self.end_datagram(datagram, sink);
        }
        if let Some(number) = self.number {
            sink.close(number, sink.clock.from_monotonic(time_ns));
        }
    }

    /// Records of the ring that it holds.
    pub(crate) fn held(&self) -> u64 {
        self.waiting.iter().chain(&self.datagram).map(|piece| piece.records).sum()
    }

    fn wait(&mut self, piece: Piece, sink: &mut Sink) {
        self.waiting_bytes += piece.bytes.len();
        sink.gap_bytes += piece.bytes.len();
        self.waiting.push_back(piece);
        let limits = &sink.limits;
        let (pieces, bytes, total) = (limits.gap_pieces, limits.gap_bytes, limits.gap_bytes_total);
        while self.waiting.len() > pieces
            || self.waiting_bytes > bytes
            || (sink.gap_bytes > total && self.waiting_bytes > 0)
        {
            sink.stats.gaps_hurried += u64::from(!self.is_unsettled);
            self.give_up(sink);
        }
    }

    /// Takes one that waits out of its place.
    fn unwait(&mut self, index: usize, sink: &mut Sink) -> Option<Piece> {
        let piece = self.waiting.remove(index)?;
        self.waiting_bytes -= piece.bytes.len();
        sink.gap_bytes -= piece.bytes.len();
        Some(piece)
    }

    /// Gives up what is missing before the first that waits, so that this or one before it in its direction is next.
    fn give_up(&mut self, sink: &mut Sink) {
        if self.is_unsettled {
            return self.settle(sink);
        }
        let Some(way) = self.waiting.front().map(|first| first.way) else { return };
        let direction = &mut self.ways[way as usize];
        let missing = |piece: &Piece| match direction.place(piece) {
            Place::Here { .. } => 0,
            Place::Behind(missing) => missing,
        };
        // Without a sequence number it waits for its turn, not for bytes.
        let waiting = self.waiting.iter().filter(|piece| piece.way == way && piece.seq.is_some());
        let least = waiting.map(missing).min().unwrap_or_default();
        direction.skip(least);
        sink.stats.gaps += u64::from(least > 0);
        sink.stats.bytes_lost += least;
        self.hand_on_waiting(sink);
    }

    /// Hands on all that waits for nothing any more.
    fn hand_on_waiting(&mut self, sink: &mut Sink) {
        while let Some(first) = self.waiting.front() {
            let ways = &self.ways;
            let is_next = |piece: &Piece| matches!(ways[piece.way as usize].place(piece), Place::Here { .. });
            let way = first.way;
            // The first, or what it waits for.
            let mut waiting = self.waiting.iter().enumerate();
            let next = waiting
                .find(|(index, piece)| piece.way == way && is_next(piece) && (*index == 0 || piece.seq.is_some()));
            let Some(piece) = next.map(|(index, _)| index).and_then(|index| self.unwait(index, sink)) else { return };
            self.hand_on(piece, sink);
        }
    }

    /// Hands on what is new in a piece that goes here.
    fn hand_on(&mut self, mut piece: Piece, sink: &mut Sink) {
        let direction = &mut self.ways[piece.way as usize];
        let known = match direction.place(&piece) {
            Place::Here { known } => known,
            Place::Behind(_) => 0,
        };
        sink.stats.bytes_repeated += known.min(piece.length);
        if known > 0 && known >= piece.length {
            sink.stats.repeated += piece.records;
            return;
        }
        if piece.seq.is_none() {
            let missing = direction.missing_before(&piece);
            direction.skip(missing);
            sink.stats.gaps += u64::from(missing > 0);
            sink.stats.bytes_lost += missing;
        } else if direction.seq.is_none() {
            direction.seq = piece.seq;
        }
        if piece.length == 0 && !self.setting.is_datagrams {
            // It says only that its message is over.
            sink.stats.delivered += piece.records;
            return;
        }
        if let Some(number) = self.number {
            let head = sink.head(number).saturating_sub(piece.at);
            piece.bytes.truncate(usize::try_from(head).unwrap_or(usize::MAX));
        }
        let (offset, seq) = (direction.next, direction.seq);
        direction.skip(piece.length - known);
        let skip = usize::try_from(known).unwrap_or(usize::MAX).min(piece.bytes.len());
        let missing = piece.length - known.max(piece.bytes.len() as u64);
        let side = if piece.way == Way::Sent { self.setting.side } else { self.setting.side.other() };
        let is_tcp = self.setting.transport == Transport::Tcp && !self.setting.is_plaintext;
        let data = Data {
            side,
            time: sink.clock.from_monotonic(piece.time_ns),
            offset,
            bytes: std::mem::take(&mut piece.bytes),
            skip,
            missing,
            tcp_seq: seq.filter(|_| is_tcp),
            records: piece.records,
        };
        if self.number.is_none() {
            self.number = sink.open(self.opening(sink));
            sink.stats.streams_unaddressed += u64::from(self.number.is_some() && self.setting.inode == 0);
        }
        match self.number {
            Some(number) => sink.data(number, data, piece.mark),
            None => sink.stats.dropped += piece.records,
        }
    }

    /// Puts the pieces of a datagram together.
    fn join(&mut self, piece: Piece, sink: &mut Sink) {
        match self.datagram.take() {
            Some(mut begun) if piece.goes_on_with(&begun) => {
                let end = u64::from(piece.at) + piece.length;
                begun.records += piece.records;
                begun.is_last = piece.is_last;
                let fits = begun.bytes.len() + piece.bytes.len() <= sink.limits.gap_bytes;
                // Of what comes behind a hole nobody can say where it is.
                if u64::from(piece.at) == begun.length && begun.length == begun.bytes.len() as u64 && fits {
                    begun.bytes.extend_from_slice(&piece.bytes);
                }
                begun.length = begun.length.max(end);
                self.datagram = Some(begun);
            }
            Some(begun) => {
                self.end_datagram(begun, sink);
                self.datagram = Some(piece);
            }
            None => self.datagram = Some(piece),
        }
        if let Some(datagram) = self.datagram.take_if(|datagram| datagram.is_last) {
            self.end_datagram(datagram, sink);
        }
    }

    fn end_datagram(&mut self, mut datagram: Piece, sink: &mut Sink) {
        // A piece whose beginning was lost is no datagram, but its length is known.
        if datagram.at > 0 {
            datagram.bytes.clear();
            datagram.at = 0;
        }
        (datagram.seq, datagram.length) = (None, u64::from(datagram.total).max(datagram.bytes.len() as u64));
        self.hand_on(datagram, sink);
    }

    fn opening(&self, sink: &Sink) -> StreamOpening {
        let Setting { transport, side, local, remote, interface, from_start, sides_known, begun_ns, .. } = self.setting;
        let (client, server) = if side == Side::Client { (local, remote) } else { (remote, local) };
        let time = sink.clock.from_monotonic(begun_ns);
        StreamOpening { time, transport, client, server, interface, from_start, sides_known }
    }
}
