//! What a user may choose.

use protocol_parsers::{EndpointPrefix, EndpointRest, Opening, Options, TraceFormat, TraceHeader};

use crate::conversation::Conversation;
use crate::frames::{WHOLE, greeting, headers};
use crate::talk::Talk;

fn own(name: &str, format: TraceFormat) -> TraceHeader {
    TraceHeader { name: name.to_owned(), format }
}

fn options() -> Options {
    let mut options = Options::default();
    options.trace_headers = vec![
        own("X-Shop-Trace", TraceFormat::TraceId),
        own("shop-span", TraceFormat::SpanId),
        own("correlation-id", TraceFormat::RequestId),
    ];
    options.endpoint_prefixes = vec![EndpointPrefix { prefix: "/files".to_owned(), rest: EndpointRest::Hide }];
    options
}

const IDS: &str = "trace_id=\"T-1\" span_id=\"S-2\" x_request_id=\"R-3\"";

#[test]
fn trace_headers_of_ones_own_are_read_in_http1_and_http2() {
    let http1 =
        "GET /files/a/b HTTP/1.1\r\nHost: h\r\nx-shop-trace: T-1\r\nShop-Span: S-2\r\nCorrelation-ID: R-3\r\n\r\n";
    let fields = [(":method", "GET"), (":path", "/files/a/b"), ("x-shop-trace", "T-1"), ("shop-span", "S-2")];
    let http2 = headers(WHOLE, 1, &[&fields[..], &[("correlation-id", "R-3")]].concat());
    for talk in [Talk::tcp().client(http1), Talk::tcp().client(greeting()).client(http2)] {
        for most in [1, 7, usize::MAX] {
            let calls = talk.calls_with(options(), most);
            assert_eq!(calls.len(), 1);
            assert!(calls[0].contains(IDS) && calls[0].contains("endpoint=\"/files/{}\""), "{calls:?}");
        }
        assert!(!talk.calls()[0].contains("T-1"));
    }
}

#[test]
fn trace_headers_of_ones_own_are_read_in_comments_attachments_and_records() {
    let query = b"SELECT 1 /*x-shop-trace='T-1',shop-span='S-2',correlation-id='R-3'*/";
    let mut packet = vec![query.len() as u8 + 1, 0, 0, 0, 3];
    packet.extend(query);
    let calls = Talk::tcp().client(packet).calls_with(options(), usize::MAX);
    assert!(calls[0].contains(IDS), "{calls:?}");

    // The name that the conversations use, in the same length.
    for name in ["dubbo/fastjson", "kafka/produce-with-a-trace"] {
        let conversation = Conversation::all().into_iter().find(|conversation| conversation.name == name).unwrap();
        let mut talk = Talk::new(Opening::TCP);
        for piece in &conversation.pieces {
            let bytes = String::from_utf8_lossy(&piece.bytes);
            assert!(piece.side != protocol_parsers::Side::Client || bytes.contains("traceparent"));
            let mut bytes = piece.bytes.clone();
            while let Some(at) = bytes.windows(11).position(|window| window == b"traceparent") {
                bytes[at..at + 11].copy_from_slice(b"tracepatent");
            }
            talk = talk.piece(piece.side, &bytes, 0);
        }
        let mut options = Options::default();
        assert!(!talk.calls_with(options.clone(), usize::MAX)[0].contains("trace_id="), "{name}");
        options.trace_headers.push(own("TracePatent", TraceFormat::TraceParent));
        let calls = talk.calls_with(options, usize::MAX);
        assert!(calls[0].contains("trace_id=\"4bf92f3577b34da6a3ce929d0e0e4736\""), "{name}: {calls:?}");
    }
}

#[test]
fn trace_formats_of_every_kind_are_read_under_every_name() {
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    for (format, value) in [
        (TraceFormat::TraceParent, format!("00-{trace}-00f067aa0ba902b7-01")),
        (TraceFormat::B3, format!("{trace}-00f067aa0ba902b7-1")),
        (TraceFormat::UberTraceId, format!("{trace}:00f067aa0ba902b7:0:1")),
        (TraceFormat::Sw8, "1-NGJmOTJmMzU3N2IzNGRhNmEzY2U5MjlkMGUwZTQ3MzY=-czE=-3-YQ==-YQ==-YQ==-YQ==".to_owned()),
    ] {
        let mut options = Options::default();
        options.trace_headers.push(own("my-trace", format));
        let request = format!("GET / HTTP/1.1\r\nHost: h\r\nMy-Trace: {value}\r\n\r\n");
        let calls = Talk::tcp().client(request).calls_with(options, usize::MAX);
        assert!(calls[0].contains(&format!("trace_id=\"{trace}\"")), "{format:?}: {calls:?}");
    }
}
