//! What tshark says of the same connections, where its definitions are ours.
//!
//! They are not: of a bare ACK that repeats the last while nothing waits to be acknowledged (a duplicate to tshark, none by RFC 5681 §2);
//! of what fills a hole long after what follows it (a retransmission to tshark, out of order here: the tap has seen it once).

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use flow_core::Sides;

use crate::frames::{ACK, FIN, SYN};
use crate::lab::Lab;
use crate::script::{Frame, Script, Who};

/// The third of five segments is lost behind the tap, and sent again once that is known.
fn lost() -> Script {
    let mut script = Script::opened();
    script.client(b"ask");
    let (seq, ack) = (script.server.next, script.client.next);
    for segment in 0..5 {
        script.server(b"0123456789");
        let known = seq + 10 * (segment + 1).min(2);
        script.segment(Who::Client, ack, known, ACK, b"");
    }
    script.segment(Who::Server, seq + 20, ack, ACK, b"0123456789").client(b"").close();
    script
}

/// Everything is sent again after its acknowledgement.
fn needless() -> Script {
    let mut script = Script::opened();
    let (seq, ack) = (script.client.next, script.server.next);
    script.client(b"0123456789").client(b"abcdefghij").server(b"").wait(Duration::from_millis(300));
    script.segment(Who::Client, seq, ack, ACK, b"0123456789").segment(Who::Client, seq + 10, ack, ACK, b"abcdefghij");
    script.wait(Duration::from_millis(300)).client(b"new").segment(Who::Client, seq, ack, ACK, b"0123456789");
    script.server(b"").close();
    script
}

/// The server does not read for a while.
fn stalled() -> Script {
    let mut script = Script::opened();
    script.client(b"0123456789");
    script.window = 0;
    script.server(b"");
    script.window = 1024;
    script.wait(Duration::from_millis(200)).server(b"").client(b"more");
    script.window = 0;
    script.server(b"");
    script.window = 1024;
    script.wait(Duration::from_millis(200)).server(b"").client(b"more").server(b"").close();
    script
}

/// Every step of opening and closing has to be said twice.
fn deaf() -> Script {
    let second = Duration::from_secs(1);
    let mut script = Script::new();
    script.send(Who::Client, SYN, b"").wait(second).segment(Who::Client, 1000, 0, SYN, b"");
    script.send(Who::Server, SYN | ACK, b"").wait(second).segment(Who::Server, 5000, 1001, SYN | ACK, b"");
    script.client(b"").client(b"ask").wait(second).segment(Who::Client, 1001, 5001, ACK, b"ask").server(b"answer");
    script.send(Who::Client, FIN | ACK, b"").wait(second).segment(Who::Client, 1004, 5007, FIN | ACK, b"").server(b"");
    script
}

/// A capture file of IP packets.
fn pcap(frames: &[Frame]) -> Vec<u8> {
    const RAW_IP: u32 = 101;
    let mut file = [0xa1b2_3c4d, 0x0004_0002, 0, 0, 65_535, RAW_IP].map(u32::to_le_bytes).concat();
    for frame in frames {
        let (nanos, length) = (frame.time.as_nanos(), frame.bytes.len() as u32);
        let head = [(nanos / 1_000_000_000) as u32, (nanos % 1_000_000_000) as u32, length, length];
        file.extend(head.map(u32::to_le_bytes).concat());
        file.extend(&frame.bytes);
    }
    file
}

#[test]
fn tshark_agrees() {
    for (name, script) in [("lost", lost()), ("needless", needless()), ("stalled", stalled()), ("deaf", deaf())] {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("health-{name}.pcap"));
        std::fs::write(&path, pcap(&script.frames)).unwrap();
        let mut tshark = Command::new("tshark");
        tshark
            .args(["-n", "-T", "fields", "-E", "separator=,", "-E", "occurrence=f", "-e", "tcp.srcport", "-r"])
            .arg(&path);
        let flags = ["duplicate_ack", "spurious_retransmission", "zero_window", "retransmission"];
        for flag in flags {
            tshark.args(["-e", &format!("tcp.analysis.{flag}")]);
        }
        let Ok(output) = tshark.output() else {
            println!("skipped: tshark is not installed");
            return;
        };
        let text = String::from_utf8(output.stdout).unwrap();
        let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split(',').collect()).collect();
        assert_eq!(rows.len(), script.frames.len(), "{}", String::from_utf8_lossy(&output.stderr));
        let count = |column: usize, port: &str| {
            rows.iter().filter(|row| row[0] == port && !row[column].is_empty()).count() as u64
        };
        let said = [1, 2, 3, 4].map(|column| Sides { client: count(column, "40000"), server: count(column, "80") });
        let counters = Lab::of(&script.frames).flow().counters;
        let found = [
            counters.duplicate_acks,
            counters.spurious_retransmissions,
            counters.zero_windows,
            counters.retransmissions,
        ];
        assert_eq!(found, said, "{flags:?} of {name}");
        assert!(found.iter().any(|sides| sides.client + sides.server > 0), "nothing happens in {name}");
    }
}
