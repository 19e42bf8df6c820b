//! Whom and what the agent follows, beside processes by number: control groups, ports, protocols; and not itself.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;

use serde_json::Value;

use crate::program::{PATIENCE, PROGRAM, Running, run};
use crate::traced::cannot_trace;
use crate::untraced::{Python, agent, ended};

/// A server in the same process, and what asks it.
const ASK: &str = r#"
import threading
def serve():
    listener = socket.create_server(("127.0.0.1", 0))
    def answer(c):
        while c.recv(100000): c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    def accept():
        while True: threading.Thread(target=answer, args=[listener.accept()[0]], daemon=True).start()
    threading.Thread(target=accept, daemon=True).start()
    return listener.getsockname()
def ask(address, path):
    c = socket.create_connection(address)
    c.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()); c.recv(1000); c.close()
"#;

/// The paths that were asked for, as clients see it.
fn asked(calls: &[Value]) -> Vec<&str> {
    let of_client = calls.iter().filter(|call| call["observation_point"] == "client_process");
    of_client.filter_map(|call| call["resource"].as_str()).collect()
}

/// A control group of version 2 that is removed in the end.
struct ControlGroup(PathBuf);

impl ControlGroup {
    fn new(name: &str) -> Option<Self> {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let mount = mounts.lines().find(|line| line.contains(" - cgroup2 "));
        let point = mount.and_then(|line| line.split(' ').nth(4)).map(PathBuf::from);
        let made = point.map(|point| point.join(name)).filter(|path| fs::create_dir(path).is_ok());
        if made.is_none() {
            println!("skipped: no control group of version 2 can be made");
        }
        made.map(Self)
    }
}

impl Drop for ControlGroup {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

#[test]
fn processes_of_a_control_group_by_its_path_and_by_its_container() {
    if cannot_trace() {
        return;
    }
    let id: String = format!("{:064x}", u128::from(std::process::id()) << 64 | 0xfeed).chars().rev().collect();
    let Some(group) = ControlGroup::new(&format!("docker-{id}.scope")) else { return };
    let mut within = Python::start(&format!("{ASK}\nwait()\nask(serve(), '/within')\nwait()"));
    fs::write(group.0.join("cgroup.procs"), within.pid()).unwrap();
    let by_path = agent(&["--kind", "calls", "--cgroup", &format!("/docker-{id}.scope")]);
    let by_container = agent(&["--kind", "calls", "--cgroup", &id[..12]]);
    let mut beside = Python::start(&format!("{ASK}\nask(serve(), '/beside')\nwait()"));
    within.go_on();
    within.waits();
    beside.go_on();
    beside.end();
    within.end();
    for agent in [by_path, by_container] {
        let (calls, said) = ended(agent);
        assert_eq!(asked(&calls), ["/within"], "{said}");
    }
}

/// A service that begins again has a new control group under the old name.
#[test]
fn a_control_group_that_goes_and_comes_again() {
    if cannot_trace() {
        return;
    }
    let name = format!("metaflow-again-{}", std::process::id());
    let Some(group) = ControlGroup::new(&name) else { return };
    let agent = agent(&["--kind", "calls", "--cgroup", &format!("/{name}")]);
    fs::remove_dir(&group.0).unwrap();
    fs::create_dir(&group.0).unwrap();
    let mut python =
        Python::start(&format!("{ASK}\naddress = serve()\nwhile True:\n  wait()\n  ask(address, '/again')"));
    fs::write(group.0.join("cgroup.procs"), python.pid()).unwrap();
    let begin = Instant::now();
    loop {
        python.go_on();
        python.waits();
        if agent.stdout.try_iter().any(|line| line.contains("/again")) {
            break;
        }
        assert!(begin.elapsed() < PATIENCE);
    }
    fs::write(group.0.with_file_name("cgroup.procs"), python.pid()).unwrap();
    python.kill();
}

#[test]
fn a_control_group_that_is_not_there() {
    if cannot_trace() {
        return;
    }
    let ran = run(&["watch", "--ebpf", "--cgroup", "/no/such/group"]);
    let said = "metaflow-agent: there is no control group and no container /no/such/group\n";
    assert!(ran.code == 69 && (ran.stderr == said || ran.stderr.contains("version 2")), "{}", ran.stderr);
}

#[test]
fn connections_of_a_port() {
    if cannot_trace() {
        return;
    }
    let mut python = Python::start(&format!(
        "{ASK}\none, other = serve(), serve()\nprint(one[1], flush=True)\nwait()\nask(one, '/one'); ask(other, '/other')\nwait()"
    ));
    let port = python.told.trim().to_owned();
    let agent = agent(&["--kind", "calls", "--port", &port, "-p", &python.pid()]);
    python.go_on();
    python.waits();
    python.end();
    let (calls, said) = ended(agent);
    assert_eq!(asked(&calls), ["/one"], "{said}");
}

#[test]
fn what_is_wrong_with_what_is_followed_or_captured() {
    for (arguments, said) in [
        (&["--payload", "gopher=5"][..], "no protocol has this name"),
        (&["--payload", "redis=many"], "not a number of bytes"),
        (&["--payload", "16777217"], "not a number of bytes"),
        (&["--port", "65536"], "--port"),
    ] {
        let ran = run(&[&["watch", "--ebpf"], arguments].concat());
        assert!(ran.code == 2 && ran.stderr.contains(said), "{arguments:?}: {}", ran.stderr);
    }
    assert_eq!(run(&["watch", "--port", "80"]).code, 2, "it takes --ebpf");
}

#[test]
fn more_of_one_protocol_than_of_the_others() {
    if cannot_trace() {
        return;
    }
    let mut python = Python::start(&format!(
        r#"
{ASK}
wait()
redis = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(redis.getsockname()); server, _ = redis.accept()
address = serve(); http = socket.create_connection(address)
for i in range(2):
    client.sendall(b"*2\r\n$3\r\nGET\r\n$1900\r\n" + b"k" * 1899 + str(i).encode() + b"\r\n"); server.recv(10000)
    server.sendall(b"$2\r\nok\r\n"); client.recv(100)
    http.sendall(f"GET /{{i}} HTTP/1.1\r\nHost: x\r\nCookie: {{'x' * 1900}}\r\n\r\n".encode()); http.recv(1000)
wait()
"#
    ));
    let arguments = ["--kind", "calls", "--no-redact", "--payload", "64", "--payload", "redis=4096", "-p"];
    let agent = agent(&[&arguments[..], &[&python.pid()]].concat());
    python.go_on();
    python.waits();
    python.end();
    let (calls, said) = ended(agent);
    let whole = |protocol: &str| -> Vec<_> {
        let of_client = |call: &&Value| call["protocol"] == protocol && call["observation_point"] == "client_process";
        calls.iter().filter(of_client).map(|call| call["captured_complete"].as_bool()).collect()
    };
    assert_eq!(whole("redis"), [Some(true), Some(true)], "{said} {calls:#?}");
    // Before the first call nobody knew what it was.
    assert_eq!(whole("http1"), [Some(true), Some(false)], "{said} {calls:#?}");
}

/// In a process namespace of its own it has another number than the kernel's.
#[test]
fn an_agent_in_a_process_namespace_of_its_own_leaves_itself_out() {
    if cannot_trace() {
        return;
    }
    let mut command = Command::new("unshare");
    command.args(["--pid", "--fork", "--mount-proc", "--kill-child", PROGRAM, "watch", "--ebpf", "-o", "jsonl"]);
    command.args(["--kind", "calls"]).stdin(Stdio::null());
    let agent = Running::start_as(command);
    let warning = agent.says("in this process namespace");
    let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", agent.pid())).unwrap();
    assert!(
        warning.ends_with(&format!(" own_number={}", children.trim())) && warning.contains("--pid=host"),
        "{warning}"
    );
    agent.says("watching all processes");
    let mut python = Python::start(&format!("{ASK}\naddress = serve()\nwait()\nask(address, '/seen')\nwait()"));
    python.go_on();
    python.waits();
    python.end();
    let begin = Instant::now();
    loop {
        let left = PATIENCE.saturating_sub(begin.elapsed());
        let call: Value = serde_json::from_str(&agent.stdout.recv_timeout(left).unwrap()).unwrap();
        if call["resource"] == "/seen" {
            break;
        }
    }
}

#[test]
fn numbers_of_processes_that_are_not_the_kernels_are_refused() {
    if cannot_trace() {
        return;
    }
    let output = Command::new("unshare")
        .args(["--pid", "--fork", "--mount-proc", PROGRAM, "watch", "--ebpf", "--", "true"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(69) && said.contains("--pid=host"), "{said}");
}
