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
use metaflow_protocol::build::Place;

use self::csv::CsvWriter;
use self::json::JsonWriter;
use self::page::{Page, Paper};
use self::table::{TableWriter, day};
use crate::args::{Kinds, OutputFormat};
use crate::sink::{End, Outlet, Sink};

/// Prints calls and flows, one a line.
pub(crate) struct Printing<W> {
    paper: Arc<Paper<W>>,
    format: OutputFormat,
    kinds: Kinds,
    /// How many more are wanted, if that is limited.
    left: Option<Arc<AtomicU64>>,
    width: Option<usize>,
}

impl Printing<Stdout> {
    /// To standard output; ends after `limit` records.
    pub(crate) fn stdout(format: Option<OutputFormat>, kinds: Kinds, limit: Option<u64>) -> io::Result<Self> {
        let format = format.unwrap_or_else(OutputFormat::for_stdout);
        let terminal = terminal_size::terminal_size_of(io::stdout()).map(|(width, _)| usize::from(width.0));
        let width = terminal.or_else(|| std::env::var("COLUMNS").ok()?.parse().ok());
        Self::new(io::stdout(), format, kinds, limit, width)
    }
}

impl<W: Write> Printing<W> {
    /// Writes the headers at once, so that an empty answer has them too. `width` is that of the terminal, if there is one.
    fn new(
        mut out: W,
        format: OutputFormat,
        kinds: Kinds,
        limit: Option<u64>,
        width: Option<usize>,
    ) -> io::Result<Self> {
        match format {
            OutputFormat::Table => TableWriter::new(width).headings(&mut out)?,
            OutputFormat::Jsonl => {}
            OutputFormat::Csv => CsvWriter::new(kinds).headings(&mut out)?,
        }
        out.flush()?;
        let left = limit.map(|limit| Arc::new(AtomicU64::new(limit)));
        Ok(Self { paper: Arc::new(Paper::new(out)), format, kinds, left, width })
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
            OutputFormat::Csv => Format::Csv(CsvWriter::new(self.kinds)),
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

impl<W: Write> Printer<W> {
    fn call(&mut self, record: &CallRecord<'_>, place: &Place<'_>) -> io::Result<()> {
        if let Format::Table(_) = self.format {
            self.turn_to(day(record.call.start()))?;
        }
        let lines = &mut self.page.lines;
        self.page.printed.calls += 1;
        match &mut self.format {
            Format::Table(table) => table.call(lines, record, place),
            Format::JsonLines(json) => json.write(lines, cells::CALL, &cells::call(record, place)),
            Format::Csv(csv) => csv.write(lines, cells::CALL, &cells::call(record, place)),
        }
    }

    fn flow(&mut self, record: &FlowRecord, place: &Place<'_>) -> io::Result<()> {
        if let Format::Table(_) = self.format {
            self.turn_to(day(record.start))?;
        }
        let lines = &mut self.page.lines;
        self.page.printed.flows += 1;
        match &mut self.format {
            Format::Table(table) => table.flow(lines, record, place),
            Format::JsonLines(json) => json.write(lines, cells::FLOW, &cells::flow(record, place)),
            Format::Csv(csv) => csv.write(lines, cells::FLOW, &cells::flow(record, place)),
        }
    }

    /// A page has one day.
    fn turn_to(&mut self, day: u64) -> io::Result<()> {
        if self.page.day != Some(day) {
            self.paper.print(&mut self.page)?;
            self.page.day = Some(day);
        }
        Ok(())
    }

    /// Whether one more record is wanted, and after it yet another.
    fn claim(&self) -> (bool, bool) {
        let Some(left) = &self.left else { return (true, true) };
        let before = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        (before.is_ok(), before.is_ok_and(|before| before > 1))
    }
}

impl<W: Write + Send + 'static> Sink for Printer<W> {
    fn take(&mut self, output: &Output<'_>, place: &Place<'_>) -> Result<(), End> {
        let wanted = match output {
            Output::Call(_) => self.kinds.calls(),
            Output::Flow(_) => self.kinds.flows(),
            _ => false,
        };
        if !wanted {
            return Ok(());
        }
        let (one, another) = self.claim();
        match output {
            Output::Call(record) if one => self.call(record, place)?,
            Output::Flow(record) if one => self.flow(record, place)?,
            _ => {}
        }
        if !another || self.page.is_full() {
            self.flush()?;
        }
        if another { Ok(()) } else { Err(End::Enough) }
    }

    fn pause(&mut self) -> Result<(), End> {
        self.flush()
    }

    fn flush(&mut self) -> Result<(), End> {
        Ok(self.paper.print(&mut self.page)?)
    }
}
