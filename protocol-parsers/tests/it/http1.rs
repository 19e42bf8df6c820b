use protocol_parsers::{Opening, Options, Side};

use crate::talk::Talk;

const GET: &str = "GET /a/42?x=1 HTTP/1.1\r\nHost: example.test\r\nUser-Agent: t\r\n\r\n";
const CALL: &str = "http1 request_response ok at 1000 for 1000 bytes 61/43 request_type=\"GET\" domain=\"example.test\" \
                    resource=\"/a/42?x=1\" endpoint=\"/a/{}\" status_code=\"200\" user_agent.original=Text(\"t\")";

fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n")
}

/// A call of `get` at piece `start` answered at piece `end` with 200.
fn answered(path: &str, start: u64, end: u64, response_bytes: usize) -> String {
    format!(
        "http1 request_response ok at {} for {} bytes {}/{response_bytes} request_type=\"GET\" domain=\"h\" resource=\"{path}\" \
         endpoint=\"{path}\" status_code=\"200\"",
        start * 1000,
        (end - start) * 1000,
        get(path).len(),
    )
}

#[test]
fn request_and_response() {
    Talk::tcp().client(GET).server(ok("hello")).expect(&[CALL]);
}

#[test]
fn joined_late_and_seen_the_wrong_way_round() {
    let mut talk = Talk::new(Opening::TCP_JOINED).server(GET).client(ok("hello"));
    talk.expect(&[&format!("{CALL} turned")]);
    talk.opening = Opening::TCP;
    talk.expect(&[]);
}

#[test]
fn pipelined_requests_with_a_head_and_chunks_between() {
    let chunked =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nWiki\r\n5;x=y\r\npedia\r\n0\r\nT: 1\r\n\r\n";
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n";
    Talk::tcp()
        .client([get("/one"), get("/two").replace("GET", "HEAD"), get("/three"), get("/four")].concat())
        .server([&ok("first"), head, chunked, &ok("")].concat())
        .expect(&[
            &answered("/one", 1, 2, ok("first").len()),
            &answered("/two", 1, 2, head.len()).replace("GET", "HEAD").replace("bytes 30/", "bytes 31/"),
            &answered("/three", 1, 2, chunked.len()),
            &answered("/four", 1, 2, ok("").len()),
        ]);
}

#[test]
fn an_interim_answer_is_none() {
    let post = "POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n";
    Talk::tcp().client(post).server("HTTP/1.1 100 Continue\r\n\r\n").client("abc").server(ok("")).expect(&[&format!(
        "http1 request_response ok at 1000 for 3000 bytes {}/{} request_type=\"POST\" domain=\"h\" resource=\"/p\" endpoint=\"/p\" \
         status_code=\"200\"",
        post.len() + 3,
        ok("").len()
    )]);
}

#[test]
fn a_body_that_ends_with_the_connection() {
    Talk::tcp()
        .client(get("/a"))
        .server("HTTP/1.0 200 OK\r\n\r\nbody")
        .server("more")
        .expect(&[&answered("/a", 1, 2, 27)]);
}

#[test]
fn bytes_missing_in_a_body_cost_nothing() {
    Talk::tcp()
        .client(get("/a"))
        .server("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nabc")
        .gap(Side::Server, 990)
        .server("1234567")
        .client(get("/b"))
        .server(ok(""))
        .expect(&[&answered("/a", 1, 2, 1041), &answered("/b", 4, 5, ok("").len())]);
}

#[test]
fn a_body_cut_by_the_snap_length() {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n";
    Talk::tcp()
        .client(get("/a"))
        .piece(Side::Server, head.as_bytes(), 1000)
        .client(get("/b"))
        .server(ok(""))
        .expect(&[&answered("/a", 1, 2, 1041), &answered("/b", 3, 4, ok("").len())]);
}

#[test]
fn a_lost_answer_does_not_shift_those_behind_it() {
    Talk::tcp()
        .client(get("/a"))
        .known_gap(Side::Server, 100)
        .client(get("/b"))
        .server(ok(""))
        .client(get("/c"))
        .server(ok(""))
        .expect(&[
            "http1 request_only unknown at 1000 bytes 28/0 request_type=\"GET\" domain=\"h\" resource=\"/a\" endpoint=\"/a\" incomplete",
            &answered("/b", 3, 4, ok("").len()),
            &answered("/c", 5, 6, ok("").len()),
        ]);
}

#[test]
fn after_a_loss_noticed_late_nobody_can_tell_whose_answer_it_is() {
    Talk::tcp()
        .client(get("/a"))
        .gap(Side::Server, 100)
        .client(get("/b"))
        .server(ok(""))
        .client(get("/c"))
        .server(ok(""))
        .expect(&[
            "http1 request_only unknown at 1000 bytes 28/0 request_type=\"GET\" domain=\"h\" resource=\"/a\" endpoint=\"/a\" incomplete",
            "http1 request_only unknown at 2000 bytes 28/0 request_type=\"GET\" domain=\"h\" resource=\"/b\" endpoint=\"/b\" incomplete",
            "http1 response_only ok at 3000 bytes 0/38 status_code=\"200\"",
            &answered("/c", 4, 5, ok("").len()),
        ]);
}

#[test]
fn a_lost_request_leaves_its_answer_alone() {
    Talk::tcp()
        .client(get("/a"))
        .server(ok(""))
        .gap(Side::Client, 50)
        .server(ok(""))
        .client(get("/c"))
        .server(ok(""))
        .expect(&[
            &answered("/a", 1, 2, ok("").len()),
            "http1 response_only ok at 3000 bytes 0/38 status_code=\"200\"",
            &answered("/c", 4, 5, ok("").len()),
        ]);
}

#[test]
fn messages_whose_end_receivers_may_disagree_about() {
    let next = get("/next");
    let post = |headers: &str, body: &str| format!("POST /p HTTP/1.1\r\nHost: h\r\n{headers}\r\n\r\n{body}");
    let ends = |headers: &str, body: &str, conflict: bool| {
        let request = post(headers, body);
        let talk = Talk::tcp().client(format!("{request}{next}")).server([ok(""), ok("")].concat());
        for most in [1, 7, usize::MAX] {
            let calls = talk.calls_with(Options::default(), most);
            assert_eq!(calls.len(), 2, "{headers:?}: {calls:#?}");
            assert!(calls[0].contains(&format!(" bytes {}/", request.len())), "{headers:?}: {calls:#?}");
            assert_eq!(calls[0].contains("http.framing_conflict=Flag(true)"), conflict, "{headers:?}: {calls:#?}");
            assert_eq!(calls[1], answered("/next", 1, 2, 38), "{headers:?}");
        }
    };
    let chunks = "3\r\nabc\r\n0\r\n\r\n";
    ends("Content-Length: 3", "abc", false);
    ends("Content-Length: 3, 3", "abc", false);
    ends("Content-Length: 3\r\nContent-Length: 3", "abc", false);
    ends("Transfer-Encoding: chunked", chunks, false);
    ends("Transfer-Encoding: gzip, chunked", chunks, false);
    ends("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked", chunks, false);
    ends("Transfer-Encoding: chunked", "3;name=\"v\";x\r\nabc\r\n0;last\r\nA: b\r\n\r\n", false);
    ends("Content-Length: 3\r\nTransfer-Encoding: chunked", chunks, true);
    ends("Transfer-Encoding: chunked\r\nContent-Length: 30", chunks, true);
    ends("Content-Length: 3\r\nContent-Length: 30", "abc", true);
    ends("Content-Length: 3, 30", "abc", true);
    ends("Content-Length: +3", "", true);
    ends("Content-Length: 0x3", "", true);
    ends("Transfer-Encoding: identity\r\nContent-Length: 3", "", true);
}

#[test]
fn trace_ids_in_a_trailer_section() {
    let request = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\
                   Digest: y\r\nTraceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n\r\n";
    let expected = format!(
        "http1 request_response ok at 1000 for 1000 bytes {}/38 request_type=\"POST\" domain=\"h\" resource=\"/\" endpoint=\"/\" \
         status_code=\"200\" trace_id=\"4bf92f3577b34da6a3ce929d0e0e4736\" span_id=\"00f067aa0ba902b7\"",
        request.len()
    );
    Talk::tcp().client(request).server(ok("")).expect(&[&expected]);
}

#[test]
fn several_interim_answers() {
    let interim = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
    let answers = format!("HTTP/1.1 102 Processing\r\n\r\n{interim}{interim}{}", ok("x"));
    Talk::tcp()
        .client([get("/a"), get("/b")].concat())
        .server(format!("{answers}{interim}{}", ok("")))
        .expect(&[&answered("/a", 1, 2, ok("x").len()), &answered("/b", 1, 2, ok("").len())]);
}

#[test]
fn a_body_where_none_may_be_costs_no_other_call() {
    for status in ["204 No Content", "304 Not Modified"] {
        let head = format!("HTTP/1.1 {status}\r\nContent-Length: 5\r\n\r\n");
        let plain = answered("/a", 1, 2, head.len()).replace("\"200\"", &format!("{:?}", &status[..3]));
        // As it should be, and from a server that sends one all the same.
        Talk::tcp()
            .client(get("/a"))
            .server(&head)
            .client(get("/b"))
            .server(ok(""))
            .expect(&[&plain, &answered("/b", 3, 4, 38)]);
        let talk = Talk::tcp().client(get("/a")).server(format!("{head}hello")).client(get("/b")).server(ok(""));
        for most in [1, 7, usize::MAX] {
            let calls = talk.calls_with(Options::default(), most);
            assert_eq!(calls, [plain.clone(), answered("/b", 3, 4, 38)], "{most}");
        }
    }
}

#[test]
fn requests_before_and_behind_one_that_changes_the_protocol() {
    let upgrade = "GET /ws HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    let switched = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n";
    let changed = format!(
        "http1 request_response ok at 1000 for 1000 bytes {}/{} request_type=\"GET\" domain=\"h\" resource=\"/ws\" endpoint=\"/ws\" \
         status_code=\"101\"",
        upgrade.len(),
        switched.len()
    );
    // What was sent behind the request is the other protocol's, though it was read as a request before the answer came.
    Talk::tcp()
        .client(format!("{}{upgrade}{}", get("/a"), get("/b")))
        .server([ok("").as_bytes(), switched.as_bytes(), b"\x81\x05hello"].concat())
        .client(b"\x81\x85\0\0\0\0hello")
        .server(ok(""))
        .expect(&[
            &answered("/a", 1, 2, 38),
            &changed,
            "http1 request_only unknown at 1000 bytes 28/0 request_type=\"GET\" domain=\"h\" resource=\"/b\" endpoint=\"/b\"",
        ]);
    // A server that does not change goes on as it was.
    let stays = answered("/ws", 1, 2, 38)
        .replace(&format!("bytes {}/", get("/ws").len()), &format!("bytes {}/", upgrade.len()));
    Talk::tcp()
        .client(upgrade)
        .server(ok(""))
        .client(get("/b"))
        .server(ok(""))
        .expect(&[&stays, &answered("/b", 3, 4, 38)]);
}

#[test]
fn after_an_upgrade_nothing_is_read() {
    Talk::tcp()
        .client("GET /ws HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\n\r\n")
        .server("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n\x02\x03")
        .client("\x01GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        .expect(&[
            "http1 request_response ok at 1000 for 1000 bytes 49/56 request_type=\"GET\" domain=\"h\" resource=\"/ws\" \
                   endpoint=\"/ws\" status_code=\"101\"",
        ]);
}

#[test]
fn a_server_that_is_none_refutes_the_request() {
    Talk::tcp().client(get("/")).server("SSH-2.0-OpenSSH_8.7\r\n").expect(&[]);
}

#[test]
fn an_answer_that_is_none_leaves_the_request_unanswered() {
    for answer in ["<html>HTTP/0.9</html>", "ICY 200 OK\r\nicy-name: x\r\n\r\n"] {
        Talk::tcp().client(get("/")).server(answer).expect(&[
            "http1 request_only unknown at 1000 bytes 27/0 request_type=\"GET\" domain=\"h\" resource=\"/\" endpoint=\"/\"",
        ]);
    }
}

#[test]
fn a_request_without_a_version_counts_when_a_host_follows() {
    Talk::tcp().client("GET /x\r\nHost: h\r\n\r\n").server("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").expect(&[
        "http1 request_response client_error at 1000 for 1000 bytes 19/47 request_type=\"GET\" domain=\"h\" resource=\"/x\" \
         endpoint=\"/x\" status_code=\"400\"",
    ]);
}

#[test]
fn trace_headers() {
    let request = "GET / HTTP/1.1\r\nHost: h\r\nTraceparent: 00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01\r\n\
                   X-Request-ID: r1\r\nX-Forwarded-For: 10.0.0.1, 10.0.0.2\r\n\r\n";
    let calls = Talk::tcp().client(request).calls();
    assert_eq!(
        calls,
        [
            "http1 request_only unknown at 1000 bytes 152/0 request_type=\"GET\" domain=\"h\" resource=\"/\" endpoint=\"/\" \
          trace_id=\"4bf92f3577b34da6a3ce929d0e0e4736\" span_id=\"00f067aa0ba902b7\" x_request_id=\"r1\" \
          client.address=Text(\"10.0.0.1\")"
        ]
    );
}

#[test]
fn secrets_in_the_query_are_left_out_unless_wanted() {
    let talk = Talk::tcp().client(get("/a?token=s3cret"));
    assert!(talk.calls()[0].contains("/a?token=REDACTED"));
    let mut options = Options::default();
    options.redact = false;
    assert!(talk.calls_with(options, usize::MAX)[0].contains("/a?token=s3cret"));
}

#[test]
fn a_head_longer_than_is_kept_is_reported_in_part() {
    let mut options = Options::default();
    options.limits.message_bytes = 1 << 10;
    let request = format!("GET /long HTTP/1.1\r\nHost: h\r\nX: {}\r\n\r\n", "x".repeat(5000));
    let talk = Talk::tcp().client(&request).server(ok("")).client(get("/b")).server(ok(""));
    for most in [usize::MAX, 100, 1] {
        let calls = talk.calls_with(options.clone(), most);
        assert_eq!(calls.len(), 2);
        assert_eq!(
            calls[0],
            format!(
                "http1 request_response ok at 1000 for 1000 bytes {}/38 request_type=\"GET\" domain=\"h\" resource=\"/long\" \
                 endpoint=\"/long\" status_code=\"200\" incomplete",
                request.len()
            )
            .replace(" incomplete", if most == usize::MAX { "" } else { " incomplete" })
        );
        assert_eq!(calls[1], answered("/b", 3, 4, 38));
    }
}

#[test]
fn texts_that_are_no_utf8_are_escaped_each_on_its_own() {
    // The end of the path and the beginning of the host would be a character together.
    let request = b"GET /a\xc3 HTTP/1.1\r\nHost: \xa4\xc3\xa4\r\nUser-Agent: \xff\xe2\x82\xac\r\n\r\n";
    Talk::tcp().client(request).server(ok("")).expect(&[&format!(
        "http1 request_response ok at 1000 for 1000 bytes {}/{} request_type=\"GET\" domain=\"\\\\xa4\u{e4}\" \
         resource=\"/a\\\\xc3\" endpoint=\"/a\\\\xc3\" status_code=\"200\" user_agent.original=Text(\"\\\\xff\u{20ac}\")",
        request.len(),
        ok("").len(),
    )]);
}
