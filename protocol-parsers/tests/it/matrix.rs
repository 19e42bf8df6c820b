//! The table of protocols and features in the README, drawn from what the conversations show.

use std::fmt::Write as _;
use std::fs;

use protocol_parsers::{CallKind, Field, Opening, Protocol, Status};

use crate::conversation::Conversation;
use crate::properties::{Seen, bless, meetings, met};

const BEGIN: &str = "<!-- Written by the test `matrix`. -->\n";
const END: &str = "<!-- End of what is written by the test. -->\n";

/// Calls of one protocol: those of whole conversations, and those of conversations joined late.
#[derive(Default)]
struct Shown {
    conversations: usize,
    whole: Vec<Seen>,
    /// Calls of one conversation were open at once.
    at_once: bool,
    late: Vec<Seen>,
}

type Feature = (&'static str, fn(&Shown) -> bool);

fn has(calls: &[Seen], field: Field) -> bool {
    calls.iter().any(|call| call.fields.iter().any(|(known, _)| *known == field))
}

const FEATURES: [Feature; 13] = [
    ("type", |shown| has(&shown.whole, Field::RequestType)),
    ("domain", |shown| has(&shown.whole, Field::Domain)),
    ("resource", |shown| has(&shown.whole, Field::Resource)),
    ("id", |shown| has(&shown.whole, Field::RequestId)),
    ("status", |shown| has(&shown.whole, Field::StatusCode)),
    ("failure", |shown| {
        shown.whole.iter().any(|call| matches!(call.status, Status::ClientError | Status::ServerError))
    }),
    ("error text", |shown| has(&shown.whole, Field::Exception)),
    ("trace", |shown| has(&shown.whole, Field::TraceId)),
    ("one-way", |shown| shown.whole.iter().any(|call| call.kind == CallKind::OneWay)),
    ("server begins", |shown| shown.whole.iter().any(|call| call.line.contains("initiator=Text(\"server\")"))),
    ("several at once", |shown| shown.at_once),
    ("joined late", |shown| shown.late.iter().any(|call| call.kind == CallKind::RequestResponse)),
    ("answer alone", |shown| shown.late.iter().any(|call| call.kind == CallKind::ResponseOnly)),
];

fn shown(protocol: Protocol) -> Shown {
    let mut shown = Shown::default();
    let of_protocol = |calls: Vec<Seen>| calls.into_iter().filter(move |call| call.protocol == protocol);
    for conversation in Conversation::all() {
        let whole: Vec<_> = of_protocol(met(&conversation, 0, conversation.opening)).collect();
        let ends = |call: &Seen| call.start + call.duration.unwrap_or_default();
        shown.at_once |= whole.iter().enumerate().any(|(number, one)| {
            whole[number + 1..].iter().any(|other| one.start.max(other.start) < ends(one).min(ends(other)))
        });
        shown.conversations += usize::from(!whole.is_empty());
        shown.whole.extend(whole);
        for (first, opening) in meetings(&conversation).into_iter().filter(|(first, _)| *first > 0) {
            let opening = Opening { sides_known: false, ..opening };
            shown.late.extend(of_protocol(met(&conversation, first, opening)));
        }
    }
    shown
}

fn table() -> String {
    let mut text = String::from("| protocol | conversations |");
    FEATURES.iter().for_each(|(name, _)| write!(text, " {name} |").unwrap());
    text.push_str("\n|---|---|");
    FEATURES.iter().for_each(|_| text.push_str("---|"));
    for protocol in Protocol::ALL {
        let shown = shown(*protocol);
        write!(text, "\n| {protocol} | {} |", shown.conversations).unwrap();
        FEATURES.iter().for_each(|(_, test)| text.push_str(if test(&shown) { " ✓ |" } else { " |" }));
    }
    text.push('\n');
    text
}

#[test]
fn the_readme_shows_what_the_conversations_show() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
    let readme = fs::read_to_string(path).unwrap();
    let (before, rest) = readme.split_once(BEGIN).unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    let written = format!("{before}{BEGIN}{}{END}{after}", table());
    if bless() {
        fs::write(path, &written).unwrap();
    }
    assert_eq!(fs::read_to_string(path).unwrap(), written);
}

#[test]
fn every_protocol_has_a_conversation() {
    for protocol in Protocol::ALL {
        assert!(shown(*protocol).conversations > 0, "{protocol}");
    }
}
