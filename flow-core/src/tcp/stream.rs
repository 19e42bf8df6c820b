//! One direction of a connection: segments as they come → bytes in order, each once.
//!
//! Where segments overlap, the byte is taken that Linux would hand to its application. Of segments that arrived in order, that is the
//! first. Those that wait for earlier bytes form runs, in a search tree by their first byte: a segment that meets a run on its way down
//! which ends where it begins makes it longer; one that lies within a run it meets is dropped; any other is a run of its own, and replaces
//! those it covers from its first byte on. Of two that overlap, the byte is that of the run that begins first.

mod tree;

use protocol_parsers::Timestamp;

use super::sequence::{NEAR, WINDOW, distance};
use crate::decode::Region;
use crate::{Limits, Stats};
use tree::Tree;

/// In-order delivery of one direction.
#[derive(Debug, Default)]
pub(crate) struct Stream {
    /// What came early, if anything is there.
    waiting: Option<Box<Waiting>>,
    /// Position in the stream of the next byte to hand on.
    offset: u64,
    /// Its sequence number, once the stream has begun.
    number: u32,
    has_begun: bool,
    /// Everything up to the FIN was handed on.
    is_ended: bool,
}

const _: () = assert!(size_of::<Stream>() <= 24, "there are two to a conversation");

/// Bytes that wait for earlier ones.
#[derive(Debug, Default)]
struct Waiting {
    /// By sequence number.
    runs: Vec<Run>,
    /// Where they begin.
    tree: Tree,
    /// Their memory.
    held: usize,
}

/// Segments each of which, when it came, began where the one before it ended.
#[derive(Debug)]
struct Run {
    seq: u32,
    /// Sequence numbers: bytes, and the FIN.
    len: u32,
    segments: Vec<Segment>,
}

#[derive(Debug)]
struct Segment {
    /// With bytes that were not captured.
    len: u32,
    fin: bool,
    time: Timestamp,
    bytes: Box<[u8]>,
}

/// Bytes in order.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Piece<'a> {
    pub(crate) time: Timestamp,
    pub(crate) offset: u64,
    pub(crate) bytes: &'a [u8],
    /// Behind them, not captured.
    pub(crate) missing: u32,
}

/// What all streams share.
#[derive(Debug)]
pub(crate) struct Shared<'a> {
    pub(crate) limits: &'a Limits,
    pub(crate) stats: &'a mut Stats,
    /// Memory that all streams hold.
    pub(crate) held: &'a mut usize,
}

impl Stream {
    /// The first byte has this sequence number, unless an earlier one was seen.
    pub(crate) fn begin(&mut self, seq: u32) {
        if !self.has_begun {
            (self.has_begun, self.number) = (true, seq);
        }
    }

    /// Sequence number of the next byte to hand on; `None` before the first.
    fn next(&self) -> Option<u32> {
        self.has_begun.then_some(self.number)
    }

    /// Passes over bytes that need no putting in order, of datagrams. Returns the position of the first.
    pub(crate) fn pass(&mut self, bytes: u32) -> u64 {
        let position = self.offset;
        self.offset += u64::from(bytes);
        position
    }

    /// Sequence number of the stream's first byte.
    pub(crate) fn base(&self) -> Option<u32> {
        self.next().map(|next| next.wrapping_sub(self.offset as u32).wrapping_sub(u32::from(self.is_ended)))
    }

    /// Whether everything before `seq` was handed on.
    pub(crate) fn reached(&self, seq: u32) -> bool {
        self.next().is_some_and(|next| distance(next, seq) <= 0)
    }

    /// Whether bytes before `ack` are missing, and none behind them came.
    pub(crate) fn misses(&self, ack: u32) -> bool {
        self.waiting.is_none() && self.next().is_some_and(|next| (1..=NEAR).contains(&distance(next, ack)))
    }

    /// Whether a segment with this sequence number may well be one of this stream, and what it acknowledges be true.
    pub(crate) fn is_near(&self, seq: u32) -> bool {
        self.next().is_none_or(|next| (-NEAR..=NEAR).contains(&distance(next, seq)))
    }

    /// Whether bytes wait for earlier ones. A FIN alone can wait for as long as it likes.
    pub(crate) fn is_waiting(&self) -> bool {
        let mut segments = self.waiting.iter().flat_map(|waiting| &waiting.runs).flat_map(|run| &run.segments);
        segments.any(|segment| segment.len > 0)
    }

    /// Takes a segment's payload, and its FIN; hands on what is in order now. Behind the FIN, nothing is.
    pub(crate) fn push(
        &mut self,
        time: Timestamp,
        seq: u32,
        payload: Region<'_>,
        fin: bool,
        shared: &mut Shared<'_>,
        hand_on: &mut impl FnMut(Piece<'_>),
    ) {
        self.begin(seq);
        let ahead = distance(self.number, seq);
        if ahead >= 0 && self.is_ended || !(-WINDOW..=WINDOW).contains(&ahead) {
            shared.stats.segments_out_of_window += 1;
        } else if ahead > 0 {
            let segment = Segment { len: payload.len, fin, time, bytes: payload.bytes.into() };
            self.waiting.get_or_insert_default().keep(seq, segment, shared);
            self.shrink(shared, hand_on);
        } else {
            self.deliver(time, seq, payload.bytes, (payload.len, fin), shared.stats, hand_on);
            self.drain(shared, hand_on);
        }
    }

    /// The other side has everything before `ack`: what of it was not captured never will be.
    pub(crate) fn acknowledged(
        &mut self,
        time: Timestamp,
        ack: u32,
        shared: &mut Shared<'_>,
        hand_on: &mut impl FnMut(Piece<'_>),
    ) {
        while let Some(next) = self.next() {
            let ahead = distance(next, ack);
            if ahead <= 0 || ahead > NEAR {
                return;
            }
            match self.first() {
                Some(first) if distance(first, ack) > 0 => self.give_up_hole(shared, hand_on),
                _ => {
                    self.skip(ahead as u32, shared.stats);
                    hand_on(Piece { time, offset: self.offset, bytes: &[], missing: 0 });
                    self.drain(shared, hand_on);
                }
            }
        }
    }

    /// Nothing more will come: hands on what waits.
    pub(crate) fn finish(&mut self, shared: &mut Shared<'_>, hand_on: &mut impl FnMut(Piece<'_>)) {
        while self.waiting.is_some() {
            self.give_up_hole(shared, hand_on);
        }
    }

    /// Where what waits begins.
    fn first(&self) -> Option<u32> {
        Some(self.waiting.as_ref()?.runs.first()?.seq)
    }

    /// Hands on what of a segment is new. Its first byte is not behind the next one expected.
    fn deliver(
        &mut self,
        time: Timestamp,
        seq: u32,
        bytes: &[u8],
        (len, fin): (u32, bool),
        stats: &mut Stats,
        hand_on: &mut impl FnMut(Piece<'_>),
    ) {
        let Some(next) = self.next() else { return };
        if self.is_ended {
            stats.bytes_repeated += u64::from(len);
            return;
        }
        let behind = next.wrapping_sub(seq);
        let seen = behind.min(len);
        stats.bytes_repeated += u64::from(seen);
        if fin && behind <= len {
            self.is_ended = true;
            self.number = seq.wrapping_add(len).wrapping_add(1);
        }
        let (bytes, len) = (bytes.get(seen as usize..).unwrap_or_default(), len - seen);
        if len == 0 {
            return;
        }
        let missing = len.saturating_sub(bytes.len() as u32);
        hand_on(Piece { time, offset: self.offset, bytes, missing });
        self.number = next.wrapping_add(len + u32::from(self.is_ended));
        self.offset += u64::from(len);
        stats.bytes_delivered += bytes.len() as u64;
        stats.bytes_missing += u64::from(missing);
    }

    /// Keeps to the limits by giving up holes.
    fn shrink(&mut self, shared: &mut Shared<'_>, hand_on: &mut impl FnMut(Piece<'_>)) {
        while let Some(waiting) = &self.waiting {
            let limits = shared.limits;
            if waiting.held <= limits.reassembly_bytes_per_side
                && waiting.segments() <= limits.reassembly_segments
                && *shared.held <= limits.reassembly_bytes
            {
                return;
            }
            shared.stats.reassembly_overflows += 1;
            self.give_up_hole(shared, hand_on);
        }
    }

    /// Goes on at the first segment that waits.
    fn give_up_hole(&mut self, shared: &mut Shared<'_>, hand_on: &mut impl FnMut(Piece<'_>)) {
        if let (Some(next), Some(first)) = (self.next(), self.first()) {
            self.skip(distance(next, first).max(0) as u32, shared.stats);
        }
        self.drain(shared, hand_on);
    }

    fn skip(&mut self, bytes: u32, stats: &mut Stats) {
        self.number = self.number.wrapping_add(bytes);
        self.offset += u64::from(bytes);
        stats.bytes_missing += u64::from(bytes);
    }

    /// Hands on what is in order now.
    fn drain(&mut self, shared: &mut Shared<'_>, hand_on: &mut impl FnMut(Piece<'_>)) {
        let Some(mut waiting) = self.waiting.take() else { return };
        let mut done = 0;
        while let (Some(next), Some(run)) = (self.next(), waiting.runs.get_mut(done)) {
            if distance(next, run.seq) > 0 {
                break;
            }
            done += 1;
            waiting.tree.remove(run.seq);
            waiting.held -= run.memory();
            *shared.held -= run.memory();
            let mut seq = run.seq;
            for Segment { len, fin, time, bytes } in std::mem::take(&mut run.segments) {
                self.deliver(time, seq, &bytes, (len, fin), shared.stats, hand_on);
                seq = seq.wrapping_add(len + u32::from(fin));
            }
        }
        waiting.runs.drain(..done);
        if self.is_ended {
            *shared.held -= waiting.held;
            return;
        }
        if !waiting.runs.is_empty() {
            self.waiting = Some(waiting);
        }
    }
}

/// What becomes of a segment that comes early.
enum Place {
    /// All of it is there.
    Known,
    /// It is the next of the run that begins here.
    Behind(u32),
    /// It is a run of its own.
    New,
}

impl Waiting {
    /// Puts a segment to the others, as Linux's out-of-order queue does.
    fn keep(&mut self, seq: u32, segment: Segment, shared: &mut Shared<'_>) {
        let numbers = segment.len + u32::from(segment.fin);
        let end = seq.wrapping_add(numbers);
        let mut added = segment.memory();
        match self.place(seq, end) {
            Place::Known => {
                shared.stats.bytes_repeated += u64::from(segment.len);
                return;
            }
            Place::Behind(run) => {
                if let Some(run) = self.find(run).and_then(|place| self.runs.get_mut(place)) {
                    run.len += numbers;
                    run.segments.push(segment);
                }
            }
            Place::New => {
                let place = self.behind(seq);
                let is_covered = |run: &&Run| distance(run.end(), end) >= 0;
                let covered = self.runs.iter().skip(place).take_while(is_covered).count();
                for run in self.runs.drain(place..place + covered) {
                    // One that is replaced from its first byte on leaves its place in the tree.
                    if run.seq != seq {
                        self.tree.remove(run.seq);
                    }
                    shared.stats.bytes_repeated += u64::from(run.len);
                    self.held -= run.memory();
                    *shared.held -= run.memory();
                }
                added += Run::COST;
                self.runs.insert(place, Run { seq, len: numbers, segments: vec![segment] });
            }
        }
        self.held += added;
        *shared.held += added;
    }

    /// Looks for the place of a segment.
    fn place(&mut self, seq: u32, end: u32) -> Place {
        // Linux looks at the last one first: most come in their order.
        if let Some(last) = self.runs.last() {
            match distance(last.end(), seq) {
                0 => return Place::Behind(last.seq),
                1.. => {
                    self.tree.insert(seq);
                    return Place::New;
                }
                _ => {}
            }
        }
        for met in self.tree.path(seq) {
            let Some(run) = self.find(met).and_then(|place| self.runs.get(place)) else { continue };
            match distance(run.end(), seq) {
                _ if distance(seq, run.seq) > 0 => {}
                0 => return Place::Behind(run.seq),
                ..0 if distance(end, run.end()) >= 0 => return Place::Known,
                ..0 if run.seq == seq => return Place::New,
                _ => {}
            }
        }
        self.tree.insert(seq);
        Place::New
    }

    /// Where in `runs` one belongs that begins here.
    fn behind(&self, seq: u32) -> usize {
        self.runs.partition_point(|run| distance(run.seq, seq) > 0)
    }

    fn find(&self, seq: u32) -> Option<usize> {
        let place = self.behind(seq);
        self.runs.get(place).filter(|run| run.seq == seq).map(|_| place)
    }

    fn segments(&self) -> usize {
        self.runs.iter().map(|run| run.segments.len()).sum()
    }
}

impl Run {
    /// Memory that one takes, its segments apart.
    const COST: usize = size_of::<Self>() + Tree::COST;

    fn end(&self) -> u32 {
        self.seq.wrapping_add(self.len)
    }

    fn memory(&self) -> usize {
        Self::COST + self.segments.iter().map(Segment::memory).sum::<usize>()
    }
}

impl Segment {
    fn memory(&self) -> usize {
        size_of::<Self>() + self.bytes.len()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    /// The policy of this module's documentation, with none of its care for speed. Only the tree is the same: it is tested alone.
    #[derive(Default)]
    struct Model {
        next: usize,
        waiting: BTreeMap<usize, Vec<u8>>,
        tree: Tree,
        delivered: Vec<Option<u8>>,
    }

    impl Model {
        fn push(&mut self, start: usize, bytes: &[u8]) {
            if start <= self.next {
                self.deliver(start, bytes);
                self.drain();
                return;
            }
            let end = start + bytes.len();
            let last = self.waiting.last_key_value().map(|(last, held)| (*last, last + held.len()));
            let met = match last {
                Some((last, last_end)) if last_end == start => Some(last),
                Some((_, last_end)) if last_end < start => None,
                _ => {
                    let met: Vec<_> = self.tree.path(start as u32).map(|met| met as usize).collect();
                    let meets = |met: &usize| {
                        let met_end = met + self.waiting[met].len();
                        *met <= start && (met_end == start || met_end >= end || *met == start)
                    };
                    met.into_iter().find(meets)
                }
            };
            match met.and_then(|met| self.waiting.get_mut(&met).map(|held| (met, held))) {
                Some((met, held)) if met + held.len() == start => held.extend(bytes),
                Some((met, held)) if met + held.len() >= end => {}
                _ => {
                    if self.waiting.insert(start, bytes.to_vec()).is_none() {
                        self.tree.insert(start as u32);
                    }
                    let behind = self.waiting.range(start + 1..);
                    let covered: Vec<_> = behind
                        .take_while(|(other, held)| *other + held.len() <= end)
                        .map(|(other, _)| *other)
                        .collect();
                    for other in covered {
                        self.waiting.remove(&other);
                        self.tree.remove(other as u32);
                    }
                }
            }
        }

        fn deliver(&mut self, start: usize, bytes: &[u8]) {
            let new = bytes.get(self.next - start..).unwrap_or_default();
            self.delivered.extend(new.iter().map(|byte| Some(*byte)));
            self.next += new.len();
        }

        fn drain(&mut self) {
            while let Some((start, bytes)) = self.waiting.pop_first() {
                if start > self.next {
                    self.waiting.insert(start, bytes);
                    return;
                }
                self.tree.remove(start as u32);
                self.deliver(start, &bytes);
            }
        }

        fn finish(&mut self) {
            while let Some((start, _)) = self.waiting.first_key_value() {
                self.delivered.resize(*start, None);
                self.next = *start;
                self.drain();
            }
        }
    }

    fn check(base: u32, segments: &[(usize, usize)], limits: &Limits) -> Result<(), TestCaseError> {
        let (mut stream, mut model) = (Stream::default(), Model::default());
        let (mut stats, mut held) = (Stats::default(), 0);
        let mut delivered: Vec<Option<u8>> = Vec::new();
        let mut hand_on = |piece: Piece<'_>| {
            assert!(piece.offset as usize >= delivered.len(), "each byte once, in order");
            delivered.resize(piece.offset as usize, None);
            delivered.extend(piece.bytes.iter().map(|byte| Some(*byte)));
        };
        let mut shared = Shared { limits, stats: &mut stats, held: &mut held };
        stream.begin(base);
        for (number, &(start, length)) in segments.iter().enumerate() {
            let bytes = vec![number as u8; length];
            let region = Region::new(&bytes, length as u32);
            stream.push(Timestamp::ZERO, base.wrapping_add(start as u32), region, false, &mut shared, &mut hand_on);
            model.push(start, &bytes);
            let runs = stream.waiting.iter().flat_map(|waiting| &waiting.runs);
            let held = stream.waiting.as_ref().map_or(0, |waiting| waiting.held);
            prop_assert_eq!((*shared.held, *shared.held), (held, runs.clone().map(Run::memory).sum::<usize>()));
            let starts = runs.map(|run| run.seq.wrapping_sub(base) as usize);
            prop_assert!(starts.eq(model.waiting.keys().copied()));
        }
        stream.finish(&mut shared, &mut hand_on);
        model.finish();
        let missing = model.delivered.iter().filter(|byte| byte.is_none()).count() as u64;
        let all: u64 = segments.iter().map(|(_, length)| *length as u64).sum();
        prop_assert_eq!(&delivered, &model.delivered);
        prop_assert_eq!((stats.bytes_missing, stats.bytes_delivered), (missing, delivered.len() as u64 - missing));
        prop_assert!(stats.bytes_delivered + stats.bytes_repeated <= all);
        prop_assert_eq!((held, stream.is_waiting()), (0, false));
        Ok(())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn segments_that_differ_where_they_overlap_are_resolved_as_documented(
            base in prop_oneof![any::<u32>(), Just(u32::MAX - 10)],
            segments in prop::collection::vec((0usize..40, 1usize..14), 0..16),
        ) {
            check(base, &segments, &Limits::default())?;
        }
    }

    #[test]
    fn the_same_for_every_pair_of_segments_and_what_fills_the_hole_before_them() {
        for first in (1..6).flat_map(|start| (1..5).map(move |length| (start, length))) {
            for second in (0..8).flat_map(|start| (1..6).map(move |length| (start, length))) {
                for third in [(0, 1), (0, 3), (2, 3)] {
                    check(u32::MAX - 2, &[first, second, third, (0, 1)], &Limits::default()).unwrap();
                }
            }
        }
    }
}
