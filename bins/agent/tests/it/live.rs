//! Observing the loopback interface: needs root.

use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::thread;

use metaflow_packet_capture::{LinkType, PcapWriter, Ring, RingOptions, Stop, Wake, wait};
use rustix::process::Signal;

use crate::program::{PATIENCE, PROGRAM, Running, file, run};
use crate::server::Server;
use crate::shop::{Shop, cannot_capture, collect};

#[test]
fn requests_are_printed_as_they_happen() {
    if cannot_capture() {
        return;
    }
    let shop = Shop::open();
    let mut agent = Running::start(&["watch", "-i", "lo", "-o", "jsonl"]);
    agent.says("watching lo");
    shop.visit();
    let records = collect(&agent, &shop, 4);
    let calls: Vec<_> = records.iter().filter(|record| record["type"] == "call").collect();
    let paths: Vec<_> = calls.iter().map(|call| call["resource"].as_str().unwrap()).collect();
    assert_eq!(paths, ["/cart/1", "/missing", "/cart/2"]);
    assert_eq!(calls[1]["status"], "client_error");
    for record in &records {
        assert_eq!((&record["observation_point"], &record["capture"]), (&"server_nic".into(), &"lo".into()));
        assert_eq!(record["process"]["pid"], std::process::id());
        assert!(record["process"]["name"].is_string() && record["process"]["start_ns"].is_u64());
    }
    let flow = records.iter().find(|record| record["type"] == "flow").unwrap();
    assert_eq!((&flow["close"], &flow["protocol"]), (&"finished".into(), &"http1".into()));
    agent.signal(Signal::INT);
    assert_eq!(agent.wait(), 130);
    assert!(agent.says("dropped by the kernel").contains("packets"));
}

#[test]
fn what_is_open_at_the_end_is_printed_too() {
    if cannot_capture() {
        return;
    }
    let shop = Shop::open();
    let mut agent = Running::start(&["watch", "-i", "lo", "-o", "jsonl", "--kind", "flows"]);
    agent.says("watching lo");
    let stream = shop.connect();
    agent.signal(Signal::TERM);
    assert_eq!(agent.wait(), 0);
    let flow = collect(&agent, &shop, 1);
    assert_eq!(flow[0]["close"], "still_open");
    drop(stream);
}

#[test]
fn it_ends_after_so_many_records_or_so_much_time() {
    if cannot_capture() {
        return;
    }
    let shop = Shop::open();
    let mut agent = Running::start(&["watch", "-i", "lo", "-i", "lo", "-c", "2", "--kind", "calls", "-o", "jsonl"]);
    agent.says("watching lo;");
    shop.visit();
    assert_eq!(agent.wait(), 0);
    assert_eq!(agent.stdout.iter().count(), 2);
    let ran = run(&["watch", "-i", "lo", "--duration", "100ms"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
}

#[test]
fn without_privilege_it_says_what_to_do() {
    let Ok(output) = Command::new("setpriv")
        .args(["--bounding-set=-net_raw", "--inh-caps=-net_raw", PROGRAM, "watch", "-i", "lo", "--duration", "1s"])
        .stdin(Stdio::null())
        .output()
    else {
        println!("skipped: there is no `setpriv` program (package util-linux)");
        return;
    };
    let said = String::from_utf8(output.stderr).unwrap();
    if said.contains("setpriv:") {
        println!("skipped: {said}");
        return;
    }
    assert_eq!((output.status.code(), said.lines().count()), (Some(77), 1), "{said}");
    assert!(said.contains("run as root") && said.contains("setcap"), "{said}");
}

#[test]
fn the_same_traffic_gives_the_same_calls_live_and_recorded() {
    if cannot_capture() {
        return;
    }
    let shop = Shop::open();
    let agent = Running::start(&["watch", "-i", "lo", "-o", "jsonl", "--no-redact"]);
    agent.says("watching lo");
    let (packets, recorded) = channel();
    let (stop, port) = (Stop::new().unwrap(), shop.port().to_be_bytes());
    let (recording, stopped) = ([Ring::open("lo", &RingOptions::default()).unwrap()], stop.clone());
    let recorder = thread::spawn(move || {
        let mut recording = recording;
        // What was sent before it is told to stop comes within the time a block may wait.
        while wait(&recording, &stopped, PATIENCE).unwrap() != Wake::Stopped {
            while let Some(batch) = recording[0].next_batch().unwrap() {
                for packet in batch {
                    // The ports of TCP over IPv4 over Ethernet.
                    if packet.captured.get(34..36) == Some(&port) || packet.captured.get(36..38) == Some(&port) {
                        packets.send((packet.time_ns, packet.captured.to_vec())).unwrap();
                    }
                }
            }
        }
    });
    shop.visit();
    let live = collect(&agent, &shop, 4);
    let mut writer = PcapWriter::new(Vec::new(), LinkType::Ethernet).unwrap();
    let mut fins = 0;
    // Both FINs, and the last acknowledgement.
    while fins < 3 {
        let (time, bytes) = recorded.recv_timeout(PATIENCE).unwrap();
        fins += usize::from(fins == 2 || bytes[47] & 1 == 1);
        writer.write(time, &bytes, u32::try_from(bytes.len()).unwrap()).unwrap();
    }
    stop.stop();
    recorder.join().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let capture = file(folder.path(), "recorded.pcap", &writer.into_inner());
    let replayed = run(&["replay", &capture, "--no-redact"]).records();
    assert_eq!((live.len(), replayed.len()), (4, 4));
    // Two rings stamp the same packet one after the other; numbers and places differ by nature.
    let differing = ["id", "flow_id", "observation_point", "capture", "process"];
    for (live, replayed) in live.iter().zip(&replayed) {
        for (name, value) in live.as_object().unwrap() {
            if !name.ends_with("_ns") && !differing.contains(&name.as_str()) {
                assert_eq!(value, &replayed[name], "{name}");
            }
        }
    }
}

#[test]
fn the_daemon_sends_everything_but_its_own_sending() {
    if cannot_capture() {
        return;
    }
    for address in ["127.0.0.1:0", "[::1]:0"] {
        if TcpListener::bind(address).is_err() {
            println!("skipped: {address} cannot be listened on");
            continue;
        }
        let shop = Shop::open();
        let server = Server::start_at(address.parse().unwrap(), &[]);
        let mut agent = Running::start(&["run", "-i", "lo", "--server", &server.address.to_string()]);
        agent.says("observing lo");
        let port = shop.port();
        shop.visit();
        let of_shop = |ports: Vec<u16>| ports.into_iter().filter(|found| *found == port).count();
        server.stored.wait_until(|stored| of_shop(stored.ports("calls")) == 3 && of_shop(stored.ports("flows")) == 1);
        shop.visit();
        agent.signal(Signal::TERM);
        assert_eq!(agent.wait(), 0);
        agent.says("everything has been sent");
        assert_eq!((of_shop(server.stored.ports("calls")), of_shop(server.stored.ports("flows"))), (6, 2));
        assert!(of_shop(server.stored.ports("metrics_1m")) > 0);
        let own = server.address.port();
        for table in ["flows", "calls", "metrics_1s"] {
            assert!(!server.stored.ports(table).contains(&own), "its own sending was captured");
        }
        assert!(server.stored.names("calls", "process_name").iter().any(Option::is_some));
    }
}

#[test]
fn the_daemon_outlives_its_server() {
    if cannot_capture() {
        return;
    }
    let shop = Shop::open();
    let server = Server::start(&[]);
    let address = server.address;
    let mut agent = Running::start(&["run", "-i", "lo", "--server", &address.to_string()]);
    agent.says("observing lo");
    shop.visit();
    let of_shop = |ports: Vec<u16>| ports.into_iter().filter(|found| *found == shop.port()).count();
    server.stored.wait_until(|stored| of_shop(stored.ports("calls")) == 3);
    drop(server);
    shop.visit();
    agent.says("trying again");
    let server = Server::start_at(address, &[]);
    server.stored.wait_until(|stored| of_shop(stored.ports("calls")) == 3);
    agent.signal(Signal::INT);
    assert_eq!(agent.wait(), 0);
    assert!(!server.stored.ports("flows").contains(&address.port()), "its own sending was captured");
}

/// The agent in a network namespace of its own, in which this has been run before; or the reason why not.
fn in_namespace(before: &str, arguments: &str) -> Option<Running> {
    if !["unshare", "nsenter", "ip"].iter().all(|program| Command::new(program).arg("-V").output().is_ok()) {
        println!("skipped: unshare, nsenter (package util-linux) or ip (iproute2) is missing");
        return None;
    }
    let mut command = Command::new("unshare");
    command.args(["--net", "sh", "-c", &format!("{before} && exec {PROGRAM} {arguments}")]);
    Some(Running::start_as(command))
}

/// Runs `ip` in the agent's namespace.
fn ip(agent: &Running, arguments: &str) {
    let target = agent.pid().to_string();
    let status = Command::new("nsenter").args(["--net", "--target", &target, "ip"]).args(arguments.split(' ')).status();
    assert!(status.unwrap().success(), "ip {arguments}");
}

const LINK: &str = "ip link add v0 type veth peer name v1 && ip link set v0 up && ip link set v1 up";

#[test]
fn an_interface_that_is_removed_ends_the_watch_of_it() {
    if cannot_capture() {
        return;
    }
    for (before, last) in [("link set v1 up", "link del v0"), ("link set v0 down", "link del v0")] {
        let Some(mut agent) = in_namespace(LINK, "watch -i v0 -o jsonl") else { return };
        agent.says("watching v0");
        ip(&agent, before);
        ip(&agent, last);
        agent.says("interface v0 was removed");
        assert_eq!(agent.wait(), 69);
    }
}

#[test]
fn interfaces_that_come_are_watched_too() {
    if cannot_capture() {
        return;
    }
    let Some(mut agent) = in_namespace("ip link set lo up", "--log debug watch -o jsonl") else { return };
    agent.says("watching lo");
    for command in LINK.split(" && ") {
        ip(&agent, command.trim_start_matches("ip "));
    }
    assert!(agent.says("observed from now on").contains('v'));
    agent.says("observed from now on");
    agent.signal(Signal::TERM);
    assert_eq!(agent.wait(), 0);
}
