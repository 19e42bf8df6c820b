//! JSON lines.

use std::io::{self, Write};

use serde::ser::{SerializeMap, Serializer};
use serde_json::ser::Formatter;

use super::Part;
use super::text::is_unseen;

/// Writes one object a line.
#[derive(Default)]
pub(super) struct JsonWriter {
    line: Vec<u8>,
}

impl JsonWriter {
    pub(super) fn write(&mut self, out: &mut impl Write, parts: &[Part<'_>]) -> io::Result<()> {
        self.line.clear();
        let mut serializer = serde_json::Serializer::with_formatter(&mut self.line, Visible);
        let mut map = serializer.serialize_map(None)?;
        for (name, cell) in parts.iter().flat_map(|(names, cells)| names.iter().zip(*cells)) {
            map.serialize_entry(name, cell)?;
        }
        SerializeMap::end(map)?;
        self.line.push(b'\n');
        out.write_all(&self.line)
    }
}

/// JSON on one line in which every character that a terminal would obey is escaped. JSON itself demands it below U+0020 only.
pub(super) struct Visible;

impl Formatter for Visible {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        // What is printable ASCII needs no closer look.
        if fragment.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
            return writer.write_all(fragment.as_bytes());
        }
        let mut rest = fragment;
        while let Some((place, unseen)) = rest.char_indices().find(|(_, character)| is_unseen(*character)) {
            let (before, after) = rest.split_at(place);
            writer.write_all(before.as_bytes())?;
            for unit in unseen.encode_utf16(&mut [0; 2]) {
                write!(writer, "\\u{unit:04x}")?;
            }
            rest = after.get(unseen.len_utf8()..).unwrap_or_default();
        }
        writer.write_all(rest.as_bytes())
    }
}
