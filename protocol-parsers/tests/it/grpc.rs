use protocol_parsers::{Opening, Options, Side};

use crate::frames::{END_HEADERS, END_STREAM, WHOLE, data, frame, greeting, headers, kept, ok, reset, settings};
use crate::talk::Talk;

fn greeted() -> Talk {
    Talk::tcp().client(greeting()).server(settings())
}

fn call_with(stream: u32, more: &[(&str, &str)]) -> Vec<u8> {
    let usual = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/shop.Cart/Add"),
        (":authority", "h"),
        ("content-type", "application/grpc+proto"),
    ];
    headers(END_HEADERS, stream, &[&usual[..], more].concat())
}

fn head(stream: u32) -> Vec<u8> {
    headers(END_HEADERS, stream, &[(":status", "200"), ("content-type", "application/grpc")])
}

fn trailers(stream: u32, code: &str, text: &str) -> Vec<u8> {
    headers(WHOLE, stream, &[("grpc-status", code), ("grpc-message", text)])
}

fn message(text: &str) -> Vec<u8> {
    [&[0, 0, 0, 0, text.len() as u8], text.as_bytes()].concat()
}

/// What every call of `call_with` begins with.
const WHAT: &str = "request_type=\"Add\" domain=\"h\" resource=\"/shop.Cart/Add\" endpoint=\"/shop.Cart/Add\"";

#[test]
fn one_message_each_way() {
    let request = [call_with(1, &[("grpc-timeout", "250m")]), data(END_STREAM, 1, message("hello"))].concat();
    let response = [head(1), data(0, 1, message("ok"))].concat();
    greeted().client(&request).server(&response).server(trailers(1, "0", "")).expect(&[&format!(
        "grpc request_response ok at 3000 for 1000 bytes {}/{} {WHAT} request_id=\"1\" status_code=\"0\" deadline_ns=Number(250000000) \
         message_count_request=Number(1) message_count_response=Number(1) duration_total_ns=Number(2000)",
        request.len(),
        response.len() + trailers(1, "0", "").len(),
    )]);
}

#[test]
fn streams_count_messages_whatever_frames_they_come_in() {
    let messages = [message("a"), message("bc"), message("")].concat();
    let (first, second) = messages.split_at(8);
    greeted()
        .client([call_with(1, &[]), data(0, 1, first), data(END_STREAM, 1, second)].concat())
        .server(
            [head(1), data(0, 1, &messages), data(0, 1, ""), frame(0, 8, 1, [&[3], &messages[..], &[0; 3]].concat())]
                .concat(),
        )
        .server(trailers(1, "0", ""))
        .expect(&[&format!(
            "grpc request_response ok at 3000 for 1000 bytes {}/{} {WHAT} request_id=\"1\" status_code=\"0\" \
             message_count_request=Number(3) message_count_response=Number(6) duration_total_ns=Number(2000)",
            call_with(1, &[]).len() + 18 + messages.len(),
            head(1).len() + 9 * 3 + 2 * messages.len() + 4 + trailers(1, "0", "").len(),
        )]);
}

#[test]
fn an_answer_of_trailers_only() {
    let answer = headers(
        WHOLE,
        1,
        &[
            (":status", "200"),
            ("content-type", "application/grpc"),
            ("grpc-status", "5"),
            ("grpc-message", "no%20cart"),
        ],
    );
    greeted().client([call_with(1, &[]), data(END_STREAM, 1, message("a"))].concat()).server(&answer).expect(&[&format!(
        "grpc request_response client_error at 3000 for 1000 bytes {}/{} {WHAT} request_id=\"1\" status_code=\"5\" exception=\"no cart\" \
         message_count_request=Number(1) message_count_response=Number(0) duration_total_ns=Number(1000)",
        call_with(1, &[]).len() + 15,
        answer.len(),
    )]);
}

#[test]
fn trailers_end_the_call_although_the_client_goes_on() {
    greeted()
        .client([call_with(1, &[]), data(0, 1, message("a"))].concat())
        .server([head(1), trailers(1, "13", "broken")].concat())
        .client(data(0, 1, message("b")))
        .client(reset(1, 8))
        .expect(&[&format!(
            "grpc request_response server_error at 3000 for 1000 bytes {}/{} {WHAT} request_id=\"1\" status_code=\"13\" \
             exception=\"broken\" message_count_request=Number(1) message_count_response=Number(0) duration_total_ns=Number(1000)",
            call_with(1, &[]).len() + 15,
            head(1).len() + trailers(1, "13", "broken").len(),
        )]);
}

#[test]
fn a_stream_that_the_client_cancels() {
    greeted()
        .client([call_with(1, &[]), data(END_STREAM, 1, message("a"))].concat())
        .server([head(1), data(0, 1, message("b"))].concat())
        .server(data(0, 1, message("c")))
        .client(reset(1, 8))
        .expect(&[&format!(
            "grpc request_response client_error at 3000 for 1000 bytes {}/{} {WHAT} request_id=\"1\" status_code=\"1\" \
             exception=\"RST_STREAM CANCEL\" message_count_request=Number(1) message_count_response=Number(2) duration_total_ns=Number(2000)",
            call_with(1, &[]).len() + 15,
            head(1).len() + 30,
        )]);
}

#[test]
fn a_proxy_answers_instead() {
    let answer = headers(WHOLE, 1, &[(":status", "503"), ("content-type", "text/html")]);
    let calls =
        greeted().client([call_with(1, &[]), data(END_STREAM, 1, message("a"))].concat()).server(answer).calls();
    assert!(calls[0].starts_with("grpc request_response server_error"), "{calls:?}");
    assert!(
        calls[0].contains("http.response.status_code=Number(503)") && !calls[0].contains(" status_code="),
        "{calls:?}"
    );
}

#[test]
fn a_lost_message_leaves_the_counts_out() {
    greeted()
        .client([call_with(1, &[]), data(END_STREAM, 1, message("a"))].concat())
        .server(head(1))
        .known_gap(Side::Server, 500)
        .server([data(0, 1, message("b")), trailers(1, "0", "")].concat())
        .expect(&[&format!(
            "grpc request_response ok at 3000 for 1000 bytes {}/{} {WHAT} request_id=\"1\" status_code=\"0\" \
             message_count_request=Number(1) duration_total_ns=Number(3000) incomplete",
            call_with(1, &[]).len() + 15,
            head(1).len() + 15 + trailers(1, "0", "").len(),
        )]);
}

#[test]
fn an_answer_whose_head_was_lost_still_says_how_it_ended() {
    greeted()
        .client([call_with(1, &[]), data(END_STREAM, 1, message("a"))].concat())
        .known_gap(Side::Server, 100)
        .server(trailers(1, "7", "no"))
        .expect(&[&format!(
            "grpc request_only client_error at 3000 bytes {}/0 {WHAT} request_id=\"1\" status_code=\"7\" exception=\"no\" \
             message_count_request=Number(1) incomplete",
            call_with(1, &[]).len() + 15,
        )]);
}

#[test]
fn joined_late_the_answer_tells_that_it_is_grpc() {
    let request = [b"\x83\x86".to_vec(), kept(":path", "/shop.Cart/Add"), b"\xc5\xc4".to_vec()].concat();
    Talk::new(Opening::TCP_JOINED)
        .client([frame(1, END_HEADERS, 9, request), data(END_STREAM, 9, message("a"))].concat())
        .server([head(9), data(0, 9, message("a")), trailers(9, "0", "")].concat())
        .expect(&[&format!(
            "grpc request_response ok at 1000 for 1000 bytes 50/{} request_type=\"Add\" resource=\"/shop.Cart/Add\" \
             endpoint=\"/shop.Cart/Add\" request_id=\"9\" status_code=\"0\" duration_total_ns=Number(1000) incomplete",
            head(9).len() + 15 + trailers(9, "0", "").len(),
        )]);
}

#[test]
fn joined_late_the_trailers_tell_how_it_ended() {
    let request = [b"\x83\x86".to_vec(), kept(":path", "/shop.Cart/Add"), b"\xc5\xc4".to_vec()].concat();
    Talk::new(Opening::TCP_JOINED)
        .client(frame(1, WHOLE, 9, request))
        .server([frame(1, END_HEADERS, 9, b"\x88\xc5"), trailers(9, "8", "enough")].concat())
        .expect(&[&format!(
            "http2 request_response server_error at 1000 for 1000 bytes 35/{} request_type=\"POST\" resource=\"/shop.Cart/Add\" \
             endpoint=\"/shop.Cart/Add\" request_id=\"9\" status_code=\"8\" exception=\"enough\" incomplete",
            11 + trailers(9, "8", "enough").len(),
        )]);
}

#[test]
fn joined_late_an_answer_of_trailers_only_is_no_success() {
    let known = [&b"\x88\xc5"[..], &kept("grpc-status", "5"), &kept("grpc-message", "no")].concat();
    let unknown = [&b"\x88\xc5\xc6"[..], &kept("grpc-message", "no")].concat();
    for (answer, status) in [(known, "client_error"), (unknown, "unknown")] {
        let calls = Talk::new(Opening::TCP_JOINED)
            .client(frame(1, WHOLE, 9, b"\x83\x86\xc5\xc4"))
            .server(frame(1, WHOLE, 9, answer))
            .calls();
        assert!(calls[0].starts_with(&format!("http2 request_response {status} ")), "{calls:?}");
        assert!(calls[0].contains("status_code=\"200\" exception=\"no\""), "{calls:?}");
    }
}

#[test]
fn ids_of_a_trace_in_the_metadata() {
    let request = call_with(1, &[("b3", "80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1-1-05e3ac9a4f6e3b90")]);
    let calls = greeted().client(request).calls();
    assert!(
        calls[0].contains(
            "trace_id=\"80f198ee56343ba864fe8b2a57d3eff7\" span_id=\"e457b5a2e4d86bd1\" parent_span_id=\"05e3ac9a4f6e3b90\""
        ),
        "{calls:?}"
    );
}

#[test]
fn triple_is_told_by_its_headers() {
    let request = call_with(
        1,
        &[("tri-service-version", "1.0.0"), ("tri-consumer-appname", "shop"), ("tri-service-timeout", "3000")],
    );
    greeted()
        .client([request.as_slice(), &data(END_STREAM, 1, message("a"))].concat())
        .server([head(1), data(0, 1, message("a")), trailers(1, "3", "bad")].concat())
        .expect(&[&format!(
            "triple request_response client_error at 3000 for 1000 bytes {}/{} {WHAT} request_id=\"1\" status_code=\"3\" exception=\"bad\" \
             dubbo.service.version=Text(\"1.0.0\") dubbo.consumer.application=Text(\"shop\") deadline_ns=Number(3000000000) \
             message_count_request=Number(1) message_count_response=Number(1) duration_total_ns=Number(1000)",
            request.len() + 15,
            head(1).len() + 15 + trailers(1, "3", "bad").len(),
        )]);
}

#[test]
fn a_plain_answer_of_triple() {
    let request = headers(
        WHOLE,
        1,
        &[
            (":method", "POST"),
            (":path", "/shop.Cart/Add"),
            ("content-type", "application/json"),
            ("tri-service-group", "g"),
        ],
    );
    greeted().client(&request).server(ok(END_STREAM, 1)).expect(&[&format!(
        "triple request_response ok at 3000 for 1000 bytes {}/22 request_type=\"Add\" resource=\"/shop.Cart/Add\" \
         endpoint=\"/shop.Cart/Add\" request_id=\"1\" status_code=\"200\" dubbo.service.group=Text(\"g\") duration_total_ns=Number(1000)",
        request.len()
    )]);
}

#[test]
fn more_streams_than_are_counted() {
    let mut options = Options::default();
    options.limits.counted_streams = 2;
    let open: Vec<u8> = [1, 3, 5]
        .into_iter()
        .flat_map(|stream| [call_with(stream, &[]), data(END_STREAM, stream, message("a"))].concat())
        .collect();
    let answers: Vec<u8> =
        [1, 3, 5].into_iter().flat_map(|stream| [head(stream), trailers(stream, "0", "")].concat()).collect();
    let calls = greeted().client(open).server(answers).calls_with(options, usize::MAX);
    let counted: Vec<_> = calls.iter().map(|call| call.contains("message_count_request=Number(1)")).collect();
    assert_eq!(counted, [false, true, true]);
    assert!(calls.iter().all(|call| call.contains("status_code=\"0\"")), "{calls:?}");
}
