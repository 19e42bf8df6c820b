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
        Self::new(io::stdout(), format, (kinds, source), limit, width)
    }
}

impl<W: Write> Printing<W> {
    /// Writes the headers at once, so that an empty answer has them too. `width` is that of the terminal, if there is one.
    fn new(
        mut out: W,
        format: OutputFormat,
        (kinds, source): (Kinds, Source),
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
