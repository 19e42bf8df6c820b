//! What holds for every conversation of every protocol.

use std::fmt::Write as _;
use std::fs;

use proptest::prelude::*;
use protocol_parsers::{
    CallKind, Connection, Dissector, Field, Opening, Options, Protocol, Side, Stats, StreamChunk, Timestamp,
};

use crate::conversation::{Conversation, Piece};

/// A call as it was reported.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) line: String,
    pub(crate) protocol: Protocol,
    pub(crate) kind: CallKind,
    start: Timestamp,
    /// Who asked, as handed in, and where the request and the response begin.
    place: (Side, Option<u64>, Option<u64>),
    pub(crate) complete: bool,
    pub(crate) fields: Vec<(Field, String)>,
}

/// One connection being read.
struct Run {
    dissector: Dissector,
    connection: Connection,
    calls: Vec<Seen>,
}

impl Run {
    fn new(opening: Opening) -> Self {
        Self { dissector: Dissector::new(Options::default()), connection: Connection::new(opening), calls: Vec::new() }
    }

    fn push(&mut self, piece: &Piece, number: usize) {
        self.push_part(piece, 0, &piece.bytes, number);
    }

    fn push_part(&mut self, piece: &Piece, from: usize, bytes: &[u8], number: usize) {
        let offset = piece.offset + from as u64;
        let time = Conversation::time(number);
        self.dissector.push(&mut self.connection, StreamChunk { side: piece.side, time, offset, bytes, missing: 0 });
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(call) = self.dissector.poll() {
            let fields = FIELDS.into_iter().filter_map(|field| Some((field, call.field(field)?.to_owned())));
            self.calls.push(Seen {
                line: format!("{call:?}"),
                protocol: call.protocol(),
                kind: call.kind(),
                start: call.start(),
                place: (call.requester(), call.request_offset(), call.response_offset()),
                complete: call.captured_complete(),
                fields: fields.collect(),
            });
        }
    }

    fn finish(mut self) -> (Vec<Seen>, Stats) {
        self.dissector.close(&mut self.connection);
        self.drain();
        (self.calls, *self.dissector.stats())
    }
}

const FIELDS: [Field; 11] = [
    Field::RequestType,
    Field::Domain,
    Field::Resource,
    Field::Endpoint,
    Field::RequestId,
    Field::StatusCode,
    Field::Exception,
    Field::TraceId,
    Field::SpanId,
    Field::ParentSpanId,
    Field::XRequestId,
];

pub(crate) fn whole(conversation: &Conversation) -> Vec<Seen> {
    cut(conversation, std::iter::repeat(usize::MAX))
}

/// The calls when the pieces are cut into parts of these lengths.
fn cut(conversation: &Conversation, mut lengths: impl Iterator<Item = usize>) -> Vec<Seen> {
    let mut run = Run::new(conversation.opening);
    for (number, piece) in conversation.pieces.iter().enumerate() {
        let mut at = 0;
        while at < piece.bytes.len() {
            let end = piece.bytes.len().min(at.saturating_add(lengths.next().unwrap_or(usize::MAX)));
            run.push_part(piece, at, &piece.bytes[at..end], number);
            at = end;
        }
    }
    run.finish().0
}

fn lines(calls: &[Seen]) -> Vec<&str> {
    calls.iter().map(|call| call.line.as_str()).collect()
}

fn bless() -> bool {
    std::env::var("METAFLOW_BLESS").is_ok_and(|bless| bless == "1")
}

#[test]
fn the_calls_of_every_conversation_are_those_written_down() {
    for conversation in Conversation::all() {
        let calls = whole(&conversation);
        if bless() {
            let text = fs::read_to_string(conversation.file()).unwrap();
            let mut text: String =
                text.lines().filter(|line| !line.starts_with('=')).map(|line| format!("{line}\n")).collect();
            for call in &calls {
                writeln!(text, "= {}", call.line).unwrap();
            }
            // Other tests read the files at the same time.
            let beside = conversation.file().with_extension("new");
            fs::write(&beside, text).unwrap();
            fs::rename(beside, conversation.file()).unwrap();
        } else {
            assert_eq!(lines(&calls), conversation.calls, "{}", conversation.name);
        }
        assert!(conversation.folder() != "other" || calls.is_empty(), "{}", conversation.name);
    }
}

/// Conversations over a stream: datagrams are not cut.
fn streams() -> impl Iterator<Item = Conversation> {
    Conversation::all().into_iter().filter(|conversation| !conversation.opening.transport.is_datagram())
}

#[test]
fn however_the_bytes_are_cut_the_calls_are_the_same() {
    for conversation in streams() {
        let calls = whole(&conversation);
        for most in (1..=16).chain([31, 64, 100]) {
            let parts = cut(&conversation, std::iter::repeat(most));
            assert_eq!(lines(&parts), lines(&calls), "{} in parts of {most} bytes", conversation.name);
        }
        for (number, piece) in conversation.pieces.iter().enumerate() {
            for at in 1..piece.bytes.len() {
                let lengths = (0..number).map(|_| usize::MAX).chain([at]);
                assert_eq!(lines(&cut(&conversation, lengths)), lines(&calls), "{} at {at}", conversation.name);
            }
        }
    }
}

proptest! {
    #[test]
    fn however_the_bytes_are_cut_at_random_the_calls_are_the_same(
        lengths in proptest::collection::vec(1_usize..48, 1..64),
    ) {
        for conversation in streams() {
            let (parts, whole) = (cut(&conversation, lengths.iter().copied().cycle()), whole(&conversation));
            prop_assert_eq!(lines(&parts), lines(&whole), "{}", conversation.name);
        }
    }
}

#[test]
fn no_beginning_of_a_conversation_panics_or_invents_a_call() {
    let mut wrong = Vec::new();
    for conversation in Conversation::all() {
        let calls = whole(&conversation);
        for (number, piece) in conversation.pieces.iter().enumerate() {
            for end in 0..=piece.bytes.len() {
                let mut run = Run::new(conversation.opening);
                for (earlier, piece) in conversation.pieces[..number].iter().enumerate() {
                    run.push(piece, earlier);
                }
                run.push_part(piece, 0, &piece.bytes[..end], number);
                let (beginning, _) = run.finish();
                let situation = format!("{} up to byte {end} of piece {number}", conversation.name);
                for call in &beginning {
                    match calls.iter().find(|original| same_call(original, call)) {
                        Some(original) if !call.complete || says_no_more(call, original) => {}
                        original => wrong.push(format!("{situation}: {}\n    not {:?}", call.line, original.map(|call| &call.line))),
                    }
                }
                let mut places: Vec<_> = beginning.iter().map(|call| call.place).collect();
                places.sort_by_key(|(side, request, response)| (*side as u8, *request, *response));
                places.dedup();
                assert_eq!(places.len(), beginning.len(), "{situation} tells a call twice: {beginning:#?}");
            }
        }
    }
    assert!(wrong.is_empty(), "{} invented\n{}", wrong.len(), wrong.join("\n"));
}

/// Whether all that a call says is also said by another report of it.
fn says_no_more(call: &Seen, original: &Seen) -> bool {
    call.protocol == original.protocol && call.fields.iter().all(|field| original.fields.contains(field))
}

/// Whether two reports are of the same call: their requests begin at the same byte, or else their responses.
fn same_call(one: &Seen, other: &Seen) -> bool {
    let ((one, request, response), (other, other_request, other_response)) = (one.place, other.place);
    one == other
        && match (request, other_request) {
            (Some(request), Some(other)) => request == other,
            _ => response.is_some() && response == other_response,
        }
}
