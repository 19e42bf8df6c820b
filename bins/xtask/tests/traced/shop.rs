//! The workload of the demo, seen by packets and by system calls at the same time.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use xtask::packages::WORKLOAD;
use xtask::workload::Workload;

use crate::agent::{Agent, alone_with, is_to, seen_at};

/// Rounds of the workload.
const ROUNDS: u32 = 3;

#[test]
fn packets_and_processes_show_the_same_calls_and_who_made_them() {
    let programs: Vec<_> = WORKLOAD.iter().map(|(program, _)| *program).collect();
    let Some(_alone) = alone_with(&programs) else { return };
    let workload = Workload::start().unwrap();
    let ports = workload.ports();
    // All of each message: where answers are longer than what is captured, Redis does not say how long they are.
    let agent = Agent::watch(&["-i", "lo", "--payload", "1048576"]);
    (1..=ROUNDS).try_for_each(|number| workload.round(number)).unwrap();
    drop(workload);
    let mut calls = agent.end();
    calls.retain(|call| is_to(call, &ports));
    let packets = seen_at(&calls, "server_nic");
    assert!(packets.values().sum::<usize>() > 100, "{packets:?}");
    for point in ["client_process", "server_process"] {
        let seen = seen_at(&calls, point);
        let differs = packets.iter().find(|(call, count)| seen.get(*call) != Some(count));
        let more = seen.iter().find(|(call, _)| !packets.contains_key(*call));
        assert_eq!((differs, more), (None, None), "{point}");
    }
    let mut names = BTreeMap::<_, BTreeSet<_>>::new();
    for call in &calls {
        let point = call["observation_point"].as_str().unwrap();
        let place = ports.iter().position(|port| is_to(call, &[*port])).unwrap();
        names.entry((place, point)).or_default().insert(call["process"]["name"].as_str());
    }
    let named = |place, point| names[&(place, point)].iter().flatten().copied().collect::<Vec<_>>();
    let clients: Vec<_> = (0..4).map(|place| named(place, "client_process")).collect();
    assert_eq!(clients, [vec!["curl"], vec!["redis-benchmark", "redis-cli"], vec!["mariadb"], vec!["dig"]]);
    let servers: Vec<_> = (0..4).map(|place| named(place, "server_process")).collect();
    assert_eq!(servers, [["nginx"], ["redis-server"], ["mariadbd"], ["dnsmasq"]]);

    // The server's time lies within the client's.
    let of = |point: &str| {
        let calls = calls.iter().filter(|call| call["observation_point"] == point && call["tcp_seq_request"].is_u64());
        let key = |call: &Value| [&call["client"], &call["tcp_seq_request"], &call["request_id"]].map(Value::to_string);
        calls.map(|call| (key(call), call)).collect::<BTreeMap<_, _>>()
    };
    let (clients, servers) = (of("client_process"), of("server_process"));
    assert!(clients.len() > 100, "{}", clients.len());
    for (key, client) in clients {
        let server = servers[&key];
        let start = |call: &Value| call["start_ns"].as_u64().unwrap();
        let end = |call: &Value| call["duration_ns"].as_u64().map(|duration| start(call) + duration);
        assert!(start(client) <= start(server) && end(server) <= end(client), "{client}\n{server}");
    }
}
