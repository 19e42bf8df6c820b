//! Comma-separated values (RFC 4180).

use std::io::{self, Write};

use serde::Serialize;

use super::cells::{CALL, Cell, FLOW};
use super::json::Visible;
use super::text::escaped;
use crate::args::Kinds;

/// Writes lines that all have the same columns: with both kinds of records these are the columns of both, each once.
pub(super) struct CsvWriter {
    columns: Vec<&'static str>,
}

impl CsvWriter {
    pub(super) fn new(kinds: Kinds) -> Self {
        let mut columns = if kinds.calls() { CALL.to_vec() } else { Vec::new() };
        if kinds.flows() {
            columns.extend(FLOW.iter().filter(|name| !kinds.calls() || !CALL.contains(name)));
        }
        Self { columns }
    }

    /// Writes the line of names.
    pub(super) fn headings(&self, out: &mut impl Write) -> io::Result<()> {
        write!(out, "{}\r\n", self.columns.join(","))
    }

    /// `names` and `cells` go together.
    pub(super) fn write(&mut self, out: &mut impl Write, names: &[&str], cells: &[Cell<'_>]) -> io::Result<()> {
        for (number, column) in self.columns.iter().enumerate() {
            if number > 0 {
                out.write_all(b",")?;
            }
            let place = names.iter().position(|name| name == column);
            if let Some(cell) = place.and_then(|place| cells.get(place)) {
                write_cell(out, cell)?;
            }
        }
        out.write_all(b"\r\n")
    }
}

/// Lists and objects are JSON, and nothing where they are empty.
fn write_cell(out: &mut impl Write, cell: &Cell<'_>) -> io::Result<()> {
    match cell {
        Cell::Null => Ok(()),
        Cell::Text(text) => quoted(out, &escaped(text)),
        Cell::Number(number) | Cell::Id(number) => write!(out, "{number}"),
        Cell::Flag(flag) => write!(out, "{flag}"),
        Cell::Address(address) => write!(out, "{address}"),
        Cell::Tunnel(_) | Cell::Vlan(_) | Cell::Attributes(_) | Cell::Process(_) => {
            let mut json = Vec::new();
            cell.serialize(&mut serde_json::Serializer::with_formatter(&mut json, Visible))?;
            match json.as_slice() {
                b"[]" | b"{}" => Ok(()),
                json => quoted(out, &String::from_utf8_lossy(json)),
            }
        }
    }
}

/// Line ends have been escaped before, so only these two characters ask for quotes.
fn quoted(out: &mut impl Write, text: &str) -> io::Result<()> {
    if text.contains([',', '"']) {
        return write!(out, "\"{}\"", text.replace('"', "\"\""));
    }
    out.write_all(text.as_bytes())
}
