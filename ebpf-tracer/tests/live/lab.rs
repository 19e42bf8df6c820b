//! A process that is observed, and what was seen of it.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

use ebpf_tracer::events::{Counter, Flags, Header, Kind, Operation, ProcessEvent, SocketEvent, Source};
use ebpf_tracer::{Capture, Filter, Kernel, KernelLimits, LoadError, Names};
use zerocopy::FromBytes;

/// The programs, loaded; `None` where that is not permitted, and then it says so.
pub(crate) fn kernel(limits: &KernelLimits) -> Option<Kernel> {
    match Kernel::load(&KernelLimits { hooks: crate::HOOKS, ..*limits }) {
        Ok(kernel) => Some(kernel),
        Err(error @ (LoadError::Permission { .. } | LoadError::Btf(_) | LoadError::Hooks { .. })) => {
            println!("skipped: {error}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

/// A record of the ring.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    Socket(SocketEvent, Vec<u8>),
    Process(ProcessEvent, String),
}

/// Takes a record apart.
pub(crate) fn decode(record: &[u8]) -> Event {
    let (header, _) = Header::read_from_prefix(record).unwrap();
    let length = header.payload as usize;
    if header.kind == Kind::Socket as u32 {
        let (event, rest) = SocketEvent::read_from_prefix(record).unwrap();
        Event::Socket(event, rest[..length].to_vec())
    } else {
        assert_eq!(header.kind, Kind::Process as u32);
        let (event, rest) = ProcessEvent::read_from_prefix(record).unwrap();
        Event::Process(event, String::from_utf8_lossy(&rest[..length]).into_owned())
    }
}

/// All that waits in the ring.
pub(crate) fn drain(kernel: &mut Kernel) -> Vec<Event> {
    let mut events = Vec::new();
    while kernel.read(1024, |record| events.push(decode(record))) != 0 {}
    events
}

/// A message put together from its records.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) event: SocketEvent,
    pub(crate) bytes: Vec<u8>,
    pub(crate) records: usize,
}

impl Message {
    pub(crate) fn is(&self, operation: Operation) -> bool {
        self.event.operation == operation as u8
    }

    pub(crate) fn has(&self, flag: u16) -> bool {
        self.event.flags & flag != 0
    }
}

/// What happened on sockets, messages put together.
pub(crate) fn messages(events: &[Event]) -> Vec<Message> {
    let mut whole: Vec<Message> = Vec::new();
    let mut open: Vec<Message> = Vec::new();
    for event in events {
        let Event::Socket(event, bytes) = event else { continue };
        let same = open.iter().position(|message| message.event.header.tid == event.header.tid);
        let mut message = match same {
            Some(place) => open.remove(place),
            None => Message { event: *event, bytes: Vec::new(), records: 0 },
        };
        assert_eq!(message.bytes.len(), event.at as usize, "each record goes on where the one before ended: {event:?}");
        message.bytes.extend(bytes);
        message.records += 1;
        message.event.flags |= event.flags;
        if event.flags & Flags::LAST != 0 { whole.push(message) } else { open.push(message) }
    }
    assert!(open.is_empty(), "{open:?}");
    whole
}

/// A python program that waits until it is followed.
pub(crate) struct Observed {
    child: Child,
    stdin: ChildStdin,
    output: BufReader<std::process::ChildStdout>,
}

/// Before each program: waits for the word to begin, and says facts about sockets as the kernel tells them.
const PREAMBLE: &str = r#"
import json, os, socket, struct, sys, threading, time
def say(**facts): os.write(1, (json.dumps(facts) + "\n").encode())
def inode(s): return os.stat(s if isinstance(s, int) else s.fileno()).st_ino
def wait(): sys.stdin.readline()
say(running=True)
wait()
"#;

impl Observed {
    pub(crate) fn start(program: &str) -> Self {
        // Rather the system's: the first of its name may be a script that looks for others.
        let python =
            ["/usr/bin/python3", "python3"].into_iter().find(|path| Path::new(path).exists()).unwrap_or("python3");
        let mut command = Command::new(python);
        command.args(["-c", &format!("{PREAMBLE}{program}")]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("python3 is installed");
        let stdin = child.stdin.take().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let mut observed = Self { child, stdin, output };
        assert_eq!(observed.hear()["running"], true);
        observed
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Lets it go on past its next `wait()`.
    pub(crate) fn go(&mut self) {
        self.stdin.write_all(b"go\n").unwrap();
    }

    /// The next facts that it says.
    pub(crate) fn hear(&mut self) -> serde_json::Value {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
    }

    /// Waits for its end.
    pub(crate) fn end(mut self) {
        drop(self.stdin);
        assert!(self.child.wait().unwrap().success());
    }
}

/// What was seen of a program that was followed from its beginning to its end, and what it said.
pub(crate) struct Seen {
    pub(crate) facts: Vec<serde_json::Value>,
    pub(crate) events: Vec<Event>,
    pub(crate) messages: Vec<Message>,
    pub(crate) pid: u32,
}

pub(crate) fn only(pid: u32) -> Filter {
    Filter { processes: Names::Only(BTreeSet::from([pid])), ..Filter::default() }
}

/// Follows a program; `capture` says how.
pub(crate) fn observe(capture: &Capture, program: &str) -> Option<Seen> {
    let mut kernel = kernel(&KernelLimits::default())?;
    kernel.capture(capture).unwrap();
    let mut observed = Observed::start(program);
    let pid = observed.pid();
    kernel.follow(&only(pid)).unwrap();
    observed.go();
    let mut facts = Vec::new();
    let mut line = String::new();
    while observed.output.read_line(&mut line).unwrap() != 0 {
        facts.push(serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}")));
        line.clear();
    }
    observed.end();
    let events = drain(&mut kernel);
    let counters = kernel.counters().unwrap();
    for lost in [Counter::Lost, Counter::LostEvents, Counter::Unreadable, Counter::Unpaired, Counter::Crowded] {
        assert_eq!(counters[lost as usize], 0, "{lost:?}");
    }
    let messages = messages(&events);
    for message in &messages {
        assert_eq!(message.event.header.tgid, pid);
        assert_eq!(message.event.source, Source::Syscall as u8);
        let comm = message.event.comm.split(|byte| *byte == 0).next().unwrap();
        assert_eq!(comm, b"python3");
    }
    Some(Seen { facts, events, messages, pid })
}

impl Seen {
    /// Messages on the socket of this inode.
    pub(crate) fn of(&self, inode: &serde_json::Value) -> Vec<&Message> {
        self.messages.iter().filter(|message| message.event.inode == inode.as_u64().unwrap()).collect()
    }
}
