//! What holds for every conversation of every protocol.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::time::Duration;

use proptest::prelude::*;
use protocol_parsers::{
    CallKind, Connection, Dissector, Field, Opening, Options, Part, Protocol, Side, Stats, Status, StreamChunk, Tap,
    Timestamp,
};

use crate::conversation::{Conversation, Piece};

/// A call as it was reported.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) line: String,
    pub(crate) protocol: Protocol,
    pub(crate) kind: CallKind,
    pub(crate) start: Timestamp,
    pub(crate) duration: Option<Duration>,
    pub(crate) status: Status,
    /// The number of the piece with which it was reported.
    reported: usize,
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
    /// The number of the piece pushed last.
    pushed: usize,
}

impl Run {
    fn new(opening: Opening) -> Self {
        Self {
            dissector: Dissector::new(Options::default()),
            connection: Connection::new(opening),
            calls: Vec::new(),
            pushed: 0,
        }
    }

    fn push(&mut self, piece: &Piece, number: usize) {
        self.push_part(piece, 0, &piece.bytes, number);
    }

    fn push_part(&mut self, piece: &Piece, from: usize, bytes: &[u8], number: usize) {
        self.pushed = number;
        let offset = piece.offset + from as u64;
        let time = Conversation::time(number);
        self.dissector.push(&mut self.connection, StreamChunk { side: piece.side, time, offset, bytes, missing: 0 });
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(call) = self.dissector.poll() {
            let fields = Field::ALL.iter().filter_map(|field| Some((*field, call.field(*field)?.to_owned())));
            self.calls.push(Seen {
                line: format!("{call:?}"),
                protocol: call.protocol(),
                kind: call.kind(),
                start: call.start(),
                duration: call.duration(),
                status: call.status(),
                reported: self.pushed,
                place: (call.requester(), call.request_offset(), call.response_offset()),
                complete: call.captured_complete(),
                fields: fields.collect(),
            });
        }
    }

    fn finish(mut self) -> (Vec<Seen>, Stats) {
        self.pushed = usize::MAX;
        self.dissector.close(&mut self.connection);
        self.drain();
        (self.calls, *self.dissector.stats())
    }
}

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

pub(crate) fn bless() -> bool {
    std::env::var("METAFLOW_BLESS").is_ok_and(|bless| bless == "1")
}

/// Sees nothing, but has the bodies of messages passed over in a step of their own.
struct Blind;

impl Tap for Blind {
    fn header(&mut self, _message: Part, _name: &[u8], _value: &[u8]) {}
}

#[test]
fn messages_that_end_in_their_chunk_give_the_calls_of_those_passed_over_step_by_step() {
    for conversation in Conversation::all() {
        let mut run = Run::new(conversation.opening);
        run.dissector.set_tap(Some(Box::new(Blind)));
        for (number, piece) in conversation.pieces.iter().enumerate() {
            run.push(piece, number);
        }
        assert_eq!(lines(&run.finish().0), lines(&whole(&conversation)), "{}", conversation.name);
    }
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
                        original => wrong.push(format!(
                            "{situation}: {}\n    not {:?}",
                            call.line,
                            original.map(|call| &call.line)
                        )),
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
pub(crate) fn says_no_more(call: &Seen, original: &Seen) -> bool {
    // Where a text was not seen, the endpoint is that of the command alone.
    let named = call.fields.iter().any(|(field, _)| *field == Field::Resource);
    // The word of an answer that crosses a reset holds.
    let is_reset = call.fields.iter().any(|(field, text)| *field == Field::Exception && text.starts_with("RST_STREAM"));
    let said = |(field, text): &(Field, String)| {
        (!named && *field == Field::Endpoint)
            || is_reset && matches!(*field, Field::Exception | Field::StatusCode)
            || original.fields.contains(&(*field, text.clone()))
    };
    call.protocol == original.protocol && call.fields.iter().all(said)
}

/// Whether two reports are of the same call: their requests begin at the same byte, or else their responses.
pub(crate) fn same_call(one: &Seen, other: &Seen) -> bool {
    let ((one, request, response), (other, other_request, other_response)) = (one.place, other.place);
    one == other
        && match (request, other_request) {
            (Some(request), Some(other)) => request == other,
            _ => response.is_some() && response == other_response,
        }
}

/// Where what is lost is the very message that says that nothing of the protocol follows, and what follows looks like it: the conversation
/// and the lost piece.
const LOOK_ALIKES: [(&str, usize); 3] =
    [("http1/upgrade-to-websocket", 1), ("redis/replication", 0), ("redis/replication", 1)];

#[test]
fn a_gap_at_every_chunk_is_recovered_from_by_the_next_message_or_said() {
    let mut wrong = Vec::new();
    for conversation in streams() {
        let calls = whole(&conversation);
        for lost in 0..conversation.pieces.len() {
            let gone = &conversation.pieces[lost];
            let mut run = Run::new(conversation.opening);
            for (number, piece) in conversation.pieces.iter().enumerate().filter(|(number, _)| *number != lost) {
                run.push(piece, number);
            }
            // Where nothing of that side follows, its acknowledgements tell what is missing.
            run.push_part(gone, gone.bytes.len(), b"", conversation.pieces.len());
            let (left, stats) = run.finish();
            let situation = format!("{} without piece {lost}", conversation.name);
            // Whatever is reported as a call of which all was seen is what it was.
            for call in left.iter().filter(|call| !says_what_is_missing(call)) {
                match calls.iter().find(|original| same_call(original, call)) {
                    // A request without the answer that it had says so.
                    Some(original) if says_no_more(call, original) && call.kind == original.kind => {}
                    None if LOOK_ALIKES.contains(&(conversation.name.as_str(), lost)) => {}
                    original => wrong.push(format!(
                        "{situation} invents {}\n    not {:?}",
                        call.line,
                        original.map(|call| &call.line)
                    )),
                }
            }
            // A call that was over before the loss, or begins behind the next piece of that side, is there.
            let next = conversation.pieces[lost + 1..].iter().position(|piece| piece.side == gone.side);
            let next = next.map_or(Timestamp::MAX, |next| Conversation::time(lost + 1 + next));
            for original in calls.iter().filter(|call| call.reported < lost || call.start > next) {
                let report = left.iter().find(|call| same_call(original, call));
                let found = report.is_some_and(|report| report.kind == original.kind && says_no_more(report, original));
                let said = report.is_none_or(says_what_is_missing) && stats.gaps + stats.unread_bytes > 0;
                if !found && !said {
                    wrong.push(format!(
                        "{situation} loses {}\n    for {:?}",
                        original.line,
                        report.map(|call| &call.line)
                    ));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong\n{}", wrong.len(), wrong.join("\n"));
}

/// Whether a report tells that it is not of all there was: incomplete, without its request, or with an id in place of a name.
pub(crate) fn says_what_is_missing(call: &Seen) -> bool {
    !call.complete || call.kind == CallKind::ResponseOnly || call.line.contains("_unknown=Flag(true)")
}

/// The answers, by protocol, for each protocol that spoke.
type Matrix = BTreeMap<String, BTreeMap<String, usize>>;

/// How a conversation may be met: as it was opened, or from one of its later pieces on, with and without knowing who opened it.
pub(crate) fn meetings(conversation: &Conversation) -> Vec<(usize, Opening)> {
    let opening = conversation.opening;
    let later = |first| {
        let joined = Opening { from_start: opening.transport.is_datagram(), ..opening };
        [true, false].map(|sides_known| (first, Opening { sides_known, ..joined }))
    };
    let joined = (1..conversation.pieces.len()).flat_map(later);
    [(0, opening)].into_iter().chain(joined).collect()
}

/// The calls from one of its pieces on.
pub(crate) fn met(conversation: &Conversation, first: usize, opening: Opening) -> Vec<Seen> {
    let mut run = Run::new(opening);
    for (number, piece) in conversation.pieces.iter().enumerate().skip(first) {
        run.push(piece, number);
    }
    run.finish().0
}

/// The calls of what is shown of it, by piece and side, in parts of at most `most` bytes.
pub(crate) fn meet(
    conversation: &Conversation,
    opening: Opening,
    most: usize,
    shown: impl Fn(usize, Side) -> bool,
) -> Vec<Seen> {
    let mut run = Run::new(opening);
    for (number, piece) in conversation.pieces.iter().enumerate().filter(|(number, piece)| shown(*number, piece.side)) {
        let mut from = 0;
        for part in piece.bytes.chunks(most) {
            run.push_part(piece, from, part, number);
            from += part.len();
        }
    }
    run.finish().0
}

impl Seen {
    /// The call as whoever takes the sides the other way round sees it.
    pub(crate) fn turned(&self) -> Self {
        Self { place: (self.place.0.other(), self.place.1, self.place.2), ..self.clone() }
    }

    pub(crate) fn ended(&self) -> Timestamp {
        self.start + self.duration.unwrap_or_default()
    }
}

#[test]
fn no_protocol_is_taken_for_another_wherever_a_conversation_is_joined() {
    let mut matrix = Matrix::new();
    for conversation in Conversation::all() {
        let calls = whole(&conversation);
        for (first, opening) in meetings(&conversation) {
            let seen = met(&conversation, first, opening);
            // Who asks may be seen the other way round.
            let offsets = |call: &Seen| (call.place.1, call.place.2);
            for call in &seen {
                let (request, response) = offsets(call);
                let truth = calls.iter().find(|truth| {
                    let (asked, answered) = offsets(truth);
                    request.is_some() && request == asked || response.is_some() && response == answered
                });
                let truth = truth.map_or(conversation.folder(), |truth| truth.protocol.name());
                let answer = match call.protocol.name() {
                    answer if call.kind == CallKind::ResponseOnly && CARRIERS.contains(&(truth, answer)) => "carrier",
                    _ if !call.complete => "incomplete",
                    answer => answer,
                };
                assert!(
                    answer == truth || ["carrier", "incomplete"].contains(&answer),
                    "{} from piece {first} on, {opening:?}: {}",
                    conversation.name,
                    call.line
                );
                *matrix.entry(truth.to_owned()).or_default().entry(answer.to_owned()).or_default() += 1;
            }
            if seen.is_empty() {
                let row = calls.first().map_or(conversation.folder(), |call| call.protocol.name());
                *matrix.entry(row.to_owned()).or_default().entry("nothing".to_owned()).or_default() += 1;
            }
        }
    }
    compare("confusion.golden", &table(&matrix));
}

/// Protocols with those that carry them: of an answer alone that is like any other of the carrier, nobody can tell more.
pub(crate) const CARRIERS: [(&str, &str); 3] = [("grpc", "http2"), ("triple", "http2"), ("triple", "grpc")];

fn table(matrix: &Matrix) -> String {
    let protocols = || Protocol::ALL.iter().map(|protocol| protocol.name());
    let columns: Vec<_> = protocols().chain(["carrier", "incomplete", "nothing"]).collect();
    let mut text = String::from(
        "# why: what every conversation is taken for, met at its opening and at each of its later messages: calls by the protocol that\n\
         # was spoken (rows) and the one reported (columns). `carrier`: an answer alone that any call of the carrying protocol could\n\
         # have; `incomplete`: marked as not seen whole; `nothing`: meetings without any call. Rows of `other` are not read at all.\n",
    );
    write!(text, "{:10}", "").unwrap();
    columns.iter().for_each(|column| write!(text, " {column:>10}").unwrap());
    text.push('\n');
    for row in protocols().chain(["other"]) {
        write!(text, "{row:10}").unwrap();
        let cells = matrix.get(row);
        for column in &columns {
            let count = cells.and_then(|cells| cells.get(*column)).copied().unwrap_or_default();
            write!(text, " {:>10}", if count == 0 { ".".to_owned() } else { count.to_string() }).unwrap();
        }
        text.push('\n');
    }
    text
}

/// Compares with a golden file, or writes it.
fn compare(file: &str, text: &str) {
    let path = format!("{}/testdata/{file}", env!("CARGO_MANIFEST_DIR"));
    if bless() {
        fs::write(&path, text).unwrap();
    }
    assert_eq!(fs::read_to_string(&path).unwrap(), text, "{file}");
}
