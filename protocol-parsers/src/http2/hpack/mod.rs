//! HPACK (RFC 7541), for one who only watches.

#[cfg(test)]
mod encoder;
mod huffman;
mod table;

use alloc::vec::Vec;

use super::name::Name;
use table::{Label, Table};

/// Room for decoded texts that a connection keeps between two blocks.
const KEPT: usize = 512;

/// What is wrong with a header block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    /// It ends within a header.
    Cut,
    /// No continuation makes a header of it.
    Invalid,
}

/// A header, as it was sent. Of one that refers to an entry nobody saw, name or both texts are empty.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header<'a> {
    /// What it is.
    pub(super) name: Name,
    /// The name's text; the first 64 bytes of it where it comes from a table.
    pub(super) text: &'a [u8],
    pub(super) value: &'a [u8],
}

/// Decodes the header blocks of one direction.
#[derive(Debug)]
pub(super) struct Decoder {
    table: Table,
    name: Vec<u8>,
    value: Vec<u8>,
}

impl Decoder {
    /// Keeps at most `limit` bytes of headers, counted as RFC 7541, 4.1 does.
    pub(super) fn new(limit: usize) -> Self {
        Self { table: Table::new(limit), name: Vec::new(), value: Vec::new() }
    }

    /// A block was missed: what the table holds is not known any more.
    pub(super) fn forget(&mut self) {
        self.table.clear();
    }

    /// How many entries the limit has driven out since this was last asked.
    pub(super) fn take_dropped(&mut self) -> u64 {
        self.table.take_dropped()
    }

    pub(super) fn memory(&self) -> usize {
        self.table.memory() + self.name.capacity() + self.value.capacity()
    }

    /// Reads a block and hands out its headers. With a flaw, those before it have been handed out.
    pub(super) fn decode(&mut self, block: &[u8], mut each: impl FnMut(Header<'_>)) -> Result<(), Flaw> {
        let mut rest = block;
        let mut result = Ok(());
        while result.is_ok() && !rest.is_empty() {
            result = self.header(&mut rest, &mut each);
        }
        self.name.shrink_to(KEPT);
        self.value.shrink_to(KEPT);
        result
    }

    /// One representation (RFC 7541, 6).
    fn header(&mut self, rest: &mut &[u8], each: &mut impl FnMut(Header<'_>)) -> Result<(), Flaw> {
        let first = rest.first().copied().unwrap_or_default();
        let kept = match first {
            0x80.. => {
                let index = integer(rest, 7)?;
                if index == 0 {
                    return Err(Flaw::Invalid);
                }
                each(view(&self.table, index));
                return Ok(());
            }
            0x40.. => true,
            0x20.. => {
                // A table that grows must be announced, whatever the settings allowed before: they need not be read.
                self.table.resize(integer(rest, 5)?);
                return Ok(());
            }
            _ => false,
        };
        let index = integer(rest, if kept { 6 } else { 4 })?;
        let name = if index == 0 { Some(string(rest, &mut self.name)?) } else { None };
        let value = string(rest, &mut self.value)?;
        let Header { name: known, text, .. } = match name {
            Some(text) => Header { name: Name::of(text), text, value: b"" },
            None => view(&self.table, index),
        };
        each(Header { name: known, text, value });
        if kept {
            self.table.insert(name.map_or(Label::Indexed(index), Label::Text), value);
        }
        Ok(())
    }
}

/// The entry of a table.
fn view(table: &Table, index: usize) -> Header<'_> {
    let (name, text, value) = table.get(index).unwrap_or((Name::Unknown, b"", b""));
    Header { name, text, value }
}

/// An integer whose first bits stand in the lowest `prefix` bits of the first byte (RFC 7541, 5.1).
fn integer(rest: &mut &[u8], prefix: u32) -> Result<usize, Flaw> {
    let (first, mut bytes) = rest.split_first().ok_or(Flaw::Cut)?;
    let most = (1 << prefix) - 1;
    let mut value = usize::from(*first) & most;
    if value == most {
        let mut shift = 0;
        loop {
            let (byte, behind) = bytes.split_first().ok_or(Flaw::Cut)?;
            bytes = behind;
            value += usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
            // More than any length or index there can be.
            if shift > 21 {
                return Err(Flaw::Invalid);
            }
        }
    }
    *rest = bytes;
    Ok(value)
}

/// A text; in `room`, if it is in Huffman code (RFC 7541, 5.2).
fn string<'a, 'b: 'a>(rest: &mut &'b [u8], room: &'a mut Vec<u8>) -> Result<&'a [u8], Flaw> {
    let coded = rest.first().ok_or(Flaw::Cut)? & 0x80 != 0;
    let length = integer(rest, 7)?;
    let (text, behind) = rest.split_at_checked(length).ok_or(Flaw::Cut)?;
    *rest = behind;
    if !coded {
        return Ok(text);
    }
    room.clear();
    huffman::decode(text, room)?;
    Ok(room)
}

#[cfg(test)]
mod tests;
