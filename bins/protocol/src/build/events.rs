use std::borrow::Cow;

use super::Process;
use super::rows::Rows;
use crate::tables::EVENTS;

/// Something that happened to a process, or to the observation of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event<'a> {
    /// When, in nanoseconds since the Unix epoch.
    pub time_ns: u64,
    /// What, of few words: `process_start`, `process_exit`, `tls_unseen` (a process speaks TLS that cannot be read), `io_uring` (a
    /// process sends and receives in a way that cannot be seen) …
    pub kind: &'a str,
    /// What happened and why, for people; at most 64 KiB, as every text of a record.
    pub text: Cow<'a, str>,
    /// Interface, file, `syscall` or `tls`: by what it was noticed.
    pub capture: Option<&'a str>,
    /// The process to which it happened.
    pub process: Option<Process<'a>>,
    /// Further facts by their names, which are those of OpenTelemetry's semantic conventions where there are such.
    pub attributes: Vec<(&'a str, Cow<'a, str>)>,
}

/// Rows of the table `events`.
pub struct EventsBuilder(Rows);

impl EventsBuilder {
    /// Without rows.
    #[must_use]
    pub fn new() -> Self {
        Self(Rows::new(&EVENTS))
    }

    /// Adds one row.
    pub fn append(&mut self, event: &Event<'_>) {
        let row = &mut self.0;
        row.time("time", event.time_ns);
        row.name("kind", event.kind);
        row.text("text", Some(&event.text));
        row.name("capture", event.capture);
        row.process(event.process);
        row.attributes("attributes", event.attributes.iter().map(|(key, value)| (*key, value)));
        row.end_row();
    }
}

builder!(EventsBuilder);

impl Default for EventsBuilder {
    fn default() -> Self {
        Self::new()
    }
}
