//! The calls of one connection that are not finished yet, in the order in which they began.

use alloc::boxed::Box;
use alloc::collections::VecDeque;

use crate::call::{Half, Record};
use crate::{Key, Side, Timestamp};

/// A place in the row of open calls.
#[derive(Debug)]
pub(crate) struct Entry {
    key: Key,
    /// The side that asked.
    requester: Side,
    /// What the record held when it was last changed.
    bytes: usize,
    /// The record's context, once it was reported.
    context: u64,
    /// Empty once the request has been reported as unanswered: the place stays, so that a late answer does not go to another request.
    record: Option<Box<Record>>,
}

/// The row of open calls.
#[derive(Debug, Default)]
pub(crate) struct OpenCalls {
    row: Row,
    /// Bytes held by the records.
    held: usize,
}

/// Almost always there is none or one, and that costs no memory of its own.
#[derive(Debug, Default)]
enum Row {
    #[default]
    None,
    One(Entry),
    #[expect(clippy::box_collection, reason = "keeps the row small while it holds one call or none")]
    Many(Box<VecDeque<Entry>>),
}

/// Where an answer belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// To the open request at this position.
    At(usize),
    /// To a request that has been reported already.
    Late(usize),
    /// To none that was seen.
    Nowhere,
}

impl OpenCalls {
    pub(crate) fn len(&self) -> usize {
        match &self.row {
            Row::None => 0,
            Row::One(_) => 1,
            Row::Many(entries) => entries.len(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        matches!(self.row, Row::None)
    }

    /// Bytes of memory held beyond the row's own place.
    pub(crate) fn memory(&self) -> usize {
        let row = match &self.row {
            Row::Many(entries) => size_of::<VecDeque<Entry>>() + entries.capacity() * size_of::<Entry>(),
            _ => 0,
        };
        self.held + row
    }

    /// Adds a call at the end and returns its position.
    pub(crate) fn push(&mut self, key: Key, requester: Side, record: Box<Record>) -> usize {
        let bytes = record.memory();
        self.held += bytes;
        let entry = Entry { key, requester, bytes, context: 0, record: Some(record) };
        match core::mem::take(&mut self.row) {
            Row::None => self.row = Row::One(entry),
            Row::One(first) => self.row = Row::Many(Box::new(VecDeque::from([first, entry]))),
            Row::Many(mut entries) => {
                entries.push_back(entry);
                self.row = Row::Many(entries);
            }
        }
        self.len() - 1
    }

    fn get(&self, position: usize) -> Option<&Entry> {
        match &self.row {
            Row::None => None,
            Row::One(entry) => (position == 0).then_some(entry),
            Row::Many(entries) => entries.get(position),
        }
    }

    fn get_mut(&mut self, position: usize) -> Option<&mut Entry> {
        match &mut self.row {
            Row::None => None,
            Row::One(entry) => (position == 0).then_some(entry),
            Row::Many(entries) => entries.get_mut(position),
        }
    }

    fn entries(&self) -> impl DoubleEndedIterator<Item = (usize, &Entry)> {
        let (front, back) = match &self.row {
            Row::None => (&[][..], &[][..]),
            Row::One(entry) => (core::slice::from_ref(entry), &[][..]),
            Row::Many(entries) => entries.as_slices(),
        };
        let behind = front.len();
        front.iter().enumerate().chain(back.iter().enumerate().map(move |(position, entry)| (behind + position, entry)))
    }

    /// Lets `change` work on the record at `position`.
    pub(crate) fn change<T>(&mut self, position: usize, change: impl FnOnce(&mut Record) -> T) -> Option<T> {
        let entry = self.get_mut(position)?;
        let record = entry.record.as_deref_mut()?;
        let result = change(record);
        let (before, after) = (entry.bytes, record.memory());
        entry.bytes = after;
        self.held = self.held + after - before;
        Some(result)
    }

    /// Removes the place at `position` and returns what stood there.
    pub(crate) fn remove(&mut self, position: usize) -> Option<Box<Record>> {
        let entry = match &mut self.row {
            Row::None => None,
            Row::One(_) if position > 0 => None,
            Row::One(_) => match core::mem::take(&mut self.row) {
                Row::One(entry) => Some(entry),
                _ => None,
            },
            Row::Many(entries) => entries.remove(position),
        }?;
        if matches!(&self.row, Row::Many(entries) if entries.is_empty()) {
            self.row = Row::None;
        }
        self.held -= entry.bytes;
        entry.record
    }

    /// Takes the record at `position`, but keeps its place for a late answer.
    pub(crate) fn vacate(&mut self, position: usize) -> Option<Box<Record>> {
        let entry = self.get_mut(position)?;
        let bytes = core::mem::take(&mut entry.bytes);
        let record = entry.record.take();
        entry.context = record.as_ref().map_or(0, |record| record.context);
        self.held -= bytes;
        record
    }

    /// Where an answer with this key belongs: the oldest request that has none yet.
    pub(crate) fn place_for_response(&self, requester: Side, key: Key) -> Place {
        for (position, entry) in self.entries() {
            if entry.requester != requester || entry.key != key {
                continue;
            }
            match &entry.record {
                None => return Place::Late(position),
                Some(record) if record.response == Half::Absent => return Place::At(position),
                Some(_) => {}
            }
        }
        Place::Nowhere
    }

    /// The request that an answer with this key belongs to.
    pub(crate) fn unanswered(&self, requester: Side, key: Key) -> Option<&Record> {
        match self.place_for_response(requester, key) {
            Place::At(position) => self.get(position)?.record.as_deref(),
            _ => None,
        }
    }

    /// The context of the request that an answer with this key belongs to, also where it has been reported already.
    pub(crate) fn context(&self, requester: Side, key: Key) -> Option<u64> {
        let (Place::At(position) | Place::Late(position)) = self.place_for_response(requester, key) else {
            return None;
        };
        let entry = self.get(position)?;
        Some(entry.record.as_ref().map_or(entry.context, |record| record.context))
    }

    /// The key of the oldest unanswered request for which `test` holds.
    pub(crate) fn find_unanswered(&self, requester: Side, mut test: impl FnMut(Key) -> bool) -> Option<Key> {
        let waits = |entry: &Entry| entry.record.as_ref().is_some_and(|record| record.response == Half::Absent);
        self.entries()
            .map(|(_, entry)| entry)
            .find(|entry| entry.requester == requester && waits(entry) && test(entry.key))
            .map(|entry| entry.key)
    }

    /// The last call of this side, if `test` holds for it.
    pub(crate) fn last(&self, requester: Side, test: impl FnOnce(&Record) -> bool) -> Option<usize> {
        let (position, entry) = self.entries().rev().find(|(_, entry)| entry.requester == requester)?;
        entry.record.as_deref().is_some_and(test).then_some(position)
    }

    /// The first call for which `test` holds.
    pub(crate) fn find(&self, mut test: impl FnMut(Key, Side, &Record) -> bool) -> Option<usize> {
        let mut fits =
            |entry: &Entry| entry.record.as_deref().is_some_and(|record| test(entry.key, entry.requester, record));
        self.entries().find(|(_, entry)| fits(entry)).map(|(position, _)| position)
    }

    /// Looks at every record. The record's size must stay as it is.
    pub(crate) fn for_each(&mut self, mut look: impl FnMut(Key, Side, &mut Record)) {
        let mut at = |entry: &mut Entry| {
            if let Some(record) = entry.record.as_deref_mut() {
                look(entry.key, entry.requester, record);
            }
        };
        match &mut self.row {
            Row::None => {}
            Row::One(entry) => at(entry),
            Row::Many(entries) => entries.iter_mut().for_each(at),
        }
    }

    /// When the first request without any answer began.
    pub(crate) fn first_unanswered(&self) -> Option<Timestamp> {
        self.entries()
            .filter_map(|(_, entry)| entry.record.as_deref())
            .find(|record| record.response == Half::Absent)
            .map(|record| record.start)
    }

    /// Drops the places of reported requests at the front while there are more than `most` places.
    pub(crate) fn drop_vacant(&mut self, most: usize) {
        while self.len() > most && self.get(0).is_some_and(|entry| entry.record.is_none()) {
            self.remove(0);
        }
    }
}
