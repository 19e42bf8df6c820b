//! Memory and work in proportion to what is observed, counted and not timed.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

#[allow(dead_code, reason = "other tests use the rest")]
#[path = "it/frames.rs"]
mod frames;

use std::process::Command;

use frames::{END_HEADERS, END_STREAM, WHOLE, block, data, frame, get, greeting, headers, ok};
use protocol_parsers::{Connection, Dissector, Limits, Opening, Options, Protocol, Side, StreamChunk, Timestamp};

const C: Side = Side::Client;
const S: Side = Side::Server;
const KIB: usize = 1 << 10;

type Talk = Vec<(Side, Vec<u8>)>;

/// A conversation that grows with `size`: bytes of one message or of one list, or all transactions together.
struct Load {
    name: &'static str,
    protocol: Protocol,
    /// Bytes handed in at a time.
    chunk: usize,
    make: fn(usize) -> Talk,
}

const fn load(name: &'static str, protocol: Protocol, chunk: usize, make: fn(usize) -> Talk) -> Load {
    Load { name, protocol, chunk, make }
}

/// One long message byte by byte, one of many fields, and many transactions, of every protocol.
const LOADS: &[Load] = &[
    load("http1 head", Protocol::HTTP1, 1, |size| {
        let head = format!("GET / HTTP/1.1\r\nHost: h\r\nX: {}\r\n\r\n", "x".repeat(size));
        vec![(C, head.into_bytes()), (S, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_vec())]
    }),
    load("http1 body", Protocol::HTTP1, 1, |size| {
        vec![(
            C,
            [format!("PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: {size}\r\n\r\n").as_bytes(), &zeros(size)].concat(),
        )]
    }),
    load("http1 chunks", Protocol::HTTP1, 1, |size| {
        vec![(
            C,
            [
                b"PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec(),
                b"1\r\nx\r\n".repeat(size / 6),
            ]
            .concat(),
        )]
    }),
    load("http1 headers", Protocol::HTTP1, 1460, |size| {
        vec![(
            C,
            ["GET / HTTP/1.1\r\nHost: h\r\n".to_owned(), "Bcd: e\r\n".repeat(size / 8), "\r\n".to_owned()]
                .concat()
                .into_bytes(),
        )]
    }),
    // Until the line's end nothing tells that it is HTTP.
    load("http1 line", Protocol::HTTP1, 64, |size| {
        let line = format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", "x".repeat(size.min(3 * KIB)));
        vec![(C, line.into_bytes()), (S, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_vec())]
    }),
    // What was kept led nowhere, each time it is looked at from a turn further on.
    load("http1 behind what led nowhere", Protocol::HTTP1, 1460, |_| {
        let mut talk: Talk = (0..41).flat_map(|turn| [(C, b"P".to_vec()), (S, vec![b" \0"[turn % 2]])]).collect();
        talk.extend([(S, b"@@@@@@@@".to_vec()), (C, b"GET / HTTP/1.0\r\n\r\n".to_vec())]);
        talk.push((S, b"HTTP/1.0 304 \r\n\r\n".to_vec()));
        talk
    }),
    load("http1 transactions", Protocol::HTTP1, 1460, |size| {
        turns(size / 64, |_| {
            (b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n".to_vec(), b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_vec())
        })
    }),
    load("http2 header block", Protocol::HTTP2, 1, |size| {
        let field = block(&[("x", &"x".repeat(100))]);
        let mut bytes = [greeting(), frame(1, END_STREAM, 1, block(&[(":method", "GET"), (":path", "/")]))].concat();
        (0..size / 110).for_each(|_| bytes.extend(frame(9, 0, 1, &field)));
        bytes.extend(frame(9, END_HEADERS, 1, []));
        vec![(C, bytes)]
    }),
    load("http2 body", Protocol::HTTP2, 1, |size| {
        let head = headers(END_HEADERS, 1, &[(":method", "PUT"), (":path", "/")]);
        let body: Vec<_> = (0..size / KIB).flat_map(|_| data(0, 1, zeros(KIB))).collect();
        vec![(C, [greeting(), head, body].concat())]
    }),
    load("http2 transactions", Protocol::HTTP2, 1460, |size| {
        let mut talk = vec![(C, greeting())];
        talk.extend(turns(size / 80, |turn| (get(2 * turn + 1, "/a"), ok(END_STREAM, 2 * turn + 1))));
        talk
    }),
    load("grpc message", Protocol::GRPC, 1, |size| {
        let kind = ("content-type", "application/grpc");
        let head = headers(END_HEADERS, 1, &[(":method", "POST"), (":path", "/s.S/M"), kind]);
        let length = u32::try_from(size).unwrap().to_be_bytes();
        let message = [&[0], &length[..], &zeros(size)].concat();
        let body: Vec<_> = message.chunks(KIB).flat_map(|part| data(0, 1, part)).collect();
        vec![(C, [greeting(), head, body].concat())]
    }),
    load("triple transactions", Protocol::TRIPLE, 1460, |size| {
        let list = [
            (":method", "POST"),
            (":path", "/s.S/M"),
            ("content-type", "application/grpc"),
            ("tri-service-version", "1"),
        ];
        let mut talk = vec![(C, greeting())];
        talk.extend(turns(size / 160, |turn| {
            let trailers = [(":status", "200"), ("content-type", "application/grpc"), ("grpc-status", "0")];
            (headers(WHOLE, 2 * turn + 1, &list), headers(WHOLE, 2 * turn + 1, &trailers))
        }));
        talk
    }),
    load("redis value", Protocol::REDIS, 1, |size| {
        vec![(C, [format!("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n${size}\r\n").as_bytes(), &zeros(size), b"\r\n"].concat())]
    }),
    load("redis fields", Protocol::REDIS, 1, |size| {
        let count = size / 7;
        vec![(C, [format!("*{}\r\n$4\r\nMGET\r\n", count + 1), "$1\r\nk\r\n".repeat(count)].concat().into_bytes())]
    }),
    load("redis transactions", Protocol::REDIS, 1460, |size| {
        turns(size / 25, |_| (b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n".to_vec(), b"+OK\r\n".to_vec()))
    }),
    load("mysql statement", Protocol::MYSQL, 1, |size| {
        // What a protocol is recognised by must be short.
        let mut talk = turns(1, |_| (b"\x09\0\0\0\x03SELECT 1".to_vec(), b"\x07\0\0\x01\0\0\0\x02\0\0\0".to_vec()));
        let sql = format!("\x03SELECT {}", "a, ".repeat(size / 3));
        talk.push((C, [&(sql.len() as u32).to_le_bytes()[..3], &[0], sql.as_bytes()].concat()));
        talk
    }),
    load("mysql rows", Protocol::MYSQL, 1, |size| {
        let begin = b"\x01\0\0\x01\x01\x17\0\0\x02\x03def\0\0\0\x011\0\x0c\x3f\0\x01\0\0\0\x08\x81\0\0\0\0\x05\0\0\x03\xfe\0\0\x02\0";
        let rows = b"\x02\0\0\x04\x011".repeat(size / 6);
        vec![(C, b"\x09\0\0\0\x03SELECT 1".to_vec()), (S, [&begin[..], &rows, b"\x05\0\0\x05\xfe\0\0\x02\0"].concat())]
    }),
    load("mysql transactions", Protocol::MYSQL, 1460, |size| {
        turns(size / 24, |_| (b"\x09\0\0\0\x03SELECT 1".to_vec(), b"\x07\0\0\x01\0\0\0\x02\0\0\0".to_vec()))
    }),
    load("postgresql statement", Protocol::POSTGRESQL, 1, |size| {
        let sql = format!("SELECT '{}'\0", "it''s ".repeat(size / 6));
        vec![(C, [startup(), b"Q".to_vec(), (sql.len() as u32 + 4).to_be_bytes().to_vec(), sql.into_bytes()].concat())]
    }),
    load("postgresql rows", Protocol::POSTGRESQL, 1, |size| {
        let rows = b"D\0\0\0\x0c\0\x01\0\0\0\x0242".repeat(size / 13);
        let ends = b"C\0\0\0\x0dSELECT 1\0Z\0\0\0\x05I";
        let columns = b"T\0\0\0\x1a\0\x01a\0\0\0\0\0\0\0\0\0\0\x17\0\x04\xff\xff\xff\xff\0\0";
        vec![
            (C, startup()),
            (S, ready()),
            (C, b"Q\0\0\0\x0dSELECT 1\0".to_vec()),
            (S, [&columns[..], &rows, ends].concat()),
        ]
    }),
    load("postgresql transactions", Protocol::POSTGRESQL, 1460, |size| {
        let mut talk = vec![(C, startup()), (S, ready())];
        talk.extend(turns(size / 34, |_| {
            (b"Q\0\0\0\x0dSELECT 1\0".to_vec(), b"C\0\0\0\x0dSELECT 1\0Z\0\0\0\x05I".to_vec())
        }));
        talk
    }),
    load("dubbo body", Protocol::DUBBO, 1, |size| {
        let pieces: Vec<_> = (0..size / KIB).flat_map(|_| [b"R\x04\0".to_vec(), vec![b'x'; KIB]].concat()).collect();
        vec![(C, dubbo(1, &[&pieces, &b"\x01yHZ"[..]].concat()))]
    }),
    load("dubbo attachments", Protocol::DUBBO, 1460, |size| {
        vec![(C, dubbo(1, &[&b"\x01yH"[..], &b"\x01a\x01b".repeat(size / 4), b"Z"].concat()))]
    }),
    load("dubbo transactions", Protocol::DUBBO, 1460, |size| {
        turns(size / 80, |turn| (dubbo(turn, b"\x01yHZ"), answer(turn)))
    }),
    load("dubbo damage while many wait", Protocol::DUBBO, 1, |size| {
        let mut talk = turns(1, |turn| (dubbo(turn, b"\x01yHZ"), answer(turn)));
        talk.push((C, (1..(size as u32 / 140).min(400)).flat_map(|turn| dubbo(turn, b"\x01yHZ")).collect()));
        talk.push((S, [&b"\xda\xbb\x02\x14\0\0\0\0\0\0\0\x01\xff\xff\xff\xff"[..], &zeros(size / 2)].concat()));
        talk
    }),
    load("dns messages in pieces", Protocol::DNS, 1, |size| turns(size / 52, question)),
    load("dns transactions", Protocol::DNS, 1460, |size| turns(size / 52, question)),
    load("kafka topics", Protocol::KAFKA, 1, |size| {
        let count = size / 8;
        let topics: Vec<_> = (0..count).flat_map(|topic| format!("\0\x06t{topic:05}").into_bytes()).collect();
        let body = [&b"\0\x03\0\x01\0\0\0\x01\0\x04shop"[..], &(count as u32).to_be_bytes(), &topics].concat();
        vec![(C, [&(body.len() as u32).to_be_bytes()[..], &body].concat())]
    }),
    load("kafka transactions", Protocol::KAFKA, 1460, |size| {
        turns(size / 38, |turn| {
            let id = turn.to_be_bytes();
            let request = [&b"\0\0\0\x0e\0\x12\0\0"[..], &id, b"\0\x04shop"].concat();
            (request, [&b"\0\0\0\x10"[..], &id, b"\0\0\0\0\0\x01\0\x12\0\0\0\0"].concat())
        })
    }),
];

fn zeros(count: usize) -> Vec<u8> {
    vec![0; count]
}

fn turns(count: usize, turn: impl Fn(u32) -> (Vec<u8>, Vec<u8>)) -> Talk {
    (0..u32::try_from(count).unwrap()).map(turn).flat_map(|(request, response)| [(C, request), (S, response)]).collect()
}

fn startup() -> Vec<u8> {
    b"\0\0\0\x20\0\x03\0\0user\0ann\0database\0shop\0\0".to_vec()
}

fn ready() -> Vec<u8> {
    b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I".to_vec()
}

fn dubbo(id: u32, arguments: &[u8]) -> Vec<u8> {
    let body = [&b"\x052.0.2\x08a.Orders\x031.0\x05place\x12Ljava/lang/String;"[..], arguments].concat();
    [&b"\xda\xbb\xc2\0\0\0\0\0"[..], &id.to_be_bytes(), &(body.len() as u32).to_be_bytes(), &body].concat()
}

fn answer(turn: u32) -> Vec<u8> {
    [&b"\xda\xbb\x02\x14\0\0\0\0"[..], &turn.to_be_bytes(), b"\0\0\0\x04\x94\x01xN"].concat()
}

fn question(turn: u32) -> (Vec<u8>, Vec<u8>) {
    let id = (turn as u16).to_be_bytes();
    let ask = b"\0\x01\0\0\0\0\0\0\x01a\x04test\0\0\x01\0\x01";
    ([&b"\0\x18"[..], &id, b"\x01\0", ask].concat(), [&b"\0\x18"[..], &id, b"\x81\x83", ask].concat())
}

/// Reads a conversation. Returns the bytes it was, and the most that the connection held.
fn read(talk: &Talk, chunk: usize, expected: Protocol) -> (usize, usize) {
    let mut dissector = Dissector::new(Options::default());
    let mut connection = Connection::new(Opening::TCP);
    let (most, mut seen) = read_on(&mut dissector, &mut connection, talk, chunk, expected);
    dissector.close(&mut connection);
    while let Some(call) = dissector.poll() {
        seen |= call.protocol() == expected;
    }
    assert!(seen || talk.iter().all(|(_, bytes)| bytes.is_empty()), "no call of {expected}");
    (talk.iter().map(|(_, bytes)| bytes.len()).sum(), most)
}

/// Reads a conversation. Returns the most that the connection held, and whether there was a call.
fn read_on(
    dissector: &mut Dissector,
    connection: &mut Connection,
    talk: &Talk,
    chunk: usize,
    expected: Protocol,
) -> (usize, bool) {
    let (mut sent, mut most, mut seen) = ([0_u64; 2], 0, false);
    for (side, bytes) in talk {
        for bytes in bytes.chunks(chunk) {
            let offset = sent[*side as usize];
            sent[*side as usize] += bytes.len() as u64;
            let chunk = StreamChunk { side: *side, time: Timestamp::from_nanos(offset), offset, bytes, missing: 0 };
            dissector.push(connection, chunk);
            most = most.max(connection.memory());
            while let Some(call) = dissector.poll() {
                seen |= call.protocol() == expected;
            }
        }
    }
    (most, seen)
}

#[test]
fn every_protocol_has_a_load() {
    for protocol in Protocol::ALL.iter().filter(|protocol| !["mdns", "llmnr"].contains(&protocol.name())) {
        assert!(LOADS.iter().any(|load| load.protocol == *protocol), "{protocol}");
    }
}

/// Bytes that a connection at rest holds at most beside its own value, as the heap is asked for them, and in how many pieces.
const AT_REST: &[(&str, u64, u64)] = &[
    ("http1", 0, 0),
    ("http2", 432, 1),
    ("triple", 656, 2),
    ("redis", 0, 0),
    ("mysql", 88, 1),
    ("postgresql", 68, 2),
    ("dubbo", 0, 0),
    ("dns", 0, 0),
    ("kafka", 76, 2),
];

#[test]
fn connections_at_rest_hold_little() {
    const COUNT: u64 = 4096;
    for (name, bytes, pieces) in AT_REST {
        let load = LOADS.iter().find(|load| load.name.strip_suffix(" transactions") == Some(name)).unwrap();
        let talk = (load.make)(KIB);
        let mut dissector = Dissector::new(Options::default());
        let mut connections: Vec<_> = (0..COUNT).map(|_| Connection::new(Opening::TCP)).collect();
        let mut read = |connection: &mut Connection| {
            assert!(read_on(&mut dissector, connection, &talk, load.chunk, load.protocol).1, "{name}: no call");
            connection.memory() as u64
        };
        // What the dissector keeps is there after the first.
        read(&mut Connection::new(Opening::TCP));
        let mut told = 0;
        let info = allocation_counter::measure(|| told = connections.iter_mut().map(&mut read).max().unwrap());
        // Of one connection; a list of the dissector that grew meanwhile adds less than a byte to each.
        let held = (info.bytes_current.cast_unsigned() / COUNT, info.count_current.cast_unsigned() / COUNT);
        assert!(held.0 <= *bytes && held.1 <= *pieces, "{name} holds {held:?}");
        // What is counted is what is held, but for guesses of what maps take.
        assert!(told.abs_diff(held.0) <= held.0 / 4 + 16, "{name} holds {held:?} and counts {told}");
    }
}

#[test]
fn memory_is_in_proportion_to_the_input_and_bounded_per_connection() {
    for load in LOADS {
        for size in [KIB, 64 * KIB, 1024 * KIB] {
            let talk = (load.make)(size);
            let mut result = (0, 0);
            let info = allocation_counter::measure(|| result = read(&talk, load.chunk, load.protocol));
            let (input, most) = result;
            let allowed = 64 * input as u64 + 64 * KIB as u64;
            assert!(info.bytes_total <= allowed, "{} allocates {} bytes of {input}", load.name, info.bytes_total);
            let limit = Limits::default().connection_bytes;
            assert!(most <= limit, "{}: a connection holds {most} bytes after {input}", load.name);
        }
    }
}

const CHILD: &str = "METAFLOW_LOAD";

/// Run by the test below within a processor that counts.
#[test]
fn child() {
    if let Ok(which) = std::env::var(CHILD) {
        let (number, size) = which.split_once(' ').unwrap();
        let load = &LOADS[number.parse::<usize>().unwrap()];
        let talk = (load.make)(size.parse().unwrap());
        if size != "0" {
            read(&talk, load.chunk, load.protocol);
        }
    }
}

/// Instructions that a load takes, without those of the process around it.
fn instructions(number: usize, size: usize) -> u64 {
    let output = Command::new("valgrind")
        .args(["--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--test-threads=1"])
        .env(CHILD, format!("{number} {size}"))
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    let line = text.lines().find(|line| line.contains("I refs:") || line.contains("I   refs:"));
    let digits: String = line
        .unwrap_or_else(|| panic!("no count: {text}"))
        .chars()
        .skip_while(|c| *c != ':')
        .filter(char::is_ascii_digit)
        .collect();
    digits.parse().unwrap()
}

#[test]
#[allow(clippy::print_stderr, reason = "a skip says why")]
fn work_is_in_proportion_to_the_input() {
    if Command::new("valgrind").arg("--version").output().is_err() {
        eprintln!("skipped: instructions are counted by valgrind, which is not there");
        return;
    }
    // Below the longest message that is kept, and beyond it.
    let full = std::env::var("METAFLOW_FULL").is_ok_and(|full| full == "1");
    let sizes = if full { vec![12 * KIB, 192 * KIB] } else { vec![12 * KIB] };
    let idle = instructions(0, 0);
    for (number, load) in LOADS.iter().enumerate() {
        for size in &sizes {
            let [half, whole] = [*size, 2 * size].map(|size| instructions(number, size).saturating_sub(idle));
            let name = load.name;
            assert!(half > 0 && whole * 10 <= half * 23, "{name}: {half} instructions become {whole} at twice {size}");
        }
    }
}
