//! The servers of the live tests start, answer, and end with their values.
#![allow(clippy::expect_used, clippy::print_stdout, reason = "tests")]

use std::process::Command;

use xtask::child::find;
use xtask::servers::{Dnsmasq, MariaDb, Nginx, Redis};

/// Says why a test has nothing to do.
fn missing(programs: &[&str]) -> bool {
    let missing: Vec<_> = programs.iter().filter(|program| find(program).is_none()).collect();
    if !missing.is_empty() {
        println!("skipped: not installed: {missing:?}");
    }
    !missing.is_empty()
}

fn output(command: &mut Command) -> String {
    String::from_utf8_lossy(&command.output().expect("the program runs").stdout).trim().to_owned()
}

#[test]
fn redis() {
    if missing(&["redis-server", "redis-cli"]) {
        return;
    }
    let server = Redis::start().expect("redis starts");
    assert_eq!(output(Command::new("redis-cli").args(["-p", &server.port.to_string(), "ping"])), "PONG");
}

#[test]
fn nginx() {
    if missing(&["nginx", "curl"]) {
        return;
    }
    let server = Nginx::start().expect("nginx starts");
    let status = |path: &str| {
        let url = format!("http://127.0.0.1:{}/{path}", server.port);
        output(Command::new("curl").args(["-s", "-o", "/dev/null", "-w", "%{http_code}", &url]))
    };
    assert_eq!(
        [status("ok"), status("orders/1"), status("missing"), status("broken"), status("big")],
        ["200", "200", "404", "500", "200"]
    );
}

#[test]
fn dnsmasq() {
    if missing(&["dnsmasq", "dig"]) {
        return;
    }
    let server = Dnsmasq::start().expect("dnsmasq starts");
    let port = server.port.to_string();
    let answer = |name: &str| output(Command::new("dig").args(["@127.0.0.1", "-p", &port, "+short", name]));
    assert_eq!([answer("shop.test"), answer("none.test")], ["10.1.2.3", ""]);
}

#[test]
fn mariadb() {
    if missing(&["mariadbd", "mariadb", "mariadb-install-db"]) {
        return;
    }
    let server = MariaDb::start().expect("mariadb starts");
    let mut client = server.client().expect("the client is there");
    client.stdout(std::process::Stdio::piped());
    assert_eq!(output(client.args(["-N", "-e", "SELECT 1 + 1"])), "2");
}
