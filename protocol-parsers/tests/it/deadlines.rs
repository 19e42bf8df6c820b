//! When calls are reported that nothing more is seen of.

use std::time::Duration;

use protocol_parsers::{Connection, Dissector, Opening, Options, Side, StreamChunk, Timestamp};

use crate::frames::{END_HEADERS, END_STREAM, WHOLE, data, frame, get, greeting, headers, ok, reset, settings};

/// One connection on which every piece comes at a second of its own.
struct Watch {
    dissector: Dissector,
    connection: Connection,
    sent: [u64; 2],
}

impl Watch {
    /// A connection of HTTP/2 after its greetings.
    fn greeted() -> Self {
        let (dissector, connection) = (Dissector::new(Options::default()), Connection::new(Opening::TCP));
        let mut watch = Self { dissector, connection, sent: [0; 2] };
        assert!(watch.push(0, Side::Client, &greeting()).is_empty());
        assert!(watch.push(0, Side::Server, &settings()).is_empty());
        watch
    }

    fn push(&mut self, second: u64, side: Side, bytes: &[u8]) -> Vec<String> {
        let offset = self.sent[side as usize];
        self.sent[side as usize] += bytes.len() as u64;
        self.dissector.push(&mut self.connection, StreamChunk { side, time: at(second), offset, bytes, missing: 0 });
        self.calls()
    }

    fn lose(&mut self, side: Side, bytes: &[u8]) {
        self.sent[side as usize] += bytes.len() as u64;
    }

    /// Time goes on. The connection must want to be asked then, and not a moment earlier.
    fn wait(&mut self, second: u64) -> Vec<String> {
        assert_eq!(self.connection.poll_timeout(&self.dissector.options().limits), Some(at(second)));
        self.dissector.handle_timeout(&mut self.connection, Timestamp::from_nanos(at(second).as_nanos() - 1));
        assert_eq!(self.calls(), [""; 0]);
        self.dissector.handle_timeout(&mut self.connection, at(second));
        self.calls()
    }

    fn close(&mut self) -> Vec<String> {
        self.dissector.close(&mut self.connection);
        self.calls()
    }

    fn calls(&mut self) -> Vec<String> {
        let mut calls = Vec::new();
        while let Some(call) = self.dissector.poll() {
            let code = call.status_code().unwrap_or("-");
            let complete = if call.captured_complete() { "" } else { " incomplete" };
            let id = call.request_id().unwrap_or("-");
            calls.push(format!("{id} {} {} {code}{complete}", call.kind().name(), call.status().name()));
        }
        calls
    }
}

fn at(second: u64) -> Timestamp {
    Timestamp::ZERO + Duration::from_secs(second)
}

#[test]
fn a_request_taken_back_is_reported_a_little_later_and_an_answer_that_crosses_counts() {
    let mut watch = Watch::greeted();
    watch.push(1, Side::Client, &[get(1, "/a"), get(3, "/b"), get(5, "/c")].concat());
    assert!(watch.push(2, Side::Client, &[reset(3, 8), reset(5, 8)].concat()).is_empty());
    // The answer was sent before the server heard of it.
    assert_eq!(watch.push(2, Side::Server, &ok(END_STREAM, 5)), ["5 request_response ok 200"]);
    assert_eq!(watch.wait(3), ["3 request_only client_error -"]);
    // Later ones are no calls of their own.
    assert!(watch.push(4, Side::Server, &ok(END_STREAM, 3)).is_empty());
    assert_eq!(watch.wait(121), ["1 request_only timeout -"]);
    assert_eq!((watch.dissector.stats().timeouts, watch.dissector.stats().late_answers), (1, 1));
    assert!(watch.close().is_empty());
}

#[test]
fn a_request_of_grpc_taken_back_has_the_status_of_its_client() {
    let list = [(":method", "POST"), (":path", "/s.S/M"), ("content-type", "application/grpc")];
    let mut watch = Watch::greeted();
    watch.push(1, Side::Client, &[headers(WHOLE, 1, &list), headers(WHOLE, 3, &list)].concat());
    watch.push(2, Side::Client, &reset(1, 8));
    // The server resets at once: its word is the last.
    assert_eq!(watch.push(2, Side::Server, &reset(3, 7)), ["3 request_only server_error 14"]);
    assert_eq!(watch.wait(3), ["1 request_only client_error 1"]);
}

#[test]
fn an_answer_whose_end_was_lost_is_reported_when_nothing_more_of_it_comes() {
    let mut watch = Watch::greeted();
    watch.push(1, Side::Client, &[get(1, "/a"), get(3, "/b"), get(5, "/c")].concat());
    watch.push(2, Side::Server, &[ok(0, 1), data(0, 1, "beginning"), ok(0, 3)].concat());
    watch.lose(Side::Server, &data(END_STREAM, 1, "end"));
    watch.push(3, Side::Server, &ok(0, 5));
    // This one goes on, so its end was not among what was lost.
    watch.push(60, Side::Server, &data(0, 3, "more"));
    assert_eq!(watch.wait(122), ["1 request_response ok 200 incomplete"]);
    assert_eq!(watch.push(170, Side::Server, &data(END_STREAM, 3, "end")), ["3 request_response ok 200 incomplete"]);
    // An answer that began behind the loss may last.
    assert_eq!(watch.connection.poll_timeout(&watch.dissector.options().limits), None);
    assert_eq!(watch.dissector.stats().ends_lost, 1);
    assert_eq!(watch.push(999, Side::Server, &data(END_STREAM, 5, "")), ["5 request_response ok 200"]);
}

#[test]
fn an_answer_whose_end_was_lost_is_reported_when_its_stream_is_reset() {
    for side in [Side::Client, Side::Server] {
        let mut watch = Watch::greeted();
        watch.push(1, Side::Client, &get(1, "/a"));
        watch.push(2, Side::Server, &ok(0, 1));
        watch.lose(Side::Server, &data(END_STREAM, 1, "end"));
        watch.push(3, Side::Server, &frame(6, 0, 0, [0; 8]));
        assert_eq!(watch.push(4, side, &reset(1, 0)), ["1 request_response ok 200 incomplete"], "{side:?}");
    }
}

#[test]
fn a_request_whose_answer_is_seen_to_end_without_its_head_is_reported_at_once() {
    let mut watch = Watch::greeted();
    watch.push(1, Side::Client, &get(1, "/a"));
    watch.lose(Side::Server, &ok(0, 1));
    assert_eq!(watch.push(2, Side::Server, &data(END_STREAM, 1, "end")), ["1 request_only unknown - incomplete"]);
}

#[test]
fn an_answer_to_a_request_whose_end_was_lost_is_reported_after_a_while() {
    let mut watch = Watch::greeted();
    watch.push(1, Side::Client, &headers(END_HEADERS, 1, &[(":method", "PUT"), (":path", "/a")]));
    watch.lose(Side::Client, &data(END_STREAM, 1, "body"));
    watch.push(2, Side::Client, &get(3, "/b"));
    assert!(watch.push(3, Side::Server, &ok(END_STREAM, 1)).is_empty());
    assert_eq!(watch.push(4, Side::Server, &ok(END_STREAM, 3)), ["3 request_response ok 200"]);
    assert_eq!(watch.wait(123), ["1 request_response ok 200 incomplete"]);
}
