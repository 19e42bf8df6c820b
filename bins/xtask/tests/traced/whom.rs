//! Whom the agent observes: what began before it, what forks, some of all, a command, and another agent beside it.

use std::process::Command;

use crate::agent::{Agent, alone_with, is_to, program};
use crate::talk::{Told, ask, assert_logged, script};

#[test]
fn connections_that_were_open_before() {
    let Some(_alone) = alone_with(&["python3"]) else { return };
    let mut server = Told::start(script("server.py", &["plain"]));
    let port = server.hear();
    let mut client = Told::start(script("client.py", &["opened", &port, "5"]));
    assert_eq!(client.hear(), "ready");
    let agent = Agent::watch(&[]);
    client.go_on();
    let logged = client.end();
    let pid = u64::from(server.child.id());
    drop(server);
    assert_eq!(assert_logged(&logged, &agent.end(), "python3", "python3"), [pid].into());
}

#[test]
fn a_process_for_each_connection() {
    let Some(_alone) = alone_with(&["python3"]) else { return };
    let mut server = Told::start(script("server.py", &["forking"]));
    let port = server.hear();
    let agent = Agent::watch(&[]);
    let logged: Vec<_> = (0..4).flat_map(|_| ask("client.py", &["plain", &port, "3"])).collect();
    let pid = u64::from(server.child.id());
    drop(server);
    let servers = assert_logged(&logged, &agent.end(), "python3", "python3");
    assert!(servers.len() == 4 && !servers.contains(&pid), "{servers:?}");
}

#[test]
fn one_of_two_processes() {
    let Some(_alone) = alone_with(&["python3"]) else { return };
    let mut servers = [(); 2].map(|()| Told::start(script("server.py", &["plain"])));
    let [port, other] = [0, 1].map(|place: usize| servers[place].hear());
    let pid = servers[0].child.id();
    let mut command = Command::new(program());
    command.args(["watch", "--ebpf", "--kind", "calls", "-o", "jsonl", "-p", &pid.to_string()]);
    let agent = Agent::start(command);
    let logged = ask("client.py", &["plain", &port, "3"]);
    ask("client.py", &["plain", &other, "3"]);
    drop(servers);
    let calls = agent.end();
    assert_eq!(calls.len(), logged.len());
    for call in &calls {
        assert!(call["observation_point"] == "server_process" && call["process"]["pid"] == pid, "{call}");
        assert!(is_to(call, &[port.parse().unwrap()]), "{call}");
    }
}

#[test]
fn a_command_with_children() {
    let Some(_alone) = alone_with(&["python3", "sh"]) else { return };
    let mut server = Told::start(script("server.py", &["plain"]));
    let port = server.hear();
    let client = script("client.py", &[]).get_args().next().unwrap().to_str().unwrap().to_owned();
    let asks =
        format!("for i in 1 2 3; do python3 {client} plain {port} 2 >&2; done; python3 {client} plain {port} 1 >&2");
    let ran = Command::new(program())
        .args(["watch", "--ebpf", "--kind", "calls", "-o", "jsonl", "--", "sh", "-c", &asks])
        .output()
        .unwrap();
    ask("client.py", &["plain", &port, "3"]);
    let [calls, said] = [ran.stdout, ran.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    assert!(ran.status.success(), "{said}");
    let json = |lines: String| -> Vec<_> { lines.lines().filter_map(|line| serde_json::from_str(line).ok()).collect() };
    let (calls, logged) = (json(calls), json(said));
    assert_eq!((calls.len(), logged.len()), (7, 7));
    for (call, logged) in calls.iter().zip(&logged) {
        let (seen, asked): (&serde_json::Value, &serde_json::Value) = (call, logged);
        assert_eq!(seen["observation_point"], "client_process");
        assert_eq!([&seen["process"]["pid"], &seen["resource"]], [&asked["pid"], &asked["resource"]]);
    }
}

#[test]
fn two_agents_see_the_same() {
    let Some(_alone) = alone_with(&["nginx", "openssl", "curl", "python3"]) else { return };
    let nginx = xtask::servers::Nginx::start_with_tls().unwrap();
    let agents = [Agent::watch(&[]), Agent::watch(&[])];
    let [plain, tls] = [nginx.port, nginx.tls_port.unwrap()].map(|port| port.to_string());
    let logged = ask("client.py", &["plain", &plain, "3"]);
    let secret = ask("client.py", &["curl", &tls, "1.1", "/orders/1", "/ok"]);
    drop(nginx);
    for agent in agents {
        let calls = agent.end();
        assert_logged(&logged, &calls, "python3", "nginx");
        assert_logged(&secret, &calls, "curl", "nginx");
    }
}
