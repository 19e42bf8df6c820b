//! The agent as a child process.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use serde_json::Value;
use tempfile::TempDir;
use xtask::build;
use xtask::child::{Running, find};

/// What differs by nature between two observations of the same call: when, where and by whom it was seen.
const DIFFERING: [&str; 10] = [
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
];

/// The agent's program, built once.
pub(crate) fn program() -> &'static PathBuf {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| build::program("metaflow-agent").unwrap())
}

/// The right to observe, one test at a time: each sees the whole machine. `None` where what a test needs is not here, and then it says
/// what.
pub(crate) fn alone_with(programs: &[&str]) -> Option<MutexGuard<'static, ()>> {
    static ALONE: Mutex<()> = Mutex::new(());
    static REFUSED: OnceLock<Option<String>> = OnceLock::new();
    let missing: Vec<_> = programs.iter().filter(|program| find(program).is_none()).collect();
    if !missing.is_empty() {
        println!("skipped: needs these programs: {missing:?}");
        return None;
    }
    let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let refused = REFUSED.get_or_init(|| {
        let tried = Command::new(program()).args(["watch", "--ebpf", "--duration", "1ms"]).output().unwrap();
        (!tried.status.success()).then(|| String::from_utf8_lossy(&tried.stderr).into_owned())
    });
    if let Some(why) = refused {
        println!("skipped: {why}");
        return None;
    }
    Some(alone)
}

/// An agent that observes.
pub(crate) struct Agent {
    process: Running,
    printed: PathBuf,
    said: PathBuf,
    _folder: TempDir,
}

impl Agent {
    /// One that prints the calls of this test's processes, those that run and those that they start. It sees what happens from now on.
    pub(crate) fn watch(arguments: &[&str]) -> Self {
        let mut command = Command::new(program());
        command.args(["watch", "--ebpf", "--kind", "calls", "-o", "jsonl"]).args(arguments);
        command.args(["-p", &std::process::id().to_string()]);
        Self::start(command)
    }

    /// The same, whatever it observes.
    pub(crate) fn start(mut command: Command) -> Self {
        let folder = TempDir::new().unwrap();
        let [printed, said] = ["printed", "said"].map(|name| folder.path().join(name));
        command.stdin(Stdio::null()).stdout(File::create(&printed).unwrap()).stderr(File::create(&said).unwrap());
        let mut process = Running::start(&mut command).unwrap();
        process.wait_until(|| fs::read_to_string(&said).is_ok_and(|text| text.contains("watching "))).unwrap();
        Self { process, printed, said, _folder: folder }
    }

    /// What it has told its user so far.
    pub(crate) fn said(&self) -> String {
        fs::read_to_string(&self.said).unwrap()
    }

    /// What it printed until now, when it has ended. What is observed has ended before: a call that a process is still in is not seen.
    pub(crate) fn end(mut self) -> Vec<Value> {
        self.process.stop().unwrap();
        let said = self.said();
        print!("{said}");
        assert!(said.contains("; 0 messages lost in the kernel"), "{said}");
        fs::read_to_string(&self.printed).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// A call but for when, where and by whom it was seen.
pub(crate) fn said(call: &Value) -> String {
    let mut call = call.clone();
    let object = call.as_object_mut().unwrap();
    object.retain(|name, _| !DIFFERING.contains(&name.as_str()));
    if let Some(attributes) = object.get_mut("attributes").and_then(Value::as_object_mut) {
        attributes.retain(|name, _| !name.ends_with("_ns"));
    }
    call.to_string()
}

/// How often each call was seen at a point.
pub(crate) fn seen_at(calls: &[Value], point: &str) -> BTreeMap<String, usize> {
    let mut seen = BTreeMap::new();
    for call in calls.iter().filter(|call| call["observation_point"] == point) {
        *seen.entry(said(call)).or_default() += 1;
    }
    seen
}

/// Whether the server of a call has one of these ports.
pub(crate) fn is_to(call: &Value, ports: &[u16]) -> bool {
    let server = call["server"].as_str().unwrap_or_default();
    ports.iter().any(|port| server.ends_with(&format!(":{port}")))
}
