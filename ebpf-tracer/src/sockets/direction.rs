//! One direction of a stream: where the next byte is.

use crate::sockets::piece::Piece;

/// What comes further back than this was not sent twice: that much is sent in no time. Then more than 2 GiB are missing.
const FURTHEST_BACK: u32 = 1 << 24;

/// Counts the bytes of one direction.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Direction {
    /// Position of the next byte.
    pub(crate) next: u64,
    /// Its sequence number, where one is known.
    pub(crate) seq: Option<u32>,
    /// Without sequence numbers: the message that pieces come of.
    message: Option<Message>,
}

#[derive(Clone, Copy, Debug)]
struct Message {
    start: u64,
    total: u32,
    id: (u64, u32),
}

/// Where a piece goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Here; so many bytes of it are known already.
    Here {
        /// At the beginning of the piece.
        known: u64,
    },
    /// So many bytes before it are missing.
    Behind(u64),
}

impl Direction {
    /// Where a piece goes that tells its sequence number; one that does not comes next.
    pub(crate) fn place(&self, piece: &Piece) -> Place {
        let (Some(expected), Some(seq)) = (self.seq, piece.seq) else { return Place::Here { known: 0 } };
        let back = expected.wrapping_sub(seq);
        if back <= FURTHEST_BACK {
            Place::Here { known: u64::from(back) }
        } else {
            Place::Behind(u64::from(seq.wrapping_sub(expected)))
        }
    }

    /// Leaves bytes out that are missing.
    pub(crate) fn skip(&mut self, bytes: u64) {
        self.next += bytes;
        self.seq = self.seq.map(|seq| wrapping_add(seq, bytes));
    }

    /// Bytes that are missing before a piece without a sequence number: the messages tell how long they are.
    pub(crate) fn missing_before(&mut self, piece: &Piece) -> u64 {
        let start = match self.message {
            Some(message) if piece.at > 0 && message.id == piece.message => message.start,
            Some(message) => self.next.max(message.start + u64::from(message.total)),
            None => self.next,
        };
        self.message = Some(Message { start, total: piece.total, id: piece.message });
        (start + u64::from(piece.at)).saturating_sub(self.next)
    }
}

fn wrapping_add(seq: u32, bytes: u64) -> u32 {
    // Sequence numbers count modulo 2³².
    seq.wrapping_add((bytes & u64::from(u32::MAX)) as u32)
}
