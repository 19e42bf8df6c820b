//! How TCP connections open and end.

use std::time::Duration;

use flow_core::{Close, FlowRecord};

use crate::frames::{ACK, FIN, RST, SYN};
use crate::lab::{Lab, START};
use crate::script::{Script, Who};

fn ended(script: &Script) -> Option<Close> {
    Lab::of(&script.frames).flow().close
}

fn flow(script: &Script) -> FlowRecord {
    Lab::of(&script.frames).flow().clone()
}

#[test]
fn every_way_to_end() {
    use Who::{Client, Server};
    type Play<'a> = &'a dyn Fn(&mut Script);
    let ends: [(Close, Play<'_>); 19] = [
        (Close::Finished, &|script| {
            script.open().close();
        }),
        (Close::Finished, &|script| {
            script.open().close().reset(Client);
        }),
        (Close::Finished, &|script| {
            script.open().send(Server, FIN | ACK, b"").send(Client, FIN | ACK, b"");
        }),
        (Close::ClientReset, &|script| {
            script.open().client(b"x").reset(Client);
        }),
        (Close::ClientReset, &|script| {
            script.open().send(Client, FIN | ACK, b"").reset(Client);
        }),
        (Close::ClientReset, &|script| {
            script.send(Client, SYN, b"").send(Server, SYN | ACK, b"").reset(Client);
        }),
        (Close::ServerReset, &|script| {
            script.open().client(b"x").reset(Server);
        }),
        (Close::ServerReset, &|script| {
            script.open().reset(Server).reset(Client);
        }),
        (Close::ServerReset, &|script| {
            script.open().send(Client, FIN | ACK, b"").reset(Server);
        }),
        (Close::Refused, &|script| {
            script.send(Client, SYN, b"").reset(Server);
        }),
        (Close::Refused, &|script| {
            script.send(Client, SYN, b"early").reset(Server);
        }),
        (Close::SynUnanswered, &|script| {
            script.send(Client, SYN, b"");
        }),
        (Close::SynUnanswered, &|script| {
            script.send(Client, SYN, b"early");
        }),
        (Close::SynAckUnanswered, &|script| {
            script.send(Client, SYN, b"").send(Server, SYN | ACK, b"");
        }),
        (Close::SynAckUnanswered, &|script| {
            script.send(Server, SYN | ACK, b"");
        }),
        (Close::ServerHalfClose, &|script| {
            script.open().send(Client, FIN | ACK, b"");
        }),
        (Close::ClientHalfClose, &|script| {
            script.open().send(Server, FIN | ACK, b"");
        }),
        (Close::StillOpen, &|script| {
            script.open();
        }),
        (Close::StillOpen, &|script| {
            script.client(b"joined later");
        }),
    ];
    for (number, (close, play)) in ends.into_iter().enumerate() {
        let mut script = Script::new();
        play(&mut script);
        let flow = flow(&script);
        assert_eq!(flow.close, Some(close), "number {number}");
        assert_eq!(flow.conversation.client.port(), 40_000, "number {number}");
    }
}

#[test]
fn quiet_connections_end_as_their_state_says() {
    let quiet = |script: &Script| {
        let mut lab = Lab::new();
        lab.play(&script.frames);
        lab.timeout(START + Duration::from_secs(400));
        lab.flow().close
    };
    assert_eq!(quiet(&Script::opened()), Some(Close::IdleTimeout));
    assert_eq!(quiet(Script::new().send(Who::Client, SYN, b"")), Some(Close::SynUnanswered));
    assert_eq!(quiet(Script::opened().send(Who::Client, FIN | ACK, b"")), Some(Close::ServerHalfClose));
}

#[test]
fn flags_are_counted_for_their_side() {
    let mut script = Script::new();
    script.send(Who::Client, SYN, b"");
    script.segment(Who::Client, 1000, 0, SYN, b"");
    script.send(Who::Server, SYN | ACK, b"").client(b"").close().reset(Who::Server);
    let counters = flow(&script).counters;
    assert_eq!((counters.syn.client, counters.syn_ack.server, counters.fin), (2, 1, 2));
    assert_eq!((counters.rst.client, counters.rst.server, counters.retransmissions.client), (0, 1, 1));
}

#[test]
fn both_open_at_once() {
    let mut script = Script::new();
    script.send(Who::Client, SYN, b"").send(Who::Server, SYN, b"");
    script.segment(Who::Client, 1000, 5001, SYN | ACK, b"").segment(Who::Server, 5000, 1001, SYN | ACK, b"");
    script.client(b"hello").server(b"hello").close();
    let flow = flow(&script);
    assert_eq!((flow.close, flow.conversation.client.port()), (Some(Close::Finished), 40_000));
    assert_eq!((flow.counters.syn.client, flow.counters.syn.server), (1, 1));
    assert_eq!((flow.counters.syn_ack.client, flow.counters.syn_ack.server), (1, 1));
}

#[test]
fn ports_used_again_are_another_conversation() {
    let mut script = Script::opened();
    script.client(b"GET /one HTTP/1.1\r\nHost: h\r\n\r\n").server(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let mut again = Script::new().starting(900_000, 800_000).at(script.now);
    again
        .open()
        .client(b"GET /two HTTP/1.1\r\nHost: h\r\n\r\n")
        .server(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    again.close();
    script.frames.extend(again.frames);
    let lab = Lab::of(&script.frames);
    let closes: Vec<_> = lab.flows.iter().map(|flow| flow.close).collect();
    assert_eq!(closes, [Some(Close::PortReused), Some(Close::Finished)]);
    assert_eq!(lab.resources(), ["/one", "/two"]);
    assert_ne!(lab.calls[0].flow_id, lab.calls[1].flow_id);
}

#[test]
fn a_syn_sent_again_or_seen_late_opens_nothing_new() {
    let mut script = Script::new();
    script.send(Who::Client, SYN, b"").send(Who::Server, SYN | ACK, b"");
    script.frames.swap(0, 1);
    script.client(b"x").segment(Who::Client, 1000, 0, SYN, b"").close();
    let flow = flow(&script);
    assert_eq!((flow.close, flow.conversation.client.port()), (Some(Close::Finished), 40_000));
}

#[test]
fn a_connection_after_what_was_left_of_another_is_its_own() {
    for (who, flags) in [(Who::Server, RST), (Who::Server, ACK)] {
        let mut script = Script::new();
        script.segment(who, 77, 99, flags, b"").open().close();
        let lab = Lab::of(&script.frames);
        let closes: Vec<_> = lab.flows.iter().map(|flow| flow.close.unwrap()).collect();
        assert_eq!((closes.len(), closes[1]), (2, Close::Finished), "{flags}");
    }
}

#[test]
fn resets_alone_are_a_conversation_that_was_reset() {
    let mut script = Script::new();
    script.reset(Who::Server).reset(Who::Server);
    let flow = flow(&script);
    assert_eq!((flow.close, flow.counters.rst.server), (Some(Close::ServerReset), 2));
}

/// Somebody else sent that reset: the connection goes on, and nothing of it is lost.
#[test]
fn a_forged_reset_ends_nothing() {
    for who in [Who::Client, Who::Server] {
        for seq in [Some(3_000_000_000), None] {
            let mut script = Script::opened();
            script.client(b"GET /one HTTP/1.1\r\nHost: h\r\n\r\n");
            let next = if who == Who::Client { script.client.next } else { script.server.next };
            script.segment(who, seq.unwrap_or(next), 0, RST, b"");
            script.server(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n").client(b"");
            script.wait(Duration::from_secs(60)).server(b"ok").client(b"");
            script
                .client(b"GET /two HTTP/1.1\r\nHost: h\r\n\r\n")
                .server(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
            script.close();
            let lab = Lab::of(&script.frames);
            assert_eq!(lab.resources(), ["/one", "/two"]);
            assert_eq!(lab.flow().close, Some(Close::Finished), "{who:?} {seq:?}");
        }
    }
}

#[test]
fn a_forged_closing_ends_nothing() {
    let mut script = Script::opened();
    let (client, server) = (script.client.next, script.server.next);
    script.segment(Who::Client, client, server, FIN | ACK, b"").client(b"GET /one HTTP/1.1\r\nHost: h\r\n\r\n");
    script.wait(Duration::from_secs(10)).server(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let still_open = Lab::of(&script.frames);
    assert_eq!((still_open.flow().close, still_open.calls.len()), (Some(Close::StillOpen), 1));
    assert_eq!(ended(script.close()), Some(Close::Finished));
}

/// What the other side had on its way, and what the reset overtook.
#[test]
fn segments_after_a_real_reset_do_not_revive_the_connection() {
    let mut script = Script::opened();
    script.client(b"12345").server(b"answer").client(b"67890").reset(Who::Client);
    script.frames.swap(5, 6);
    script.server(b"more").server(b"of it").reset(Who::Client);
    assert_eq!(ended(&script), Some(Close::ClientReset));
}

#[test]
fn joined_in_the_middle_the_lower_port_is_the_servers() {
    let mut script = Script::new();
    script.server(b"??").client(b"!!");
    let flow = flow(&script);
    assert_eq!((flow.conversation.client.port(), flow.conversation.server.port()), (40_000, 80));
}

#[test]
fn joined_in_the_middle_the_protocol_says_who_asks() {
    let mut script = Script::new().on_port(70);
    script.client(b"GET /one HTTP/1.1\r\nHost: h\r\n\r\n").server(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let lab = Lab::of(&script.frames);
    assert_eq!((lab.call().client.as_str(), lab.flow().conversation.client.port()), ("10.0.0.1:70", 70));
    let mut script = Script::new().on_port(70);
    script.server(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    script.client(b"GET /two HTTP/1.1\r\nHost: h\r\n\r\n").server(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let lab = Lab::of(&script.frames);
    assert!(lab.calls.iter().all(|call| call.client == "10.0.0.1:70"), "{:#?}", lab.calls);
    assert_eq!(lab.flow().conversation.client.port(), 70);
}

#[test]
fn one_direction_alone_is_a_conversation() {
    let mut script = Script::opened();
    script.client(b"GET /one HTTP/1.1\r\nHost: h\r\n\r\n").server(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    script.close();
    let only = |client: bool| {
        let from = if client { [10, 0, 0, 1] } else { [10, 0, 0, 2] };
        let frames: Vec<_> = script.frames.iter().filter(|frame| frame.bytes[12..16] == from).cloned().collect();
        Lab::of(&frames)
    };
    let lab = only(true);
    assert_eq!((lab.flow().close, lab.call().kind.name()), (Some(Close::ServerHalfClose), "request_only"));
    assert_eq!((lab.flow().counters.packets.client, lab.flow().counters.packets.server), (5, 0));
    let lab = only(false);
    assert_eq!((lab.flow().close, lab.call().kind.name()), (Some(Close::ClientHalfClose), "response_only"));
    assert_eq!(lab.flow().conversation.client.port(), 40_000);
}
