//! Debian's servers and clients under observation: what the agent prints live is what it reads out of tcpdump's recording of the same
//! traffic, and what the clients did.
#![allow(clippy::expect_used, clippy::print_stdout, reason = "tests")]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpStream};
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;
use xtask::build;
use xtask::capture::capture;
use xtask::child::Running;
use xtask::packages::{self, WORKLOAD};
use xtask::workload::Workload;

/// Rounds of the workload.
const ROUNDS: u32 = 3;
/// Everything of a packet.
const WHOLE: u32 = 262_144;
/// What differs by nature between two observations of the same call: numbers, place, and the time at which each ring saw it.
const DIFFERING: [&str; 7] = ["id", "flow_id", "observation_point", "capture", "process", "start_ns", "duration_ns"];

#[test]
fn real_servers_and_clients_give_the_same_calls_live_and_recorded() {
    let missing = packages::missing(WORKLOAD).into_iter().chain(packages::missing(&[("tcpdump", "tcpdump")]));
    let missing: Vec<_> = missing.map(|(program, _)| program).collect();
    if !packages::is_root() || !missing.is_empty() {
        println!("skipped: needs root, and these programs: {missing:?}");
        return;
    }
    let agent = build::program("metaflow-agent").expect("the agent is built");
    let workload = Workload::start().expect("the servers start");
    let ports = workload.ports();
    let folder = TempDir::new().expect("a folder");
    let [recording, printed, said] = ["all.pcap", "live.jsonl", "said"].map(|name| folder.path().join(name));
    let mut live = Command::new(&agent);
    live.args(["watch", "-i", "lo", "--kind", "calls", "-o", "jsonl"]);
    live.stdin(Stdio::null());
    live.stdout(File::create(&printed).expect("a file")).stderr(File::create(&said).expect("a file"));
    let mut live = Running::start(&mut live).expect("the agent starts");
    live.wait_until(|| fs::read_to_string(&said).is_ok_and(|text| text.contains("watching lo"))).expect("it watches");
    capture(&recording, &ports, WHOLE, || (1..=ROUNDS).try_for_each(|number| workload.round(number)))
        .expect("the traffic");
    // A request that nothing else makes shows that everything before it was printed.
    let end = format!("/the-end-{}", std::process::id());
    let ask = || {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, ports[0])).expect("nginx listens");
        std::io::Write::write_all(&mut stream, format!("GET {end} HTTP/1.0\r\n\r\n").as_bytes()).expect("it reads");
        std::io::Read::read_to_end(&mut stream, &mut Vec::new()).expect("it answers");
    };
    ask();
    live.wait_until(|| fs::read_to_string(&printed).is_ok_and(|text| text.contains(&end))).expect("the last call");
    live.stop().expect("it ends");

    let live = fs::read_to_string(&printed).expect("its output");
    let live = calls(live.lines().filter(|line| !line.contains(&end)), &ports);
    let replayed = Command::new(&agent).args(["replay", "--kind", "calls", "-o", "jsonl"]).arg(&recording).output();
    let replayed = String::from_utf8(replayed.expect("the agent runs").stdout).expect("text");
    let replayed = calls(replayed.lines(), &ports);
    assert_eq!(live, replayed);

    let count =
        |what: &str| replayed.iter().filter(|(call, _)| call.contains(what)).map(|(_, count)| count).sum::<usize>();
    let rounds = ROUNDS as usize;
    assert_eq!(count("\"endpoint\":\"/orders/{}\""), 20 * rounds, "what curl asked for");
    assert_eq!(count("\"resource\":\"/broken\""), rounds / 2);
    assert_eq!(count("\"request_type\":\"LPUSH\""), rounds, "what redis-cli said");
    assert_eq!(count("\"endpoint\":\"SET\""), rounds * 61, "and redis-benchmark");
    assert_eq!(count("\"endpoint\":\"INSERT orders\""), rounds, "what the mariadb client said");
    assert_eq!(count("\"protocol\":\"dns\""), 3 * rounds, "what dig asked for");
}

/// Calls to these ports without what differs, and how often each came.
fn calls<'a>(lines: impl Iterator<Item = &'a str>, ports: &[u16]) -> BTreeMap<String, usize> {
    let mut calls = BTreeMap::new();
    for line in lines {
        let mut record: Value = serde_json::from_str(line).expect("a line is an object");
        let server = record["server"].as_str().unwrap_or_default().to_owned();
        if ports.iter().any(|port| server.ends_with(&format!(":{port}"))) {
            let object = record.as_object_mut().expect("a line is an object");
            object.retain(|name, _| !DIFFERING.contains(&name.as_str()));
            *calls.entry(record.to_string()).or_default() += 1;
        }
    }
    calls
}
