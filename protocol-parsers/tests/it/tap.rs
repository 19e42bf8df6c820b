//! What a tap sees.

use std::sync::{Arc, Mutex};

use protocol_parsers::{Connection, Dissector, Limits, Opening, Options, Part, Side, StreamChunk, Tap, Timestamp};

use crate::frames::{END_HEADERS, END_STREAM, data, greeting, headers};

#[derive(Clone, Default)]
struct Notes(Arc<Mutex<(Vec<String>, Vec<u8>)>>);

impl Tap for Notes {
    fn header(&mut self, message: Part, name: &[u8], value: &[u8]) {
        self.0.lock().unwrap().0.push(format!("{message:?} {}: {}", name.escape_ascii(), value.escape_ascii()));
    }

    fn body(&mut self, _message: Part, at: u64, bytes: &[u8]) {
        let mut notes = self.0.lock().unwrap();
        assert!(at as usize + bytes.len() <= Limits::default().tap_bytes);
        notes.1.extend(bytes);
    }
}

/// What is noted of some pieces, cut into parts of at most `most` bytes.
fn notes(pieces: &[(Side, Vec<u8>)], most: usize) -> (Vec<String>, Vec<u8>) {
    let notes = Notes::default();
    let mut dissector = Dissector::new(Options::default());
    assert!(dissector.set_tap(Some(Box::new(notes.clone()))).is_none());
    let mut connection = Connection::new(Opening::TCP);
    let mut sent = [0; 2];
    for (side, bytes) in pieces {
        for bytes in bytes.chunks(most) {
            let offset = sent[*side as usize];
            sent[*side as usize] += bytes.len() as u64;
            let chunk = StreamChunk { side: *side, time: Timestamp::ZERO, offset, bytes, missing: 0 };
            dissector.push(&mut connection, chunk);
        }
    }
    assert!(dissector.set_tap(None).is_some());
    let seen = notes.0.lock().unwrap();
    seen.clone()
}

#[test]
fn headers_come_once_and_of_the_body_its_beginning_however_the_bytes_are_cut() {
    let body = "x".repeat(10_000);
    let request = format!("PUT /a HTTP/1.1\r\nHost: h\r\nAuthorization: s\r\nContent-Length: {}\r\n\r\n", body.len());
    let pieces = [
        (Side::Client, [request.as_bytes(), body.as_bytes()].concat()),
        (Side::Server, b"HTTP/1.1 204 No Content\r\nServer: t\r\n\r\n".to_vec()),
    ];
    for most in [1, 7, 1460, usize::MAX] {
        let (headers, shown) = notes(&pieces, most);
        assert_eq!(
            headers,
            [
                "Request(Order) Host: h",
                "Request(Order) Authorization: s",
                "Request(Order) Content-Length: 10000",
                "Response(Order) Server: t"
            ]
        );
        assert_eq!(shown, body.as_bytes()[..Limits::default().tap_bytes - request.len()], "{most}");
    }
}

#[test]
fn streams_of_http2_are_told_apart_by_their_ids() {
    let list = [(":method", "PUT"), (":path", "/a"), ("x-tenant", "blue")];
    let request = [greeting(), headers(END_HEADERS, 1, &list), data(END_STREAM, 1, "abc")].concat();
    for most in [1, 7, usize::MAX] {
        let (headers, shown) = notes(&[(Side::Client, request.clone())], most);
        assert_eq!(headers[2], "Request(Id(1)) x-tenant: blue", "{most}");
        assert!(shown.ends_with(b"abc"), "{most}: {}", shown.escape_ascii());
    }
}

#[test]
fn attachments_of_dubbo_come_once() {
    let texts = ["2.0.2", "a.B", "1.0", "c", "I"].map(|text| [&[text.len() as u8], text.as_bytes()].concat()).concat();
    let body = [&texts[..], b"\x91H\x06tenant\x04blue\x04path\x03a.BZ"].concat();
    let frame = |flags: u8| {
        [&[0xda, 0xbb, flags, 0, 0, 0, 0, 0, 0, 0, 0, 7][..], &(body.len() as u32).to_be_bytes(), &body].concat()
    };
    for most in [1, 7, usize::MAX] {
        let (headers, shown) = notes(&[(Side::Client, [frame(0xc2), frame(0x82)].concat())], most);
        assert_eq!(
            headers,
            [
                "Request(Id(7)) tenant: blue",
                "Request(Id(7)) path: a.B",
                "Request(Order) tenant: blue",
                "Request(Order) path: a.B"
            ],
            "{most}"
        );
        assert!(shown.is_empty());
    }
}

#[test]
fn headers_of_kafka_records_come_once_whether_the_message_is_short_or_long() {
    let record = |value: usize| {
        // Lengths in two bytes: seven bits and the rest.
        let two = |length: usize| [(length << 1) as u8 | 0x80, (length >> 6) as u8];
        let content =
            [b"\0\0\0\x01", &two(value)[..], &vec![b'v'; value], b"\x04\x0ctenant\x08blue\x04id\x01"].concat();
        [&two(content.len())[..], &content].concat()
    };
    for (size, acks) in [(100, 1_u16), (100, 0), (8_000, 1)] {
        let records = [record(size), record(size)].concat();
        let counted = [&[0; 4][..], &[2], &[0; 40], &[0, 0, 0, 2], &records].concat();
        let batch = [&[0; 8][..], &(counted.len() as u32).to_be_bytes(), &counted].concat();
        let request = [
            &b"\0\0\0\x03\0\0\0\x05\0\x04shop\xff\xff"[..],
            &acks.to_be_bytes(),
            b"\0\0\x05\xdc\0\0\0\x01\0\x06orders\0\0\0\x01\0\0\0\0",
            &(batch.len() as u32).to_be_bytes(),
            &batch,
        ]
        .concat();
        let request = [&(request.len() as u32).to_be_bytes()[..], &request].concat();
        let part = if acks == 0 { "Request(Order)" } else { "Request(Id(5))" };
        for most in [1, 7, 1460, usize::MAX] {
            let (headers, _) = notes(&[(Side::Client, request.clone())], most);
            let one = [format!("{part} tenant: blue"), format!("{part} id: ")];
            assert_eq!(headers, [one.clone(), one].concat(), "{size} bytes in parts of {most}");
        }
    }
}
