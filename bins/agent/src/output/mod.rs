//! Records for people and programs.

mod cells;
mod csv;
mod json;
mod page;
mod table;
mod text;

pub(crate) use page::Printed;
pub(crate) use text::escaped;

use std::io::{self, Stdout, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flow_core::{CallRecord, FlowRecord, Output};
use metaflow_protocol::build::{Event, Place};
use protocol_parsers::Timestamp;

use self::cells::Cell;
use self::csv::CsvWriter;
use self::json::JsonWriter;
use self::page::{Page, Paper};
use self::table::{TableWriter, day};
use crate::args::{Kinds, OutputFormat};
use crate::sink::{End, Outlet, Sink};

/// What the records are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// Packets alone.
    Packets,
    /// What the kernel sees processes do: calls have evidence, and there are events.
    Kernel,
}

/// Some fields of a record: their names and, at the same places, their values.
type Part<'a> = (&'a [&'static str], &'a [Cell<'a>]);

/// Prints calls, flows and events, one a line.
pub(crate) struct Printing<W> {
    paper: Arc<Paper<W>>,
    format: OutputFormat,
    kinds: Kinds,
    source: Source,
    /// How many more are wanted, if that is limited.
    left: Option<Arc<AtomicU64>>,
    width: Option<usize>,
}

impl Printing<Stdout> {
    /// To standard output; ends after `limit` records.
    pub(crate) fn stdout(
        format: Option<OutputFormat>,
        kinds: Kinds,
        limit: Option<u64>,
        source: Source,
    ) -> io::Result<Self> {
        let format = format.unwrap_or_else(OutputFormat::for_stdout);
        let terminal = terminal_size::terminal_size_of(io::stdout()).map(|(width, _)| usize::from(width.0));
        let width = terminal.or_else(|| std::env::var("COLUMNS").ok()?.parse().ok());
        Self::new(io::stdout(), format, kinds, source, limit, width)
    }
}

impl<W: Write> Printing<W> {
    /// Writes the headers at once, so that an empty answer has them too. `width` is that of the terminal, if there is one.
    fn new(
        mut out: W,
        format: OutputFormat,
        kinds: Kinds,
        source: Source,
        limit: Option<u64>,
        width: Option<usize>,
    ) -> io::Result<Self> {
        match format {
            OutputFormat::Table => TableWriter::new(width).headings(&mut out)?,
            OutputFormat::Jsonl => {}
            OutputFormat::Csv => CsvWriter::new(kinds, source).headings(&mut out)?,
        }
        out.flush()?;
        let left = limit.map(|limit| Arc::new(AtomicU64::new(limit)));
        Ok(Self { paper: Arc::new(Paper::new(out)), format, kinds, source, left, width })
    }

    /// What has been printed so far.
    pub(crate) fn printed(&self) -> Printed {
        self.paper.printed()
    }
}

impl<W: Write + Send + 'static> Outlet for Printing<W> {
    type Sink = Printer<W>;

    fn sink(&self) -> Printer<W> {
        let format = match self.format {
            OutputFormat::Table => Format::Table(TableWriter::new(self.width)),
            OutputFormat::Jsonl => Format::JsonLines(JsonWriter::default()),
            OutputFormat::Csv => Format::Csv(CsvWriter::new(self.kinds, self.source)),
        };
        let (paper, left) = (Arc::clone(&self.paper), self.left.clone());
        Printer { paper, page: Page::default(), format, kinds: self.kinds, left }
    }
}

/// Prints the records of one engine: page by page, so that printers do not stand in each other's way.
pub(crate) struct Printer<W> {
    paper: Arc<Paper<W>>,
    page: Page,
    format: Format,
    kinds: Kinds,
    left: Option<Arc<AtomicU64>>,
}

enum Format {
    Table(TableWriter),
    JsonLines(JsonWriter),
    Csv(CsvWriter),
}

impl Format {
    /// Writes a record, unless as a line for the eye.
    fn write(&mut self, out: &mut impl Write, parts: &[Part<'_>]) -> io::Result<()> {
        match self {
            Self::Table(_) => Ok(()),
            Self::JsonLines(json) => json.write(out, parts),
            Self::Csv(csv) => csv.write(out, parts),
        }
    }
}

impl<W: Write> Printer<W> {
    fn call(&mut self, record: &CallRecord<'_>, place: &Place<'_>) -> io::Result<()> {
        self.turn_to(record.call.start())?;
        self.page.printed.calls += 1;
        let lines = &mut self.page.lines;
        if let Format::Table(table) = &mut self.format {
            return table.call(lines, record, place);
        }
        let evidence = place.evidence.map(cells::evidence);
        let evidence = evidence.as_ref().map_or(&[][..], |cells| cells);
        self.format.write(lines, &[(cells::CALL, &cells::call(record, place)), (cells::EVIDENCE, evidence)])
    }

    fn flow(&mut self, record: &FlowRecord, place: &Place<'_>) -> io::Result<()> {
        self.turn_to(record.start)?;
        self.page.printed.flows += 1;
        let lines = &mut self.page.lines;
        if let Format::Table(table) = &mut self.format {
            return table.flow(lines, record, place);
        }
        self.format.write(lines, &[(cells::FLOW, &cells::flow(record, place))])
    }

    fn happened(&mut self, event: &Event<'_>) -> io::Result<()> {
        self.turn_to(Timestamp::from_nanos(event.time_ns))?;
        self.page.printed.events += 1;
        let lines = &mut self.page.lines;
        if let Format::Table(table) = &mut self.format {
            return table.event(lines, event);
        }
        self.format.write(lines, &[(cells::EVENT, &cells::event(event))])
    }

    /// A page of a table has one day.
    fn turn_to(&mut self, time: Timestamp) -> io::Result<()> {
        let day = matches!(self.format, Format::Table(_)).then(|| day(time));
        if self.page.day != day {
            self.paper.print(&mut self.page)?;
            self.page.day = day;
        }
        Ok(())
    }

    /// Whether one more record is wanted, and after it yet another.
    fn claim(&self) -> (bool, bool) {
        let Some(left) = &self.left else { return (true, true) };
        let before = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        (before.is_ok(), before.is_ok_and(|before| before > 1))
    }

    /// Prints a record that is wanted.
    fn print(&mut self, record: impl FnOnce(&mut Self) -> io::Result<()>) -> Result<(), End> {
        let (one, another) = self.claim();
        if one {
            record(self)?;
        }
        if !another || self.page.is_full() {
            self.paper.print(&mut self.page)?;
        }
        if another { Ok(()) } else { Err(End::Enough) }
    }
}

impl<W: Write + Send + 'static> Sink for Printer<W> {
    fn take(&mut self, output: &Output<'_>, place: &Place<'_>) -> Result<(), End> {
        match output {
            Output::Call(record) if self.kinds.calls() => self.print(|printer| printer.call(record, place)),
            Output::Flow(record) if self.kinds.flows() => self.print(|printer| printer.flow(record, place)),
            _ => Ok(()),
        }
    }

    fn event(&mut self, event: &Event<'_>) -> Result<(), End> {
        if self.kinds.events() { self.print(|printer| printer.happened(event)) } else { Ok(()) }
    }

    fn pause(&mut self) -> Result<(), End> {
        self.flush()
    }

    fn flush(&mut self) -> Result<(), End> {
        Ok(self.paper.print(&mut self.page)?)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, PoisonError};

    use flow_core::{Conversation, Endpoint, Sides, Transport};
    use metaflow_protocol::build::{Evidence, Process};
    use protocol_parsers::{Connection, Dissector, Opening, Options, Side, StreamChunk};

    use super::*;

    const TIME: u64 = 1_790_000_000_000_000_000;
    const NODE: Process<'_> = Process { pid: 71, start_ns: TIME - 1, name: "node", thread: None, container: None };
    const PLACE: Place<'_> = Place {
        observation_point: "server_process",
        capture: Some("syscall"),
        process: Some(NODE),
        paths: Sides { client: None, server: Some("/run/a,\u{202e}shop.sock") },
        evidence: Some(Evidence {
            syscall_trace_id_request: Some(u64::MAX),
            syscall_trace_id_response: None,
            thread_id: Some(72),
        }),
    };

    #[derive(Clone, Default)]
    struct Out(Arc<Mutex<Vec<u8>>>);

    impl Write for Out {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What is printed of a call over Unix sockets, an event of a process and one without any.
    fn printed(format: OutputFormat, kinds: Kinds, source: Source, width: usize) -> (Vec<String>, Printed) {
        let out = Out::default();
        let printing = Printing::new(out.clone(), format, kinds, source, None, Some(width)).unwrap();
        let mut printer = printing.sink();
        let mut dissector = Dissector::new(Options::default());
        let mut connection = Connection::new(Opening::TCP);
        for (side, bytes) in [(Side::Client, &b"PING\r\n"[..]), (Side::Server, b"+PONG\r\n")] {
            let chunk = StreamChunk { side, time: Timestamp::from_nanos(TIME), offset: 0, bytes, missing: 0 };
            dissector.push(&mut connection, chunk);
        }
        let conversation = Conversation {
            flow_id: 3,
            transport: Transport::Unix,
            client: Endpoint::Unix(17),
            server: Endpoint::Unix(18),
            interface: 1,
        };
        let call = dissector.poll().unwrap();
        let record =
            CallRecord { call, id: 9, conversation, stream: None, tcp_seq_request: None, tcp_seq_response: None };
        printer.take(&Output::Call(record), &PLACE).unwrap();
        let unseen = Event {
            time_ns: TIME + 1_000,
            kind: "tls_unseen",
            text: "its TLS library has no symbols,\nso \"HTTPS\" cannot be read".into(),
            capture: Some("tls"),
            process: Some(NODE),
            attributes: vec![("process.executable.path", "/usr/bin/node".into())],
        };
        let bare = Event { capture: None, process: None, attributes: Vec::new(), ..unseen.clone() };
        printer.event(&unseen).unwrap();
        printer.event(&bare).unwrap();
        printer.flush().unwrap();
        let text = String::from_utf8(out.0.lock().unwrap().clone()).unwrap();
        (text.lines().map(str::to_owned).collect(), printing.printed())
    }

    #[test]
    fn events_and_evidence_as_json() {
        let (lines, count) = printed(OutputFormat::Jsonl, Kinds::All, Source::Kernel, 120);
        assert_eq!(count, Printed { calls: 1, flows: 0, events: 2 });
        let call: serde_json::Value = serde_json::from_str(&lines[0]).unwrap();
        assert_eq!(call["client"], "unix:[17]");
        assert_eq!(call["server"], "unix:/run/a,\u{202e}shop.sock");
        assert!(lines[0].contains(r"a,\u202eshop"), "{}", lines[0]);
        let (request, response) = (&call["syscall_trace_id_request"], &call["syscall_trace_id_response"]);
        assert_eq!((request.as_str(), response.is_null()), (Some("18446744073709551615"), true));
        assert_eq!(call["thread_id"], 72);
        assert_eq!(
            lines[1],
            r#"{"type":"event","time_ns":1790000000000001000,"kind":"tls_unseen","text":"its TLS library has no symbols,\nso \"HTTPS\" cannot be read","capture":"tls","process":{"pid":71,"start_ns":1789999999999999999,"name":"node","thread":null,"container":null},"attributes":{"process.executable.path":"/usr/bin/node"}}"#
        );
        assert!(lines[2].ends_with(r#""capture":null,"process":null,"attributes":{}}"#), "{}", lines[2]);
    }

    #[test]
    fn events_and_evidence_share_the_columns_of_csv() {
        let (lines, _) = printed(OutputFormat::Csv, Kinds::All, Source::Kernel, 120);
        let text = lines.join("\r\n");
        let mut reader = ::csv::Reader::from_reader(text.as_bytes());
        let names = reader.headers().unwrap().clone();
        let rows: Vec<_> = reader.records().map(Result::unwrap).collect();
        let cell = |row: usize, name: &str| &rows[row][names.iter().position(|other| other == name).unwrap()];
        let mut distinct: Vec<_> = names.iter().collect();
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!((rows.len(), distinct.len()), (3, names.len()));
        assert_eq!((cell(0, "type"), cell(1, "type")), ("call", "event"));
        assert_eq!((cell(0, "kind"), cell(1, "kind")), ("request_response", "tls_unseen"));
        assert_eq!(cell(0, "server"), "unix:/run/a,\\u{202e}shop.sock");
        assert_eq!((cell(0, "thread_id"), cell(1, "thread_id")), ("72", ""));
        assert_eq!((cell(0, "time_ns"), cell(1, "time_ns")), ("", "1790000000000001000"));
        assert_eq!(cell(1, "text"), "its TLS library has no symbols,\\nso \"HTTPS\" cannot be read");
        assert_eq!(cell(1, "attributes"), r#"{"process.executable.path":"/usr/bin/node"}"#);
        assert_eq!(cell(2, "attributes"), "");
        let header = |kinds, source| printed(OutputFormat::Csv, kinds, source, 120).0.swap_remove(0);
        assert_eq!(header(Kinds::Events, Source::Packets), "type,time_ns,kind,text,capture,process,attributes");
        assert!(
            header(Kinds::Calls, Source::Kernel)
                .ends_with("attributes,syscall_trace_id_request,syscall_trace_id_response,thread_id")
        );
        assert!(header(Kinds::Calls, Source::Packets).ends_with("tcp_seq_response,attributes"));
    }

    #[test]
    fn events_stand_out_between_the_columns_of_a_table() {
        let (lines, _) = printed(OutputFormat::Table, Kinds::All, Source::Kernel, 120);
        assert_eq!(
            lines[1..],
            [
                "-- 2026-09-21",
                "14:13:20.000000 node unix:/run/a,\\u{202e}sh… redis    PING                                   ok                     0 ns",
                "14:13:20.000001 node[71]                     EVENT    tls_unseen: its TLS library has no symbols,\\nso \"HTTPS\" cannot be…",
                "14:13:20.000001 -                            EVENT    tls_unseen: its TLS library has no symbols,\\nso \"HTTPS\" cannot be…",
            ]
        );
        for width in [72, 106, 300] {
            let (lines, _) = printed(OutputFormat::Table, Kinds::Events, Source::Kernel, width);
            assert!(lines.iter().all(|line| line.chars().count() <= width), "{lines:#?}");
        }
    }

    #[test]
    fn only_the_kinds_that_are_wanted_are_printed() {
        for (kinds, calls, events) in
            [(Kinds::Calls, 1, 0), (Kinds::Flows, 0, 0), (Kinds::Events, 0, 2), (Kinds::All, 1, 2)]
        {
            let (lines, count) = printed(OutputFormat::Jsonl, kinds, Source::Kernel, 120);
            assert_eq!(count, Printed { calls, flows: 0, events });
            assert_eq!(lines.len() as u64, calls + events);
        }
    }
}
