//! What is kept of one connection between its chunks.

use alloc::boxed::Box;

use crate::buffer::Buffer;
use crate::detection::{Detection, Search};
use crate::open::OpenCalls;
use crate::{DurationEnd, Opening, Parser, Part, Protocol, Side, Timestamp};

/// One connection: a value that its [`Dissector`](crate::Dissector) works on. Small while it is quiet.
pub struct Connection {
    pub(crate) opening: Opening,
    pub(crate) state: State,
    pub(crate) lanes: [Lane; 2],
    pub(crate) open: OpenCalls,
    /// The protocol's client is the side handed in as the server.
    pub(crate) turned: bool,
    /// Messages in a row that were none.
    pub(crate) errors: u8,
    /// A request found its answer: the verdict on the protocol holds.
    pub(crate) confirmed: bool,
    /// Some open request may have lost its answer.
    pub(crate) doubtful: bool,
    /// Some open call may be due before those in front of it.
    pub(crate) early: bool,
    /// Of the last call reported.
    pub(crate) reported: Option<Protocol>,
}

/// What is known of the protocol.
pub(crate) enum State {
    /// Nothing yet.
    Detecting { search: Search, kept: Option<Box<Detection>> },
    /// It is this one.
    Reading { protocol: Protocol, ends: DurationEnd, parser: Box<dyn Parser> },
    /// Nothing more will be read.
    Closed,
}

/// One direction of a connection, seen from the protocol's roles.
#[derive(Debug, Default)]
pub(crate) struct Lane {
    /// Offset of the next byte; `None` before the first.
    pub(crate) next: Option<u64>,
    /// Bytes to pass over, and whose they are.
    pub(crate) skip: Skip,
    pub(crate) buffer: Option<Box<Buffer>>,
    /// Continuity was lost: the start of a message has to be found again.
    pub(crate) lost: bool,
    /// The open calls are marked as those of which bytes of this side are lost, and since then none has begun or was answered.
    pub(crate) marked: bool,
}

/// Bytes to pass over.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Skip {
    pub(crate) left: u64,
    pub(crate) of: Option<Part>,
    /// The message ends with them.
    pub(crate) last: bool,
}

impl Connection {
    /// A connection of which no byte was seen yet.
    #[must_use]
    pub fn new(opening: Opening) -> Self {
        Self {
            opening,
            state: State::Detecting { search: Search::default(), kept: None },
            lanes: [Lane::default(), Lane::default()],
            open: OpenCalls::default(),
            turned: false,
            errors: 0,
            confirmed: false,
            doubtful: false,
            early: false,
            reported: None,
        }
    }

    /// The protocol, once it was recognised. After it ended, or turned into what cannot be read, the one that calls were reported of.
    #[must_use]
    pub fn protocol(&self) -> Option<Protocol> {
        match &self.state {
            State::Reading { protocol, .. } => Some(*protocol),
            _ => self.reported,
        }
    }

    /// Which side, as handed in, is the client: the one that opened the connection, or the one the protocol says.
    #[must_use]
    pub fn client(&self) -> Side {
        if self.turned && !self.opening.sides_known { Side::Server } else { Side::Client }
    }

    /// When [`Dissector::handle_timeout`](crate::Dissector::handle_timeout) wants to be called, if nothing else happens.
    #[must_use]
    pub fn poll_timeout(&self, limits: &crate::Limits) -> Option<Timestamp> {
        if self.open.is_empty() {
            return None;
        }
        self.open.first_due(self.early, |record| record.deadline(limits, self.opening.transport)).map(|(time, _)| time)
    }

    /// Bytes of memory held beyond the value itself.
    #[must_use]
    pub fn memory(&self) -> usize {
        let buffers: usize = self.lanes.iter().filter_map(|lane| lane.buffer.as_deref()).map(Buffer::memory).sum();
        let state = match &self.state {
            State::Reading { parser, .. } => parser.memory(),
            State::Detecting { kept: Some(kept), .. } => kept.memory(),
            _ => 0,
        };
        buffers + state + self.open.memory()
    }

    /// The protocol's side for a side as handed in, and the other way round.
    pub(crate) fn turn(&self, side: Side) -> Side {
        if self.turned { side.other() } else { side }
    }

    /// A call begins, or its answer: the next loss concerns it too.
    pub(crate) fn unmark(&mut self) {
        self.lanes.iter_mut().for_each(|lane| lane.marked = false);
    }

    pub(crate) fn lane(&mut self, side: Side) -> &mut Lane {
        &mut self.lanes[side.index()]
    }
}
