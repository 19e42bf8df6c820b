//! What a protocol has to bring: a way to recognise it and a way to read it.

use alloc::boxed::Box;
use core::fmt;

use crate::{MessageWriter, Options, Protocol, Side, Transport};

/// A protocol: how it is recognised and how it is read. Built-in protocols are constants; a plug-in is one more value.
pub trait ProtocolSpec: Send + Sync {
    /// Number and name.
    fn protocol(&self) -> Protocol;

    /// Whether the bytes belong to this protocol. Pure: the same bytes, the same answer.
    fn infer(&self, probe: &Probe<'_>) -> Verdict;

    /// A reader for one connection.
    fn parser(&self, options: &Options) -> Box<dyn Parser>;

    /// At which byte of the response a call's duration ends.
    fn duration_ends(&self) -> DurationEnd {
        DurationEnd::Message
    }
}

impl fmt::Debug for dyn ProtocolSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.protocol().fmt(f)
    }
}

/// At which byte of the response a call's duration ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DurationEnd {
    /// The last byte of the head (status line and headers).
    Head,
    /// The last byte of the whole message.
    Message,
}

/// What has been seen of a connection whose protocol is not known yet.
#[derive(Clone, Copy, Debug)]
pub struct Probe<'a> {
    /// Bytes of the client, beginning at the start of the stream or of a chunk.
    pub client: &'a [u8],
    /// Bytes of the server, likewise.
    pub server: &'a [u8],
    /// Who sent the first of these bytes.
    pub first: Side,
    /// How the bytes travel.
    pub transport: Transport,
    /// Whether the bytes begin at the start of the connection.
    pub from_start: bool,
    /// Whether it is sure which side is the client.
    pub sides_known: bool,
    /// The server's port, where known. May decide between protocols that both fit, never alone.
    pub server_port: Option<u16>,
}

impl<'a> Probe<'a> {
    /// The bytes of one side.
    #[must_use]
    pub const fn of(&self, side: Side) -> &'a [u8] {
        match side {
            Side::Client => self.client,
            Side::Server => self.server,
        }
    }

    /// For a protocol that runs over streams and whose verdict on one side's bytes does not hang on the other's: asks `look` about both
    /// sides, the one that spoke first first. The first [`Verdict::Yes`] counts, else [`Verdict::Unsure`] where one was.
    pub fn each_side(&self, mut look: impl FnMut(Side, &'a [u8]) -> Verdict) -> Verdict {
        if self.transport.is_datagram() {
            return Verdict::No;
        }
        let mut answer = Verdict::No;
        for side in [self.first, self.first.other()] {
            match look(side, self.of(side)) {
                Verdict::No => {}
                Verdict::Unsure => answer = Verdict::Unsure,
                yes @ Verdict::Yes { .. } => return yes,
            }
        }
        answer
    }

    /// For a protocol whose client opens the connection: yes, with this client, unless it is known that the other side opened it.
    #[must_use]
    pub fn yes(&self, client: Side) -> Verdict {
        if self.sides_known && client == Side::Server { Verdict::No } else { Verdict::Yes { client } }
    }
}

/// Answer of [`ProtocolSpec::infer`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is this protocol, and this side is its client.
    Yes {
        /// The side that sends requests.
        client: Side,
    },
    /// It is not.
    No,
    /// More bytes may tell.
    Unsure,
}

/// Bytes for a parser.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// Never empty. They begin where the last step ended.
    pub bytes: &'a [u8],
    /// What comes behind them.
    pub then: Then,
}

impl Input<'_> {
    /// Whether it makes sense to wait for more bytes.
    #[must_use]
    pub const fn more(&self) -> bool {
        matches!(self.then, Then::More)
    }
}

/// What comes behind the bytes of an [`Input`]. Unless it is [`Then::More`], the parser reads what is there: a message whose length is
/// known is reported with what was seen of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// More bytes can follow.
    More,
    /// More bytes follow, but no more are kept at a time.
    Limit,
    /// Bytes are missing, or the connection or the datagram ends.
    Gap,
}

/// Reads one connection of one protocol. It sees bytes and sides, never times or addresses.
pub trait Parser: Send {
    /// Reads the next piece of what one side sent and writes down what it says.
    ///
    /// # Errors
    /// Only for bytes that no continuation could make a message.
    fn parse(&mut self, from: Side, input: Input<'_>, message: &mut MessageWriter<'_>) -> Result<Step, ParseError>;

    /// Bytes of this side are missing or were no messages: what comes next does not continue what came before.
    fn gap(&mut self, from: Side);

    /// Where in `input` a message of this side begins, as far as can be seen. Chunks mostly begin with a message.
    fn resync(&mut self, from: Side, input: &[u8]) -> Resync;

    /// Whether what was read of a connection so far is of this protocol beyond doubt, although the first bytes of the other side,
    /// `answer`, are not. If not, it was taken for this protocol by mistake, and its open calls are dropped.
    fn stands_against(&self, answer: &[u8]) -> bool {
        let _ = answer;
        false
    }

    /// Whether it knows nothing that a new one would not. While nothing is under way, its connection then does without a parser, and this
    /// one goes on with another connection.
    fn is_as_new(&self) -> bool {
        false
    }

    /// Bytes of memory this parser holds on the heap, its own size included.
    fn memory(&self) -> usize;
}

/// What [`Parser::parse`] made of its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing was used: more bytes are needed.
    NeedMore {
        /// How many bytes there must be, from the start of this input, before asking again makes sense; 0 if unknown.
        at_least: usize,
    },
    /// These bytes belong to no call. May be more than there are yet.
    Skip {
        /// Bytes to pass over, at least 1.
        used: u64,
    },
    /// A message begins with this input. What was written belongs to it.
    Message {
        /// Bytes read so far, at least 1.
        used: usize,
        /// What follows them.
        body: Body,
    },
    /// Bytes of a message that has begun earlier. What was written is added to it.
    Part {
        /// Bytes it covers. May be more than there are yet.
        used: u64,
        /// Which message.
        of: Part,
        /// Whether the message ends with them.
        last: bool,
    },
    /// Bytes that end a call as a whole, whatever of it was seen. What was written is added to it, unless its answer has ended already.
    /// An unanswered request that its own side ends waits on: the answer may be on its way.
    End {
        /// Bytes read, of those that are there. May be 0.
        used: usize,
        /// The call, and the message that the bytes belong to.
        of: Part,
    },
    /// The oldest request with this key that waits for an answer of this side gets none. What was written is added to it. Uses no
    /// bytes, and is an error where no request waits.
    Unanswered {
        /// Which request.
        key: Key,
    },
    /// From here on the connection speaks another protocol. What was written is handed on: if it is a response, its fields belong to
    /// the one with this key in the other protocol.
    Switch {
        /// Bytes that still belong to this one.
        used: usize,
        /// The other one.
        to: Next,
    },
}

/// What a connection speaks after [`Step::Switch`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// This protocol.
    Protocol(Protocol),
    /// Its bytes will tell.
    Detect,
    /// Something that is not read.
    Opaque,
}

/// Answer of [`Parser::resync`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resync {
    /// A message begins here.
    At(usize),
    /// What stands here may be the beginning of a message; more bytes will tell. Everything before it is none.
    Perhaps(usize),
    /// Nothing here begins a message.
    Nowhere,
}

/// What follows the bytes of [`Step::Message`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// Nothing: the message is complete.
    None,
    /// So many bytes, which need not be read.
    Sized(u64),
    /// More steps will tell; the last one is a [`Step::Part`] with `last`, or the end of the connection.
    Open,
}

/// Which message a [`Step::Part`] continues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The request of this side with this key.
    Request(Key),
    /// The response of this side to the request with this key.
    Response(Key),
}

/// How a response finds its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// Responses come in the order of the requests.
    Order,
    /// Request and response carry the same number.
    Id(u64),
}

/// Bytes that are no message of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind} at byte {offset}")]
pub struct ParseError {
    /// What is wrong.
    pub kind: ParseErrorKind,
    /// Position of the wrong byte from the start of the input.
    pub offset: u32,
}

impl ParseError {
    /// At a position; positions beyond 4 GiB are not told apart.
    #[must_use]
    pub fn at(kind: ParseErrorKind, offset: usize) -> Self {
        Self { kind, offset: u32::try_from(offset).unwrap_or(u32::MAX) }
    }
}

/// What is wrong with bytes that are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ParseErrorKind {
    /// A magic number, type or keyword that the protocol does not know.
    UnknownType,
    /// A length that cannot be.
    Length,
    /// A number where digits are expected.
    Number,
    /// A byte that may not stand here.
    Character,
    /// A message that may not come at this point.
    State,
    /// Nested deeper than is read.
    Depth,
    /// The input ends inside a message and nothing more will come.
    Cut,
}

impl fmt::Display for ParseErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UnknownType => "unknown type",
            Self::Length => "impossible length",
            Self::Number => "no number",
            Self::Character => "unexpected character",
            Self::State => "message out of place",
            Self::Depth => "nested too deep",
            Self::Cut => "cut short",
        })
    }
}
