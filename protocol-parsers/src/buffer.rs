//! The beginning of a message whose end has not come yet, with the times at which its bytes came.

use alloc::vec::Vec;

use crate::Timestamp;

/// Times kept per buffer. With more pieces than this, bytes between count as having come with the piece before them.
const MARKS: usize = 32;
/// A buffer with more room than this is not kept for reuse.
const KEPT: usize = 16 << 10;

/// Bytes of one side that belong to no complete message yet.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    pub(crate) bytes: Vec<u8>,
    /// Stream offset of the first byte.
    pub(crate) offset: u64,
    pub(crate) times: Times,
    /// How many bytes there must be before it makes sense to look again.
    pub(crate) need: usize,
}

impl Buffer {
    pub(crate) fn append(&mut self, bytes: &[u8], offset: u64, time: Timestamp) {
        if self.bytes.is_empty() {
            self.offset = offset;
        }
        self.times.mark(offset, time);
        self.bytes.extend_from_slice(bytes);
    }

    /// Drops the first `count` bytes.
    pub(crate) fn consume(&mut self, count: usize) {
        let dropped = count.min(self.bytes.len());
        self.bytes.copy_within(dropped.., 0);
        self.bytes.truncate(self.bytes.len() - dropped);
        self.offset += count as u64;
        self.times.forget_before(self.offset);
        self.need = 0;
    }

    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.times.marks.clear();
        self.need = 0;
    }

    pub(crate) fn memory(&self) -> usize {
        size_of::<Self>() + self.bytes.capacity() + self.times.marks.capacity() * size_of::<(u64, Timestamp)>()
    }

    /// Whether it is worth keeping for the next connection.
    pub(crate) fn is_small(&self) -> bool {
        self.bytes.capacity() <= KEPT
    }
}

/// When the byte at an offset came.
#[derive(Debug, Default)]
pub(crate) struct Times {
    /// Rising offsets of the first bytes of pieces, each with its time.
    marks: Vec<(u64, Timestamp)>,
}

impl Times {
    pub(crate) fn mark(&mut self, offset: u64, time: Timestamp) {
        if self.marks.last().is_some_and(|(_, last)| *last == time) {
            return;
        }
        if self.marks.len() >= MARKS {
            self.marks.pop();
        }
        self.marks.push((offset, time));
    }

    pub(crate) fn at(&self, offset: u64) -> Timestamp {
        let after = self.marks.partition_point(|(start, _)| *start <= offset);
        self.marks.get(after.saturating_sub(1)).map_or(Timestamp::ZERO, |(_, time)| *time)
    }

    fn forget_before(&mut self, offset: u64) {
        let after = self.marks.partition_point(|(start, _)| *start <= offset);
        if after > 1 {
            self.marks.drain(..after - 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(nanos: u64) -> Timestamp {
        Timestamp::from_nanos(nanos)
    }

    #[test]
    fn times_follow_the_pieces_when_the_front_is_consumed() {
        let mut buffer = Buffer::default();
        buffer.append(b"abc", 10, at(1));
        buffer.append(b"def", 13, at(2));
        assert_eq!((buffer.times.at(10), buffer.times.at(12), buffer.times.at(13)), (at(1), at(1), at(2)));
        buffer.consume(4);
        assert_eq!((buffer.bytes.as_slice(), buffer.offset), (b"ef".as_slice(), 14));
        assert_eq!(buffer.times.at(14), at(2));
    }

    #[test]
    fn many_pieces_keep_the_first_and_the_last_time() {
        let mut buffer = Buffer::default();
        for piece in 0..1_000 {
            buffer.append(b"x", piece, at(piece));
        }
        assert_eq!((buffer.times.at(0), buffer.times.at(999)), (at(0), at(999)));
        assert!(buffer.times.marks.len() <= MARKS);
    }
}
