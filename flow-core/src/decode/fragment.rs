//! IP datagrams in pieces (RFC 791 §3.2, RFC 8200 §4.5).
//!
//! Pieces that overlap end their datagram, in both versions of IP: RFC 5722 for IPv6, and what Linux does for IPv4. A piece that brings
//! nothing new is dropped alone: one that lies within another, or within several that came in their order, each the last one so far.

use std::collections::VecDeque;
use std::time::Duration;

use hashbrown::HashMap;
use protocol_parsers::Timestamp;

use super::{Layer, Layers, Region};
use crate::key::{Route, Tuple};
use crate::{DropReason, Limits, Packet};

/// What the pieces of one datagram have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Datagram {
    pub(crate) route: Route,
    pub(crate) protocol: u8,
    pub(crate) id: u32,
}

/// Where a piece belongs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Piece {
    pub(crate) datagram: Datagram,
    pub(crate) offset: u32,
    pub(crate) more: bool,
}

/// What becomes of pieces.
pub(crate) trait Joins {
    /// Takes a piece; gives the datagram when it is the last one.
    fn add(&mut self, layers: &Layers, piece: Piece, payload: Region<'_>) -> Result<Option<Joined>, DropReason>;
}

/// A whole datagram.
#[derive(Debug)]
pub(crate) struct Joined {
    pub(super) route: Route,
    pub(super) protocol: u8,
    pub(super) bytes: Vec<u8>,
    pub(super) frames: u32,
    pub(super) frame_bytes: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    datagram: Datagram,
    layers: Box<[Layer]>,
    interface: u32,
}

#[derive(Debug)]
struct Waiting {
    since: Timestamp,
    /// Sorted by offset, none overlapping.
    pieces: Vec<Part>,
    /// Bytes of all pieces.
    held: u32,
    /// Length of the datagram, once the last piece is there.
    total: Option<u32>,
    /// What the first piece carries. Only in IPv6 may later ones name something else.
    protocol: u8,
    frames: u32,
    frame_bytes: u64,
}

#[derive(Debug)]
struct Part {
    start: u32,
    bytes: Box<[u8]>,
    /// Where the first of those begins that it came behind, in their order.
    run: u32,
}

/// Longest payload of an IP packet: IPv4 counts its header.
const LONGEST: u32 = 65_535;
const LONGEST_V4: u32 = LONGEST - 20;

/// All datagrams in pieces.
#[derive(Debug)]
pub(crate) struct Fragments {
    waiting: HashMap<Key, Waiting, ahash::RandomState>,
    /// By age. Some may have been joined since.
    order: VecDeque<(Key, Timestamp)>,
    datagrams: usize,
    pieces: usize,
    timeout: Duration,
    /// The time that only goes forward.
    now: Timestamp,
    /// The frame being read.
    interface: u32,
    frame_bytes: u64,
    frames_waiting: u64,
    frames_lost: u64,
}

impl Fragments {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            waiting: HashMap::with_hasher(crate::hash::keyed()),
            order: VecDeque::new(),
            datagrams: limits.fragmented_datagrams,
            pieces: limits.fragments_per_datagram,
            timeout: limits.fragment_timeout,
            now: Timestamp::ZERO,
            interface: 0,
            frame_bytes: 0,
            frames_waiting: 0,
            frames_lost: 0,
        }
    }

    /// Frames that wait for others.
    pub(crate) fn waiting(&self) -> u64 {
        self.frames_waiting
    }

    /// Frames that waited and were dropped since this was last asked.
    pub(crate) fn take_lost(&mut self) -> u64 {
        std::mem::take(&mut self.frames_lost)
    }

    /// Drops everything: nothing more will come.
    pub(crate) fn finish(&mut self) {
        self.order.clear();
        let frames = self.waiting.drain().map(|(_, waiting)| waiting.frames).sum();
        self.count_lost(frames);
    }

    /// Drops what has waited for too long at `now`, on the steady clock.
    pub(crate) fn expire(&mut self, now: Timestamp) {
        self.now = now;
        while self.deadline().is_some_and(|deadline| deadline <= now) {
            self.drop_oldest();
        }
    }

    /// When the oldest will have waited for too long.
    pub(crate) fn deadline(&self) -> Option<Timestamp> {
        self.order.front().map(|(_, since)| *since + self.timeout)
    }

    /// The frame whose pieces are added next.
    pub(super) fn frame(&mut self, packet: &Packet<'_>) {
        self.interface = packet.interface;
        self.frame_bytes = u64::from(packet.original_len);
    }

    /// So many frames that waited will not be joined.
    fn count_lost(&mut self, frames: u32) {
        self.frames_waiting = self.frames_waiting.saturating_sub(u64::from(frames));
        self.frames_lost += u64::from(frames);
    }

    /// Adds a piece; gives the datagram when it is the last one.
    fn join(&mut self, layers: &Layers, piece: Piece, payload: Region<'_>) -> Result<Option<Joined>, DropReason> {
        let Piece { mut datagram, offset, more } = piece;
        let is_v4 = matches!(datagram.route, Route::V4 { .. });
        // Only the last piece may end in the middle of 8 bytes. Linux cuts others of IPv4, and refuses those of IPv6 alone.
        let len = if more && is_v4 { payload.len & !7 } else { payload.len };
        let end = offset.saturating_add(len);
        let is_headless = offset == 0 && len < smallest_header(datagram.protocol);
        let is_refused = !is_v4 && (is_headless || end > LONGEST || more && !len.is_multiple_of(8));
        if payload.missing() > 0 || is_refused {
            return Err(DropReason::Fragment);
        }
        let bytes = payload.bytes.get(..len as usize).unwrap_or_default();
        let protocol = datagram.protocol;
        if !is_v4 {
            datagram.protocol = 0;
        }
        let layers = layers.as_slice().iter().filter_map(|layer| layer.in_key(true)).collect();
        let key = Key { datagram, layers, interface: self.interface };
        if !self.waiting.contains_key(&key) {
            self.make_room();
            self.order.push_back((key.clone(), self.now));
        }
        let waiting = self.waiting.entry(key.clone()).or_insert_with(|| Waiting::new(self.now, protocol));
        let fits = len > 0 && end <= if is_v4 { LONGEST_V4 } else { LONGEST };
        let added = if fits { waiting.add(offset, end, more, bytes, self.pieces) } else { Err(Refused::Datagram) };
        if let Err(refused) = added {
            if refused == Refused::Datagram {
                let frames = waiting.frames;
                self.waiting.remove(&key);
                self.count_lost(frames);
            }
            return Err(DropReason::Fragment);
        }
        if offset == 0 {
            waiting.protocol = protocol;
        }
        waiting.frames += 1;
        waiting.frame_bytes += self.frame_bytes;
        if waiting.total != Some(waiting.held) {
            self.frames_waiting += 1;
            return Ok(None);
        }
        let Some(whole) = self.waiting.remove(&key) else { return Ok(None) };
        self.frames_waiting = self.frames_waiting.saturating_sub(u64::from(whole.frames) - 1);
        Ok(Some(Joined {
            route: datagram.route,
            protocol: whole.protocol,
            bytes: whole.pieces.into_iter().flat_map(|part| part.bytes.into_vec()).collect(),
            frames: whole.frames,
            frame_bytes: whole.frame_bytes,
        }))
    }

    fn make_room(&mut self) {
        while self.waiting.len() >= self.datagrams.max(1) && !self.order.is_empty() {
            self.drop_oldest();
        }
        if self.order.len() > 2 * self.datagrams {
            let waiting = &self.waiting;
            self.order.retain(|(key, since)| waiting.get(key).is_some_and(|waiting| waiting.since == *since));
        }
    }

    fn drop_oldest(&mut self) {
        let Some((key, since)) = self.order.pop_front() else { return };
        // A later datagram may have taken the place of the one meant.
        if self.waiting.get(&key).is_some_and(|waiting| waiting.since == since)
            && let Some(waiting) = self.waiting.remove(&key)
        {
            self.count_lost(waiting.frames);
        }
    }
}

impl Joins for Fragments {
    fn add(&mut self, layers: &Layers, piece: Piece, payload: Region<'_>) -> Result<Option<Joined>, DropReason> {
        self.join(layers, piece, payload)
    }
}

/// How much of a transport's header the first piece must have at least (RFC 8200 §4.5).
fn smallest_header(protocol: u8) -> u32 {
    const ICMP_V6: u8 = 58;
    match protocol {
        Tuple::TCP => 20,
        Tuple::UDP | ICMP_V6 => 8,
        _ => 1,
    }
}

/// What a piece spoils.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refused {
    /// Only itself.
    Piece,
    /// The whole datagram.
    Datagram,
}

impl Waiting {
    fn new(since: Timestamp, protocol: u8) -> Self {
        Self { since, pieces: Vec::new(), held: 0, total: None, protocol, frames: 0, frame_bytes: 0 }
    }

    fn add(&mut self, offset: u32, end: u32, more: bool, bytes: &[u8], most: usize) -> Result<(), Refused> {
        let last = self.pieces.last().map_or(0, Part::end);
        let contradicts = match self.total {
            Some(total) => end > total || (!more && end != total),
            None => !more && last > end,
        };
        if contradicts {
            return Err(Refused::Datagram);
        }
        // Where the datagram ends is learnt even from a piece that brings nothing else.
        if !more {
            self.total = Some(end);
        }
        let place = self.pieces.partition_point(|part| part.start <= offset);
        let before = place.checked_sub(1).and_then(|place| self.pieces.get(place));
        let mut behind = self.pieces.iter().skip(place);
        if let Some(before) = before.filter(|before| before.end() > offset) {
            let within =
                before.end() >= end || behind.take_while(|part| part.run == before.run).any(|part| part.end() >= end);
            return Err(if within { Refused::Piece } else { Refused::Datagram });
        }
        if behind.next().is_some_and(|part| part.start < end) || self.pieces.len() >= most {
            return Err(Refused::Datagram);
        }
        let run = before
            .filter(|before| place == self.pieces.len() && before.end() == offset)
            .map_or(offset, |part| part.run);
        self.held += bytes.len() as u32;
        self.pieces.insert(place, Part { start: offset, bytes: bytes.into(), run });
        Ok(())
    }
}

impl Part {
    fn end(&self) -> u32 {
        self.start + self.bytes.len() as u32
    }
}
