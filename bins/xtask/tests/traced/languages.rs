//! Servers and clients of several languages and databases, over TCP and over Unix sockets.

use xtask::servers::{MariaDb, PostgreSql, Redis};

use crate::agent::{Agent, alone_with};
use crate::talk::{Told, ask, assert_logged, script};

/// All of each message: how it went may stand at the end of a long answer.
const WHOLE: &str = "1048576";
/// Requests of a client.
const COUNT: &str = "8";
const STATEMENTS: [&str; 3] = ["SELECT 1", "SELECT 'a name' AS name", "SELECT generate_series(1, 500)"];

#[test]
fn python_and_node_without_tls() {
    let Some(_alone) = alone_with(&["python3", "node"]) else { return };
    let servers = [
        ("python3", script("server.py", &["plain"])),
        ("python3", script("server.py", &["looping"])),
        ("node", script("node.js", &["serve", "plain"])),
    ];
    let servers = servers.map(|(name, command)| (name, Told::start(command)));
    let agent = Agent::watch(&[]);
    let mut asked = Vec::new();
    let servers = servers.map(|(name, mut server)| {
        let port = server.hear();
        asked.push(("python3", name, server.child.id(), ask("client.py", &["plain", &port, COUNT])));
        asked.push(("node", name, server.child.id(), ask("node.js", &["ask", "plain", &port, COUNT])));
        server
    });
    drop(servers);
    let calls = agent.end();
    for (client, server, pid, logged) in &asked {
        assert_eq!(assert_logged(logged, &calls, client, server), [u64::from(*pid)].into());
    }
}

#[test]
fn redis_alone_and_in_pipelines() {
    let Some(_alone) = alone_with(&["python3", "redis-server"]) else { return };
    let redis = Redis::start().unwrap();
    let agent = Agent::watch(&["--no-redact", "--payload", WHOLE]);
    let logged = ask("client.py", &["redis", &redis.port.to_string(), COUNT]);
    let local = ask("client.py", &["redis", redis.socket().to_str().unwrap(), COUNT]);
    drop(redis);
    let calls = agent.end();
    assert_logged(&[logged, local].concat(), &calls, "python3", "redis-server");
}

#[test]
fn postgresql_has_a_process_for_each_connection() {
    let Some(_alone) = alone_with(&["python3", "psql", "initdb"]) else { return };
    let server = PostgreSql::start().unwrap();
    let agent = Agent::watch(&["--no-redact", "--payload", WHOLE]);
    let port = server.port.to_string();
    let asked = ["127.0.0.1", server.sockets().to_str().unwrap()].map(|host| {
        let arguments = ["psql", host, &port];
        ask("client.py", &[&arguments[..], &STATEMENTS].concat())
    });
    drop(server);
    let calls = agent.end();
    let logged = asked.concat();
    assert_eq!(assert_logged(&logged, &calls, "psql", "postgres").len(), logged.len());
}

#[test]
fn mariadb_over_its_socket() {
    let Some(_alone) = alone_with(&["python3", "mariadb", "mariadbd"]) else { return };
    let server = MariaDb::start().unwrap();
    let agent = Agent::watch(&["--no-redact", "--payload", WHOLE]);
    let socket = server.socket();
    let arguments = ["mariadb", socket.to_str().unwrap()];
    let logged = ask("client.py", &[&arguments[..], &STATEMENTS[..2]].concat());
    drop(server);
    assert_logged(&logged, &agent.end(), "mariadb", "mariadbd");
}
