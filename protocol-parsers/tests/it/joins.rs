//! Conversations met late, and conversations of which only one side is seen.

use protocol_parsers::{CallKind, Opening, Side};

use crate::conversation::Conversation;
use crate::properties::{CARRIERS, Seen, meet, same_call, says_no_more, says_what_is_missing, whole};
use crate::talk::Talk;

/// What is seen of a conversation: from a piece on, both sides or one.
#[derive(Clone, Copy, Debug)]
struct View {
    first: usize,
    only: Option<Side>,
    opening: Opening,
}

/// Every view of a conversation but the whole one.
fn views(conversation: &Conversation) -> Vec<View> {
    let late = |first: usize| Opening {
        from_start: conversation.opening.from_start && (first == 0 || conversation.opening.transport.is_datagram()),
        ..conversation.opening
    };
    let mut views = Vec::new();
    for first in 0..conversation.pieces.len() {
        for only in [None, Some(Side::Client), Some(Side::Server)] {
            if first == 0 && only.is_none() {
                continue;
            }
            for sides_known in [true, false] {
                views.push(View { first, only, opening: Opening { sides_known, ..late(first) } });
            }
        }
    }
    views
}

/// What is not seen is the very message that says that what follows is none of the protocol's, though it looks like it; or a query, of
/// which the one sent again is seen.
const LOOK_ALIKES: [&str; 3] = ["http1/upgrade-to-websocket", "redis/replication", "dns/query-sent-again"];

/// The conversations, but those.
fn conversations() -> impl Iterator<Item = Conversation> {
    Conversation::all().into_iter().filter(|conversation| !LOOK_ALIKES.contains(&conversation.name.as_str()))
}

fn seen(conversation: &Conversation, view: View, most: usize) -> Vec<Seen> {
    let shown = |number: usize, side: Side| number >= view.first && view.only.is_none_or(|only| only == side);
    meet(conversation, view.opening, most, shown)
}

/// Who asks may be seen the other way round.
fn original<'c>(calls: &'c [Seen], call: &Seen) -> Option<&'c Seen> {
    calls.iter().find(|original| same_call(original, call) || same_call(original, &call.turned()))
}

/// Whether the protocol of a call is one that the conversation speaks, or carries it.
fn spoken(conversation: &Conversation, calls: &[Seen], call: &Seen) -> bool {
    let name = call.protocol.name();
    let carried = CARRIERS
        .iter()
        .any(|(inner, carrier)| *carrier == name && calls.iter().any(|known| known.protocol.name() == *inner));
    calls.iter().any(|known| known.protocol == call.protocol) || conversation.folder() == name || carried
}

#[test]
fn whatever_the_port_the_calls_are_the_same() {
    // Of DNS, HTTP, TLS, MySQL, MariaDB, PostgreSQL, Redis, Kafka and Dubbo.
    const PORTS: [u16; 10] = [53, 80, 443, 3306, 3307, 5432, 6379, 9092, 20_880, 1];
    for conversation in conversations().filter(|talk| !talk.opening.transport.is_datagram()) {
        for view in views(&conversation).into_iter().filter(|view| view.only.is_none()) {
            let lines = |view| -> Vec<String> {
                seen(&conversation, view, usize::MAX).into_iter().map(|call| call.line).collect()
            };
            let calls = lines(view);
            for port in PORTS {
                let opening = Opening { server_port: Some(port), ..view.opening };
                assert_eq!(lines(View { opening, ..view }), calls, "{} {view:?} on port {port}", conversation.name);
            }
        }
    }
}

#[test]
fn however_the_bytes_of_a_late_view_are_cut_the_calls_are_the_same() {
    let mut wrong = Vec::new();
    for conversation in conversations().filter(|talk| !talk.opening.transport.is_datagram()) {
        for view in views(&conversation) {
            let lines =
                |most| -> Vec<String> { seen(&conversation, view, most).into_iter().map(|call| call.line).collect() };
            let calls = lines(usize::MAX);
            for most in [1, 2, 7, 64] {
                let parts = lines(most);
                if parts != calls {
                    wrong.push(format!(
                        "{} {view:?} in parts of {most}:\n    {parts:#?}\n    not {calls:#?}",
                        conversation.name
                    ));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} differ\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn whatever_is_seen_of_a_conversation_a_call_behind_the_first_exchange_is_whole_or_says_so() {
    let mut wrong = Vec::new();
    for conversation in conversations() {
        let calls = whole(&conversation);
        for view in views(&conversation) {
            let seen = seen(&conversation, view, usize::MAX);
            for call in &seen {
                if !spoken(&conversation, &calls, call) {
                    wrong.push(format!("{} {view:?} takes it for another: {}", conversation.name, call.line));
                }
                let says = says_what_is_missing(call);
                let fine = match original(&calls, call) {
                    Some(original) if view.only.is_some() => original.protocol == call.protocol || says,
                    Some(original) => says || says_no_more(call, original),
                    None => says,
                };
                if !fine {
                    wrong.push(format!("{} {view:?} invents {}", conversation.name, call.line));
                }
            }
            if view.only.is_some() {
                continue;
            }
            // Every call behind the first that was seen whole is there.
            let Some(first) = seen.iter().find(|call| call.kind == CallKind::RequestResponse) else { continue };
            for late in calls.iter().filter(|call| call.kind != CallKind::RequestOnly && call.start > first.ended()) {
                if !seen.iter().any(|call| same_call(late, call) || same_call(late, &call.turned())) {
                    wrong.push(format!("{} {view:?} loses {}", conversation.name, late.line));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn an_answer_in_pieces_of_a_byte_is_timed_by_them() {
    // Of Kafka: an ApiVersions of eight APIs. Nothing tells what it is before its end.
    let apis: Vec<u8> = (0..8_u8).flat_map(|api| [0, api, 0, 0, 0, 9]).collect();
    let content = [&[0, 0, 0, 7, 0, 0, 0, 0, 0, 8][..], &apis].concat();
    let bytes = [&(content.len() as u32).to_be_bytes()[..], &content].concat();
    assert!((60..128).contains(&bytes.len()));
    let mut talk = Talk::new(Opening::TCP_JOINED);
    for byte in &bytes {
        talk = talk.server([*byte]);
    }
    let calls = talk.calls();
    assert_eq!(calls.len(), 1, "{calls:?}");
    assert!(calls[0].starts_with("kafka response_only unknown at 1000 bytes 0/62"), "{calls:?}");
}
