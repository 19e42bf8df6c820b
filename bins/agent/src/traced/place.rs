//! Where a record of a process was seen, and whose it is.

use ebpf_tracer::Tracer;
use flow_core::{CallRecord, Conversation, Endpoint, MetricKey, Sides};
use metaflow_protocol::build::{Evidence, Place, Process};

use super::PLACES;
use super::paths::Paths;

/// What is known of a call beside what was said.
pub(super) struct Seen<'a> {
    process: Option<&'a ebpf_tracer::Process>,
    thread: Option<String>,
    observation_point: &'static str,
    capture: &'static str,
    evidence: Evidence,
    ends: Sides<Endpoint>,
}

impl<'a> Seen<'a> {
    pub(super) fn of(record: &CallRecord<'_>, tracer: &'a mut Tracer) -> Self {
        let evidence = record.stream.map(|stream| tracer.evidence(stream, &record.call)).unwrap_or_default();
        let first = evidence.first();
        let Conversation { client, server, .. } = record.conversation;
        Self {
            ends: Sides { client, server },
            thread: first.map(|mark| text(&mark.comm)),
            observation_point: match evidence.is_client() {
                Some(true) => "client_process",
                Some(false) => "server_process",
                None => "unknown",
            },
            capture: capture(record.conversation.interface),
            evidence: Evidence {
                syscall_trace_id_request: evidence.syscall_trace_id_request(),
                syscall_trace_id_response: evidence.syscall_trace_id_response(),
                thread_id: first.map(|mark| mark.tid),
            },
            process: first.and_then(|mark| tracer.process_of(mark)),
        }
    }

    /// The process that was seen to do it.
    pub(super) fn pid(&self) -> Option<u32> {
        self.process.map(|process| process.pid)
    }

    pub(super) fn place<'p>(&'p self, paths: &'p Paths) -> Place<'p> {
        let process = self.process.map(|process| as_record(process, self.thread.as_deref()));
        let (observation_point, capture) = (self.observation_point, Some(self.capture));
        let paths = Sides { client: paths.of(self.ends.client), server: paths.of(self.ends.server) };
        Place { observation_point, capture, process, paths, evidence: Some(self.evidence) }
    }
}

pub(super) fn of_metric(key: &MetricKey) -> Place<'static> {
    let (process, paths, evidence) = (None, Sides::default(), None);
    Place { observation_point: "unknown", capture: Some(capture(key.interface)), process, paths, evidence }
}

pub(super) fn as_record<'a>(process: &'a ebpf_tracer::Process, thread: Option<&'a str>) -> Process<'a> {
    let (pid, start_ns, name) = (process.pid, process.start.as_nanos(), &*process.name);
    Process { pid, start_ns, name, thread, container: process.container.as_deref() }
}

fn capture(place: u32) -> &'static str {
    if place == PLACES.tls { "tls" } else { "syscall" }
}

/// Bytes up to a zero, as text.
fn text(bytes: &[u8]) -> String {
    let text = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(text).into_owned()
}
