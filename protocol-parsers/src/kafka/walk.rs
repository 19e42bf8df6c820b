//! Goes through the fields of a message as its bytes come.

use super::records::{Pass, Records};
use super::shape::{Field, Number, Shape, Text, What};
use super::wire::{Cursor, Fault};

/// Structures within structures; no message has more.
const DEPTH: usize = 6;
/// Bytes of a string that are told.
const TOLD: u32 = 1024;

/// Hears what a message says.
pub(super) trait Sink {
    /// A string, or its first kilobyte.
    fn text(&mut self, what: Text, value: &[u8]);
    fn number(&mut self, what: Number, value: i64);
    fn topic_id(&mut self, id: &[u8; 16]);
    /// A structure of an array begins.
    fn element(&mut self);
    /// A batch of so many records.
    fn batch(&mut self, records: u32);
    /// Whether the headers of records are worth a look.
    fn wants_records(&self) -> bool;
    /// A record begins.
    fn record(&mut self);
    /// Whether a header of this name is worth reading.
    fn wants_header(&self, name: &[u8]) -> bool;
    fn header(&mut self, name: &[u8], value: &[u8]);
}

/// Why a walk stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// Everything worth reading was read.
    End,
    /// More bytes are needed behind these.
    More,
    /// The same, but so many of them are to be passed over.
    Pass(u64),
    /// The message is not what it seemed.
    Wrong,
}

/// A walk through one message.
#[derive(Clone, Debug)]
pub(super) struct Walk {
    frames: [Frame; DEPTH],
    depth: usize,
    version: u8,
    flexible: bool,
    records: Option<Records>,
    /// Bytes to be passed over before going on.
    pass: u64,
    /// Bytes of the message not gone through.
    left: u64,
    /// Everything is gone through, also what is worth nothing.
    strict: bool,
}

/// A structure, or an array of them.
#[derive(Clone, Copy, Debug)]
struct Frame {
    shape: Shape,
    /// Fields to go through of this element.
    rest: Shape,
    /// Elements to go through, this one included.
    elements: u32,
    /// Tagged fields to go through at the end of this element; `None` before their number is known.
    tags: Option<u32>,
    /// Elements that are no structures, so that no tagged fields follow.
    plain: bool,
}

const NOTHING: Frame = Frame { shape: &[], rest: &[], elements: 0, tags: None, plain: true };

impl Walk {
    /// Through a message of which `left` bytes follow its header.
    pub(super) fn new(shape: Shape, version: u8, flexible: bool, left: u64) -> Self {
        let mut frames = [NOTHING; DEPTH];
        let [first, ..] = &mut frames;
        *first = Frame { shape, rest: shape, elements: 1, tags: None, plain: !flexible };
        Self { frames, depth: 1, version, flexible, records: None, pass: 0, left, strict: false }
    }

    /// The same, to the very end: what is left shows whether the message is what it seemed.
    pub(super) const fn strictly(self) -> Self {
        Self { strict: true, ..self }
    }

    /// Bytes of the message behind those gone through.
    pub(super) const fn left(&self) -> u64 {
        self.left
    }

    /// Goes on through `bytes`. Returns how many were gone through.
    pub(super) fn advance(&mut self, bytes: &[u8], sink: &mut impl Sink) -> (usize, Stop) {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
        let mut cursor = Cursor(bytes.get(..most).unwrap_or(bytes));
        // Bytes of the message behind these.
        let beyond = self.left - most as u64;
        let stop = loop {
            if self.pass > 0 {
                let there = cursor.0.get(usize::try_from(self.pass).unwrap_or(usize::MAX)..).unwrap_or_default();
                self.pass -= (cursor.0.len() - there.len()) as u64;
                cursor.0 = there;
                if self.pass > 0 {
                    break if self.wants_more() { Stop::Pass(self.pass) } else { Stop::End };
                }
            }
            let before = cursor;
            match self.step(&mut cursor, beyond, sink) {
                Ok(true) => {}
                Ok(false) => {
                    cursor = before;
                    break Stop::End;
                }
                Err(fault) => {
                    cursor = before;
                    break match fault {
                        Fault::More if beyond == 0 => Stop::Wrong,
                        Fault::More if self.wants_more() => Stop::More,
                        Fault::More => Stop::End,
                        Fault::Wrong => Stop::Wrong,
                    };
                }
            }
        };
        self.left = beyond + cursor.0.len() as u64;
        (most - cursor.0.len(), stop)
    }

    /// The bytes that [`Stop::Pass`] spoke of need not be handed in.
    pub(super) fn pass(&mut self) {
        self.left -= self.pass;
        self.pass = 0;
    }

    /// Reads one thing of a message that goes on for `beyond` bytes behind these. Says whether there may be another. Changes nothing
    /// when it fails.
    fn step(&mut self, cursor: &mut Cursor<'_>, beyond: u64, sink: &mut impl Sink) -> Result<bool, Fault> {
        if let Some(records) = &mut self.records {
            let Pass { count, last } = records.step(cursor, sink)?;
            self.pass = count;
            if last {
                self.records = None;
            }
            return Ok(true);
        }
        let (version, flexible) = (self.version, self.flexible);
        let Some(frame) = self.depth.checked_sub(1).and_then(|top| self.frames.get_mut(top)) else { return Ok(false) };
        let (field, rest) = loop {
            match frame.rest.split_first() {
                None => return self.end_of_element(cursor, beyond, sink),
                Some((field, rest)) if field.is_in(version) => break (field, rest),
                Some((_, rest)) => frame.rest = rest,
            }
        };
        let mut pass = 0;
        let mut inner = None;
        match field.what {
            What::Fixed(width) => pass = u64::from(width),
            What::String => pass = u64::from(cursor.string_length(flexible)?.unwrap_or(0)),
            What::Bytes => pass = u64::from(cursor.length(flexible)?.unwrap_or(0)),
            What::Text(what) => {
                if let Some(length) = cursor.string_length(flexible)? {
                    sink.text(what, cursor.bytes(length.min(TOLD) as usize)?);
                    pass = u64::from(length.saturating_sub(TOLD));
                }
            }
            What::Number(what) => {
                let bytes = cursor.bytes(what.width())?;
                let negative = bytes.first().is_some_and(|first| *first >= 0x80);
                let number = bytes.iter().fold(-i64::from(negative), |number, byte| number << 8 | i64::from(*byte));
                sink.number(what, number);
            }
            What::TopicId => sink.topic_id(cursor.array()?),
            What::Records => {
                let length = cursor.length(flexible)?.unwrap_or(0);
                if u64::from(length) > beyond + cursor.0.len() as u64 {
                    return Err(Fault::Wrong);
                }
                self.records = (length > 0).then(|| Records::new(u64::from(length)));
            }
            What::Structs(shape) => inner = Some((shape, cursor.length(flexible)?.unwrap_or(0), !flexible)),
            What::Struct(shape) => inner = Some((shape, 1, !flexible)),
            What::Values(&[Field { what: What::Fixed(width), .. }]) => {
                pass = u64::from(width) * u64::from(cursor.length(flexible)?.unwrap_or(0));
            }
            What::Values(shape) => inner = Some((shape, cursor.length(flexible)?.unwrap_or(0), true)),
            What::Rest => return Ok(false),
        }
        // Whatever an element is, it takes a byte.
        let elements = inner.map_or(0, |(_, elements, _)| elements);
        if pass.max(u64::from(elements)) > beyond + cursor.0.len() as u64 {
            return Err(Fault::Wrong);
        }
        frame.rest = rest;
        self.pass = pass;
        if let Some((shape, elements @ 1.., plain)) = inner {
            let room = self.frames.get_mut(self.depth).ok_or(Fault::Wrong)?;
            *room = Frame { shape, rest: shape, elements, tags: None, plain };
            self.depth += 1;
            sink.element();
        }
        Ok(true)
    }

    /// Passes over tagged fields, one at a time, and goes on to the next element.
    fn end_of_element(&mut self, cursor: &mut Cursor<'_>, beyond: u64, sink: &mut impl Sink) -> Result<bool, Fault> {
        let Some(frame) = self.frames.get_mut(self.depth.wrapping_sub(1)) else { return Ok(false) };
        let tags = match frame.tags {
            _ if frame.plain => 0,
            None => cursor.unsigned()?,
            Some(tags) => tags,
        };
        if tags > 0 {
            if frame.tags.is_some() {
                cursor.unsigned()?;
                let size = u64::from(cursor.unsigned()?);
                if size > beyond + cursor.0.len() as u64 {
                    return Err(Fault::Wrong);
                }
                self.pass = size;
                frame.tags = Some(tags - 1);
            } else {
                frame.tags = Some(tags);
            }
            return Ok(true);
        }
        frame.tags = None;
        frame.rest = frame.shape;
        frame.elements -= 1;
        if frame.elements == 0 {
            self.depth -= 1;
        } else {
            sink.element();
        }
        Ok(true)
    }

    /// Whether anything behind this point is worth reading.
    fn wants_more(&self) -> bool {
        self.strict || self.records.as_ref().is_some_and(Records::goes_on) || self.is_ahead(What::is_told)
    }

    /// Whether error codes stand behind this point.
    pub(super) fn has_errors_ahead(&self) -> bool {
        self.is_ahead(What::is_error)
    }

    fn is_ahead(&self, test: fn(What) -> bool) -> bool {
        self.frames.iter().take(self.depth).any(|frame| {
            let ahead = if frame.elements > 1 { frame.shape } else { frame.rest };
            ahead.iter().any(|field| field.has(self.version, test))
        })
    }
}
