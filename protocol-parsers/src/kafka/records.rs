//! Record batches ([format](https://kafka.apache.org/documentation/#recordbatch), version 2) as far as the headers of their records.

use super::walk::Sink;
use super::wire::{Cursor, Fault};

/// Bytes of a batch before its records.
const BATCH: u64 = 61;
/// Bytes of a batch before those that its length counts.
const UNCOUNTED: u64 = 12;
/// The format that knows headers.
const MAGIC: u8 = 2;
const COMPRESSION: i16 = 0x07;
/// A batch that says how a transaction ended.
const CONTROL: i16 = 0x20;
/// Longer names and values of headers carry no context of a trace.
const LONGEST_NAME: u64 = 64;
const LONGEST_VALUE: u64 = 1024;

/// Where a walk through a set of batches stands.
#[derive(Clone, Debug)]
pub(super) struct Records {
    place: Place,
    /// Bytes left of the set, of the batch and of the record.
    set: u64,
    batch: u64,
    record: u64,
    /// Records left of the batch, headers left of the record.
    records: u32,
    headers: u64,
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Batch,
    Record,
    Value,
    Headers,
    Header,
    /// The value of a header whose name was passed over.
    Unnamed,
}

/// Bytes to be passed over, and whether the set ends with them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pass {
    pub(super) count: u64,
    pub(super) last: bool,
}

impl Records {
    pub(super) const fn new(length: u64) -> Self {
        Self { place: Place::Batch, set: length, batch: 0, record: 0, records: 0, headers: 0 }
    }

    /// Whether anything is left of the set.
    pub(super) const fn goes_on(&self) -> bool {
        self.set > 0
    }

    /// Reads one thing. Changes nothing when it fails.
    pub(super) fn step(&mut self, cursor: &mut Cursor<'_>, sink: &mut impl Sink) -> Result<Pass, Fault> {
        let bound = match self.place {
            Place::Batch => self.set,
            Place::Record => self.batch,
            _ => self.record,
        };
        let all = usize::try_from(bound).unwrap_or(usize::MAX);
        let mut inner = Cursor(cursor.0.get(..all).unwrap_or(cursor.0));
        let (before, whole) = (inner.0.len(), inner.0.len() == all);
        match self.read(&mut inner, sink) {
            Ok(pass) => {
                let used = (before - inner.0.len()) as u64;
                if used + pass > bound {
                    return Ok(self.give_up());
                }
                cursor.bytes(used as usize)?;
                self.consume(used + pass);
                Ok(Pass { count: pass, last: self.set == 0 })
            }
            Err(Fault::More) if !whole => Err(Fault::More),
            Err(_) => Ok(self.give_up()),
        }
    }

    /// What comes is cut, of an older format or none at all.
    fn give_up(&mut self) -> Pass {
        let count = core::mem::take(&mut self.set);
        Pass { count, last: true }
    }

    fn consume(&mut self, count: u64) {
        self.set = self.set.saturating_sub(count);
        self.batch = self.batch.saturating_sub(count);
        self.record = self.record.saturating_sub(count);
    }

    /// Reads one thing; the lengths that it begins include what was read. Returns how much to pass over.
    fn read(&mut self, cursor: &mut Cursor<'_>, sink: &mut impl Sink) -> Result<u64, Fault> {
        match self.place {
            Place::Batch => self.batch(cursor, sink),
            Place::Record => self.record(cursor, sink),
            Place::Value => {
                let length = fitting(cursor.signed()?, self.record)?;
                self.place = Place::Headers;
                Ok(length)
            }
            Place::Headers => {
                let headers = u64::try_from(cursor.signed()?).map_err(|_| Fault::Wrong)?;
                self.headers = headers.min(self.record);
                self.place = Place::Header;
                Ok(0)
            }
            Place::Header if self.headers == 0 => {
                self.place = Place::Record;
                Ok(self.record)
            }
            Place::Header => self.header(cursor, sink),
            Place::Unnamed => {
                let length = fitting(cursor.signed()?, self.record)?;
                self.place = Place::Header;
                Ok(length)
            }
        }
    }

    fn batch(&mut self, cursor: &mut Cursor<'_>, sink: &mut impl Sink) -> Result<u64, Fault> {
        cursor.int64()?;
        let length = u64::try_from(cursor.int32()?).map_err(|_| Fault::Wrong)? + UNCOUNTED;
        cursor.int32()?;
        if cursor.byte()? != MAGIC || length < BATCH {
            return Err(Fault::Wrong);
        }
        cursor.int32()?;
        let attributes = cursor.int16()?;
        // Offset, times, producer.
        cursor.bytes(4 + 8 + 8 + 8 + 2 + 4)?;
        let records = u32::try_from(cursor.int32()?).map_err(|_| Fault::Wrong)?;
        // A fetch may end within a batch.
        let length = length.min(self.set);
        sink.batch(records);
        if attributes & (COMPRESSION | CONTROL) != 0 || records == 0 {
            return Ok(length - BATCH);
        }
        self.batch = length;
        self.records = records;
        self.place = Place::Record;
        Ok(0)
    }

    fn record(&mut self, cursor: &mut Cursor<'_>, sink: &mut impl Sink) -> Result<u64, Fault> {
        if self.records == 0 || self.batch == 0 || !sink.wants_records() {
            self.place = Place::Batch;
            return Ok(self.batch);
        }
        let start = cursor.0.len();
        let length = cursor.signed()?;
        let prefix = (start - cursor.0.len()) as u64;
        let length = fitting(length, self.batch - prefix)?;
        cursor.byte()?;
        cursor.signed()?;
        cursor.signed()?;
        let key = fitting(cursor.signed()?, length)?;
        sink.record();
        self.record = length + prefix;
        self.records -= 1;
        self.place = Place::Value;
        Ok(key)
    }

    fn header(&mut self, cursor: &mut Cursor<'_>, sink: &mut impl Sink) -> Result<u64, Fault> {
        let name = fitting(cursor.signed()?, self.record)?;
        if name > LONGEST_NAME {
            self.headers -= 1;
            self.place = Place::Unnamed;
            return Ok(name);
        }
        let name = cursor.bytes(name as usize)?;
        let length = fitting(cursor.signed()?, self.record)?;
        let wanted = length <= LONGEST_VALUE && sink.wants_header(name);
        if wanted {
            sink.header(name, cursor.bytes(length as usize)?);
        }
        self.headers -= 1;
        Ok(if wanted { 0 } else { length })
    }
}

/// A length, -1 for nothing, within what is there.
fn fitting(length: i64, room: u64) -> Result<u64, Fault> {
    match length {
        -1 => Ok(0),
        _ => u64::try_from(length).ok().filter(|length| *length <= room).ok_or(Fault::Wrong),
    }
}
