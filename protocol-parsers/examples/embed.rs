//! Calls out of bytes that some other program has observed: `cargo run -p protocol-parsers --example embed`.
#![allow(clippy::print_stdout, reason = "a program")]

use protocol_parsers::{Connection, Dissector, Opening, Options, Side, StreamChunk, Timestamp};

fn main() {
    let mut dissector = Dissector::new(Options::default());
    let mut connection = Connection::new(Opening::TCP);
    let observed = [(Side::Client, "*2\r\n$3\r\nGET\r\n$4\r\ncart\r\n"), (Side::Server, "$5\r\nempty\r\n")];
    for (at, (side, text)) in observed.into_iter().enumerate() {
        let time = Timestamp::from_nanos(at as u64 * 1_500);
        dissector.push(&mut connection, StreamChunk { side, time, offset: 0, bytes: text.as_bytes(), missing: 0 });
    }
    dissector.close(&mut connection);
    while let Some(call) = dissector.poll() {
        println!("{} {:?} {} {:?}", call.protocol(), call.resource(), call.status().name(), call.duration());
    }
}
