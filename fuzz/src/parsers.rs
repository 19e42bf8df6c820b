//! Targets over the protocol parsers.

use std::sync::LazyLock;
use std::time::Duration;

use protocol_parsers::{Connection, Dissector, Opening, Options, Side, StreamChunk, Timestamp, Transport};

use crate::Target;
use crate::conversation::Conversation;

/// What one connection may hold beside the value itself, with what parsers keep of prepared statements and header tables.
const MOST_MEMORY: usize = 320 << 10;

const OPENINGS: [Opening; 4] = [
    Opening::TCP,
    Opening::TCP_JOINED,
    Opening::UDP,
    Opening { transport: Transport::Udp, server_port: Some(53), ..Opening::UDP },
];

/// Bytes of one side, in every kind of connection.
pub fn one_side(data: &[u8]) {
    for opening in OPENINGS {
        for side in [Side::Client, Side::Server] {
            let mut run = Run::new(opening);
            run.push(side, data, 0, 0);
            run.push(side, data, 0, 1);
            run.push(side.other(), data, 0, 2);
            run.finish();
        }
    }
}

/// A row of pieces: a byte of flags (side, gap before, cut behind, timeout), a byte of length, the bytes.
pub fn pieces(data: &[u8]) {
    let Some((kind, mut rest)) = data.split_first() else { return };
    let mut run = Run::new(OPENINGS[usize::from(kind % 4)]);
    let mut time = 0;
    while let [flags, length, behind @ ..] = rest {
        let (bytes, next) = behind.split_at(usize::from(*length).min(behind.len()));
        rest = next;
        time += 1;
        let side = if flags & 1 == 0 { Side::Client } else { Side::Server };
        if flags & 2 != 0 {
            run.sent[side as usize] += u64::from(*length) * 7;
        }
        run.push(side, bytes, if flags & 4 != 0 { u64::from(*length) } else { 0 }, time);
        if flags & 8 != 0 {
            time += 100;
            run.timeout(time);
        }
    }
    run.finish();
}

/// Positions at which a known conversation is cut: first the number of the conversation, then distances between cuts.
pub fn cuts(data: &[u8]) {
    let Some((number, cuts)) = data.split_first() else { return };
    let conversation = &CONVERSATIONS[usize::from(*number) % CONVERSATIONS.len()];
    assert_eq!(calls(conversation, cuts), conversation.calls, "{} cut at {cuts:?}", conversation.name);
}

/// One target per parser: bytes that come where a known conversation of its protocol has come so far.
macro_rules! parsers {
    ($($(#[$doc:meta])* $name:ident)*) => {
        $($(#[$doc])* pub fn $name(data: &[u8]) {
            behind(stringify!($name), data);
        })*

        /// The targets of the parsers, by the name of their protocol.
        pub const PARSERS: &[Target] = &[$((stringify!($name), $name)),*];
    };
}

parsers! {
    /// Behind a conversation of dns.
    dns
    /// Behind a conversation of dubbo.
    dubbo
    /// Behind a conversation of grpc.
    grpc
    /// Behind a conversation of http1.
    http1
    /// Behind a conversation of http2.
    http2
    /// Behind a conversation of kafka.
    kafka
    /// Behind a conversation of mysql.
    mysql
    /// Behind a conversation of postgresql.
    postgresql
    /// Behind a conversation of redis.
    redis
}

/// A byte that says which conversation of the protocol, one that says behind how many of its pieces, one whose side comes first; the rest
/// is what both sides say next.
fn behind(protocol: &str, data: &[u8]) {
    let (Some([which, pieces, side]), Some(bytes)) = (data.first_chunk(), data.get(3..)) else { return };
    let known: Vec<_> = of(protocol).collect();
    let conversation = known[usize::from(*which) % known.len()];
    let mut run = Run::new(conversation.opening);
    for piece in conversation.pieces.iter().take(usize::from(*pieces) % (conversation.pieces.len() + 1)) {
        run.push(piece.side, &piece.bytes, 0, 1);
    }
    let side = if side & 1 == 0 { Side::Client } else { Side::Server };
    run.push(side, bytes, 0, 2);
    run.push(side.other(), bytes, 0, 3);
    run.finish();
}

/// Seeds of a parser's target: every piece of its conversations, where it stands.
#[must_use]
pub fn parser_seeds(protocol: &str) -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for (which, conversation) in of(protocol).enumerate() {
        for (number, piece) in conversation.pieces.iter().enumerate() {
            seeds.push([&[which as u8, number as u8, piece.side as u8], &piece.bytes[..]].concat());
        }
    }
    seeds
}

fn of(protocol: &str) -> impl Iterator<Item = &'static Conversation> {
    CONVERSATIONS.iter().filter(move |conversation| conversation.name.split('/').next() == Some(protocol))
}

/// The conversations that the parsers' own tests have, with their calls.
static CONVERSATIONS: LazyLock<Vec<Conversation>> = LazyLock::new(Conversation::all);

fn calls(conversation: &Conversation, cuts: &[u8]) -> Vec<String> {
    let mut run = Run::new(conversation.opening);
    let mut distances = cuts.iter().map(|distance| usize::from(*distance) + 1).cycle();
    for (number, piece) in conversation.pieces.iter().enumerate() {
        let mut rest = piece.bytes.as_slice();
        while !rest.is_empty() {
            let length = if conversation.opening.transport == Transport::Udp {
                rest.len()
            } else {
                distances.next().unwrap_or(rest.len())
            };
            let (part, behind) = rest.split_at(length.min(rest.len()));
            rest = behind;
            run.push_at(piece.side, part, 0, Conversation::time(number));
        }
    }
    run.finish()
}

/// One connection being read.
struct Run {
    dissector: Dissector,
    connection: Connection,
    sent: [u64; 2],
    calls: Vec<String>,
}

impl Run {
    fn new(opening: Opening) -> Self {
        Self {
            dissector: Dissector::new(Options::default()),
            connection: Connection::new(opening),
            sent: [0, 0],
            calls: Vec::new(),
        }
    }

    fn push(&mut self, side: Side, bytes: &[u8], missing: u64, seconds: u64) {
        self.push_at(side, bytes, missing, at(seconds));
    }

    fn push_at(&mut self, side: Side, bytes: &[u8], missing: u64, time: Timestamp) {
        let offset = self.sent[side as usize];
        self.sent[side as usize] += bytes.len() as u64 + missing;
        self.dissector.push(&mut self.connection, StreamChunk { side, time, offset, bytes, missing });
        assert!(self.connection.memory() <= MOST_MEMORY, "one connection holds {} bytes", self.connection.memory());
        self.drain();
    }

    fn timeout(&mut self, seconds: u64) {
        self.dissector.handle_timeout(&mut self.connection, at(seconds));
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(call) = self.dissector.poll() {
            self.calls.push(format!("{call:?}"));
        }
    }

    fn finish(mut self) -> Vec<String> {
        self.dissector.close(&mut self.connection);
        self.drain();
        assert_eq!(self.dissector.stats().calls, self.calls.len() as u64);
        self.calls
    }
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::ZERO + Duration::from_secs(seconds)
}
