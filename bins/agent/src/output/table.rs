//! Columns for the eye.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::time::{Duration, SystemTime};

use flow_core::{CallRecord, Conversation, Endpoint, FlowRecord, Sides};
use metaflow_protocol::build::{Event, Place};
use protocol_parsers::{Call, Timestamp};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::text::{Named, bytes, duration, escaped};

/// Widths of the columns. The request takes what the others leave.
#[derive(Clone, Copy)]
struct Layout {
    time: usize,
    server: usize,
    protocol: usize,
    request: usize,
    status: usize,
}

const DURATION: usize = 8;
/// Where nobody says how wide the terminal is.
const WIDTH: usize = 160;
/// The narrowest terminal with times to the microsecond and whole addresses.
const WIDE: usize = 106;
/// Narrower terminals break the lines.
const NARROWEST: usize = 72;

impl Layout {
    fn new(width: usize) -> Self {
        let (time, server, protocol, status) = if width >= WIDE { (15, 28, 8, 18) } else { (12, 20, 6, 12) };
        // One blank between columns.
        let others = time + server + protocol + status + DURATION + 5;
        Self { time, server, protocol, status, request: width.max(NARROWEST) - others }
    }

    fn is_wide(&self) -> bool {
        self.time == 15
    }
}

/// Writes a line per record, none wider than the terminal.
pub(super) struct TableWriter {
    layout: Layout,
    line: String,
}

/// One line before it is fitted into its columns.
struct Line<'a> {
    start: Timestamp,
    conversation: &'a Conversation,
    place: &'a Place<'a>,
    protocol: &'a str,
    request: String,
    status: String,
    duration: Option<Duration>,
}

impl TableWriter {
    pub(super) fn new(width: Option<usize>) -> Self {
        Self { layout: Layout::new(width.unwrap_or(WIDTH)), line: String::new() }
    }

    pub(super) fn headings(&self, out: &mut impl Write) -> io::Result<()> {
        let Layout { time, server, protocol, request, status } = self.layout;
        writeln!(
            out,
            "{:time$} {:server$} {:protocol$} {:request$} {:status$} {:>DURATION$}",
            "TIME (UTC)",
            "SERVER",
            if self.layout.is_wide() { "PROTOCOL" } else { "PROTO" },
            "REQUEST",
            "STATUS",
            "DURATION"
        )
    }

    pub(super) fn call(&mut self, out: &mut impl Write, record: &CallRecord<'_>, place: &Place<'_>) -> io::Result<()> {
        let call = record.call;
        let status = match (call.status().name(), call.status_code()) {
            (status, Some(code)) => format!("{code} {status}"),
            (status, None) => status.to_owned(),
        };
        self.line(
            out,
            &Line {
                start: call.start(),
                conversation: &record.conversation,
                place,
                protocol: call.protocol().name(),
                request: request(&call, record.conversation.server),
                status,
                duration: call.duration(),
            },
        )
    }

    pub(super) fn flow(&mut self, out: &mut impl Write, record: &FlowRecord, place: &Place<'_>) -> io::Result<()> {
        let transport = record.conversation.transport.name();
        self.line(
            out,
            &Line {
                start: record.start,
                conversation: &record.conversation,
                place,
                protocol: record.protocol.map_or(transport, |protocol| protocol.name()),
                request: conversation(record, place),
                status: record.close.map_or("goes on", |close| close.name()).to_owned(),
                duration: Some(record.end.since(record.start)),
            },
        )
    }

    /// What happened goes on over the columns that only requests have.
    pub(super) fn event(&mut self, out: &mut impl Write, event: &Event<'_>) -> io::Result<()> {
        let whom = match event.process {
            Some(process) => format!("{}[{}]", process.name, process.pid),
            None => event.capture.unwrap_or("-").to_owned(),
        };
        // No protocol is written in capitals.
        self.begin(Timestamp::from_nanos(event.time_ns), &whom, "EVENT");
        let Layout { request, status, .. } = self.layout;
        fit(&mut self.line, &format!("{}: {}", event.kind, event.text), request + status + DURATION + 2);
        writeln!(out, "{}", self.line.trim_end_matches(' '))
    }

    fn line(&mut self, out: &mut impl Write, line: &Line<'_>) -> io::Result<()> {
        let layout = self.layout;
        let server = Named { endpoint: line.conversation.server, path: line.place.paths.server };
        let server = match (line.place.process, server.endpoint) {
            (Some(process), Endpoint::Ip(address)) if !layout.is_wide() => {
                format!("{}:{}", process.name, address.port())
            }
            (Some(process), _) => format!("{} {server}", process.name),
            (None, _) => server.to_string(),
        };
        self.begin(line.start, &server, line.protocol);
        for (text, width) in [(&line.request, layout.request), (&line.status, layout.status)] {
            fit(&mut self.line, text, width);
            self.line.push(' ');
        }
        let duration = line.duration.map_or_else(|| "-".to_owned(), duration);
        writeln!(out, "{}{duration:>DURATION$}", self.line)
    }

    /// The columns up to the request.
    fn begin(&mut self, time: Timestamp, server: &str, protocol: &str) {
        let time = SystemTime::UNIX_EPOCH + Duration::from_nanos(time.as_nanos());
        let time = humantime::format_rfc3339_micros(time).to_string();
        let (_, time) = time.split_once('T').unwrap_or_default();
        let layout = self.layout;
        self.line.clear();
        for (text, width) in [
            (time.get(..layout.time).unwrap_or(time), layout.time),
            (server, layout.server),
            (protocol, layout.protocol),
        ] {
            fit(&mut self.line, text, width);
            self.line.push(' ');
        }
    }
}

/// Its lines show the time only: the day in days since the Unix epoch.
pub(super) fn day(time: Timestamp) -> u64 {
    time.as_nanos() / 86_400_000_000_000
}

/// What was asked, and what was wrong with it. A host that is only the server's address stands in its own column already.
fn request(call: &Call<'_>, server: Endpoint) -> String {
    let verb = call.request_type().unwrap_or("?");
    let asked = call.resource().or(call.domain()).or(call.endpoint()).unwrap_or_default();
    let mut text = match call.domain() {
        Some(host) if asked.starts_with('/') && host.parse().ok().map(Endpoint::Ip) != Some(server) => {
            format!("{verb} {host}{asked}")
        }
        // Redis commands stand in both.
        _ if asked.starts_with(verb) => asked.to_owned(),
        _ => format!("{verb} {asked}"),
    };
    if let Some(exception) = call.exception() {
        // Writing to a string cannot fail.
        _ = write!(text, " ! {exception}");
    }
    text
}

/// The other side of a conversation, and how it went.
fn conversation(record: &FlowRecord, place: &Place<'_>) -> String {
    let counters = &record.counters;
    let Sides { client: up, server: down } = counters.bytes;
    let packets = counters.packets.client + counters.packets.server;
    let client = Named { endpoint: record.conversation.client, path: place.paths.client };
    let mut text = format!("flow from {client}, {packets} packets, {} up, {} down", bytes(up), bytes(down));
    let again = counters.retransmissions.client + counters.retransmissions.server;
    if again > 0 {
        _ = write!(text, ", {again} retransmissions");
    }
    if let Some(rtt) = record.rtt {
        _ = write!(text, ", rtt {}", duration(rtt));
    }
    for layer in &record.layers {
        _ = write!(text, ", {layer}");
    }
    text
}

/// Appends the text, escaped, in exactly this many columns of the terminal.
fn fit(line: &mut String, text: &str, width: usize) {
    // What cannot be seen anyway need not be looked at: no character needs more than six for its escape.
    let head = text.get(..text.floor_char_boundary(width * 6)).unwrap_or(text);
    let shown = escaped(head);
    let whole = shown.width();
    if whole <= width && head.len() == text.len() {
        line.push_str(&shown);
        line.extend(std::iter::repeat_n(' ', width - whole));
        return;
    }
    let mut used = 0;
    for character in shown.chars() {
        let columns = character.width().unwrap_or(0);
        if used + columns >= width {
            break;
        }
        line.push(character);
        used += columns;
    }
    line.push('…');
    line.extend(std::iter::repeat_n(' ', width - used - 1));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_takes_exactly_its_columns() {
        let long = "x".repeat(100_000);
        for text in [
            "",
            "short",
            "exactly10!",
            "eleven char",
            "漢字漢字漢字漢字",
            "\x1b[31m\n\u{202e}",
            "e\u{301}e\u{301}",
            &long,
        ] {
            let mut line = String::new();
            fit(&mut line, text, 10);
            assert_eq!(line.width(), 10, "{text:?} became {line:?}");
        }
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        for width in [72, 80, 105, 106, 120, 250] {
            let mut out = Vec::new();
            TableWriter::new(Some(width)).headings(&mut out).unwrap();
            assert_eq!(String::from_utf8(out).unwrap().trim_end().width(), width);
        }
        assert_eq!(Layout::new(0).request, Layout::new(NARROWEST).request);
    }
}
