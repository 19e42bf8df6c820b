//! What happens to processes, and to the observation of them, as events.

use std::borrow::Cow;

use ebpf_tracer::events::{Ladder, Operation, ProcessEvent};
use ebpf_tracer::{Clock, Event, OpaqueTls, TlsUnseen, Tracer};
use flow_core::Endpoint;
use metaflow_protocol::build;

use super::place::as_record;
use crate::sink::{End, Sink};

/// Bytes of a text.
const MOST_TEXT: usize = 64 << 10;

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
                let (text, attributes) = match signal {
                    0 => {
                        (format!("ended with status {status}"), vec![("process.exit.code", status.to_string().into())])
                    }
                    _ => (format!("ended by signal {signal}"), Vec::new()),
                };
                ("process_exit", text, attributes)
            }
            _ => return None,
        };
        Some(Self { time_ns: header.time_ns, pid: Some(header.tgid), kind, text, attributes })
    }

    /// What a process says on a TLS connection stays encrypted, perhaps because of these libraries, as far as it was looked for such.
    pub(super) fn unseen(connection: &OpaqueTls, libraries: Option<&[TlsUnseen]>) -> Self {
        let OpaqueTls { pid, time_ns, remote } = *connection;
        let mut attributes = Vec::new();
        if let Endpoint::Ip(remote) = remote {
            attributes.push(("network.peer.address", Cow::from(remote.ip().to_string())));
            attributes.push(("network.peer.port", remote.port().to_string().into()));
        }
        if let Some(TlsUnseen { library, .. }) = libraries.and_then(<[_]>::first) {
            attributes.push(("tls.library", library.contents.kind.name().into()));
            attributes.push(("tls.library.path", library.path.display().to_string().into()));
            attributes.extend(library.contents.build_id.clone().map(|id| ("tls.library.build_id", id.into())));
        }
        let why = match libraries {
            None => "which libraries the process has is not known".to_owned(),
            Some([]) => "no known library encrypts it".to_owned(),
            Some(some) => {
                let why = |unseen: &TlsUnseen| format!("{}: {}", unseen.library.path.display(), unseen.why);
                some.iter().map(why).collect::<Vec<_>>().join("; ")
            }
        };
        let text = format!("TLS with {remote} stays encrypted: {why}");
        Self { time_ns, pid: Some(pid), kind: "tls_unseen", text, attributes }
    }

    /// The same with no text longer than records may have, and how many were.
    pub(super) fn bounded(mut self) -> (Self, u64) {
        let mut cut = 0;
        let mut bound = |text: &mut String| {
            let longest = text.floor_char_boundary(MOST_TEXT);
            cut += u64::from(longest < text.len());
            text.truncate(longest);
        };
        bound(&mut self.text);
        for (_, value) in &mut self.attributes {
            if value.len() > MOST_TEXT {
                bound(value.to_mut());
            }
        }
        (self, cut)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_longer_than_records_may_have_is_cut_and_counted() {
        let long = "é".repeat(MOST_TEXT);
        let attributes = vec![("short", "é".into()), ("long", Cow::from(format!("x{long}")))];
        let happened = Happened { time_ns: 1, pid: None, kind: "x", text: long, attributes };
        let (happened, cut) = happened.bounded();
        let lengths: Vec<_> = happened.attributes.iter().map(|(_, value)| value.len()).collect();
        assert_eq!((happened.text.len(), lengths, cut), (MOST_TEXT, vec![2, MOST_TEXT - 1], 2));
    }
}
