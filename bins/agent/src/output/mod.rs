//! Records for people and programs.

mod cells;
mod csv;
mod json;
mod table;
mod text;

pub(crate) use text::escaped;

use std::io::{self, BufWriter, Write};

use flow_core::{CallRecord, FlowRecord, Output};
use metaflow_protocol::build::Place;

use self::csv::CsvWriter;
use self::json::JsonWriter;
use self::table::TableWriter;
use crate::args::{Kinds, OutputFormat};
use crate::sink::{End, Sink};

/// Prints calls and flows, one a line.
pub(crate) struct Printer<W: Write> {
    format: Format,
    kinds: Kinds,
    out: BufWriter<W>,
    /// How many more are wanted.
    left: u64,
    pub(crate) calls: u64,
    pub(crate) flows: u64,
}

enum Format {
    Table(TableWriter),
    JsonLines(JsonWriter),
    Csv(CsvWriter),
}

impl Printer<io::StdoutLock<'static>> {
    /// To standard output; ends after `limit` records.
    pub(crate) fn stdout(format: Option<OutputFormat>, kinds: Kinds, limit: Option<u64>) -> io::Result<Self> {
        let format = format.unwrap_or_else(OutputFormat::for_stdout);
        let terminal = terminal_size::terminal_size_of(io::stdout()).map(|(width, _)| usize::from(width.0));
        let width = terminal.or_else(|| std::env::var("COLUMNS").ok()?.parse().ok());
        Self::new(io::stdout().lock(), format, kinds, limit, width)
    }
}

impl<W: Write> Printer<W> {
    /// Writes the headers at once, so that an empty answer has them too. `width` is that of the terminal, if there is one.
    fn new(out: W, format: OutputFormat, kinds: Kinds, limit: Option<u64>, width: Option<usize>) -> io::Result<Self> {
        let mut out = BufWriter::with_capacity(1 << 16, out);
        let format = match format {
            OutputFormat::Table => Format::Table(TableWriter::new(&mut out, width)?),
            OutputFormat::Jsonl => Format::JsonLines(JsonWriter::default()),
            OutputFormat::Csv => Format::Csv(CsvWriter::new(&mut out, kinds)?),
        };
        Ok(Self { format, kinds, out, left: limit.unwrap_or(u64::MAX), calls: 0, flows: 0 })
    }

    fn call(&mut self, record: &CallRecord<'_>, place: &Place<'_>) -> io::Result<()> {
        self.calls += 1;
        match &mut self.format {
            Format::Table(table) => table.call(&mut self.out, record, place),
            Format::JsonLines(json) => json.write(&mut self.out, cells::CALL, &cells::call(record, place)),
            Format::Csv(csv) => csv.write(&mut self.out, cells::CALL, &cells::call(record, place)),
        }
    }

    fn flow(&mut self, record: &FlowRecord, place: &Place<'_>) -> io::Result<()> {
        self.flows += 1;
        match &mut self.format {
            Format::Table(table) => table.flow(&mut self.out, record, place),
            Format::JsonLines(json) => json.write(&mut self.out, cells::FLOW, &cells::flow(record, place)),
            Format::Csv(csv) => csv.write(&mut self.out, cells::FLOW, &cells::flow(record, place)),
        }
    }
}

impl<W: Write> Sink for Printer<W> {
    fn take(&mut self, output: &Output<'_>, place: &Place<'_>) -> Result<(), End> {
        match output {
            Output::Call(record) if self.kinds.calls() => self.call(record, place)?,
            Output::Flow(record) if self.kinds.flows() => self.flow(record, place)?,
            _ => return Ok(()),
        }
        self.left -= 1;
        if self.left == 0 {
            self.out.flush()?;
            return Err(End::Enough);
        }
        Ok(())
    }

    fn pause(&mut self) -> Result<(), End> {
        Ok(self.out.flush()?)
    }
}
