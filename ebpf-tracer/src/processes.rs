//! Who ran when.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use metaflow_ebpf_common::ProcessEvent;
use protocol_parsers::Timestamp;

use crate::clock::Clock;
use crate::container::container_id;
use crate::limits::{Limits, nanos};
use crate::stats::Stats;

/// `/proc` says when a process began in hundredths of a second.
const TICK_NS: u64 = 10_000_000;

/// A process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its number, which another may have after it ended.
    pub pid: u32,
    /// When it began.
    pub start: Timestamp,
    /// The process it was forked from.
    pub parent: u32,
    /// Its short name.
    pub name: Arc<str>,
    /// Its arguments, with spaces between.
    pub command_line: Option<Arc<str>>,
    /// Path of its program.
    pub executable: Option<Arc<str>>,
    /// Path of its control group.
    pub cgroup: Option<Arc<str>>,
    /// Number of its container.
    pub container: Option<Arc<str>>,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// How, as `wait` gives it.
    pub exit_code: Option<u32>,
}

/// What `/proc` says of a process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Its number.
    pub pid: u32,
    /// When it began: nanoseconds of `CLOCK_BOOTTIME`, to the hundredth of a second.
    pub start_ns: u64,
    /// The process it was forked from.
    pub parent: u32,
    /// Its short name.
    pub name: String,
    /// Its arguments, with spaces between.
    pub command_line: Option<String>,
    /// Path of its program.
    pub executable: Option<String>,
    /// Path of its control group.
    pub cgroup: Option<String>,
}

/// Processes that run, and for a while those that ran.
#[derive(Debug)]
pub(crate) struct Processes {
    /// By number and by when they began on `CLOCK_BOOTTIME`.
    known: BTreeMap<(u32, u64), Process>,
    /// Those that ended, the first one first.
    ended: VecDeque<(Timestamp, (u32, u64))>,
    unread: VecDeque<u32>,
}

impl Processes {
    pub(crate) fn new() -> Self {
        Self { known: BTreeMap::new(), ended: VecDeque::new(), unread: VecDeque::new() }
    }

    /// The process that had this number then.
    pub(crate) fn at(&self, pid: u32, time: Timestamp, clock: &Clock) -> Option<&Process> {
        let boottime = clock.to_boottime(time);
        let latest = |until: u64| {
            let (_, process) = self.known.range((pid, 0)..=(pid, until)).next_back()?;
            let is_over = process.ended.is_some_and(|ended| time.since(ended).as_nanos() > u128::from(TICK_NS));
            (!is_over).then_some(process)
        };
        // A number may be given out again within a tick: who began before comes first.
        latest(boottime).or_else(|| latest(boottime.saturating_add(TICK_NS)))
    }

    /// Takes in what `/proc` says.
    pub(crate) fn insert(&mut self, snapshot: Snapshot, clock: &Clock, limits: &Limits, stats: &mut Stats) {
        let key = self.same(snapshot.pid, snapshot.start_ns).unwrap_or((snapshot.pid, snapshot.start_ns));
        let text = |text: Option<String>, limit: usize| text.map(|text| Arc::from(cut(&text, limit)));
        let process = self.entry(key, clock, limits, stats);
        process.parent = snapshot.parent;
        process.name = snapshot.name.into();
        process.command_line = text(snapshot.command_line, limits.command_line).or(process.command_line.take());
        process.executable = text(snapshot.executable, limits.command_line).or(process.executable.take());
        if let Some(cgroup) = snapshot.cgroup {
            process.container = container_id(&cgroup).map(Arc::from);
            process.cgroup = Some(cut(&cgroup, limits.command_line).into());
        }
    }

    /// Takes in what happened to a process.
    pub(crate) fn apply(
        &mut self,
        event: &ProcessEvent,
        path: &[u8],
        clock: &Clock,
        limits: &Limits,
        stats: &mut Stats,
    ) {
        let pid = event.header.tgid;
        let time = clock.from_monotonic(event.header.time_ns);
        self.forget(time, limits);
        let key = self.same(pid, event.start_ns).unwrap_or((pid, event.start_ns));
        let is_new = !self.known.contains_key(&key);
        let origin = self.at(event.parent, time, clock).filter(|_| is_new).cloned();
        let is_known = !is_new || origin.is_some();
        let process = self.entry(key, clock, limits, stats);
        if let Some(Process { command_line, executable, cgroup, container, .. }) = origin {
            (process.command_line, process.executable) = (command_line, executable);
            (process.cgroup, process.container) = (cgroup, container);
        }
        process.parent = event.parent;
        process.name = name(&event.comm).into();
        match event.change {
            ProcessEvent::ENDED => {
                process.exit_code = Some(event.exit_code);
                if process.ended.replace(time).is_none() {
                    self.ended.push_back((time, key));
                }
                return;
            }
            ProcessEvent::EXECUTED => {
                process.command_line = None;
                process.executable = (!path.is_empty()).then(|| cut(&printable(path), limits.command_line).into());
            }
            _ if is_known => return,
            _ => {}
        }
        if self.unread.back() != Some(&pid) {
            self.unread.push_back(pid);
        }
        while self.unread.len() > limits.unread {
            self.unread.pop_front();
            stats.unread_dropped += 1;
        }
    }

    pub(crate) fn unread(&mut self) -> Option<u32> {
        self.unread.pop_front()
    }

    pub(crate) fn len(&self) -> usize {
        self.known.len()
    }

    /// The key of a process that began then, within what `/proc` can tell.
    fn same(&self, pid: u32, start_ns: u64) -> Option<(u32, u64)> {
        let tick = start_ns / TICK_NS;
        let within = (pid, tick * TICK_NS)..=(pid, (tick * TICK_NS).saturating_add(TICK_NS - 1));
        self.known.range(within).next_back().map(|(key, _)| *key)
    }

    fn entry(&mut self, key: (u32, u64), clock: &Clock, limits: &Limits, stats: &mut Stats) -> &mut Process {
        while self.known.len() >= limits.processes.max(1) && !self.known.contains_key(&key) {
            stats.processes_evicted += 1;
            let ended = self.ended.pop_front().map(|(_, key)| key);
            if ended.and_then(|key| self.known.remove(&key)).is_none() {
                self.known.pop_first();
            }
        }
        self.known.entry(key).or_insert_with(|| Process {
            pid: key.0,
            start: clock.from_boottime(key.1),
            parent: 0,
            name: Arc::default(),
            command_line: None,
            executable: None,
            cgroup: None,
            container: None,
            ended: None,
            exit_code: None,
        })
    }

    /// Forgets those that ended long ago.
    fn forget(&mut self, now: Timestamp, limits: &Limits) {
        let is_old = |ended: Timestamp| now.since(ended).as_nanos() > u128::from(nanos(limits.ended));
        while let Some((_, key)) = self.ended.pop_front_if(|(ended, _)| is_old(*ended)) {
            self.known.remove(&key);
        }
    }
}

/// A name as the kernel keeps it: up to a zero.
pub(crate) fn name(comm: &[u8; 16]) -> String {
    let end = comm.iter().position(|byte| *byte == 0).unwrap_or(comm.len());
    printable(&comm[..end])
}

/// UTF-8, with what is not escaped.
fn printable(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().flat_map(|byte| format!("\\x{byte:02x}").into_bytes()).map(char::from));
    }
    text
}

fn cut(text: &str, limit: usize) -> &str {
    &text[..text.floor_char_boundary(limit)]
}
