//! What is kept of one connection between its chunks.

use alloc::boxed::Box;

use crate::buffer::Buffer;
use crate::detection::{Detection, Search};
use crate::open::OpenCalls;
use crate::{DurationEnd, Limits, Opening, Parser, Part, Protocol, Side, Timestamp};

/// One connection: a value that its [`Dissector`](crate::Dissector) works on. Small while it is at rest: no call is open and no byte waits.
pub struct Connection {
    pub(crate) form: Form,
}

/// Most connections are at rest most of the time.
pub(crate) enum Form {
    AtRest(AtRest),
    Active(Box<Active>),
}

/// What is kept of a connection with nothing under way.
pub(crate) struct AtRest {
    pub(crate) facts: Facts,
    /// `None` where the protocol is not known, or any new parser will do.
    pub(crate) parser: Option<Box<dyn Parser>>,
}

const _: () = assert!(size_of::<Connection>() <= 56, "there are many, and most are at rest");

/// What is known of a connection at all times.
#[derive(Clone, Copy)]
pub(crate) struct Facts {
    /// Of each of the protocol's sides, the offset of the next byte; [`UNSEEN`](Self::UNSEEN) before the first, where that may be any.
    pub(crate) next: [u64; 2],
    /// The one that is read. Where none is, the last one that calls were reported of.
    pub(crate) protocol: Option<Protocol>,
    pub(crate) opening: Opening,
    pub(crate) state: State,
    /// Where the durations of this protocol's calls end.
    pub(crate) ends: DurationEnd,
    /// Calls of this protocol were reported.
    pub(crate) reported: bool,
    /// The protocol's client is the side handed in as the server.
    pub(crate) turned: bool,
    /// A request found its answer: the verdict on the protocol holds.
    pub(crate) confirmed: bool,
}

/// What is known of the protocol.
#[derive(Clone, Copy)]
pub(crate) enum State {
    /// Nothing yet.
    Detecting(Search),
    /// It is that of this spec.
    Reading { spec: u16 },
    /// Nothing more will be read.
    Closed,
}

/// A connection with something under way. These are used again and again, for one connection after the other.
pub(crate) struct Active {
    pub(crate) facts: Facts,
    /// Of the protocol that is read.
    pub(crate) parser: Option<Box<dyn Parser>>,
    /// The protocol before, if calls were reported of that one only.
    pub(crate) earlier: Option<Protocol>,
    /// Bytes by which the protocol could not be told yet.
    pub(crate) kept: Option<Box<Detection>>,
    pub(crate) lanes: [Lane; 2],
    pub(crate) open: OpenCalls,
    /// Messages in a row that were none.
    pub(crate) errors: u8,
    /// Some open request may have lost its answer.
    pub(crate) doubtful: bool,
    /// Some open call may be due before those in front of it.
    pub(crate) early: bool,
}

/// What is under way in one direction of a connection, seen from the protocol's roles.
#[derive(Debug, Default)]
pub(crate) struct Lane {
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
        let facts = Facts {
            next: [if opening.from_start { 0 } else { Facts::UNSEEN }; 2],
            protocol: None,
            opening,
            state: State::Detecting(Search::default()),
            ends: DurationEnd::Message,
            reported: false,
            turned: false,
            confirmed: false,
        };
        Self { form: Form::AtRest(AtRest { facts, parser: None }) }
    }

    fn facts(&self) -> &Facts {
        match &self.form {
            Form::AtRest(at_rest) => &at_rest.facts,
            Form::Active(active) => &active.facts,
        }
    }

    /// The protocol, once it was recognised. After it ended, or turned into what cannot be read, the one that calls were reported of. Once
    /// the connection was closed, what it was before that.
    #[must_use]
    pub fn protocol(&self) -> Option<Protocol> {
        self.facts().protocol
    }

    /// Which side, as handed in, is the client: the one that opened the connection, or the one the protocol says.
    #[must_use]
    pub fn client(&self) -> Side {
        self.facts().client()
    }

    /// When [`Dissector::handle_timeout`](crate::Dissector::handle_timeout) wants to be called, if nothing else happens.
    #[must_use]
    pub fn poll_timeout(&self, limits: &Limits) -> Option<Timestamp> {
        let Form::Active(active) = &self.form else { return None };
        if active.open.is_empty() {
            return None;
        }
        let transport = active.facts.opening.transport;
        active.open.first_due(active.early, |record| record.deadline(limits, transport)).map(|(time, _)| time)
    }

    /// Bytes of memory held beyond the value itself.
    #[must_use]
    pub fn memory(&self) -> usize {
        match &self.form {
            Form::AtRest(at_rest) => at_rest.parser.as_deref().map_or(0, Parser::memory),
            Form::Active(active) => active.memory(),
        }
    }
}

impl Facts {
    /// Nothing of this side was seen.
    pub(crate) const UNSEEN: u64 = u64::MAX;

    /// The side, as handed in, that is the client.
    pub(crate) fn client(&self) -> Side {
        if self.turned && !self.opening.sides_known { Side::Server } else { Side::Client }
    }
}

impl Active {
    #[cold]
    pub(crate) fn new(facts: Facts, parser: Option<Box<dyn Parser>>) -> Box<Self> {
        Box::new(Self {
            facts,
            parser,
            earlier: None,
            kept: None,
            lanes: Default::default(),
            open: OpenCalls::default(),
            errors: 0,
            doubtful: false,
            early: false,
        })
    }

    /// Whether nothing is under way.
    #[inline(always)]
    pub(crate) fn is_at_rest(&self) -> bool {
        let is_quiet = |lane: &Lane| lane.skip.left == 0 && lane.buffer.is_none() && !lane.lost;
        let [client, server] = &self.lanes;
        self.open.is_empty()
            && is_quiet(client)
            && is_quiet(server)
            && self.errors == 0
            && self.kept.is_none()
            && self.earlier.is_none()
    }

    /// Takes out what is kept of a connection at rest. A parser that knows nothing stays.
    #[inline(always)]
    pub(crate) fn rest(&mut self) -> AtRest {
        // Without open calls, they say nothing.
        (self.doubtful, self.early) = (false, false);
        let parser =
            if self.parser.as_ref().is_some_and(|parser| !parser.is_as_new()) { self.parser.take() } else { None };
        AtRest { facts: self.facts, parser }
    }

    /// Bytes of memory held beyond the value itself.
    pub(crate) fn memory(&self) -> usize {
        let buffers: usize = self.lanes.iter().filter_map(|lane| lane.buffer.as_deref()).map(Buffer::memory).sum();
        let parser = self.parser.as_deref().map_or(0, Parser::memory);
        let kept = self.kept.as_deref().map_or(0, Detection::memory);
        size_of::<Self>() + buffers + parser + kept + self.open.memory()
    }

    pub(crate) fn is_reading(&self) -> bool {
        matches!(self.facts.state, State::Reading { .. })
    }

    /// The protocol that is read from now on.
    pub(crate) fn begin_protocol(&mut self, protocol: Protocol) {
        if self.facts.reported {
            self.earlier = self.facts.protocol;
        }
        self.facts.protocol = Some(protocol);
        self.facts.reported = self.earlier == Some(protocol);
        self.earlier = self.earlier.filter(|earlier| *earlier != protocol);
    }

    /// No protocol is read from now on.
    pub(crate) fn end_protocol(&mut self) {
        self.parser = None;
        if !self.facts.reported {
            self.facts.protocol = self.earlier.take();
            self.facts.reported = self.facts.protocol.is_some();
        }
    }

    /// A call of the protocol that is read was reported.
    pub(crate) fn note_reported(&mut self) {
        self.facts.reported = true;
        self.earlier = None;
    }

    /// The protocol's side for a side as handed in, and the other way round.
    pub(crate) fn turn(&self, side: Side) -> Side {
        if self.facts.turned { side.other() } else { side }
    }

    /// Who is the protocol's client turns out to be otherwise.
    pub(crate) fn turn_round(&mut self) {
        self.facts.turned = !self.facts.turned;
        self.facts.next.swap(0, 1);
        self.lanes.swap(0, 1);
    }

    /// A call begins, or its answer: the next loss concerns it too.
    pub(crate) fn unmark(&mut self) {
        self.lanes.iter_mut().for_each(|lane| lane.marked = false);
    }

    pub(crate) fn lane(&mut self, side: Side) -> &mut Lane {
        &mut self.lanes[side.index()]
    }
}
