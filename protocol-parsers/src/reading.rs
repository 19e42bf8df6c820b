//! Cutting a stream into messages: buffering what is incomplete, passing over what need not be read, finding the way back after a loss.

use alloc::boxed::Box;

use crate::buffer::{Buffer, Times};
use crate::connection::{Skip, State};
use crate::dissector::release;
use crate::{
    Body, Connection, Dissector, Input, Key, MessageWriter, ParseError, ParseErrorKind, Part, Resync, Side, Step,
    StreamChunk, Then, Timestamp,
};

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
    /// Reads what a chunk adds to its stream. Returns how many of its bytes were dealt with: all, unless the protocol changed.
    pub(crate) fn read_stream(&mut self, connection: &mut Connection, chunk: &StreamChunk<'_>) -> usize {
        let side = connection.turn(chunk.side);
        let limit = self.options.limits.message_bytes;
        let mut used = 0;
        while used < chunk.bytes.len() && matches!(connection.state, State::Reading { .. }) {
            let rest = chunk.bytes.get(used..).unwrap_or_default();
            let offset = chunk.offset + used as u64;
            used += match connection.lane(side).buffer.take() {
                None => self.read_directly(connection, side, rest, offset, chunk.time, limit),
                Some(mut buffer) => {
                    let room = limit.saturating_sub(buffer.bytes.len());
                    let taken = rest.get(..room).unwrap_or(rest);
                    buffer.append(taken, offset, chunk.time);
                    let full = buffer.bytes.len() >= limit;
                    self.stats.long_messages += u64::from(full);
                    let then = if full { Then::Limit } else { Then::More };
                    self.read_buffer(connection, side, buffer, then);
                    taken.len()
                }
            };
        }
        used
    }

    fn read_directly(
        &mut self,
        connection: &mut Connection,
        side: Side,
        bytes: &[u8],
        offset: u64,
        time: Timestamp,
        limit: usize,
    ) -> usize {
        let mut piece = Piece { side, bytes, offset, time: When::Once(time), then: Then::More, missing: 0 };
        let progress = self.read(connection, &piece);
        let rest = bytes.get(progress.used..).unwrap_or_default();
        if rest.is_empty() || !matches!(connection.state, State::Reading { .. }) {
            return progress.used;
        }
        if rest.len() < limit {
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
    fn read_buffer(&mut self, connection: &mut Connection, side: Side, mut buffer: Box<Buffer>, then: Then) {
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
        let switched = !matches!(connection.state, State::Reading { .. });
        let left = buffer.bytes.len() - progress.used;
        if left > 0 && switched {
            // The protocol ended within the buffer: what follows belongs to the next one.
            let time = buffer.times.at(buffer.offset + progress.used as u64);
            let bytes = buffer.bytes.split_off(progress.used);
            let offset = buffer.offset + progress.used as u64;
            release(&mut self.buffers, buffer);
            let side = connection.turn(side);
            self.feed(connection, StreamChunk { side, time, offset, bytes: &bytes, missing: 0 });
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
    pub(crate) fn read(&mut self, connection: &mut Connection, piece: &Piece<'_>) -> Progress {
        let side = piece.side;
        let length = piece.bytes.len();
        let mut used = 0;
        let mut failures = 0;
        while used < length {
            let lane = connection.lane(side);
            if lane.skip.left > 0 {
                if self.tap.is_some() {
                    self.show(connection, side, piece.bytes.get(used..).unwrap_or_default());
                }
                used += self.pass_over(connection, side, (length - used) as u64, |n| piece.time_at(used + n - 1));
                continue;
            }
            let input = piece.bytes.get(used..).unwrap_or_default();
            let lost = lane.lost;
            let State::Reading { parser, .. } = &mut connection.state else { break };
            if lost {
                let (skipped, found) = match parser.resync(side, input) {
                    Resync::At(position) => (position.min(input.len()), true),
                    Resync::Perhaps(position) if piece.then == Then::More && position < input.len() => {
                        self.stats.unread_bytes += position as u64;
                        return Progress { used: used + position, need: input.len() - position + 1 };
                    }
                    Resync::Perhaps(_) | Resync::Nowhere => (input.len(), false),
                };
                self.stats.unread_bytes += skipped as u64;
                used += skipped;
                connection.lane(side).lost = !found;
                if skipped > 0 {
                    // What is passed over may hold answers.
                    self.doubt(connection, side);
                }
                continue;
            }
            self.draft.clear();
            let mut writer = MessageWriter {
                draft: &mut self.draft,
                open: &connection.open,
                options: &self.options,
                stats: &mut self.stats,
                from: side,
                transport: connection.opening.transport,
                tap: self.tap.as_deref_mut(),
                scratch: &mut self.scratch,
            };
            let step = parser.parse(side, Input { bytes: input, then: piece.then }, &mut writer);
            match step.and_then(|step| checked(step, input.len())) {
                Ok(Step::NeedMore { at_least }) => return Progress { used, need: at_least },
                Ok(Step::Skip { used: count }) => {
                    connection.lane(side).skip = Skip { left: count, of: None, last: false };
                }
                Ok(Step::Message { used: count, body }) => {
                    connection.errors = 0;
                    self.stats.messages += 1;
                    let extra = if used + count == length { piece.missing } else { 0 };
                    let start = (piece.time_at(used), piece.offset + used as u64);
                    let begun =
                        self.begin(connection, side, start, piece.time_at(used + count - 1), count as u64 + extra);
                    match (begun, body) {
                        // In an order it is the one that has begun; of a number used twice, the first that is under way.
                        (Some((Part::Request(Key::Order), at)), Body::None) => self.end_half(connection, at, false),
                        (Some((Part::Response(Key::Order), at)), Body::None) => self.end_half(connection, at, true),
                        (Some((part, _)), Body::None) => self.end(connection, side, part),
                        (begun, Body::Sized(left)) => {
                            let part = begun.map(|(part, _)| part);
                            connection.lane(side).skip = Skip { left, of: part, last: true };
                            if let (Some(part), 0) = (part, left) {
                                self.end(connection, side, part);
                            }
                        }
                        _ => {}
                    }
                    used += count;
                }
                Ok(Step::Part { used: count, of, last }) => {
                    connection.errors = 0;
                    self.add(connection, side, of);
                    connection.lane(side).skip = Skip { left: count, of: Some(of), last };
                    if count == 0 && last {
                        self.end(connection, side, of);
                    }
                }
                Ok(Step::End { used: count, of }) => {
                    connection.errors = 0;
                    let time = piece.time_at((used + count).saturating_sub(1));
                    self.end_call(connection, side, of, (count as u64, time));
                    used += count;
                }
                Ok(Step::Switch { used: count, to }) => {
                    let time = piece.time_at(used);
                    used += count;
                    self.switch(connection, to);
                    self.hand_on(connection, time);
                }
                Ok(Step::Unanswered { key }) if self.give_none(connection, side, key) => {}
                Ok(Step::Unanswered { .. }) | Err(_) => {
                    failures += 1;
                    self.stats.parse_errors += 1;
                    connection.errors += 1;
                    // The other side's bytes looked like this protocol; the first of this side are none.
                    let first = piece.offset + used as u64 == 0;
                    let refuted = connection.opening.from_start && !connection.confirmed && first;
                    let given_up = connection.errors >= ERRORS_IN_A_ROW;
                    let stands =
                        matches!(&connection.state, State::Reading { parser, .. } if parser.stands_against(input));
                    if refuted && !stands {
                        self.withdraw(connection);
                    }
                    if refuted || given_up {
                        self.stats.protocols_given_up += u64::from(!refuted);
                        self.detect_again(connection);
                    } else {
                        self.lose(connection, side);
                    }
                    // Bytes that led nowhere are not looked at again in the same way.
                    let end = refuted || given_up || failures >= ERRORS_PER_PIECE;
                    let dropped = if end { length - used } else { 1 };
                    self.stats.unread_bytes += dropped as u64;
                    used += dropped;
                }
            }
        }
        Progress { used, need: 0 }
    }

    /// Passes over at most `available` bytes that need not be read. Returns how many.
    fn pass_over(
        &mut self,
        connection: &mut Connection,
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
    pub(crate) fn gap(&mut self, connection: &mut Connection, side: Side, mut missing: u64, time: Timestamp) {
        self.flush(connection, side);
        if !matches!(connection.state, State::Reading { .. }) {
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
    pub(crate) fn flush(&mut self, connection: &mut Connection, side: Side) {
        while let Some(buffer) = connection.lane(side).buffer.take() {
            self.read_buffer(connection, side, buffer, Then::Gap);
        }
    }

    /// What comes next of this side does not continue what came before.
    fn lose(&mut self, connection: &mut Connection, side: Side) {
        connection.lane(side).lost = true;
        if let State::Reading { parser, .. } = &mut connection.state {
            parser.gap(side);
        }
        self.doubt(connection, side);
    }
}

/// A step that a parser may take with so many bytes.
fn checked(step: Step, available: usize) -> Result<Step, ParseError> {
    let fine = match step {
        Step::NeedMore { .. } | Step::Unanswered { .. } => true,
        Step::Skip { used } => used > 0,
        Step::Message { used, .. } => used > 0 && used <= available,
        Step::Part { used, last, .. } => used > 0 || last,
        Step::End { used, .. } | Step::Switch { used, .. } => used <= available,
    };
    if fine { Ok(step) } else { Err(ParseError::at(ParseErrorKind::Length, 0)) }
}
