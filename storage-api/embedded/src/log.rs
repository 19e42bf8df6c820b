//! The writer of the log: one thread that takes what has arrived, writes it at once, makes it safe, and answers everyone.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasher, Hasher};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};

use storage_api::{AppendError, BatchId, BatchWindows, Durability, Seen, TableName};
use tokio::sync::oneshot;

use crate::DiskFile;
use crate::error::Failure;
use crate::frame::{SEGMENT_HEADER, Segment};
use crate::keeper::Keeper;
use crate::record::Record;
use crate::recovery::Replayed;
use crate::state::{Rows, Shared};

/// What the writer is asked for.
#[derive(Debug)]
pub(crate) enum Request {
    Append(Box<Pending>),
    /// Begin a new segment and set aside all rows of those before.
    Seal(Sender<Result<Sealed, Failure>>),
}

/// A batch that waits to be logged.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) record: Record,
    /// Room that it holds of the budget.
    pub(crate) units: u32,
    pub(crate) answer: oneshot::Sender<Result<(), AppendError>>,
}

/// All rows of the segments below `log_from`, and the ids in them.
#[derive(Debug)]
pub(crate) struct Sealed {
    pub(crate) log_from: u64,
    pub(crate) tables: Vec<(TableName, Vec<Arc<Rows>>, BatchWindows)>,
}

#[derive(Debug)]
pub(crate) struct Log {
    shared: Arc<Shared>,
    keeper: Keeper,
    current: Option<Open>,
    /// The number of the next segment; numbers are never used twice.
    next: u64,
}

/// The segment that is written to.
struct Open {
    segment: Segment,
    path: PathBuf,
    file: Box<dyn DiskFile>,
    length: u64,
    /// Its name is safe, and it holds acknowledged batches.
    holds: bool,
}

impl Log {
    pub(crate) fn new(shared: Arc<Shared>, keeper: Keeper, next: u64) -> Self {
        Self { shared, keeper, current: None, next }
    }

    /// Writes what was read from an older log again, and removes that one. What was read may have come from memory of the
    /// system that never reaches the disk, for example after a failed synchronisation in the process before this one; only
    /// what is written anew is known to be safe. If it fails the old log stays, and is made as safe as can be.
    pub(crate) fn rewrite(&mut self, replayed: Replayed) -> std::io::Result<()> {
        let Replayed { records, segments, .. } = replayed;
        let mut open = records.as_slice();
        while !open.is_empty() {
            let mut bytes = 0;
            let more = open.iter().take_while(|record| {
                bytes += record.size();
                bytes <= self.shared.options.limits.group_bytes
            });
            let (group, rest) = open.split_at(more.count().max(1));
            if self.write(&group.iter().collect::<Vec<_>>()).is_err() {
                return segments.iter().try_for_each(|path| self.shared.disk().sync_file(path));
            }
            open = rest;
        }
        for path in &segments {
            // If it stays, the next flush or opening removes it; its batches count once.
            let _ = self.shared.disk().remove(path);
        }
        Ok(())
    }

    /// Works until nobody can ask any more.
    pub(crate) fn run(mut self, requests: &Receiver<Request>) {
        let mut next = requests.recv().ok();
        while let Some(request) = next.take() {
            match request {
                Request::Seal(answer) => {
                    // If nobody waits for it any more, the rows stay set aside and the next flush takes them.
                    let _ = answer.send(self.seal());
                }
                Request::Append(first) => {
                    let mut bytes = first.record.size();
                    let mut group = vec![*first];
                    while bytes < self.shared.options.limits.group_bytes {
                        match requests.try_recv() {
                            Ok(Request::Append(pending)) => {
                                bytes += pending.record.size();
                                group.push(*pending);
                            }
                            Ok(other) => {
                                next = Some(other);
                                break;
                            }
                            Err(_) => break,
                        }
                    }
                    self.commit(group);
                }
            }
            next = next.or_else(|| requests.recv().ok());
        }
    }

    /// Writes a group, and answers each of it.
    fn commit(&mut self, group: Vec<Pending>) {
        let (fresh, repeats) = self.sort_out(group);
        if fresh.is_empty() {
            return;
        }
        let durability = self.shared.options.durability;
        if durability == Durability::Memory {
            let records: Vec<Record> = fresh.iter().map(|pending| pending.record.clone()).collect();
            self.publish(fresh, repeats);
            // Nobody waits for this: the rows are in memory, and that is what was promised.
            let _ = self.write(&records.iter().collect::<Vec<_>>());
            return;
        }
        match self.write(&fresh.iter().map(|pending| &pending.record).collect::<Vec<_>>()) {
            Ok(()) => self.publish(fresh, repeats),
            Err(failure) => {
                for pending in fresh {
                    self.answer(pending, Err(failure.clone().into_append()));
                }
                for pending in repeats {
                    self.answer(pending, Err(failure.clone().into_append()));
                }
            }
        }
    }

    /// Answers what was stored before or is too old. The rest is new; of the same id, all but the first are repeats, which
    /// share the first one's fate.
    fn sort_out(&self, group: Vec<Pending>) -> (Vec<Pending>, Vec<Pending>) {
        let mut seen = Vec::with_capacity(group.len());
        {
            let tables = self.shared.tables();
            for pending in &group {
                let table = tables.get(&pending.record.table);
                seen.push(table.map_or(Seen::New, |table| table.windows.seen(pending.record.id)));
            }
        }
        let (mut fresh, mut repeats) = (Vec::new(), Vec::new());
        let mut ids: HashMap<(TableName, BatchId), ()> = HashMap::new();
        for (pending, seen) in group.into_iter().zip(seen) {
            let id = pending.record.id;
            match seen {
                Seen::Before => {
                    self.shared.counters.duplicates.add(1);
                    self.answer(pending, Ok(()));
                }
                Seen::Unknown { oldest } => {
                    self.shared.counters.too_old.add(1);
                    self.answer(pending, Err(AppendError::TooOld { id, oldest }));
                }
                Seen::New => match ids.entry((pending.record.table.clone(), id)) {
                    Entry::Vacant(place) => {
                        place.insert(());
                        fresh.push(pending);
                    }
                    Entry::Occupied(_) => repeats.push(pending),
                },
            }
        }
        (fresh, repeats)
    }

    /// Makes stored batches visible, all at once, and answers.
    fn publish(&self, fresh: Vec<Pending>, repeats: Vec<Pending>) {
        let counters = &self.shared.counters;
        let (mut active, mut answers) = (0, Vec::with_capacity(fresh.len()));
        {
            let mut tables = self.shared.tables();
            for pending in fresh {
                let Pending { record, units, answer } = pending;
                let Some(table) = tables.get_mut(&record.table) else { continue };
                table.windows.record(record.id);
                counters.batches.add(1);
                counters.rows.add(record.rows.num_rows() as u64);
                match Rows::new(record.rows, table.definition.time_index(), units) {
                    Some(rows) => table.active.push(Arc::new(rows)),
                    None => self.shared.budget.give_back(units),
                }
                answers.push(answer);
            }
            for table in tables.values() {
                active += table.active.iter().map(|rows| rows.units as usize).sum::<usize>();
            }
        }
        if active >= crate::budget::Budget::units(self.shared.options.limits.flush) as usize {
            self.keeper.poke();
        }
        for answer in answers {
            let _ = answer.send(Ok(()));
        }
        for pending in repeats {
            counters.duplicates.add(1);
            self.answer(pending, Ok(()));
        }
    }

    /// Answers a batch that is not kept.
    fn answer(&self, pending: Pending, result: Result<(), AppendError>) {
        self.shared.budget.give_back(pending.units);
        // Whoever asked may have gone.
        let _ = pending.answer.send(result);
    }

    /// Writes records and makes them as safe as promised. After any failure the segment is left for good: nothing is known
    /// of its end, and trying again would acknowledge what may not be there.
    fn write(&mut self, records: &[&Record]) -> Result<(), Failure> {
        let result = self.write_to_current(records);
        if let Err(failure) = &result {
            self.shared.counters.failed(&self.shared.counters.log_failures, failure);
            if let Some(open) = self.current.take() {
                drop(open.file);
                if !open.holds {
                    let _ = self.shared.disk().remove(&open.path);
                }
            }
        }
        result
    }

    fn write_to_current(&mut self, records: &[&Record]) -> Result<(), Failure> {
        let fail = |error: std::io::Error| Failure::new("the log could not be written", &error);
        let mut bytes = Vec::new();
        let open = match &mut self.current {
            Some(open) => open,
            none => {
                let segment = Segment { number: self.next, salt: random() };
                let path = segment_path(&self.shared.root, segment.number);
                self.next += 1;
                let file = self.shared.disk().create(&path).map_err(fail)?;
                bytes.extend_from_slice(&segment.header());
                none.insert(Open { segment, path, file, length: 0, holds: false })
            }
        };
        for record in records {
            open.segment.frame(&mut bytes, open.length, &[&record.head, record.body.as_slice()]);
        }
        open.file.write_all(&bytes).map_err(fail)?;
        if self.shared.options.durability == Durability::Disk {
            open.file.sync().map_err(fail)?;
            if !open.holds {
                self.shared.disk().sync_dir(&log_folder(&self.shared.root)).map_err(fail)?;
            }
        }
        open.length += bytes.len() as u64;
        open.holds = true;
        self.shared.counters.groups.add(1);
        self.shared.counters.log_bytes.add(bytes.len() as u64);
        debug_assert!(open.length >= SEGMENT_HEADER as u64, "a segment begins with its header");
        Ok(())
    }

    /// Ends the segment. What comes next goes into another one, which is made when it comes.
    fn seal(&mut self) -> Result<Sealed, Failure> {
        if let Some(mut open) = self.current.take() {
            // Below the level `Disk` nothing was made safe yet. What a flush is about to write is not lost by a failure.
            if self.shared.options.durability != Durability::Disk {
                let _ = open.file.sync();
            }
        }
        let mut tables = self.shared.tables();
        let sealed = tables.iter_mut().map(|(name, table)| {
            let rows = std::mem::take(&mut table.active);
            table.sealed.extend(rows);
            (name.clone(), table.sealed.clone(), table.windows.clone())
        });
        Ok(Sealed { log_from: self.next, tables: sealed.collect() })
    }
}

impl std::fmt::Debug for Open {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Open").field("path", &self.path).field("length", &self.length).finish_non_exhaustive()
    }
}

pub(crate) fn log_folder(root: &Path) -> PathBuf {
    root.join("log")
}

pub(crate) fn segment_path(root: &Path, number: u64) -> PathBuf {
    log_folder(root).join(format!("{number:020}.log"))
}

/// A number that a sender cannot guess: the standard library seeds its hash maps with such.
fn random() -> u64 {
    std::collections::hash_map::RandomState::new().build_hasher().finish()
}
