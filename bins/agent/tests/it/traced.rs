//! What eBPF sees of processes: needs root, and a kernel that lets programs be loaded.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::Signal;
use serde_json::Value;

use crate::conversations::conversations;
use crate::program::{PROGRAM, Running, records, run};
use crate::server::{Server, Stored};
use crate::shop::{Shop, cannot_capture};

/// Says so if what the kernel is asked for cannot be had here.
pub(crate) fn cannot_trace() -> bool {
    cannot_trace_at("auto")
}

fn cannot_trace_at(hooks: &str) -> bool {
    let ran = run(&["watch", "--ebpf", "--hooks", hooks, "--duration", "1ms"]);
    if ran.code != 0 {
        println!("skipped: {}", ran.stderr);
    }
    ran.code != 0
}

/// A call but for when, where and by whom it was seen.
fn said(record: &Value) -> String {
    let mut record = record.clone();
    let fields = record.as_object_mut().unwrap();
    for field in [
        "id",
        "flow_id",
        "start_ns",
        "duration_ns",
        "observation_point",
        "capture",
        "process",
        "syscall_trace_id_request",
        "syscall_trace_id_response",
        "thread_id",
    ] {
        fields.shift_remove(field);
    }
    if let Some(attributes) = fields.get_mut("attributes").and_then(Value::as_object_mut) {
        attributes.retain(|name, _| !name.ends_with("_ns"));
    }
    record.to_string()
}

/// What is written down of a live observation gives the same records, without any rights.
#[test]
fn a_recording_replayed_is_what_was_seen() {
    if cannot_trace() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let [script, recording] = ["talk.jsonl", "events"].map(|name| folder.path().join(name));
    let testdata = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata");
    let spoken: Vec<_> = ["redis.pcap", "http1.pcap", "dns.pcap"]
        .iter()
        .flat_map(|capture| conversations(&testdata.join(capture)).0)
        .map(|spoken| spoken.json())
        .collect();
    std::fs::write(&script, spoken.join("\n")).unwrap();
    let [script, recording] = [&script, &recording].map(|path| path.to_str().unwrap());
    let player = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/play.py");
    let record =
        ["watch", "--ebpf", "--record", recording, "-o", "jsonl", "--", "python3", player.to_str().unwrap(), script];
    let live = run(&record);
    assert_eq!(live.code, 0, "{}", live.stderr);
    let replayed = Command::new("setpriv")
        .args(["--bounding-set=-all", "--inh-caps=-all", PROGRAM, "replay", "-o", "jsonl", recording])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_eq!(replayed.status.code(), Some(0), "{}", String::from_utf8_lossy(&replayed.stderr));
    // Numbers begin with those of the engine.
    let seen = |lines: &str| {
        let mut seen: Vec<_> = records(lines).into_iter().filter(|record| record["kind"] != "tls_unseen").collect();
        for record in &mut seen {
            let fields = record.as_object_mut().unwrap();
            _ = (fields.shift_remove("id"), fields.shift_remove("flow_id"));
        }
        let mut seen: Vec<_> = seen.iter().map(Value::to_string).collect();
        seen.sort_unstable();
        seen
    };
    let (live, replayed) = (seen(&live.stdout), seen(std::str::from_utf8(&replayed.stdout).unwrap()));
    assert!(live.len() > 200, "{}", live.len());
    assert_eq!(live.iter().zip(&replayed).find(|(one, other)| one != other), None);
    assert_eq!(live.len(), replayed.len());
}

#[test]
fn sockets_give_the_calls_of_the_packets() {
    gives_the_calls_of_the_packets("sockets");
}

#[test]
fn system_calls_give_the_calls_of_the_packets() {
    gives_the_calls_of_the_packets("syscalls");
}

/// Recorded conversations of real clients with real servers, played over real sockets, which packets and processes show at the same time.
fn gives_the_calls_of_the_packets(hooks: &str) {
    if cannot_trace_at(hooks) {
        return;
    }
    let testdata = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata");
    let mut captures: Vec<_> = testdata.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    captures.retain(|path| path.extension().is_some_and(|extension| extension == "pcap"));
    captures.sort();
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let mut played = 0;
    for capture in &captures {
        let (conversations, others) = conversations(capture);
        println!("{}: {} conversations, {others} packets of others", capture.display(), conversations.len());
        played += conversations.len();
        conversations.iter().for_each(|spoken| writeln!(file, "{}", spoken.json()).unwrap());
    }
    assert!(played > 100, "{played}");
    let script = format!(
        "ip link set lo up && exec {PROGRAM} watch -i lo --ebpf --hooks {hooks} --payload 16777216 --kind calls -o jsonl -- python3 {} {}",
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/play.py").display(),
        file.path().display(),
    );
    let ran = Command::new("unshare").args(["-n", "sh", "-c", &script]).stdin(Stdio::null()).output().unwrap();
    let said_by_agent = String::from_utf8_lossy(&ran.stderr);
    assert_eq!(ran.status.code(), Some(0), "{said_by_agent}");
    println!("{said_by_agent}");
    assert!(
        said_by_agent.contains("; 0 messages lost") && said_by_agent.contains("; 0 packets dropped"),
        "{said_by_agent}"
    );
    let records = records(std::str::from_utf8(&ran.stdout).unwrap());
    let seen = |capture: &str, point: &str| {
        let of = |record: &&Value| {
            record["capture"] == capture && (point.is_empty() || record["observation_point"] == point)
        };
        let mut calls: Vec<_> = records.iter().filter(of).map(said).collect();
        calls.sort_unstable();
        calls
    };
    let packets = seen("lo", "");
    assert!(packets.len() > 1000, "{}", packets.len());
    for point in ["client_process", "server_process"] {
        let calls = seen("syscall", point);
        let differs = packets.iter().zip(&calls).find(|(one, other)| one != other);
        assert_eq!((calls.len(), differs), (packets.len(), None), "{point}");
    }
}

/// Both ends of the shop's connections are this process. The server, too: what it is sent by the agent is no call of anybody.
#[test]
fn the_daemon_sends_what_processes_do_but_not_its_own_sending() {
    if cannot_trace() || cannot_capture() {
        return;
    }
    let shop = Shop::open();
    let server = Server::start(&[]);
    let mut agent = Running::start(&["run", "-i", "lo", "--ebpf", "--server", &server.address.to_string()]);
    agent.says("observing lo");
    shop.visit();
    let places = |stored: &Stored| -> Vec<Option<String>> {
        let of_shop = stored.ports("calls").into_iter().map(|port| port == shop.port());
        let places = stored.names("calls", "observation_point").into_iter().zip(of_shop);
        let mut places: Vec<_> = places.filter(|(_, of_shop)| *of_shop).map(|(place, _)| place).collect();
        places.sort();
        places
    };
    server.stored.wait_until(|stored| places(stored).len() == 9);
    agent.signal(Signal::TERM);
    assert_eq!(agent.wait(), 0);
    let expected = ["client_process", "server_nic", "server_process"].map(|place| vec![Some(place.to_owned()); 3]);
    assert_eq!(places(&server.stored), expected.concat());
    for table in ["calls", "metrics_1s"] {
        assert!(!server.stored.ports(table).contains(&server.address.port()), "its own sending was observed");
    }
}
