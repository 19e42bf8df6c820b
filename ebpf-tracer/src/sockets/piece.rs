//! A piece of a message on its way.

use metaflow_ebpf_common::{Flags, Operation, SocketEvent};

use crate::event::operation;
use crate::marks::Mark;
use crate::order::counts_from;

/// Which way a message goes, seen from the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// From the process.
    Sent,
    /// To it.
    Received,
}

impl Way {
    /// The way back.
    pub(crate) fn other(self) -> Self {
        match self {
            Self::Sent => Self::Received,
            Self::Received => Self::Sent,
        }
    }
}

/// What one record of the ring has of a message.
#[derive(Debug)]
pub(crate) struct Piece {
    pub(crate) way: Way,
    /// When the message counts from.
    pub(crate) time_ns: u64,
    /// Which message: when its call returned, and the thread.
    pub(crate) message: (u64, u32),
    /// Bytes of the whole message.
    pub(crate) total: u32,
    /// Where in it this piece begins.
    pub(crate) at: u32,
    /// Nothing more of it comes.
    pub(crate) is_last: bool,
    /// Sequence number of the first byte of this piece.
    pub(crate) seq: Option<u32>,
    pub(crate) bytes: Vec<u8>,
    /// With what was not captured behind the bytes.
    pub(crate) length: u64,
    /// How many records of the ring it was.
    pub(crate) records: u64,
    /// At the beginning of a message.
    pub(crate) mark: Option<Mark>,
}

impl Piece {
    /// Of an event that is a message; `None` for others.
    pub(crate) fn of(event: &SocketEvent, bytes: Vec<u8>, mark: Option<Mark>) -> Option<Self> {
        let way = match operation(event.operation)? {
            Operation::Send => Way::Sent,
            Operation::Receive => Way::Received,
            _ => return None,
        };
        let is_last = event.flags & Flags::LAST != 0;
        let captured = bytes.len() as u64;
        let behind = u64::from(event.total.saturating_sub(event.at));
        Some(Self {
            way,
            time_ns: counts_from(event),
            message: (event.header.time_ns, event.header.tid),
            total: event.total,
            at: event.at,
            is_last,
            seq: (event.flags & Flags::POSITION != 0).then(|| event.position.wrapping_add(event.at)),
            length: if is_last { behind.max(captured) } else { captured },
            bytes,
            records: 1,
            mark,
        })
    }

    /// Whether it goes on with the message that another one began. One call may send several.
    pub(crate) fn goes_on_with(&self, other: &Self) -> bool {
        self.at > 0 && (self.way, self.message, self.total) == (other.way, other.message, other.total)
    }
}
