//! What the agent may do once it observes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::Instant;

use rustix::process::Signal;

use crate::program::{PATIENCE, Running};
use crate::server::Server;
use crate::shop::cannot_capture;
use crate::traced::cannot_trace;

/// Capabilities by their bits: capabilities(7).
const NAMES: [(&str, u32); 8] = [
    ("CAP_DAC_READ_SEARCH", 2),
    ("CAP_KILL", 5),
    ("CAP_NET_RAW", 13),
    ("CAP_SYS_PTRACE", 19),
    ("CAP_SYS_ADMIN", 21),
    ("CAP_PERFMON", 38),
    ("CAP_BPF", 39),
    ("CAP_CHECKPOINT_RESTORE", 40),
];
const TRACING: [&str; 5] = ["CAP_BPF", "CAP_DAC_READ_SEARCH", "CAP_PERFMON", "CAP_SYS_ADMIN", "CAP_SYS_PTRACE"];

/// What each thread of a process may do, by the name of the thread without its number; and the same of what it might take.
fn rights(pid: u32) -> BTreeMap<String, BTreeSet<String>> {
    let mut of_threads = BTreeMap::<_, BTreeSet<_>>::new();
    for task in fs::read_dir(format!("/proc/{pid}/task")).unwrap().map(|entry| entry.unwrap().path()) {
        let Ok(status) = fs::read_to_string(task.join("status")) else { continue };
        let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().to_owned();
        let thread = field("Name:").trim_end_matches(|digit: char| digit.is_ascii_digit()).to_owned();
        let rights = of_threads.entry(thread).or_default();
        for set in ["CapEff:", "CapPrm:", "CapInh:"] {
            let bits = u64::from_str_radix(&field(set), 16).unwrap();
            let known = NAMES.iter().filter(|(_, bit)| bits >> bit & 1 == 1).map(|(name, _)| (*name).to_owned());
            rights.extend(known);
            let others = NAMES.iter().fold(bits, |bits, (_, bit)| bits & !(1 << bit));
            if others != 0 {
                rights.insert(format!("{others:x}"));
            }
        }
    }
    of_threads
}

/// Waits until the threads have given up what they do not need.
fn assert_rights(agent: &Running, expected: &[(&str, &[&str])]) {
    let expected: BTreeMap<_, BTreeSet<_>> = expected
        .iter()
        .map(|(thread, rights)| ((*thread).to_owned(), rights.iter().map(|right| (*right).to_owned()).collect()))
        .collect();
    let begin = Instant::now();
    loop {
        let found = rights(agent.pid());
        if found == expected {
            return;
        }
        assert!(begin.elapsed() < PATIENCE, "{found:#?}");
        std::thread::yield_now();
    }
}

fn is_root_with_all_rights() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:")).unwrap();
    let bits = u64::from_str_radix(line.trim(), 16).unwrap();
    let has_all = NAMES.iter().all(|(_, bit)| bits >> bit & 1 == 1);
    if !has_all {
        println!("skipped: this test has nothing to give up");
    }
    has_all
}

#[test]
fn what_observes_processes_keeps_what_it_needs_on_one_thread() {
    if cannot_trace() || !is_root_with_all_rights() {
        return;
    }
    let agent = Running::start(&["watch", "--ebpf", "-p", &std::process::id().to_string()]);
    agent.says("watching ");
    assert_rights(
        &agent,
        &[("metaflow-agent", &["CAP_NET_RAW"]), ("metaflow-signal", &[]), ("metaflow-trace", &TRACING)],
    );
    let agent = Running::start(&["watch", "--ebpf", "--", "sleep", "1000"]);
    agent.says("watching ");
    let with_command = [&TRACING[..], &["CAP_KILL"]].concat();
    assert_rights(
        &agent,
        &[("metaflow-agent", &["CAP_NET_RAW"]), ("metaflow-signal", &[]), ("metaflow-trace", &with_command)],
    );
    agent.signal(Signal::TERM);
}

#[test]
fn the_daemon_keeps_what_it_needs_on_each_thread() {
    if cannot_trace() || cannot_capture() || !is_root_with_all_rights() {
        return;
    }
    let server = Server::start(&[]);
    let address = server.address.to_string();
    let mut agent = Running::start(&["run", "--ebpf", "--threads", "2", "--server", &address]);
    agent.says("observing ");
    let processes: &[&str] = &["CAP_DAC_READ_SEARCH", "CAP_SYS_PTRACE"];
    assert_rights(
        &agent,
        &[
            ("metaflow-agent", &["CAP_NET_RAW"]),
            ("metaflow-host", processes),
            ("metaflow-signal", &[]),
            ("metaflow-trace", &TRACING),
            ("metaflow-uplink", &[]),
            ("metaflow-work", &[]),
        ],
    );
    agent.signal(Signal::TERM);
    assert_eq!(agent.wait(), 0);
    let agent = Running::start(&["run", "-i", "lo", "--threads", "1", "--server", &address]);
    agent.says("observing lo");
    assert_rights(
        &agent,
        &[("metaflow-agent", &[]), ("metaflow-host", processes), ("metaflow-signal", &[]), ("metaflow-uplink", &[])],
    );
}
