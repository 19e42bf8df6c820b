//! What eBPF cannot see, or is asked for in vain: it is said, never nothing. Needs root, and a kernel that lets programs be loaded.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Instant;

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::program::{PATIENCE, PROGRAM, Running, file, records, run};
use crate::traced::cannot_trace;

/// A python program that goes on at each line of its standard input: `wait()`.
pub(crate) struct Python {
    child: Child,
    output: BufReader<ChildStdout>,
    /// What it said before it waited first.
    pub(crate) told: String,
}

impl Python {
    pub(crate) fn start(code: &str) -> Self {
        let code =
            format!("import os, socket, sys\ndef wait(): print('waits', flush=True); sys.stdin.readline()\n{code}");
        let mut command = Command::new("python3");
        let mut child = command.args(["-c", &code]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let mut python = Self { child, output, told: String::new() };
        python.told = python.waits();
        python
    }

    /// Until it waits; what it said before.
    pub(crate) fn waits(&mut self) -> String {
        let (mut told, mut line) = (String::new(), String::new());
        while line != "waits\n" {
            told += &line;
            line.clear();
            assert!(self.output.read_line(&mut line).unwrap() > 0, "it ended: {told}");
        }
        told
    }

    pub(crate) fn go_on(&mut self) {
        self.child.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
    }

    pub(crate) fn pid(&self) -> String {
        self.child.id().to_string()
    }

    /// Ends it where it is.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Lets it go on to its end.
    pub(crate) fn end(mut self) {
        self.go_on();
        assert!(self.child.wait().unwrap().success());
    }
}

/// An agent that observes; what it prints goes into its channel.
pub(crate) fn agent(arguments: &[&str]) -> Running {
    let agent = Running::start(&[&["watch", "--ebpf", "-o", "jsonl"], arguments].concat());
    agent.says("watching ");
    agent
}

/// Ends it; gives what it printed and its last line.
pub(crate) fn ended(mut agent: Running) -> (Vec<Value>, String) {
    agent.signal(Signal::TERM);
    agent.wait();
    let printed: Vec<_> = agent.stdout.iter().collect();
    (records(&printed.join("\n")), agent.stderr.iter().last().unwrap())
}

#[test]
fn without_rights_one_line_says_what_to_do() {
    let nobody =
        ["--bounding-set=-all", "--inh-caps=-all", "--reuid=65534", "--clear-groups", PROGRAM, "watch", "--ebpf"];
    let Ok(output) = Command::new("setpriv").args(nobody).stdin(Stdio::null()).output() else {
        println!("skipped: there is no `setpriv` program (package util-linux)");
        return;
    };
    let said = String::from_utf8(output.stderr).unwrap();
    if said.contains("setpriv:") {
        println!("skipped: {said}");
        return;
    }
    assert_eq!((output.status.code(), said.lines().count()), (Some(77), 1), "{said}");
    assert!(said.contains("CAP_BPF and CAP_PERFMON missing") && said.contains("setcap"), "{said}");
}

#[test]
fn a_process_that_is_not_there() {
    if cannot_trace() {
        return;
    }
    // Its number was used a moment ago, so it is not used again soon.
    let mut gone = Command::new("true").spawn().unwrap();
    gone.wait().unwrap();
    let ran = run(&["watch", "--ebpf", "-p", &gone.id().to_string()]);
    assert_eq!((ran.code, ran.stderr), (69, format!("metaflow-agent: there is no process {}\n", gone.id())));
}

#[test]
fn commands_that_are_not_there_or_fail() {
    if cannot_trace() {
        return;
    }
    let folder = TempDir::new().unwrap();
    let plain = file(folder.path(), "no-program", b"");
    for name in ["no-such-program", "/no/such/program", &plain] {
        let ran = run(&["watch", "--ebpf", "--", name]);
        let said = format!("metaflow-agent: cannot run {name}: there is no such program\n");
        assert_eq!((ran.code, ran.stderr), (69, said));
    }
    let ran = run(&["watch", "--ebpf", "-o", "jsonl", "--", "sh", "-c", "exit 3"]);
    assert!(
        ran.code == 0 && ran.stderr.contains("metaflow-agent: sh: exit status: 3\n"),
        "{} {}",
        ran.code,
        ran.stderr
    );
    let exit = ran.records().into_iter().find(|record| record["kind"] == "process_exit").unwrap();
    assert_eq!((&exit["text"], &exit["attributes"]["process.exit.code"]), (&"ended with status 3".into(), &"3".into()));
    let ran = run(&["watch", "--ebpf", "-o", "jsonl", "--", "sh", "-c", "kill -9 $$"]);
    assert!(ran.code == 0 && ran.stderr.contains("metaflow-agent: sh: signal: 9"), "{} {}", ran.code, ran.stderr);
    assert!(ran.records().iter().any(|record| record["text"] == "ended by signal 9"), "{}", ran.stdout);
}

#[test]
fn what_finds_no_room_in_the_ring_is_counted_exactly() {
    const SENT: u64 = 5000;
    if cannot_trace() {
        return;
    }
    for ring in ["1000", "65537", "4294967296"] {
        assert_eq!(run(&["watch", "--ebpf", "--ring", ring]).code, 2);
    }
    let mut python = Python::start(&format!(
        r#"
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("127.0.0.1", 0)); s.connect(s.getsockname())
wait()
for _ in range({SENT}): s.send(b"x" * 100)
wait()
"#
    ));
    let agent = agent(&["--kind", "calls", "--ring", "65536", "-p", &python.pid()]);
    // It cannot read while the process sends.
    agent.signal(Signal::STOP);
    python.go_on();
    python.waits();
    agent.signal(Signal::CONT);
    python.end();
    let (_, said) = ended(agent);
    let count = |word: &str| {
        let words: Vec<_> = said.split(' ').collect();
        let place = words.windows(2).position(|pair| pair.join(" ") == word).unwrap_or_else(|| panic!("{said}"));
        words[place - 1].parse::<u64>().unwrap()
    };
    let (seen, lost) = (count("messages on"), count("messages lost"));
    assert!(seen > 0 && lost > 0, "{said}");
    assert_eq!(seen + lost, SENT, "{said}");
}

#[test]
fn thousands_of_short_processes_are_all_seen() {
    const PROCESSES: usize = 3000;
    if cannot_trace() {
        return;
    }
    let forks = format!("i=0; while [ $i -lt {PROCESSES} ]; do /bin/true; i=$((i+1)); done");
    let begin = Instant::now();
    let ran = run(&["watch", "--ebpf", "--kind", "events", "-o", "jsonl", "--", "sh", "-c", &forks]);
    println!("{:.0} processes a minute", 60.0 * PROCESSES as f64 / begin.elapsed().as_secs_f64());
    assert!(ran.code == 0 && ran.stderr.contains("; 0 messages lost in the kernel\n"), "{}", ran.stderr);
    let events = ran.records();
    let count = |kind: &str, name: &str| {
        events.iter().filter(|event| event["kind"] == kind && event["process"]["name"] == name).count()
    };
    assert_eq!((count("process_start", "true"), count("process_exit", "true")), (PROCESSES, PROCESSES));
    assert_eq!((count("process_start", "sh"), count("process_exit", "sh")), (1, 1));
    // That others on this machine use libraries that cannot be seen is said, too.
    let lives = events.iter().filter(|event| event["kind"] != "tls_unseen");
    let processes: BTreeSet<_> = lives.map(|event| event["process"]["pid"].as_u64()).collect();
    assert_eq!(processes.len(), PROCESSES + 1);
}

/// Two clients of different names, the second with the number of the first.
const REUSED: &str = r#"
import sys
def ask(name, path, pid):
    "Runs a client, with this number if one is given; gives its number."
    if pid:
        with open("/proc/sys/kernel/ns_last_pid", "w") as last: last.write(str(pid - 1))
    child = os.fork()
    if child == 0:
        if pid and os.getpid() != pid: os._exit(9)
        code = f"import socket; s = socket.create_connection(('127.0.0.1', {port})); s.send(b'GET {path} HTTP/1.0\\r\\n\\r\\n'); s.recv(1000)"
        os.execv(f"{folder}/{name}", [name, "-c", code])
    return child, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
listener = socket.create_server(("127.0.0.1", 0)); port = listener.getsockname()[1]
import threading
def serve():
    while True:
        c, _ = listener.accept()
        c.recv(1000); c.send(b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n"); c.close()
threading.Thread(target=serve, daemon=True).start()
import tempfile
folder = tempfile.mkdtemp()
for name in ["first", "second"]: os.symlink(sys.executable, f"{folder}/{name}")
wait()
pid, status = ask("first", "/first", None)
assert status == 0
# Another process may be faster.
while (status := ask("second", "/second", pid)[1]) == 9: pass
assert status == 0
import shutil
shutil.rmtree(folder)
wait()
"#;

#[test]
fn a_number_that_another_process_had_before() {
    if cannot_trace() {
        return;
    }
    if fs::OpenOptions::new().write(true).open("/proc/sys/kernel/ns_last_pid").is_err() {
        println!("skipped: numbers of processes cannot be chosen (/proc/sys/kernel/ns_last_pid)");
        return;
    }
    let mut python = Python::start(REUSED);
    let agent = agent(&["--kind", "calls", "-p", &python.pid()]);
    python.go_on();
    python.waits();
    python.end();
    let (calls, said) = ended(agent);
    let client = |path: &str| {
        let is_it = |call: &&Value| call["observation_point"] == "client_process" && call["resource"] == path;
        let of: Vec<_> = calls.iter().filter(is_it).collect();
        assert_eq!(of.len(), 1, "{calls:#?} {said}");
        of[0]["process"].clone()
    };
    let (first, second) = (client("/first"), client("/second"));
    assert_eq!((&first["name"], &second["name"]), (&"first".into(), &"second".into()));
    assert_eq!(first["pid"], second["pid"]);
    assert!(first["start_ns"].as_u64() < second["start_ns"].as_u64(), "{first} {second}");
}

/// Numbers of the programs that a process holds in the kernel.
fn programs(pid: u32) -> BTreeSet<u32> {
    let files = fs::read_dir(format!("/proc/{pid}/fdinfo")).unwrap();
    let texts = files.filter_map(|entry| fs::read_to_string(entry.unwrap().path()).ok());
    let number = |text: String| text.lines().find_map(|line| line.strip_prefix("prog_id:")?.trim().parse().ok());
    texts.filter_map(number).collect()
}

#[test]
fn an_agent_that_is_killed_leaves_no_programs() {
    if cannot_trace() {
        return;
    }
    let mut agent = agent(&[]);
    let own = programs(agent.pid());
    let loaded = || {
        // One that goes away while it is being looked at is an error of it.
        let all = aya::programs::loaded_programs().filter_map(Result::ok).map(|program| program.id());
        all.filter(|id| own.contains(id)).collect::<BTreeSet<_>>()
    };
    assert!(own.len() >= 5 && loaded() == own, "{own:?}");
    agent.kill();
    // The kernel takes a moment to put things away.
    let begin = Instant::now();
    while !loaded().is_empty() {
        assert!(begin.elapsed() < PATIENCE, "{:?} are still there", loaded());
        std::thread::yield_now();
    }
}
