//! Targets over the protocol parsers.

use std::sync::LazyLock;

use protocol_parsers::{Opening, Side, Transport};

use crate::conversation::Conversation;
use crate::run::{Run, at};
use crate::{Target, network};

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
            run.push(side, data, 0, at(0));
            run.push(side, data, 0, at(1));
            run.push(side.other(), data, 0, at(2));
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
        let side = side(*flags);
        if flags & 2 != 0 {
            run.lose(side, u64::from(*length) * 7);
        }
        run.push(side, bytes, if flags & 4 != 0 { u64::from(*length) } else { 0 }, at(time));
        if flags & 8 != 0 {
            time += 100;
            run.timeout(at(time));
        }
    }
    run.finish();
}

/// Positions at which a known conversation is cut: first the number of the conversation, then distances between cuts.
pub fn cuts(data: &[u8]) {
    let Some((number, cuts)) = data.split_first() else { return };
    let conversation = &CONVERSATIONS[usize::from(*number) % CONVERSATIONS.len()];
    let mut run = Run::new(conversation.opening);
    let mut distances = cuts.iter().map(|distance| usize::from(*distance) + 1).cycle();
    for (number, piece) in conversation.pieces.iter().enumerate() {
        let mut rest = piece.bytes.as_slice();
        while !rest.is_empty() {
            let whole = conversation.opening.transport.is_datagram();
            let length = distances.next().filter(|_| !whole).unwrap_or(rest.len());
            let (part, behind) = rest.split_at(length.min(rest.len()));
            rest = behind;
            run.push(piece.side, part, 0, Conversation::time(number));
        }
    }
    assert_eq!(run.finish().0, conversation.calls, "{} cut at {cuts:?}", conversation.name);
}

/// One target per parser: bytes that come where a known conversation of its protocol has come so far.
macro_rules! parsers {
    ($($(#[$doc:meta])* $name:ident)*) => {
        $($(#[$doc])* pub fn $name(data: &[u8]) {
            parser(stringify!($name), data);
        })*

        /// The targets of the parsers, by the name of their protocol.
        pub const PARSERS: &[Target] = &[$((stringify!($name), $name)),*];
    };
}

parsers! {
    /// Conversations of dns.
    dns
    /// Conversations of dubbo.
    dubbo
    /// Conversations of grpc.
    grpc
    /// Conversations of http1.
    http1
    /// Conversations of http2.
    http2
    /// Conversations of kafka.
    kafka
    /// Conversations of mysql.
    mysql
    /// Conversations of postgresql.
    postgresql
    /// Conversations of redis.
    redis
    /// Conversations of triple.
    triple
}

/// A byte that says which conversation of the protocol is meant, one for how many of its pieces, one of choices (whose side, which shape,
/// cut how). What the rest is depends on the shape:
/// - what one side says behind these pieces, and then the other one too;
/// - what both sides say behind them: a byte of side and length, the bytes, and so on;
/// - what the network does to the pieces behind them.
fn parser(protocol: &str, data: &[u8]) {
    let (Some([which, pieces, choices]), Some(rest)) = (data.first_chunk(), data.get(3..)) else { return };
    let known: Vec<_> = of(protocol).collect();
    let conversation = known[usize::from(*which) % known.len()];
    let known = usize::from(*pieces) % (conversation.pieces.len() + 1);
    let said = match choices >> 1 & 3 {
        0 => vec![(side(*choices), rest), (side(*choices).other(), rest)],
        1 => turns(rest),
        _ => return network::conversation(conversation, known, rest),
    };
    let (whole, is_whole) = talk(conversation, known, &said, usize::MAX).finish();
    let most = usize::from(choices >> 3) + 1;
    let (parts, _) = talk(conversation, known, &said, most).finish();
    // Not asked of what is not whole: half a call may be of a message that was not said to its end; damaged bytes are read on from where
    // the next message seems to begin, and that a part begins with it is a sign. Nor where no server has answered yet: another protocol may
    // show in a few of the parts.
    if is_whole && known > 1 && !conversation.opening.transport.is_datagram() {
        assert_eq!(parts, whole, "in parts of {most} bytes");
    }
}

fn side(byte: u8) -> Side {
    if byte & 1 == 0 { Side::Client } else { Side::Server }
}

fn turns(mut rest: &[u8]) -> Vec<(Side, &[u8])> {
    let mut said = Vec::new();
    while let [how, behind @ ..] = rest {
        let (bytes, next) = behind.split_at(usize::from(how >> 1).min(behind.len()));
        rest = next;
        said.push((side(*how), bytes));
    }
    said
}

/// A conversation up to its piece `known`, and what is said then in parts of at most `most` bytes.
fn talk(conversation: &Conversation, known: usize, said: &[(Side, &[u8])], most: usize) -> Run {
    let mut run = Run::new(conversation.opening);
    for piece in &conversation.pieces[..known] {
        run.push(piece.side, &piece.bytes, 0, at(1));
    }
    for (turn, (side, bytes)) in (2..).zip(said) {
        run.push_cut(*side, bytes, most, at(turn));
    }
    run
}

/// Seeds of a target that are made of test data, if it is one of a parser or [`work`]: every piece of the conversations, where it stands,
/// said by one side and by both; and what a network may do.
#[must_use]
pub fn made_seeds(target: &str) -> Vec<Vec<u8>> {
    if target == "work" {
        return CONVERSATIONS
            .iter()
            .enumerate()
            .flat_map(|(which, conversation)| one_side_seeds(which, conversation))
            .collect();
    }
    let mut seeds = Vec::new();
    for (which, conversation) in of(target).enumerate() {
        seeds.extend(one_side_seeds(which, conversation));
        let mut turns = vec![which as u8, 0, 2 | 6 << 3];
        for piece in &conversation.pieces {
            for part in piece.bytes.chunks(127) {
                turns.push(piece.side as u8 | (part.len() as u8) << 1);
                turns.extend(part);
            }
        }
        seeds.push(turns);
        seeds.push(vec![which as u8, 0, 4, 0x03, 0x65, 0x2c, 0x99, 0x47, 0xc1, 0xff]);
    }
    seeds
}

fn one_side_seeds(which: usize, conversation: &Conversation) -> impl Iterator<Item = Vec<u8>> {
    conversation.pieces.iter().enumerate().map(move |(number, piece)| {
        let choices = piece.side as u8 | (number as u8) << 3;
        [&[which as u8, number as u8, choices], &piece.bytes[..]].concat()
    })
}

fn of(protocol: &str) -> impl Iterator<Item = &'static Conversation> {
    CONVERSATIONS.iter().filter(move |conversation| conversation.folder() == protocol)
}

/// The conversations that the parsers' own tests have, with their calls.
static CONVERSATIONS: LazyLock<Vec<Conversation>> = LazyLock::new(Conversation::all);

/// How often a side's bytes come again in what is measured first; then twice as many.
const MEASURED: usize = 32 << 10;
/// Time of the processor below which nothing is suspected, in nanoseconds for a byte.
const UNSUSPECTED: u64 = 1_000;

/// As of one parser in its first shape, but the bytes come over and over, in parts of some length: twice as many may take no more than
/// thrice the time of the processor.
pub fn work(data: &[u8]) {
    let (Some([which, pieces, choices]), Some(rest)) = (data.first_chunk(), data.get(3..)) else { return };
    if rest.is_empty() {
        return;
    }
    let conversation = &CONVERSATIONS[usize::from(*which) % CONVERSATIONS.len()];
    let known = usize::from(*pieces) % (conversation.pieces.len() + 1);
    let most = [1, 7, 100, 1460][usize::from(choices >> 3 & 3)];
    let measure = |length: usize| {
        let bytes: Vec<u8> = rest.iter().copied().cycle().take(length).collect();
        let before = processor_time();
        talk(conversation, known, &[(side(*choices), &bytes)], most).finish();
        processor_time() - before
    };
    let grows = || {
        let half = measure(MEASURED);
        half > UNSUSPECTED * MEASURED as u64 && measure(2 * MEASURED) > 3 * half
    };
    assert!(!(0..3).all(|_| grows()), "work grows faster than the input");
}

/// What this thread has used, in nanoseconds.
fn processor_time() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
