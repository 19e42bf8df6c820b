use protocol_parsers::{Connection, Dissector, Opening, Options, Side, StreamChunk, Timestamp};

use crate::frames::{
    END_HEADERS, END_STREAM, PREFACE, WHOLE, block, data, frame, get, goaway, greeting, headers, kept, ok, reset,
    settings,
};
use crate::talk::Talk;

/// A call of `get` at piece `start` answered at piece `end`.
fn answered(path: &str, stream: u32, start: u64, end: u64, response_bytes: usize) -> String {
    format!(
        "http2 request_response ok at {} for {} bytes {}/{response_bytes} request_type=\"GET\" domain=\"h\" resource=\"{path}\" \
         endpoint=\"{path}\" request_id=\"{stream}\" status_code=\"200\"",
        start * 1000,
        (end - start) * 1000,
        get(stream, path).len(),
    )
}

fn greeted() -> Talk {
    Talk::tcp().client(greeting()).server(settings())
}

#[test]
fn requests_and_answers_cross() {
    greeted()
        .client([get(1, "/one"), frame(4, 1, 0, ""), get(3, "/two"), frame(6, 0, 0, [0; 8])].concat())
        .server([ok(0, 3), ok(0, 1), data(0, 1, "first")].concat())
        .server([data(END_STREAM, 3, "all"), frame(8, 0, 1, [0, 0, 1, 0]), data(END_STREAM, 1, "")].concat())
        .expect(&[&answered("/two", 3, 3, 4, 22 + 12), &answered("/one", 1, 3, 4, 22 + 14 + 9)]);
}

#[test]
fn a_server_that_speaks_first_and_joined_in_the_middle() {
    let exchange = |talk: Talk| talk.client(get(5, "/a")).server(ok(END_STREAM, 5));
    exchange(Talk::tcp().server(settings()).client(greeting())).expect(&[&answered("/a", 5, 3, 4, 22)]);
    exchange(Talk::new(Opening::TCP_JOINED)).expect(&[&answered("/a", 5, 1, 2, 22)]);
    let turned = Talk::new(Opening::TCP_JOINED).server(get(5, "/a")).client(ok(END_STREAM, 5));
    turned.expect(&[&format!("{} turned", answered("/a", 5, 1, 2, 22))]);
    let answer_first =
        Talk::new(Opening::TCP_JOINED).server(ok(END_STREAM, 3)).client(get(5, "/a")).server(ok(END_STREAM, 5));
    answer_first.expect(&[
        "http2 response_only ok at 1000 bytes 0/22 request_id=\"3\" status_code=\"200\"",
        &answered("/a", 5, 2, 3, 22),
    ]);
}

#[test]
fn a_server_of_another_protocol_refutes_the_preface() {
    Talk::tcp().client([greeting(), get(1, "/")].concat()).server("HTTP/1.1 400 Bad Request\r\n\r\n").expect(&[]);
}

#[test]
fn an_interim_answer_is_none_and_trailers_belong_to_the_body() {
    let early = headers(END_HEADERS, 1, &[(":status", "103"), ("link", "</a>")]);
    let trailers = headers(WHOLE, 1, &[("digest", "x")]);
    greeted()
        .client(get(1, "/a"))
        .server(early)
        .server([ok(0, 1), data(0, 1, "abc")].concat())
        .server(&trailers)
        .expect(&[&answered("/a", 1, 3, 5, 22 + 12 + trailers.len())]);
}

#[test]
fn a_body_of_the_request_with_trailers() {
    let post = headers(END_HEADERS, 1, &[(":method", "POST"), (":scheme", "http"), (":path", "/a"), ("host", "u:p@h")]);
    let trailers = headers(WHOLE, 1, &[("digest", "x")]);
    greeted()
        .client([post.as_slice(), &data(0, 1, "abc")].concat())
        .client(&trailers)
        .server(headers(WHOLE, 1, &[(":status", "404")]))
        .expect(&[&format!(
            "http2 request_response client_error at 3000 for 2000 bytes {}/22 request_type=\"POST\" domain=\"h\" resource=\"/a\" \
             endpoint=\"/a\" request_id=\"1\" status_code=\"404\"",
            post.len() + 12 + trailers.len()
        )]);
}

#[test]
fn padding_priority_and_continuation() {
    let list = block(&[(":method", "GET"), (":scheme", "http"), (":path", "/long"), (":authority", "h")]);
    let (first, rest) = list.split_at(20);
    let (second, third) = rest.split_at(5);
    let padded = [&[4, 0, 0, 0, 0, 16], first, &[0; 4]].concat();
    let request =
        [frame(1, 0x28 | END_STREAM, 1, padded), frame(9, 0, 1, second), frame(9, 0, 1, ""), frame(9, 4, 1, third)]
            .concat();
    let response = [ok(0, 1), frame(0, 8 | END_STREAM, 1, [2, b'a', 0, 0])].concat();
    greeted().client(&request).server(&response).expect(&[&format!(
        "http2 request_response ok at 3000 for 1000 bytes {}/{} request_type=\"GET\" domain=\"h\" resource=\"/long\" \
         endpoint=\"/long\" request_id=\"1\" status_code=\"200\"",
        request.len(),
        response.len(),
    )]);
}

#[test]
fn the_duration_ends_with_the_last_continuation() {
    let list = block(&[(":status", "200"), ("server", "t")]);
    greeted()
        .client(get(1, "/a"))
        .server(frame(1, 0, 1, &list[..10]))
        .server([frame(9, 4, 1, &list[10..]), data(END_STREAM, 1, "a")].concat())
        .expect(&[&answered("/a", 1, 3, 5, list.len() + 18 + 10)]);
}

#[test]
fn headers_come_from_the_table() {
    let first =
        [b"\x82\x86".to_vec(), kept(":path", "/a/42"), kept(":authority", "h"), kept("user-agent", "t")].concat();
    let again = b"\x82\x86\xc0\xbf\xbe";
    let call = |stream: u32, start: u64, bytes: usize| {
        format!(
            "http2 request_response ok at {start} for 1000 bytes {bytes}/10 request_type=\"GET\" domain=\"h\" resource=\"/a/42\" \
             endpoint=\"/a/{{}}\" request_id=\"{stream}\" status_code=\"200\" user_agent.original=Text(\"t\")"
        )
    };
    greeted()
        .client(frame(1, WHOLE, 1, &first))
        .server(frame(1, WHOLE, 1, b"\x88"))
        .client(frame(1, WHOLE, 3, again))
        .server(frame(1, WHOLE, 3, b"\x88"))
        .expect(&[&call(1, 3000, first.len() + 9), &call(3, 5000, again.len() + 9)]);
}

#[test]
fn what_a_table_nobody_saw_says_stays_unknown() {
    let new = [b"\x82\x86".to_vec(), kept(":path", "/new"), b"\xc0".to_vec()].concat();
    Talk::new(Opening::TCP_JOINED)
        .client(frame(1, WHOLE, 7, b"\x82\x86\xbf\xbe"))
        .server(frame(1, WHOLE, 7, b"\x88"))
        .client(frame(1, WHOLE, 9, &new))
        .server(frame(1, WHOLE, 9, b"\x88"))
        .client(frame(1, WHOLE, 11, b"\x82\x86\xbe"))
        .server(frame(1, WHOLE, 11, b"\x88"))
        .expect(&[
            "http2 request_response ok at 1000 for 1000 bytes 13/10 request_type=\"GET\" request_id=\"7\" status_code=\"200\" incomplete",
            "http2 request_response ok at 3000 for 1000 bytes 24/10 request_type=\"GET\" resource=\"/new\" endpoint=\"/new\" \
             request_id=\"9\" status_code=\"200\" incomplete",
            "http2 request_response ok at 5000 for 1000 bytes 12/10 request_type=\"GET\" resource=\"/new\" endpoint=\"/new\" \
             request_id=\"11\" status_code=\"200\"",
        ]);
}

#[test]
fn bytes_missing_in_a_body_cost_nothing() {
    greeted()
        .client(get(1, "/a"))
        .server([ok(0, 1), data(0, 1, [0; 100])[..20].to_vec()].concat())
        .gap(Side::Server, 80)
        .server([&[0; 9][..], &data(END_STREAM, 1, "x")].concat())
        .expect(&[&answered("/a", 1, 3, 4, 22 + 109 + 10)]);
}

#[test]
fn after_a_loss_frames_are_found_again_and_the_table_is_unknown() {
    greeted()
        .client([frame(1, WHOLE, 1, [b"\x82\x86".to_vec(), kept(":path", "/a")].concat())].concat())
        .server(ok(END_STREAM, 1))
        .gap(Side::Client, 1000)
        .client([b"the rest of a body".to_vec(), frame(1, WHOLE, 5, b"\x82\x86\xbe"), get(7, "/b")].concat())
        .server([ok(END_STREAM, 5), ok(END_STREAM, 7)].concat())
        .expect(&[
            "http2 request_response ok at 3000 for 1000 bytes 21/22 request_type=\"GET\" resource=\"/a\" endpoint=\"/a\" \
             request_id=\"1\" status_code=\"200\"",
            "http2 request_response ok at 5000 for 1000 bytes 12/22 request_type=\"GET\" request_id=\"5\" status_code=\"200\" incomplete",
            &answered("/b", 7, 5, 6, 22),
        ]);
}

#[test]
fn a_loss_between_two_requests_that_follow_each_other_leaves_the_table_known() {
    let first = [b"\x83\x86".to_vec(), kept(":path", "/a")].concat();
    greeted()
        .client([frame(1, END_HEADERS, 1, first), data(0, 1, "abc")].concat())
        .server(ok(END_STREAM, 1))
        .gap(Side::Client, 1000)
        .client(frame(1, WHOLE, 3, b"\x82\x86\xbe"))
        .server(ok(END_STREAM, 3))
        .expect(&[
            "http2 request_response ok at 5000 for 1000 bytes 12/22 request_type=\"GET\" resource=\"/a\" endpoint=\"/a\" \
             request_id=\"3\" status_code=\"200\"",
            "http2 request_response ok at 3000 for 1000 bytes 33/22 request_type=\"POST\" resource=\"/a\" endpoint=\"/a\" \
             request_id=\"1\" status_code=\"200\" incomplete",
        ]);
}

#[test]
fn an_answer_whose_head_was_lost() {
    greeted()
        .client(get(1, "/a"))
        .known_gap(Side::Server, 22)
        .server(data(END_STREAM, 1, "abc"))
        .client(get(3, "/b"))
        .server(ok(END_STREAM, 3))
        .expect(&[
            &format!(
                "http2 request_only unknown at 3000 bytes {}/0 request_type=\"GET\" domain=\"h\" resource=\"/a\" endpoint=\"/a\" \
                 request_id=\"1\" incomplete",
                get(1, "/a").len()
            ),
            &answered("/b", 3, 6, 7, 22),
        ]);
}

#[test]
fn streams_that_are_reset() {
    let only = |path: &str, stream: u32, status: &str, extra: usize, exception: &str| {
        format!(
            "http2 request_only {status} at 3000 bytes {}/0 request_type=\"GET\" domain=\"h\" resource=\"{path}\" \
             endpoint=\"{path}\" request_id=\"{stream}\" exception=\"{exception}\"",
            get(stream, path).len() + extra
        )
    };
    let post = headers(END_HEADERS, 5, &[(":method", "POST"), (":scheme", "http"), (":path", "/c")]);
    greeted()
        .client([get(1, "/a"), get(3, "/b"), post.clone(), get(7, "/d"), get(9, "/e")].concat())
        .client([reset(1, 8), reset(7, 8)].concat())
        .server([reset(3, 7), ok(0, 5), reset(5, 0x1234), ok(END_STREAM, 7), ok(END_STREAM, 9), reset(9, 0)].concat())
        .expect(&[
            &only("/b", 3, "server_error", 0, "RST_STREAM REFUSED_STREAM"),
            &format!(
                "http2 request_response server_error at 3000 for 2000 bytes {}/35 request_type=\"POST\" resource=\"/c\" endpoint=\"/c\" \
                 request_id=\"5\" status_code=\"200\" exception=\"RST_STREAM 0x1234\"",
                post.len()
            ),
            // The reset and the answer crossed.
            &answered("/d", 7, 3, 5, 22).replace("status_code=\"200\"", "status_code=\"200\" exception=\"RST_STREAM CANCEL\""),
            &answered("/e", 9, 3, 5, 22),
            &only("/a", 1, "client_error", 0, "RST_STREAM CANCEL"),
        ]);
}

#[test]
fn an_answer_before_the_end_of_the_request() {
    let post = headers(END_HEADERS, 1, &[(":method", "POST"), (":scheme", "http"), (":path", "/c")]);
    greeted()
        .client([post.clone(), data(0, 1, "abc")].concat())
        .server([headers(WHOLE, 1, &[(":status", "413")]), reset(1, 0)].concat())
        .client(data(END_STREAM, 1, "def"))
        .expect(&[&format!(
            "http2 request_response client_error at 3000 for 1000 bytes {}/22 request_type=\"POST\" resource=\"/c\" endpoint=\"/c\" \
             request_id=\"1\" status_code=\"413\"",
            post.len() + 12
        )]);
}

#[test]
fn what_goaway_leaves_out() {
    let requests = [get(1, "/a"), get(3, "/b"), get(5, "/c")].concat();
    let only = |path: &str, stream: u32| {
        format!(
            "http2 request_only server_error at 3000 bytes {}/0 request_type=\"GET\" domain=\"h\" resource=\"{path}\" \
             endpoint=\"{path}\" request_id=\"{stream}\" exception=\"GOAWAY NO_ERROR\"",
            get(stream, path).len()
        )
    };
    greeted().client(requests).server([goaway(0x7fff_ffff, 0), goaway(1, 0), ok(END_STREAM, 1)].concat()).expect(&[
        &only("/b", 3),
        &only("/c", 5),
        &answered("/a", 1, 3, 4, 22),
    ]);
}

#[test]
fn a_push_begins_with_the_server() {
    let promise = [
        &[0, 0, 0, 2][..],
        &block(&[(":method", "GET"), (":scheme", "http"), (":path", "/style"), (":authority", "h")]),
    ];
    let promise = frame(5, END_HEADERS, 1, promise.concat());
    greeted()
        .client(get(1, "/a"))
        .server([promise.as_slice(), &ok(END_STREAM, 1)].concat())
        .server([ok(0, 2), data(END_STREAM, 2, "css")].concat())
        .expect(&[
            &answered("/a", 1, 3, 4, 22),
            &format!(
                "http2 request_response ok at 4000 for 1000 bytes {}/34 request_type=\"GET\" domain=\"h\" resource=\"/style\" \
                 endpoint=\"/style\" request_id=\"2\" status_code=\"200\" initiator=Text(\"server\")",
                promise.len()
            ),
        ]);
}

#[test]
fn an_upgrade_from_http1() {
    let upgrade = "GET /a?token=s HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\
                   HTTP2-Settings: AAMAAABk\r\nX-Request-Id: r\r\n\r\n";
    let switching = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n";
    let http1 = format!(
        "http1 request_response ok at 1000 for 1000 bytes {}/{} request_type=\"GET\" domain=\"h\" resource=\"/a?token=REDACTED\" \
         endpoint=\"/a\" status_code=\"101\" x_request_id=\"r\"",
        upgrade.len(),
        switching.len()
    );
    Talk::tcp()
        .client(upgrade)
        .server([switching.as_bytes(), &settings(), &ok(0, 1)].concat())
        .client([greeting(), get(3, "/b")].concat())
        .server([data(END_STREAM, 1, "abc"), ok(END_STREAM, 3)].concat())
        .expect(&[
            &http1,
            "http2 response_only ok at 2000 bytes 0/34 request_type=\"GET\" domain=\"h\" resource=\"/a?token=REDACTED\" \
             endpoint=\"/a\" request_id=\"1\" status_code=\"200\" x_request_id=\"r\" upgraded_from=Text(\"http1\")",
            &answered("/b", 3, 3, 4, 22),
        ]);
    Talk::tcp().client(upgrade).server(switching).client(greeting()).expect(&[&http1]);
}

#[test]
fn trace_headers_and_those_of_proxies() {
    let request = headers(
        WHOLE,
        1,
        &[
            (":method", "GET"),
            (":scheme", "http"),
            (":path", "/a?password=x"),
            ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
            ("tracestate", "a=b"),
            ("tracestate", "c=d"),
            ("x-request-id", "r1"),
            ("x-forwarded-for", "10.0.0.1, 10.0.0.2"),
            ("x-forwarded-for", "10.0.0.3"),
        ],
    );
    greeted().client(&request).expect(&[&format!(
        "http2 request_only unknown at 3000 bytes {}/0 request_type=\"GET\" resource=\"/a?password=REDACTED\" endpoint=\"/a\" \
         request_id=\"1\" trace_id=\"4bf92f3577b34da6a3ce929d0e0e4736\" span_id=\"00f067aa0ba902b7\" x_request_id=\"r1\" \
         tracestate=Text(\"a=b\") client.address=Text(\"10.0.0.1\")",
        request.len()
    )]);
}

#[test]
fn a_block_that_is_no_header_list_is_passed_over() {
    greeted()
        .client([frame(1, WHOLE, 1, b"\x82\x80"), get(3, "/b")].concat())
        .server(ok(END_STREAM, 3))
        .expect(&[&answered("/b", 3, 3, 4, 22)]);
}

#[test]
fn a_header_block_longer_than_is_kept_is_read_in_part() {
    let mut options = Options::default();
    options.limits.message_bytes = 1 << 10;
    let list = [
        block(&[(":method", "GET"), (":scheme", "http"), (":path", "/long"), (":authority", "h")]),
        kept("x", &"x".repeat(700)),
        block(&[("y", &"y".repeat(700))]),
    ]
    .concat();
    let (first, rest) = list.split_at(900);
    let request = [frame(1, END_STREAM, 1, first), frame(9, 0, 1, rest), frame(9, 4, 1, "")].concat();
    let talk = greeted()
        .client([request.as_slice(), &get(3, "/b")].concat())
        .server([ok(END_STREAM, 1), ok(END_STREAM, 3)].concat());
    let long = format!(
        "http2 request_response ok at 3000 for 1000 bytes {}/22 request_type=\"GET\" domain=\"h\" resource=\"/long\" \
         endpoint=\"/long\" request_id=\"1\" status_code=\"200\" incomplete",
        request.len()
    );
    for most in [usize::MAX, 500, 100, 1] {
        assert_eq!(talk.calls_with(options.clone(), most), [long.clone(), answered("/b", 3, 3, 4, 22)], "{most}");
    }
}

/// One connection to which a client sends what it likes.
struct Flood {
    dissector: Dissector,
    connection: Connection,
    sent: u64,
    calls: u64,
}

impl Flood {
    fn new() -> Self {
        let mut flood = Self {
            dissector: Dissector::new(Options::default()),
            connection: Connection::new(Opening::TCP),
            sent: 0,
            calls: 0,
        };
        flood.send(&greeting());
        flood
    }

    fn send(&mut self, bytes: &[u8]) {
        for bytes in bytes.chunks(1400) {
            let chunk = StreamChunk { side: Side::Client, time: Timestamp::ZERO, offset: self.sent, bytes, missing: 0 };
            self.dissector.push(&mut self.connection, chunk);
            self.sent += bytes.len() as u64;
            while self.dissector.poll().is_some() {
                self.calls += 1;
            }
            let memory = self.connection.memory();
            assert!(memory <= 320 << 10, "{memory} bytes after {} were sent", self.sent);
        }
    }
}

#[test]
fn a_flood_of_continuations_is_one_request() {
    let mut flood = Flood::new();
    flood.send(&frame(1, 0, 1, block(&[(":method", "GET"), (":scheme", "http"), (":path", "/")])));
    let small = [frame(9, 0, 1, ""), frame(9, 0, 1, kept("a", "b"))].concat().repeat(1000);
    for _ in 0..40 {
        flood.send(&small);
    }
    flood.dissector.close(&mut flood.connection);
    assert_eq!(flood.dissector.stats().calls, 1);
    assert_eq!(flood.dissector.stats().long_messages, 1);
}

#[test]
fn a_flood_of_streams_is_reported_early() {
    let mut flood = Flood::new();
    for stream in 0..5_000 {
        flood.send(&get(stream * 2 + 1, "/"));
    }
    let stats = *flood.dissector.stats();
    assert!(stats.requests_evicted > 1000 && flood.calls == stats.requests_evicted, "{stats:?}");
}

#[test]
fn a_flood_of_resets_is_reported_early() {
    let mut flood = Flood::new();
    for stream in 0..5_000 {
        flood.send(&[get(stream * 2 + 1, "/"), reset(stream * 2 + 1, 8)].concat());
    }
    flood.dissector.close(&mut flood.connection);
    while flood.dissector.poll().is_some() {
        flood.calls += 1;
    }
    assert_eq!(flood.calls, 5_000);
}

#[test]
fn short_references_make_no_long_lists() {
    let mut flood = Flood::new();
    let start = block(&[(":method", "GET"), (":scheme", "http"), (":path", "/")]);
    let bomb = [start, kept("tracestate", &"x".repeat(3900)), vec![0xbe; 10_000]].concat();
    flood.send(&frame(1, WHOLE, 1, bomb));
    flood.dissector.close(&mut flood.connection);
    let stats = *flood.dissector.stats();
    assert_eq!((stats.header_lists_cut, stats.calls), (1, 1));
    let call = flood.dissector.poll().map(|call| (call.attributes().count(), call.captured_complete()));
    assert_eq!(call, Some((1, false)));
}

#[test]
fn a_table_larger_than_the_limit_forgets_its_oldest_entries() {
    let mut flood = Flood::new();
    // The client may keep 1 MiB.
    let start =
        [vec![0x3f, 0xe1, 0xff, 0x3f], block(&[(":method", "GET"), (":scheme", "http"), (":path", "/")])].concat();
    let fill: Vec<u8> = (0..40).flat_map(|number| kept("n", &format!("{number}{}", "x".repeat(1000)))).collect();
    flood.send(&frame(1, WHOLE, 1, [start, fill].concat()));
    assert!(flood.dissector.stats().header_entries_dropped > 20);
    flood.send(&frame(
        1,
        WHOLE,
        3,
        [&block(&[(":method", "GET"), (":scheme", "http"), (":path", "/")])[..], b"\xde"].concat(),
    ));
    flood.dissector.close(&mut flood.connection);
    let mut complete = Vec::new();
    while let Some(call) = flood.dissector.poll() {
        complete.push(call.captured_complete());
    }
    assert_eq!(complete, [true, false]);
}

#[test]
fn the_preface_again_and_unknown_frames_are_passed_over() {
    Talk::tcp()
        .client([PREFACE, &frame(0xa, 0, 0, "alt"), &frame(0x10, 0, 0, "u=1"), &get(1, "/a")].concat())
        .server([settings(), ok(END_STREAM, 1)].concat())
        .expect(&[&answered("/a", 1, 1, 2, 22)]);
}
