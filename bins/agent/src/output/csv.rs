//! Comma-separated values (RFC 4180).

use std::io::{self, Write};

use serde::Serialize;

use super::cells::{CALL, Cell, EVENT, EVIDENCE, FLOW};
use super::json::Visible;
use super::text::escaped;
use super::{Part, Source};
use crate::args::Kinds;

/// Writes lines that all have the same columns: those of every kind of record that may come, each once.
pub(super) struct CsvWriter {
    columns: Vec<&'static str>,
}

impl CsvWriter {
    pub(super) fn new(kinds: Kinds, source: Source) -> Self {
        let traced = source == Source::Kernel;
        let mut columns = Vec::new();
        for (wanted, names) in [
            (kinds.calls(), CALL),
            (kinds.calls() && traced, EVIDENCE),
            (kinds.flows(), FLOW),
            (kinds.events() && (traced || kinds == Kinds::Events), EVENT),
        ] {
            let new: Vec<_> = names.iter().filter(|name| wanted && !columns.contains(*name)).collect();
            columns.extend(new);
        }
        Self { columns }
    }

    /// Writes the line of names.
    pub(super) fn headings(&self, out: &mut impl Write) -> io::Result<()> {
        write!(out, "{}\r\n", self.columns.join(","))
    }

    pub(super) fn write(&mut self, out: &mut impl Write, parts: &[Part<'_>]) -> io::Result<()> {
        for (number, column) in self.columns.iter().enumerate() {
            if number > 0 {
                out.write_all(b",")?;
            }
            let place = |names: &[&str]| names.iter().position(|name| name == column);
            if let Some(cell) = parts.iter().find_map(|(names, cells)| cells.get(place(names)?)) {
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
        Cell::Address(address) => quoted(out, &escaped(&address.to_string())),
        Cell::Tunnel(_) | Cell::Vlan(_) | Cell::Attributes(_) | Cell::Facts(_) | Cell::Process(_) => {
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
