//! What happens to processes, and to the observation of them, as events.

use std::borrow::Cow;

use ebpf_tracer::events::{Ladder, Operation, ProcessEvent};
use ebpf_tracer::{Clock, Event, TlsUnseen, Tracer};
use metaflow_protocol::build;

use super::place::as_record;
use crate::sink::{End, Sink};

/// Something that happened.
pub(super) struct Happened {
    /// On the kernel's monotonic clock.
    time_ns: u64,
    /// The process, if it happened to one.
    pid: Option<u32>,
    kind: &'static str,
    text: String,
    attributes: Vec<(&'static str, Cow<'static, str>)>,
}

impl Happened {
    /// What an event of the kernel is worth telling. The `lives` of processes are their beginnings and ends.
    pub(super) fn of(event: &Event<'_>, lives: bool) -> Option<Self> {
        let header = event.header();
        let (kind, text, attributes) = match event {
            Event::Socket(event, _) if event.operation == Operation::IoUring as u8 => {
                let text = "uses io_uring: what it sends and receives that way is not seen";
                ("io_uring", text.to_owned(), Vec::new())
            }
            Event::Process(event, path) if lives && event.change == ProcessEvent::EXECUTED => {
                let path = String::from_utf8_lossy(path).into_owned();
                let parent = ("process.parent_pid", event.parent.to_string().into());
                let attributes = vec![("process.executable.path", path.clone().into()), parent];
                ("process_start", format!("runs {path}"), attributes)
            }
            Event::Process(event, _) if lives && event.change == ProcessEvent::ENDED => {
                // As wait(2) tells it.
                let (signal, status) = (event.exit_code & 0x7f, event.exit_code >> 8 & 0xff);
                let text = match signal {
                    0 => format!("ended with status {status}"),
                    _ => format!("ended by signal {signal}"),
                };
                ("process_exit", text, vec![("process.exit.code", status.to_string().into())])
            }
            _ => return None,
        };
        Some(Self { time_ns: header.time_ns, pid: Some(header.tgid), kind, text, attributes })
    }

    /// Something that a process says stays encrypted.
    pub(super) fn unseen(time_ns: u64, unseen: &TlsUnseen) -> Self {
        let TlsUnseen { pid, library, why } = unseen;
        let path = library.path.display().to_string();
        let mut attributes =
            vec![("tls.library", Cow::from(library.contents.kind.name())), ("tls.library.path", path.clone().into())];
        if let Some(id) = &library.contents.build_id {
            attributes.push(("tls.library.build_id", id.clone().into()));
        }
        Self { time_ns, pid: Some(*pid), kind: "tls_unseen", text: format!("{path}: {why}"), attributes }
    }

    /// Another step of the ladder was taken.
    pub(super) fn step(time_ns: u64, ladder: Ladder, first_bytes: u32) -> Self {
        let (kind, text) = match ladder {
            Ladder::Heads => ("capture_restored", "the heads of all messages are captured again".to_owned()),
            Ladder::FirstBytes => (
                "capture_reduced",
                format!("too little processor time: only the first {first_bytes} bytes of each message are captured"),
            ),
            Ladder::Counts => {
                ("capture_reduced", "too little processor time: messages are counted, not captured".to_owned())
            }
        };
        Self { time_ns, pid: None, kind, text, attributes: Vec::new() }
    }

    pub(super) fn tell(self, clock: &Clock, tracer: &Tracer, sink: &mut impl Sink) -> Result<(), End> {
        let time = clock.from_monotonic(self.time_ns);
        let process = self.pid.and_then(|pid| tracer.process(pid, time));
        sink.event(&build::Event {
            time_ns: time.as_nanos(),
            kind: self.kind,
            text: self.text.into(),
            capture: Some(if self.kind == "tls_unseen" { "tls" } else { "syscall" }),
            process: process.map(|process| as_record(process, None)),
            attributes: self.attributes,
        })
    }
}
