use protocol_parsers::{Opening, Options, Side, TraceFormat, TraceHeader};

use crate::talk::Talk;

const TWO_WAY: u8 = 0xc0;
const ONE_WAY: u8 = 0x80;
const EVENT: u8 = 0x20;
const HESSIAN: u8 = 2;
const JSON: u8 = 6;
const KRYO: u8 = 8;
const JSONB: u8 = 23;
const OK: u8 = 20;

fn frame(flags: u8, status: u8, id: u64, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    [&[0xda, 0xbb, flags, status][..], &id.to_be_bytes(), &(body.len() as u32).to_be_bytes(), body].concat()
}

/// A string in Hessian 2.
fn text(text: &str) -> Vec<u8> {
    let length = text.chars().count() as u16;
    let head = if length < 32 { vec![length as u8] } else { [&b"S"[..], &length.to_be_bytes()].concat() };
    [&head, text.as_bytes()].concat()
}

fn texts(all: &[&str]) -> Vec<u8> {
    all.iter().flat_map(|one| text(one)).collect()
}

fn map(pairs: &[&str]) -> Vec<u8> {
    [&b"H"[..], &texts(pairs), b"Z"].concat()
}

/// A request for `place` of `com.test.Orders`, with a string and a number as arguments.
fn order(attachments: &[&str]) -> Vec<u8> {
    let names = texts(&["2.0.2", "com.test.Orders", "1.0.0", "place", "Ljava/lang/String;I"]);
    [names, text("secret"), b"\x91".to_vec(), map(attachments)].concat()
}

const NAMES: &str = "request_type=\"place\" resource=\"com.test.Orders\" endpoint=\"com.test.Orders/place\"";
const VERSIONS: &str = "rpc.dubbo.version=Text(\"2.0.2\") rpc.dubbo.service_version=Text(\"1.0.0\")";
const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const IDS: &str = "trace_id=\"4bf92f3577b34da6a3ce929d0e0e4736\" span_id=\"00f067aa0ba902b7\"";

/// The line of a call whose fields are in the order of their numbers.
fn line(kind: &str, bytes: (usize, usize), rest: &str) -> String {
    format!("dubbo {kind} bytes {}/{} {rest}", bytes.0, bytes.1)
}

#[test]
fn answers_find_their_requests_in_any_order() {
    let one = frame(TWO_WAY | HESSIAN, 0, 1, order(&["traceparent", TRACEPARENT, "remote.application", "shop"]));
    let two = frame(TWO_WAY | HESSIAN, 0, 2, order(&[]));
    let value = frame(HESSIAN, OK, 1, [&b"\x94"[..], &text("done"), &map(&["dubbo", "2.0.2"])].concat());
    let refused = frame(HESSIAN, 100, 2, text("Thread pool is EXHAUSTED"));
    Talk::tcp().client([&one[..], &two].concat()).server([&refused[..], &value].concat()).expect(&[
        &line(
            "request_response server_error at 1000 for 1000",
            (two.len(), refused.len()),
            &format!(
                "{NAMES} request_id=\"2\" status_code=\"100\" exception=\"Thread pool is EXHAUSTED\" {VERSIONS}"
            ),
        ),
        &line(
            "request_response ok at 1000 for 1000",
            (one.len(), value.len()),
            &format!(
                "{NAMES} request_id=\"1\" status_code=\"20\" {IDS} {VERSIONS} rpc.dubbo.remote_application=Text(\"shop\")"
            ),
        ),
    ]);
}

#[test]
fn heartbeats_are_no_calls_and_requests_without_an_answer_are_one_way() {
    let request = frame(ONE_WAY | HESSIAN, 0, 7, order(&[]));
    Talk::tcp()
        .client(frame(TWO_WAY | EVENT | HESSIAN, 0, 6, b"N"))
        .server(frame(EVENT | HESSIAN, OK, 6, b"N"))
        .client(&request)
        .server(frame(ONE_WAY | EVENT | HESSIAN, 0, 0, text("R")))
        .expect(&[&line("one_way ok at 3000", (request.len(), 0), &format!("{NAMES} request_id=\"7\" {VERSIONS}"))]);
}

#[test]
fn what_a_method_throws_is_told() {
    let request = frame(TWO_WAY | HESSIAN, 0, 1, order(&[]));
    let class = [&b"\x93C"[..], &text("com.test.SoldOut"), b"\x92", &texts(&["code", "detailMessage"]), b"\x60\x91"];
    let thrown = frame(HESSIAN, OK, 1, [&class.concat()[..], &text("no more"), &map(&[])].concat());
    Talk::tcp().client(&request).server(&thrown).expect(&[&line(
        "request_response server_error at 1000 for 1000",
        (request.len(), thrown.len()),
        &format!("{NAMES} request_id=\"1\" status_code=\"20\" exception=\"com.test.SoldOut: no more\" {VERSIONS}"),
    )]);
}

#[test]
fn other_serializations() {
    let json = format!(
        "\"2.0.2\"\n\"com.test.Orders\"\n\"1.0.0\"\n\"place\"\n\"Ljava/lang/String;I\"\n\"secret\"\n1\n{{\"path\":\"x\",\"traceparent\":\"{TRACEPARENT}\"}}\n"
    );
    // ASCII, the last character marked.
    let kryo = |text: &str| {
        let mut bytes = text.as_bytes().to_vec();
        if let Some(last) = bytes.last_mut() {
            *last |= 0x80;
        }
        bytes
    };
    let names: Vec<u8> = ["2.0.2", "com.test.Orders", "1.0.0", "place", "Ljava/lang/String;I"]
        .iter()
        .flat_map(|name| kryo(name))
        .collect();
    let in_kryo = [
        &names[..],
        b"\x03",
        &kryo("secret"),
        b"\x02\x02",
        b"\x01\x00",
        &kryo("java.util.HashMap"),
        b"\x02\x03",
        &kryo("traceparent"),
        b"\x03",
        &kryo(TRACEPARENT),
    ]
    .concat();
    let block = |bytes: &[u8]| [&(bytes.len() as u32).to_be_bytes()[..], bytes].concat();
    let jsonb = |text: &str| {
        let head = if text.len() < 48 { vec![0x49 + text.len() as u8] } else { vec![0x79, 0x38, text.len() as u8] };
        [&head, text.as_bytes()].concat()
    };
    let named: Vec<u8> = ["2.0.2", "com.test.Orders", "1.0.0", "place", "Ljava/lang/String;I", "secret"]
        .iter()
        .flat_map(|name| block(&jsonb(name)))
        .collect();
    let attachments =
        [&b"\xa6"[..], &jsonb("timeout"), b"\x01", &jsonb("traceparent"), &jsonb(TRACEPARENT), b"\xa5"].concat();
    let in_jsonb = [&named[..], &block(b"\x01"), &block(&attachments)].concat();
    let long = "no such service\n".repeat(10);
    for (serialization, name, body, value, error) in [
        (JSON, "fastjson", json.into_bytes(), b"4\n\"done\"\n{}\n".to_vec(), format!("{long:?}\n").into_bytes()),
        (KRYO, "kryo", in_kryo, b"\x01\x03\x82x".to_vec(), [&[0xe1, 2][..], long.as_bytes()].concat()),
        (JSONB, "fastjson2", in_jsonb, block(b"\x04"), block(&[&[0x79, 0x38, 160], long.as_bytes()].concat())),
    ] {
        let request = frame(TWO_WAY | serialization, 0, 1, body);
        let (value, error) = (frame(serialization, OK, 1, value), frame(serialization, 60, 1, error));
        let attributes = format!("rpc.dubbo.serialization=Text(\"{name}\") {VERSIONS}");
        let all = |outcome: &str, status: &str, length: usize| {
            line(
                &format!("request_response {outcome}"),
                (request.len(), length),
                &format!("{NAMES} request_id=\"1\" status_code={status} {IDS} {attributes}"),
            )
        };
        Talk::tcp().client(&request).server(&value).client(&request).server(&error).expect(&[
            &all("ok at 1000 for 1000", "\"20\"", value.len()),
            &all("server_error at 3000 for 1000", &format!("\"60\" exception={long:?}"), error.len()),
        ]);
    }
    // Of a body that is not read, the header still tells.
    let request = frame(TWO_WAY | 12, 0, 1, b"\x0a\x05hello");
    Talk::tcp().client(&request).server(frame(12, OK, 1, b"\x01")).expect(&[&line(
        "request_response ok at 1000 for 1000",
        (request.len(), 17),
        "request_id=\"1\" status_code=\"20\" rpc.dubbo.serialization=Text(\"protostuff\")",
    )]);
}

#[test]
fn arguments_of_every_kind_are_passed() {
    let bodies = include_str!("../../testdata/dubbo/requests-hessian-js.txt");
    let mut seen = 0;
    for body in bodies.lines().filter(|line| !line.starts_with('#')) {
        let body: Vec<u8> =
            (0..body.len()).step_by(2).map(|at| u8::from_str_radix(&body[at..at + 2], 16).unwrap()).collect();
        let calls = Talk::tcp().client(frame(TWO_WAY | HESSIAN, 0, 1, &body)).calls();
        assert!(calls.len() == 1 && calls[0].contains(IDS), "{calls:?}\n{}", body.escape_ascii());
        assert!(calls[0].contains("rpc.dubbo.remote_application=Text(\"shop\")"), "{calls:?}");
        seen += 1;
    }
    assert_eq!(seen, 40);
}

#[test]
fn bodies_that_kryo_wrote() {
    let bodies = include_str!("../../testdata/dubbo/kryo.txt");
    let body = |name: &str| -> Vec<u8> {
        let hex = bodies.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).unwrap();
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
    };
    let mut options = Options::default();
    options.trace_headers.push(TraceHeader { name: "X-Shop-Trace".to_owned(), format: TraceFormat::RequestId });
    for name in ["simple", "none", "object", "bytes", "unicode"] {
        let calls = Talk::tcp().client(frame(TWO_WAY | KRYO, 0, 1, body(name))).calls_with(options.clone(), usize::MAX);
        assert!(calls[0].contains(NAMES) && calls[0].contains(IDS), "{name}: {calls:?}");
        assert!(calls[0].contains("rpc.dubbo.remote_application=Text(\"shop\")"), "{name}: {calls:?}");
        assert!(!calls[0].contains("secret"), "{name}: {calls:?}");
        // Names of one's own are read where every argument is of a known class.
        let known = !matches!(name, "object" | "bytes");
        assert_eq!(calls[0].contains("x_request_id=\"T-1\""), known, "{name}: {calls:?}");
    }
    for (name, status, outcome, exception) in [
        ("value", OK, "request_response ok", ""),
        ("error", 60, "request_response server_error", " exception=\"no such service\""),
        ("thrown-java", OK, "request_response server_error", " exception=\"Gen$SoldOut: no more\""),
        ("thrown-fields", OK, "request_response server_error", " exception=\"Gen$Gone: no more\""),
    ] {
        let request = frame(TWO_WAY | KRYO, 0, 1, body("none"));
        let calls = Talk::tcp().client(request).server(frame(KRYO, status, 1, body(name))).calls();
        assert!(calls[0].contains(outcome) && calls[0].contains(exception), "{name}: {calls:?}");
        assert_eq!(calls[0].contains("exception="), !exception.is_empty(), "{name}: {calls:?}");
    }
}

#[test]
fn what_a_method_throws_in_jsonb_is_told() {
    let block = |bytes: &[u8]| [&(bytes.len() as u32).to_be_bytes()[..], bytes].concat();
    let thrown = b"\x92\x59com.test.SoldOut\0\xa6\x7f\x56detailMessage\x01\x50no more\xa5";
    let answer = frame(JSONB, OK, 1, [block(b"\x03"), block(thrown), block(b"\xa6\xa5")].concat());
    let calls = Talk::tcp().client(frame(TWO_WAY | JSONB, 0, 1, b"")).server(answer).calls();
    assert!(
        calls[0].contains("server_error") && calls[0].contains("exception=\"com.test.SoldOut: no more\""),
        "{calls:?}"
    );
}

#[test]
fn the_server_may_ask_too() {
    let request = frame(TWO_WAY | HESSIAN, 0, 1, order(&[]));
    let answer = frame(HESSIAN, OK, 1, b"\x92");
    Talk::tcp().client(&request).server([&request[..], &answer].concat()).client(&answer).expect(&[
        &line(
            "request_response ok at 1000 for 1000",
            (request.len(), answer.len()),
            &format!("{NAMES} request_id=\"1\" status_code=\"20\" {VERSIONS}"),
        ),
        &line(
            "request_response ok at 2000 for 1000",
            (request.len(), answer.len()),
            &format!("{NAMES} request_id=\"1\" status_code=\"20\" {VERSIONS} initiator=Text(\"server\")"),
        ),
    ]);
}

#[test]
fn joined_late_at_an_answer() {
    let request = frame(TWO_WAY | HESSIAN, 0, 2, order(&[]));
    let (old, answer) = (frame(HESSIAN, 30, 1, text("too late")), frame(HESSIAN, OK, 2, b"\x92"));
    Talk::new(Opening::TCP_JOINED).client(&old).server(&request).client(&answer).expect(&[
        &line(
            "response_only client_error at 1000",
            (0, old.len()),
            "request_id=\"1\" status_code=\"30\" exception=\"too late\" turned",
        ),
        &line(
            "request_response ok at 2000 for 1000",
            (request.len(), answer.len()),
            &format!("{NAMES} request_id=\"2\" status_code=\"20\" {VERSIONS} turned"),
        ),
    ]);
}

#[test]
fn a_gap_within_a_body_and_one_over_headers() {
    let request = |id: u64| frame(TWO_WAY | HESSIAN, 0, id, order(&[]));
    let value = frame(HESSIAN, OK, 1, [&b"\x91B\x03\xe8"[..], &[0xda; 1000]].concat());
    let length = request(1).len();
    Talk::tcp()
        .client([request(1), request(2), request(3)].concat())
        .server(&value[..100])
        .gap(Side::Server, value.len() as u64 - 100)
        .server(frame(HESSIAN, OK, 2, b"\x92"))
        .known_gap(Side::Server, 100)
        .server([&b"\xda\xbb\x99"[..], &frame(HESSIAN, OK, 3, b"\x92")].concat())
        .client(&request(4)[..40])
        .known_gap(Side::Client, length as u64 - 40)
        .server(frame(HESSIAN, OK, 4, b"\x92"))
        .expect(&[
            &line(
                "request_response ok at 1000 for 2000",
                (length, value.len()),
                &format!("{NAMES} request_id=\"1\" status_code=\"20\" {VERSIONS}"),
            ),
            &line(
                "request_response ok at 1000 for 2000",
                (length, 17),
                &format!("{NAMES} request_id=\"2\" status_code=\"20\" {VERSIONS}"),
            ),
            &line(
                "request_response ok at 1000 for 4000",
                (length, 17),
                &format!("{NAMES} request_id=\"3\" status_code=\"20\" {VERSIONS}"),
            ),
            &line(
                "request_response ok at 6000 for 2000",
                (length, 17),
                "request_id=\"4\" status_code=\"20\" incomplete",
            ),
        ]);
}

#[test]
fn a_body_longer_than_is_kept() {
    let argument = [&b"b"[..], &[b'x'; 300_000]].concat();
    let names = texts(&["2.0.2", "com.test.Orders", "1.0.0", "place", "[B"]);
    let request = frame(TWO_WAY | HESSIAN, 0, 1, [names, argument].concat());
    let value = frame(HESSIAN, OK, 1, [&b"\x91"[..], &[b'x'; 300_000]].concat());
    let expected = line(
        "request_response ok at 1000 for 1000",
        (request.len(), value.len()),
        &format!("{NAMES} request_id=\"1\" status_code=\"20\" {VERSIONS}"),
    );
    let talk = Talk::tcp().client(&request).server(&value);
    for most in [usize::MAX, 1460, 7] {
        assert_eq!(talk.calls_with(Options::default(), most), [expected.as_str()]);
    }
}

#[test]
fn bodies_that_lie() {
    let names = texts(&["2.0.2", "com.test.Orders", "1.0.0", "place", "Ljava/lang/Object;"]);
    let attachments = map(&["traceparent", TRACEPARENT]);
    for argument in [b"W".repeat(50_000), b"\x79".repeat(50_000), b"C\x01c\xd7\xff\xff".to_vec(), b"O\xbf".to_vec()] {
        let body = [&names[..], &argument, &attachments].concat();
        let calls = Talk::tcp().client(frame(TWO_WAY | HESSIAN, 0, 1, body)).calls();
        assert!(calls.len() == 1 && calls[0].contains(NAMES) && !calls[0].contains("trace_id"), "{calls:?}");
    }
    // A name that is none, and a body that is shorter than its contents say.
    for body in [texts(&["2.0.2", "com\ntest"]), text("2.0.2")[..3].to_vec(), b"\x91".to_vec(), Vec::new()] {
        let calls = Talk::tcp().client(frame(TWO_WAY | HESSIAN, 0, 1, body)).calls();
        assert!(calls.len() == 1 && calls[0].ends_with("request_id=\"1\""), "{calls:?}");
    }
}

#[test]
fn a_flood_of_requests_is_bounded() {
    let calls = Talk::tcp()
        .client((0..5_000).flat_map(|id| frame(TWO_WAY | HESSIAN, 0, id, order(&[]))).collect::<Vec<_>>())
        .server((0..5_000).flat_map(|id| frame(HESSIAN, OK, id, b"\x92")).collect::<Vec<_>>())
        .calls();
    let answered = calls.iter().filter(|call| call.contains("request_response")).count();
    assert!((200..=1_024).contains(&answered), "{answered}");
    assert_eq!(calls.iter().filter(|call| call.contains("request_only")).count(), 5_000 - answered);
}

#[test]
fn other_protocols_are_none_of_ours() {
    for bytes in
        [&b"\xda\xbb\xe5\0\0\0\0\0\0\0\0\x01\0\0\0\0"[..], b"\xda\xbb\x02\x15\0\0\0\0\0\0\0\x01\0\0\0\0", b"\xda"]
    {
        Talk::tcp().client(bytes).expect(&[]);
    }
}
