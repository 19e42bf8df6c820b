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
    Many(Box<Many>),
}

#[derive(Debug)]
struct Many {
    entries: VecDeque<Entry>,
    /// Every key is a number higher than the one before, as most protocols count: a call is then found without looking at all.
    rising: bool,
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
            Row::Many(many) => many.entries.len(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        matches!(self.row, Row::None)
    }

    /// Bytes of memory held beyond the row's own place.
    pub(crate) fn memory(&self) -> usize {
        let row = match &self.row {
            Row::Many(many) => size_of::<Many>() + many.entries.capacity() * size_of::<Entry>(),
            _ => 0,
        };
        self.held + row
    }

    /// Adds a call at the end and returns its position.
    pub(crate) fn push(&mut self, key: Key, requester: Side, record: Box<Record>) -> usize {
        let bytes = record.memory();
        self.held += bytes;
        let entry = Entry { key, requester, bytes, context: 0, record: Some(record) };
        if self.is_empty() {
            self.row = Row::One(entry);
            return 0;
        }
        match core::mem::take(&mut self.row) {
            Row::None => {}
            Row::One(first) => {
                let rising = is_below(first.key, key);
                self.row = Row::Many(Box::new(Many { entries: VecDeque::from([first, entry]), rising }));
            }
            Row::Many(mut many) => {
                many.rising |= many.entries.len() == 1;
                many.rising &= many.entries.back().is_some_and(|last| is_below(last.key, key));
                many.entries.push_back(entry);
                self.row = Row::Many(many);
            }
        }
        self.len() - 1
    }

    fn get(&self, position: usize) -> Option<&Entry> {
        match &self.row {
            Row::None => None,
            Row::One(entry) => (position == 0).then_some(entry),
            Row::Many(many) => many.entries.get(position),
        }
    }

    fn get_mut(&mut self, position: usize) -> Option<&mut Entry> {
        match &mut self.row {
            Row::None => None,
            Row::One(entry) => (position == 0).then_some(entry),
            Row::Many(many) => many.entries.get_mut(position),
        }
    }

    fn entries(&self) -> impl DoubleEndedIterator<Item = (usize, &Entry)> {
        let (front, back) = match &self.row {
            Row::None => (&[][..], &[][..]),
            Row::One(entry) => (core::slice::from_ref(entry), &[][..]),
            Row::Many(many) => many.entries.as_slices(),
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
        match &mut self.row {
            Row::One(entry) if position == 0 => {
                self.held -= entry.bytes;
                let record = entry.record.take();
                self.row = Row::None;
                record
            }
            Row::None | Row::One(_) => None,
            Row::Many(many) => {
                let entry = many.entries.remove(position)?;
                if many.entries.is_empty() {
                    self.row = Row::None;
                }
                self.held -= entry.bytes;
                entry.record
            }
        }
    }

    /// Whether no two calls can have the same key.
    pub(crate) fn is_distinct(&self) -> bool {
        match &self.row {
            Row::None | Row::One(_) => true,
            Row::Many(many) => many.rising,
        }
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
        let place = |(position, entry): (usize, &Entry)| match &entry.record {
            None => Some(Place::Late(position)),
            Some(record) if record.response == Half::Absent => Some(Place::At(position)),
            Some(_) => None,
        };
        self.find_with_key(requester, key, place).unwrap_or(Place::Nowhere)
    }

    /// The first call with this key for which `test` holds.
    pub(crate) fn find_by_key(
        &self,
        requester: Side,
        key: Key,
        mut test: impl FnMut(&Record) -> bool,
    ) -> Option<usize> {
        self.find_with_key(requester, key, |(position, entry)| {
            entry.record.as_deref().is_some_and(&mut test).then_some(position)
        })
    }

    /// The first answer of `look`, which is shown the calls with this key in their order.
    fn find_with_key<T>(
        &self,
        requester: Side,
        key: Key,
        mut look: impl FnMut((usize, &Entry)) -> Option<T>,
    ) -> Option<T> {
        match &self.row {
            Row::None => None,
            Row::One(entry) if entry.fits(requester, key) => look((0, entry)),
            Row::One(_) => None,
            Row::Many(many) => many.find_with_key(requester, key, look),
        }
    }

    /// The first call with this key.
    pub(crate) fn call(&self, requester: Side, key: Key) -> Option<&Record> {
        self.find_by_key(requester, key, |_| true).and_then(|position| self.get(position)?.record.as_deref())
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
        if self.is_empty() {
            return None;
        }
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
            Row::Many(many) => many.entries.iter_mut().for_each(at),
        }
    }

    /// The call that is due first, and when: the first that is due at all, unless `early` says that others may come before it.
    pub(crate) fn first_due(
        &self,
        early: bool,
        deadline: impl Fn(&Record) -> Option<Timestamp>,
    ) -> Option<(Timestamp, usize)> {
        let mut due =
            self.entries().filter_map(|(position, entry)| Some((deadline(entry.record.as_deref()?)?, position)));
        if early { due.min() } else { due.next() }
    }

    /// Drops the places of reported requests at the front while there are more than `most` places. Returns how many it were.
    pub(crate) fn drop_vacant(&mut self, most: usize) -> u64 {
        let mut dropped = 0;
        while self.len() > most && self.get(0).is_some_and(|entry| entry.record.is_none()) {
            self.remove(0);
            dropped += 1;
        }
        dropped
    }
}

impl Entry {
    fn fits(&self, requester: Side, key: Key) -> bool {
        self.requester == requester && self.key == key
    }
}

impl Many {
    /// The first answer of `look`, which is shown the calls with this key in their order.
    // Not within what looks for a call: almost always there is one at most.
    #[inline(never)]
    fn find_with_key<T>(
        &self,
        requester: Side,
        key: Key,
        mut look: impl FnMut((usize, &Entry)) -> Option<T>,
    ) -> Option<T> {
        // Rising numbers are all different.
        if let (Key::Id(_), true) = (key, self.rising) {
            let position = self.entries.partition_point(|entry| is_below(entry.key, key));
            return self
                .entries
                .get(position)
                .filter(|entry| entry.fits(requester, key))
                .and_then(|entry| look((position, entry)));
        }
        self.entries.iter().enumerate().filter(|(_, entry)| entry.fits(requester, key)).find_map(look)
    }
}

/// Whether both are numbers and the first is the lower one.
fn is_below(first: Key, second: Key) -> bool {
    matches!((first, second), (Key::Id(first), Key::Id(second)) if first < second)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Calls with these keys, of the client where they are odd.
    fn calls(ids: &[u64]) -> OpenCalls {
        let mut calls = OpenCalls::default();
        for id in ids {
            calls.push(Key::Id(*id), side(*id), Box::default());
        }
        calls
    }

    fn side(id: u64) -> Side {
        if id % 2 == 1 { Side::Client } else { Side::Server }
    }

    #[test]
    fn calls_are_found_whether_their_keys_rise_or_not() {
        for ids in [&[3][..], &[1, 2, 5, 8, 13, 21], &[5, 1, 8, 3], &[7, 7, 2], &[1, 3, 3, 9]] {
            let mut open = calls(ids);
            let mut left = ids.to_vec();
            while !left.is_empty() {
                for id in 0..25 {
                    let place = left.iter().position(|other| *other == id).map_or(Place::Nowhere, Place::At);
                    assert_eq!(open.place_for_response(side(id), Key::Id(id)), place, "{id} in {left:?}");
                    assert_eq!(open.place_for_response(side(id).other(), Key::Id(id)), Place::Nowhere);
                }
                let middle = left.len() / 2;
                left.remove(middle);
                assert!(open.remove(middle).is_some());
            }
            assert!(open.is_empty());
        }
    }

    #[test]
    fn a_place_kept_for_a_late_answer_is_found() {
        let mut open = calls(&[1, 3, 5]);
        open.vacate(1);
        assert_eq!(open.place_for_response(Side::Client, Key::Id(3)), Place::Late(1));
        assert_eq!(open.place_for_response(Side::Client, Key::Id(5)), Place::At(2));
    }
}
