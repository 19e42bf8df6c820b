//! Heads of HTTP/1 beside `httparse`: whatever it accepts is read here, and to the same.

use httparse::{EMPTY_HEADER, Request, Response, Status};
use proptest::prelude::*;
use protocol_parsers::{Connection, Dissector, Field, Opening, Side, StreamChunk, Timestamp};

/// What both sides know of a request.
#[derive(Debug, PartialEq, Eq)]
struct Head {
    method: String,
    path: String,
    host: Option<String>,
    x_request_id: Option<String>,
    /// Bytes up to and with the empty line.
    length: u64,
}

/// The first value that is not empty.
fn header(headers: &[httparse::Header<'_>], name: &str) -> Option<String> {
    let named = |header: &&httparse::Header<'_>| header.name.eq_ignore_ascii_case(name) && !header.value.is_empty();
    headers.iter().find(named).map(|header| String::from_utf8_lossy(header.value).into_owned())
}

fn theirs(bytes: &[u8]) -> Option<Head> {
    let mut headers = [EMPTY_HEADER; 64];
    let mut request = Request::new(&mut headers);
    let Ok(Status::Complete(length)) = request.parse(bytes) else { return None };
    Some(Head {
        method: request.method?.to_owned(),
        path: request.path?.to_owned(),
        host: header(request.headers, "host"),
        x_request_id: header(request.headers, "x-request-id"),
        // Empty lines before it belong to no message (RFC 9112, 2.2).
        length: (length - bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count()) as u64,
    })
}

fn push(dissector: &mut Dissector, connection: &mut Connection, side: Side, bytes: &[u8]) {
    dissector.push(connection, StreamChunk { side, time: Timestamp::ZERO, offset: 0, bytes, missing: 0 });
}

fn ours(bytes: &[u8]) -> Option<Head> {
    let mut options = protocol_parsers::Options::default();
    options.redact = false;
    let mut dissector = Dissector::new(options);
    let mut connection = Connection::new(Opening::TCP);
    push(&mut dissector, &mut connection, Side::Client, bytes);
    dissector.close(&mut connection);
    let call = dissector.poll()?;
    let text = |field| call.field(field).map(str::to_owned);
    Some(Head {
        method: text(Field::RequestType)?,
        path: text(Field::Resource)?,
        host: text(Field::Domain),
        x_request_id: text(Field::XRequestId),
        length: call.request_bytes(),
    })
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("Host".to_owned()),
        Just("hOST".to_owned()),
        Just("X-Request-Id".to_owned()),
        "[bchstux][A-Za-z-]{0,16}".prop_filter("framing is a test of its own", |name| {
            !["content-length", "transfer-encoding", "upgrade"].contains(&name.to_ascii_lowercase().as_str())
        }),
        "[A-Za-z!#$%&'*+.^_`|~0-9-]{1,20}",
    ]
}

/// Start line and header lines of a request, as odd as the grammar allows, with bytes changed in some of them.
fn requests() -> impl Strategy<Value = Vec<u8>> {
    let method = prop_oneof!["GET", "POST", "OPTIONS", "[A-Z]{1,20}", "[a-zA-Z!#$%&'*+.^_`|~-]{1,12}"];
    let target = prop_oneof!["/[a-z0-9/._~%!$&'()*+,;=:@?-]{0,40}", "/[^\\x00-\\x20\\x7f]{0,12}", Just("*".to_owned())];
    let line_end = prop_oneof![4 => Just("\r\n"), 1 => Just("\n")];
    let value = prop_oneof!["[ -~]{0,30}", "[ \t]{0,3}[a-z0-9.:]{1,12}[ \t]{0,3}", "[^\\x00-\\x1f\\x7f]{0,12}"];
    let lines = proptest::collection::vec((name(), "[ \t]{0,2}", value), 0..12);
    let changes = proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 0..3);
    (method, target, 0_u8..2, lines, line_end, prop_oneof![3 => Just(Vec::new()), 1 => changes]).prop_map(
        |(method, target, version, lines, line_end, changes)| {
            let mut head = format!("{method} {target} HTTP/1.{version}{line_end}");
            for (name, blank, value) in lines {
                head.push_str(&format!("{name}:{blank}{value}{line_end}"));
            }
            head.push_str(line_end);
            let mut bytes = head.into_bytes();
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            bytes
        },
    )
}

/// Where the project reads more into a head than its bytes say, or less, on purpose.
fn comparable(head: &Head, bytes: &[u8]) -> bool {
    // The authority of an absolute target replaces the host, and other forms of targets have no path of their own.
    let plain = head.path.starts_with('/') || head.path == "*";
    // RFC 9110, 9.1: methods are tokens of any length; a connection is recognised by one of at most 24 bytes that begins with a capital.
    let known = head.method.len() <= 24 && head.method.starts_with(|first: char| first.is_ascii_uppercase());
    // A body, a tunnel or another protocol follows.
    let lower = bytes.to_ascii_lowercase();
    let framed = ["content-length", "transfer-encoding", "upgrade"];
    let framed = framed.iter().any(|name| lower.windows(name.len()).any(|window| window == name.as_bytes()));
    // Credentials are no part of a host.
    let user = head.host.as_ref().is_some_and(|host| host.contains('@'));
    // What is not UTF-8 is written differently.
    plain && known && !user && !framed && std::str::from_utf8(bytes).is_ok()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn whatever_httparse_accepts_is_read_to_the_same(bytes in requests()) {
        if let Some(head) = theirs(&bytes).filter(|head| comparable(head, &bytes)) {
            prop_assert_eq!(Some(head), ours(&bytes), "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn answers_that_httparse_accepts_are_read_to_the_same(
        version in 0_u8..2,
        status in 200_u16..1000,
        reason in "[ -~]{0,20}",
        length in proptest::option::of(0_u64..100_000),
        other in "[A-Za-z-]{1,16}: [ -~]{0,20}",
    ) {
        prop_assume!(!other.to_ascii_lowercase().starts_with("transfer-encoding") && !other.to_ascii_lowercase().starts_with("content-length"));
        let length_line = length.map(|length| format!("Content-Length: {length}\r\n")).unwrap_or_default();
        let bytes = format!("HTTP/1.{version} {status} {reason}\r\n{other}\r\n{length_line}\r\n");
        let mut headers = [EMPTY_HEADER; 8];
        let mut response = Response::new(&mut headers);
        let Ok(Status::Complete(head)) = response.parse(bytes.as_bytes()) else { return Ok(()) };
        let mut dissector = Dissector::new(protocol_parsers::Options::default());
        let mut connection = Connection::new(Opening::TCP);
        push(&mut dissector, &mut connection, Side::Client, b"GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        push(&mut dissector, &mut connection, Side::Server, bytes.as_bytes());
        let body = vec![b'x'; usize::try_from(length.unwrap_or_default()).unwrap()];
        let bodiless = matches!(status, 204 | 304);
        if !bodiless {
            dissector.push(&mut connection, StreamChunk {
                side: Side::Server, time: Timestamp::ZERO, offset: bytes.len() as u64, bytes: &body, missing: 0,
            });
        }
        dissector.close(&mut connection);
        let call = dissector.poll().unwrap();
        let code = response.code.unwrap().to_string();
        prop_assert_eq!(call.status_code(), Some(code.as_str()));
        let wanted = head as u64 + if bodiless { 0 } else { body.len() as u64 };
        prop_assert_eq!(call.response_bytes(), wanted);
    }
}

#[test]
fn heads_that_only_one_of_the_two_accepts() {
    let read = |text: &str| (theirs(text.as_bytes()).is_some(), ours(text.as_bytes()).is_some());
    // Ours is the wider one: what servers answer although it is no HTTP counts as a call.
    assert_eq!(read("GET  /a HTTP/1.1\r\nHost: h\r\n\r\n"), (false, true), "two blanks");
    assert_eq!(read("GET /a b HTTP/1.1\r\nHost: h\r\n\r\n"), (false, true), "a blank in the target");
    assert_eq!(read("GET /a HTTP/1.1\r\nHost: h\r\nno colon\r\n\r\n"), (false, true), "a line that is no header");
    assert_eq!(read("GET /a HTTP/1.1\r\nHost: h\r\nX: 1\r\n folded\r\n\r\n"), (false, true), "a folded line");
    assert_eq!(read("GET /a\r\nHost: h\r\n\r\n"), (false, true), "no version");
    // But for methods that nobody uses.
    let long = "M".repeat(25);
    assert_eq!(read(&format!("{long} / HTTP/1.1\r\nHost: h\r\n\r\n")), (true, false), "a method of 25 letters");
}
