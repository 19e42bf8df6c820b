//! What goes through TLS, in the clear.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;
use xtask::servers::Nginx;

use crate::agent::{Agent, alone_with, program};
use crate::talk::{Told, ask, assert_logged, script};

#[test]
fn curl_nghttp_and_python_ask_nginx() {
    let Some(_alone) = alone_with(&["nginx", "openssl", "curl", "nghttp", "python3"]) else { return };
    let nginx = Nginx::start_with_tls().unwrap();
    let port = nginx.tls_port.unwrap().to_string();
    let agent = Agent::watch(&[]);
    let curl = [
        ask("client.py", &["curl", &port, "1.1", "/ok", "/orders/1", "/missing"]),
        ask("client.py", &["curl", &port, "2", "/orders/2", "/broken"]),
    ];
    let nghttp = ask("client.py", &["nghttp", &port, "/orders/3", "/ok", "/orders/4"]);
    let sockets = [ask("client.py", &["library", &port, "5"]), ask("client.py", &["tls", &port, "5"])];
    let memory = ask("client.py", &["memory", &port, "5"]);
    drop(nginx);
    let calls = agent.end();
    for (logged, client) in curl.iter().map(|logged| (logged, "curl")).chain([(&nghttp, "nghttp")]) {
        assert_logged(logged, &calls, client, "nginx");
    }
    for logged in sockets.iter().chain([&memory]) {
        assert_logged(logged, &calls, "python3", "nginx");
    }
    let of = |entries: &[Value]| {
        let pid = entries[0]["pid"].clone();
        calls.iter().filter(move |call| call["process"]["pid"] == pid)
    };
    for entries in curl.iter().chain(&sockets).chain([&nghttp]) {
        assert!(
            of(entries).all(|call| call["capture"] == "tls" && call["server"] == format!("127.0.0.1:{port}").as_str())
        );
    }
    assert!(of(&memory).all(|call| call["capture"] == "tls"));
}

/// As a user of no rights but those that loading programs takes.
#[test]
fn with_two_capabilities() {
    let Some(_alone) = alone_with(&["nginx", "openssl", "curl", "python3", "setpriv"]) else { return };
    let nginx = Nginx::start_with_tls().unwrap();
    // Where everybody may run it.
    let folder = TempDir::new().unwrap();
    let copy = folder.path().join("metaflow-agent");
    fs::copy(program(), &copy).unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--bounding-set=-all,+bpf,+perfmon"]);
    command.args(["--inh-caps=-all,+bpf,+perfmon", "--ambient-caps=-all,+bpf,+perfmon"]).arg(&copy);
    command.args(["watch", "--ebpf", "--kind", "calls", "-o", "jsonl"]);
    let agent = Agent::start(command);
    let [plain, tls] = [nginx.port, nginx.tls_port.unwrap()].map(|port| port.to_string());
    let logged = ask("client.py", &["plain", &plain, "3"]);
    let secret = ask("client.py", &["curl", &tls, "1.1", "/orders/1", "/ok"]);
    drop(nginx);
    let said = agent.said();
    assert!(said.contains("some processes may not be looked into, which takes CAP_SYS_PTRACE"), "{said}");
    let calls = agent.end();
    assert_logged(&logged, &calls, "python3", "nginx");
    if said.contains("the kernel does not permit to attach to SSL_write") {
        assert!(calls.iter().all(|call| call["capture"] != "tls"), "{said}");
    } else {
        assert_logged(&secret, &calls, "curl", "nginx");
    }
}

/// A key and a certificate in a folder.
fn certified() -> TempDir {
    let folder = TempDir::new().unwrap();
    let mut openssl = Command::new("openssl");
    openssl.args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-keyout", "key"]);
    assert!(openssl.args(["-out", "certificate"]).current_dir(folder.path()).output().unwrap().status.success());
    folder
}

#[test]
fn python_and_node_serve_and_ask() {
    let Some(_alone) = alone_with(&["openssl", "python3", "node"]) else { return };
    let folder = certified();
    let place = folder.path().to_str().unwrap();
    let mut python = Told::start(script("server.py", &["tls", place]));
    let mut node = Told::start(script("node.js", &["serve", "tls", place]));
    let (python_port, node_port) = (python.hear(), node.hear());
    let agent = Agent::watch(&[]);
    let asked = [
        ("python3", "python3", ask("client.py", &["tls", &python_port, "6"])),
        ("node", "python3", ask("node.js", &["ask", "tls", &python_port, "6"])),
        ("python3", "node", ask("client.py", &["tls", &node_port, "6"])),
        ("node", "node", ask("node.js", &["ask", "tls", &node_port, "6"])),
    ];
    drop((python, node));
    let calls = agent.end();
    for (client, server, logged) in &asked {
        assert_eq!(logged.len(), 6);
        assert_logged(logged, &calls, client, server);
    }
}
