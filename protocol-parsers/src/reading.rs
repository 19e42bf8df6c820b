//! Cutting a stream into messages: buffering what is incomplete, passing over what need not be read, finding the way back after a loss.

use alloc::boxed::Box;
use core::ops::Range;

use crate::buffer::{Buffer, Times};
use crate::connection::{Active, Skip};
use crate::dissector::release;
use crate::pairing::Beginning;
use crate::{Body, Dissector, Input, MessageWriter, Resync, Side, Step, StreamChunk, Then, Timestamp};

/// Wrong messages in one piece of input before the rest of it is dropped: it bounds the work that bytes made to look like messages cause.
const ERRORS_PER_PIECE: u32 = 8;
/// Wrong messages in a row before the protocol is given up.
const ERRORS_IN_A_ROW: u8 = 16;

/// Contiguous bytes of one side.
pub(crate) struct Piece<'a> {
    pub(crate) side: Side,
    bytes: &'a [u8],
    offset: u64,
    time: When<'a>,
    then: Then,
    /// Bytes of a datagram that were not captured.
    missing: u64,
}

enum When<'a> {
    Once(Timestamp),
    Marked(&'a Times),
}

impl<'a> Piece<'a> {
    pub(crate) fn datagram(side: Side, chunk: &StreamChunk<'a>) -> Self {
        Self {
            side,
            bytes: chunk.bytes,
            offset: chunk.offset,
            time: When::Once(chunk.time),
            then: Then::Gap,
            missing: chunk.missing,
        }
    }

    #[inline]
    fn time_at(&self, position: usize) -> Timestamp {
        match self.time {
            When::Once(time) => time,
            When::Marked(times) => times.at(self.offset + position as u64),
        }
    }
}

/// What [`Dissector::read`] got done.
pub(crate) struct Progress {
    /// Bytes dealt with.
    pub(crate) used: usize,
    /// How many bytes the parser wants from there; 0 if it cannot say.
    need: usize,
}

impl Dissector {
    /// Reads what a chunk adds to its stream. Returns how many of its bytes were dealt with.
    pub(crate) fn read_stream(&mut self, connection: &mut Active, chunk: &StreamChunk<'_>) -> usize {
        let side = connection.turn(chunk.side);
        let Some(mut buffer) = connection.lane(side).buffer.take() else {
            return self.read_directly(connection, side, chunk);
        };
        let limit = self.options.limits.message_bytes;
        let room = limit.saturating_sub(buffer.bytes.len());
        let taken = chunk.bytes.get(..room).unwrap_or(chunk.bytes);
        buffer.append(taken, chunk.offset, chunk.time);
        let full = buffer.bytes.len() >= limit;
        self.stats.long_messages += u64::from(full);
        let then = if full { Then::Limit } else { Then::More };
        self.read_buffer(connection, side, buffer, then);
        taken.len()
    }

    /// Reads a chunk where nothing is buffered before it.
    fn read_directly(&mut self, connection: &mut Active, side: Side, chunk: &StreamChunk<'_>) -> usize {
        let StreamChunk { bytes, offset, time, .. } = *chunk;
        let mut piece = Piece { side, bytes, offset, time: When::Once(time), then: Then::More, missing: 0 };
        let progress = self.read(connection, &piece);
        let rest = bytes.get(progress.used..).unwrap_or_default();
        if rest.is_empty() || !connection.is_reading() {
            return progress.used;
        }
        if rest.len() < self.options.limits.message_bytes {
            let mut buffer = self.buffer();
            buffer.append(rest, offset + progress.used as u64, time);
            buffer.need = progress.need;
            connection.lane(side).buffer = Some(buffer);
            return bytes.len();
        }
        // One chunk longer than the longest message: it is read as far as it goes.
        self.stats.long_messages += 1;
        piece = Piece { bytes: rest, offset: offset + progress.used as u64, then: Then::Limit, ..piece };
        let step = self.read(connection, &piece).used;
        if step == 0 {
            self.lose(connection, side);
            self.stats.unread_bytes += rest.len() as u64;
            return bytes.len();
        }
        progress.used + step
    }

    /// Reads what is buffered; what is left stays buffered.
    fn read_buffer(&mut self, connection: &mut Active, side: Side, mut buffer: Box<Buffer>, then: Then) {
        if then == Then::More && buffer.bytes.len() < buffer.need {
            connection.lane(side).buffer = Some(buffer);
            return;
        }
        let piece = Piece {
            side,
            bytes: &buffer.bytes,
            offset: buffer.offset,
            time: When::Marked(&buffer.times),
            then,
            missing: 0,
        };
        let progress = self.read(connection, &piece);
        let switched = !connection.is_reading();
        let left = buffer.bytes.len() - progress.used;
        if left > 0 && switched {
            // The protocol ended within the buffer: what follows belongs to the next one.
            let time = buffer.times.at(buffer.offset + progress.used as u64);
            let bytes = buffer.bytes.split_off(progress.used);
            let offset = buffer.offset + progress.used as u64;
            release(&mut self.buffers, buffer);
            let side = connection.turn(side);
            self.feed(connection, &mut StreamChunk { side, time, offset, bytes: &bytes, missing: 0 });
            return;
        }
        if left > 0 && then != Then::More && progress.used == 0 {
            self.stats.unread_bytes += left as u64;
            self.lose(connection, side);
            release(&mut self.buffers, buffer);
            return;
        }
        if left == 0 {
            release(&mut self.buffers, buffer);
            return;
        }
        buffer.consume(progress.used);
        buffer.need = progress.need;
        connection.lane(side).buffer = Some(buffer);
    }

    /// Reads message after message.
    pub(crate) fn read(&mut self, connection: &mut Active, piece: &Piece<'_>) -> Progress {
        let side = piece.side;
        let mut used = 0;
        let mut failures = 0;
        while let Some(input @ [_, ..]) = piece.bytes.get(used..) {
            let lane = connection.lane(side);
            if lane.skip.left > 0 {
                used += self.pass_over_in(connection, piece, used);
                continue;
            }
            let lost = lane.lost;
            let Some(parser) = &mut connection.parser else { break };
            if lost {
                let found = parser.resync(side, input);
                if let (Resync::Perhaps(position), Then::More) = (found, piece.then)
                    && position < input.len()
                {
                    self.stats.unread_bytes += position as u64;
                    return Progress { used: used + position, need: input.len() - position + 1 };
                }
                used += self.resume(connection, side, found, input.len());
                continue;
            }
            self.draft.clear();
            self.gathered.clear();
            let mut writer = MessageWriter {
                draft: &mut self.draft,
                open: &connection.open,
                options: &self.options,
                stats: &mut self.stats,
                from: side,
                transport: connection.facts.opening.transport,
                kafka: &mut self.kafka,
                tap: self.tap.as_deref_mut(),
                scratch: &mut self.scratch,
                gathered: &mut self.gathered,
            };
            let left = input.len();
            match parser.parse(side, Input { bytes: input, then: piece.then }, &mut writer) {
                Ok(Step::NeedMore { at_least }) => return Progress { used, need: at_least },
                Ok(Step::Message { used: count @ 1.., body }) if count <= left => {
                    writer.settle();
                    used += self.message(connection, piece, used..used + count, body);
                }
                step => {
                    writer.settle();
                    if let Some(count) = step.ok().and_then(|step| self.take(connection, piece, used, step)) {
                        used += count;
                    } else {
                        // Bytes that led nowhere are not looked at again in the same way.
                        failures += 1;
                        let ended = self.fail(connection, side, input, piece.offset + used as u64 == 0);
                        let dropped = if ended || failures >= ERRORS_PER_PIECE { left } else { 1 };
                        self.stats.unread_bytes += dropped as u64;
                        used += dropped;
                    }
                }
            }
        }
        Progress { used, need: 0 }
    }

    /// Takes a step that neither waits nor begins a message. Returns how many bytes were dealt with; `None` where it cannot be taken.
    // Not within `read`, which is short without it.
    #[inline(never)]
    fn take(&mut self, connection: &mut Active, piece: &Piece<'_>, used: usize, step: Step) -> Option<usize> {
        let side = piece.side;
        let left = piece.bytes.len() - used;
        match step {
            Step::Skip { used: count @ 1.. } => {
                connection.lane(side).skip = Skip { left: count, of: None, last: false };
                Some(0)
            }
            Step::Part { used: count, of, last } if count > 0 || last => {
                connection.errors = 0;
                self.add(connection, side, of);
                connection.lane(side).skip = Skip { left: count, of: Some(of), last };
                if count == 0 {
                    self.end(connection, side, of);
                }
                Some(0)
            }
            Step::End { used: count, of } if count <= left => {
                connection.errors = 0;
                let time = piece.time_at((used + count).saturating_sub(1));
                self.end_call(connection, side, of, (count as u64, time));
                Some(count)
            }
            Step::Switch { used: count, to } if count <= left => {
                self.switch(connection, to);
                self.hand_on(connection, piece.time_at(used));
                Some(count)
            }
            Step::Unanswered { key } => self.give_none(connection, side, key).then_some(0),
            _ => None,
        }
    }

    /// What came was no message. Says whether the protocol was given up.
    #[cold]
    fn fail(&mut self, connection: &mut Active, side: Side, input: &[u8], first: bool) -> bool {
        self.stats.parse_errors += 1;
        connection.errors += 1;
        // The other side's bytes looked like this protocol; the first of this side are none.
        let refuted = connection.facts.opening.from_start && !connection.facts.confirmed && first;
        let given_up = connection.errors >= ERRORS_IN_A_ROW;
        let stands = connection.parser.as_ref().is_some_and(|parser| parser.stands_against(input));
        if refuted && !stands {
            self.withdraw(connection);
        }
        if refuted || given_up {
            self.stats.protocols_given_up += u64::from(!refuted);
            self.detect_again(connection);
        } else {
            self.lose(connection, side);
        }
        refuted || given_up
    }

    /// Goes on after a loss where the parser found a message, or behind all that is there. Returns how many bytes lie before that.
    #[cold]
    fn resume(&mut self, connection: &mut Active, side: Side, found: Resync, available: usize) -> usize {
        let (skipped, found) = match found {
            Resync::At(position) => (position.min(available), true),
            Resync::Perhaps(_) | Resync::Nowhere => (available, false),
        };
        self.stats.unread_bytes += skipped as u64;
        connection.lane(side).lost = !found;
        if skipped > 0 {
            // What is passed over may hold answers.
            self.doubt(connection, side);
        }
        skipped
    }

    /// A message begins with the bytes at `head`. Returns how many were dealt with: those of its body, too, where all of them are there
    /// and nobody wants to see them.
    #[inline(never)]
    fn message(&mut self, connection: &mut Active, piece: &Piece<'_>, head: Range<usize>, body: Body) -> usize {
        connection.errors = 0;
        self.stats.messages += 1;
        let side = piece.side;
        let behind = (piece.bytes.len() - head.end) as u64;
        let beginning = Beginning {
            time: piece.time_at(head.start),
            offset: piece.offset + head.start as u64,
            head_end: piece.time_at(head.end - 1),
            bytes: head.len() as u64 + if behind == 0 { piece.missing } else { 0 },
        };
        let begun = self.begin(connection, side, &beginning);
        let left = match body {
            Body::None => 0,
            Body::Sized(left) if left == 0 || left <= behind && self.tap.is_none() => left as usize,
            Body::Sized(left) => {
                let of = begun.map(|(part, _)| part);
                connection.lane(side).skip = Skip { left, of, last: true };
                return head.len();
            }
            Body::Open => return head.len(),
        };
        if let Some(begun) = begun {
            self.end_at(connection, side, begun, left as u64, piece.time_at(head.end + left - 1));
        }
        head.len() + left
    }

    /// Passes over bytes of a piece that need not be read. Returns how many.
    // Not within `read`, which is short without it.
    #[inline(never)]
    fn pass_over_in(&mut self, connection: &mut Active, piece: &Piece<'_>, used: usize) -> usize {
        let rest = piece.bytes.get(used..).unwrap_or_default();
        if self.tap.is_some() {
            self.show(connection, piece.side, rest);
        }
        self.pass_over(connection, piece.side, rest.len() as u64, |count| piece.time_at(used + count - 1))
    }

    /// Passes over at most `available` bytes that need not be read. Returns how many.
    fn pass_over(
        &mut self,
        connection: &mut Active,
        side: Side,
        available: u64,
        time: impl FnOnce(usize) -> Timestamp,
    ) -> usize {
        let lane = connection.lane(side);
        let count = lane.skip.left.min(available);
        lane.skip.left -= count;
        let Skip { left, of, last } = lane.skip;
        if let Some(part) = of {
            self.cover(connection, side, part, count, time(count as usize));
            if left == 0 && last {
                self.end(connection, side, part);
            }
        }
        count as usize
    }

    /// `missing` bytes of this side were sent but not seen.
    pub(crate) fn gap(&mut self, connection: &mut Active, side: Side, mut missing: u64, time: Timestamp) {
        self.settle(connection);
        self.flush(connection, side);
        if !connection.is_reading() {
            self.forget(connection);
            return;
        }
        while missing > 0 && connection.lane(side).skip.left > 0 {
            missing -= self.pass_over(connection, side, missing, |_| time) as u64;
        }
        if missing > 0 {
            self.stats.gaps += 1;
            self.lose(connection, side);
        }
    }

    /// Reads what is buffered of this side, knowing that nothing will be added to it.
    pub(crate) fn flush(&mut self, connection: &mut Active, side: Side) {
        while let Some(buffer) = connection.lane(side).buffer.take() {
            self.read_buffer(connection, side, buffer, Then::Gap);
        }
    }

    /// What comes next of this side does not continue what came before.
    fn lose(&mut self, connection: &mut Active, side: Side) {
        connection.lane(side).lost = true;
        if let Some(parser) = &mut connection.parser {
            parser.gap(side);
        }
        self.doubt(connection, side);
    }
}
