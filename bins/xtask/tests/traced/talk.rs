//! Clients that log what they ask, and whether the calls are those.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::Value;

/// Fields of a log's line that are no fields of the call.
const OWN: [&str; 3] = ["pid", "began_ns", "ended_ns"];

/// A program of this folder: of Python or node.
pub(crate) fn script(name: &str, arguments: &[&str]) -> Command {
    let interpreter = if name.ends_with(".js") { "node" } else { "python3" };
    let mut command = Command::new(interpreter);
    command.arg(format!("{}/tests/traced/{name}", env!("CARGO_MANIFEST_DIR"))).args(arguments);
    command
}

/// Runs a client to its end; gives what it logged.
pub(crate) fn ask(name: &str, arguments: &[&str]) -> Vec<Value> {
    let ran = script(name, arguments).stderr(Stdio::inherit()).output().unwrap();
    assert!(ran.status.success(), "{name} {arguments:?}");
    String::from_utf8(ran.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A program that goes on when it is told to, and ends when there is nobody left to tell it.
pub(crate) struct Told {
    pub(crate) child: Child,
    output: BufReader<ChildStdout>,
}

impl Told {
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Self { child, output }
    }

    /// Its next line.
    pub(crate) fn hear(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }

    pub(crate) fn go_on(&mut self) {
        self.child.stdin.as_mut().unwrap().write_all(b"go on\n").unwrap();
    }

    /// What else it says until it has ended.
    pub(crate) fn end(mut self) -> Vec<Value> {
        drop(self.child.stdin.take());
        let lines = self.output.by_ref().lines().map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect();
        self.child.wait().unwrap();
        lines
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        self.child.wait().unwrap();
    }
}

/// What the client knows of a call, and whose it is.
fn known(logged: &Value) -> Vec<(&String, &Value)> {
    logged.as_object().unwrap().iter().filter(|(name, _)| !OWN.contains(&name.as_str())).collect()
}

/// Whether each request that was logged is a call of its client once, and of a process of this name once, each at its time; and nothing
/// else is a call of these clients of the kinds that were logged. Gives the numbers of the servers' processes.
#[track_caller]
pub(crate) fn assert_logged(logged: &[Value], calls: &[Value], client: &str, server: &str) -> BTreeSet<u64> {
    assert!(!logged.is_empty());
    let mut groups = BTreeMap::<String, Vec<&Value>>::new();
    for entry in logged {
        groups.entry(format!("{} {:?}", entry["pid"], known(entry))).or_default().push(entry);
    }
    let mut servers = BTreeSet::new();
    for entries in groups.values() {
        let first = entries[0];
        for (point, name) in [("client_process", client), ("server_process", server)] {
            let is_it = |call: &&Value| {
                call["observation_point"] == point
                    && (point == "server_process" || call["process"]["pid"] == first["pid"])
                    && known(first).iter().all(|(name, value)| call[name.as_str()] == **value)
            };
            let mut seen: Vec<_> = calls.iter().filter(is_it).collect();
            assert_eq!(seen.len(), entries.len(), "{point} of {first}: {seen:#?}");
            seen.sort_by_key(|call| call["start_ns"].as_u64());
            for (call, entry) in seen.into_iter().zip(entries) {
                let process = &call["process"];
                assert!(
                    process["name"].as_str().is_some_and(|found| found.starts_with(name)),
                    "{process} is no {name}"
                );
                let number = |of: &Value, field: &str| of[field].as_u64().unwrap();
                let (start, duration) = (number(call, "start_ns"), number(call, "duration_ns"));
                let within = number(entry, "began_ns") <= start && start + duration <= number(entry, "ended_ns");
                assert!(within, "{point}: {entry}\n{call}");
                assert!(number(process, "start_ns") <= start, "{call}");
                if point == "server_process" {
                    servers.insert(number(process, "pid"));
                }
            }
        }
    }
    let field = |name: &str| logged.iter().map(|entry| entry[name].to_string()).collect::<BTreeSet<_>>();
    let (pids, kinds) = (field("pid"), field("request_type"));
    let is_of_them = |call: &&Value| {
        pids.contains(&call["process"]["pid"].to_string())
            && kinds.contains(&call["request_type"].to_string())
            && call["observation_point"] != "server_process"
    };
    assert_eq!(calls.iter().filter(is_of_them).count(), logged.len(), "{client} {server}");
    servers
}
