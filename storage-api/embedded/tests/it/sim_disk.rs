//! A disk in memory that remembers every operation, so that a crash after any of them can be played: bytes that were not
//! made safe survive in any part, in any order, torn within a page; names that were not made safe survive in any subset.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use metaflow_storage_embedded::{Disk, DiskFile};

/// What is written at once or not at all.
const SECTOR: usize = 512;

/// A generator of numbers by which a failure can be repeated (SplitMix64).
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }
}

/// What happened, in order. `M` is what the test notes in between.
#[derive(Clone, Debug)]
pub(crate) enum Event<M> {
    Create(PathBuf, usize),
    Write(usize, usize, Vec<u8>),
    Sync(usize),
    /// A synchronisation that failed: what was unsafe will never be safe, whatever comes later.
    SyncFailed(usize),
    CreateDir(PathBuf),
    /// With the file that is renamed: another of the old name may not be safe to be gone.
    Rename(PathBuf, PathBuf, usize),
    Remove(PathBuf),
    SyncDir(PathBuf),
    Note(M),
}

/// What goes wrong at an operation that changes something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// No space left, and none until [`SimDisk::heal`].
    Full,
    /// The operation fails; writes leave half of their bytes.
    Broken,
}

#[derive(Debug)]
pub(crate) struct SimDisk<M>(Arc<Mutex<Inner<M>>>);

#[derive(Debug)]
struct Inner<M> {
    names: BTreeMap<PathBuf, usize>,
    folders: BTreeSet<PathBuf>,
    contents: Vec<Arc<Vec<u8>>>,
    events: Vec<Event<M>>,
    /// Operations that change something, so far.
    changes: usize,
    /// What goes wrong at which of them.
    fault: Option<(usize, Fault)>,
    full: bool,
}

impl<M> Clone for SimDisk<M> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<M: Clone> SimDisk<M> {
    pub(crate) fn new() -> Self {
        Self::with(BTreeMap::new(), BTreeSet::new(), Vec::new())
    }

    fn with(names: BTreeMap<PathBuf, usize>, folders: BTreeSet<PathBuf>, contents: Vec<Arc<Vec<u8>>>) -> Self {
        let events = Vec::new();
        Self(Arc::new(Mutex::new(Inner { names, folders, contents, events, changes: 0, fault: None, full: false })))
    }

    pub(crate) fn fail_at(&self, change: usize, fault: Fault) {
        self.0.lock().unwrap().fault = Some((change, fault));
    }

    pub(crate) fn heal(&self) {
        let mut inner = self.0.lock().unwrap();
        inner.fault = None;
        inner.full = false;
    }

    pub(crate) fn changes(&self) -> usize {
        self.0.lock().unwrap().changes
    }

    pub(crate) fn note(&self, note: M) {
        self.0.lock().unwrap().events.push(Event::Note(note));
    }

    pub(crate) fn events(&self) -> Vec<Event<M>> {
        self.0.lock().unwrap().events.clone()
    }

    /// Every file with its bytes.
    pub(crate) fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let inner = self.0.lock().unwrap();
        inner.names.iter().map(|(name, &file)| (name.clone(), inner.contents[file].to_vec())).collect()
    }

    pub(crate) fn flip(&self, path: &Path, bit: usize) {
        let mut inner = self.0.lock().unwrap();
        let file = inner.names[path];
        Arc::make_mut(&mut inner.contents[file])[bit / 8] ^= 1 << (bit % 8);
    }

    /// A copy that shares nothing.
    pub(crate) fn copy(&self) -> Self {
        let inner = self.0.lock().unwrap();
        Self::with(inner.names.clone(), inner.folders.clone(), inner.contents.clone())
    }

    /// What a crash after the first events leaves of a disk that was `base` before them.
    pub(crate) fn crash(base: &Self, events: &[Event<M>], dice: &mut Dice) -> Self {
        let mut safe = Safe::of(base);
        events.iter().for_each(|event| safe.apply(event));
        safe.crash(dice).0
    }
}

/// What is safe, and what is not yet.
#[derive(Clone)]
pub(crate) struct Safe<M> {
    /// How often something has become safe or doomed.
    version: u64,
    names: BTreeMap<PathBuf, usize>,
    folders: BTreeSet<PathBuf>,
    contents: Vec<Arc<Vec<u8>>>,
    unsafe_writes: BTreeMap<usize, Vec<(usize, Vec<u8>)>>,
    doomed_writes: BTreeMap<usize, Vec<(usize, Vec<u8>)>>,
    /// By folder.
    unsafe_names: BTreeMap<PathBuf, Vec<Event<M>>>,
}

impl<M: Clone> Safe<M> {
    /// A disk on which everything is safe.
    pub(crate) fn of(disk: &SimDisk<M>) -> Self {
        let disk = disk.0.lock().unwrap();
        Self {
            version: 0,
            names: disk.names.clone(),
            folders: disk.folders.clone(),
            contents: disk.contents.clone(),
            unsafe_writes: BTreeMap::new(),
            doomed_writes: BTreeMap::new(),
            unsafe_names: BTreeMap::new(),
        }
    }

    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// What a crash now leaves, and a number that is the same for the same disk.
    pub(crate) fn crash(&self, dice: &mut Dice) -> (SimDisk<M>, (u64, u64)) {
        let mut left = self.clone();
        let survivors = left.lose_power(dice);
        (SimDisk::with(left.names, left.folders, left.contents), (self.version, survivors))
    }

    pub(crate) fn apply(&mut self, event: &Event<M>) {
        if matches!(event, Event::Sync(_) | Event::SyncFailed(_) | Event::SyncDir(_)) {
            self.version += 1;
        }
        match event {
            Event::Create(path, file) => {
                if self.contents.len() <= *file {
                    self.contents.resize(*file + 1, Arc::default());
                }
                self.name(path, event);
            }
            Event::Write(file, offset, bytes) => {
                self.unsafe_writes.entry(*file).or_default().push((*offset, bytes.clone()));
            }
            Event::Sync(file) => {
                for (offset, bytes) in self.unsafe_writes.remove(file).unwrap_or_default() {
                    put(Arc::make_mut(&mut self.contents[*file]), offset, &bytes);
                }
            }
            Event::SyncFailed(file) => {
                let doomed = self.unsafe_writes.remove(file).unwrap_or_default();
                self.doomed_writes.entry(*file).or_default().extend(doomed);
            }
            Event::CreateDir(path) | Event::Rename(_, path, _) | Event::Remove(path) => self.name(path, event),
            Event::SyncDir(folder) => {
                for event in self.unsafe_names.remove(folder).unwrap_or_default() {
                    self.make_safe(&event);
                }
            }
            Event::Note(_) => {}
        }
    }

    fn name(&mut self, path: &Path, event: &Event<M>) {
        let folder = path.parent().unwrap().to_owned();
        self.unsafe_names.entry(folder).or_default().push(event.clone());
    }

    fn make_safe(&mut self, event: &Event<M>) {
        match event {
            Event::Create(path, file) => {
                self.names.insert(path.clone(), *file);
            }
            Event::CreateDir(path) => {
                self.folders.insert(path.clone());
            }
            Event::Rename(from, to, file) => {
                self.names.remove(from);
                self.names.insert(to.clone(), *file);
            }
            Event::Remove(path) => {
                self.names.remove(path);
            }
            _ => {}
        }
    }

    /// Answers a number that says what survived.
    fn lose_power(&mut self, dice: &mut Dice) -> u64 {
        let mut survivors = DefaultHasher::new();
        // Nothing, everything, the beginning, or any part of what was unsafe.
        let how = dice.below(4);
        let mut left = dice.below(12);
        let mut survives = |dice: &mut Dice| match how {
            0 => false,
            1 => true,
            2 => {
                left = left.saturating_sub(1);
                left > 0
            }
            _ => dice.below(2) == 0,
        };
        for (folder, names) in std::mem::take(&mut self.unsafe_names) {
            for (index, event) in names.into_iter().enumerate() {
                if survives(dice) {
                    (&folder, index).hash(&mut survivors);
                    self.make_safe(&event);
                }
            }
        }
        let writes = std::mem::take(&mut self.unsafe_writes).into_iter().chain(std::mem::take(&mut self.doomed_writes));
        for (file, writes) in writes {
            for (offset, bytes) in writes {
                let mut at = offset;
                while at < offset + bytes.len() {
                    let end = ((at / SECTOR + 1) * SECTOR).min(offset + bytes.len());
                    let sector = &bytes[at - offset..end - offset];
                    if survives(dice) {
                        let content = Arc::make_mut(&mut self.contents[file]);
                        // One in eight is torn: the rest of it is garbage.
                        let torn_from = (dice.below(8) == 0).then(|| dice.below(sector.len()));
                        (file, at, torn_from).hash(&mut survivors);
                        if let Some(from) = torn_from {
                            let mut garbage = Dice((file + at + from) as u64);
                            let mut torn = sector.to_vec();
                            torn[from..].iter_mut().for_each(|byte| *byte = garbage.next() as u8);
                            put(content, at, &torn);
                        } else {
                            put(content, at, sector);
                        }
                    }
                    at = end;
                }
            }
        }
        let folders = self.folders.clone();
        let there = |path: &PathBuf| {
            path.ancestors().skip(1).all(|folder| folder == Path::new("/") || folders.contains(folder))
        };
        self.names.retain(|path, _| there(path));
        self.folders.retain(there);
        survivors.finish()
    }
}

/// Writes into bytes that grow with zeros.
fn put(content: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    content.resize(content.len().max(offset + bytes.len()), 0);
    content[offset..offset + bytes.len()].copy_from_slice(bytes);
}

impl<M: Clone> Inner<M> {
    /// Counts a change; an error if it is to fail.
    fn change(&mut self) -> io::Result<()> {
        self.changes += 1;
        match self.fault {
            Some((change, Fault::Full)) if change == self.changes => self.full = true,
            Some((change, Fault::Broken)) if change == self.changes => return Err(io::Error::other("EIO")),
            _ => {}
        }
        Ok(())
    }

    fn grow(&mut self) -> io::Result<()> {
        self.change()?;
        if self.full { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn find(&self, path: &Path) -> io::Result<usize> {
        self.names.get(path).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl<M: Clone + std::fmt::Debug + Send + 'static> Disk for SimDisk<M> {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        let mut inner = self.0.lock().unwrap();
        let new: Vec<PathBuf> = path.ancestors().map(Path::to_owned).filter(|path| path != Path::new("/")).collect();
        for folder in new.into_iter().rev() {
            if inner.folders.insert(folder.clone()) {
                inner.change()?;
                let above = folder.parent().unwrap().to_owned();
                inner.events.push(Event::CreateDir(folder));
                inner.events.push(Event::SyncDir(above));
            }
        }
        Ok(())
    }

    fn lock(&self, _: &Path) -> io::Result<Box<dyn Any + Send + Sync>> {
        Ok(Box::new(()))
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut inner = self.0.lock().unwrap();
        inner.grow()?;
        let file = inner.contents.len();
        inner.contents.push(Arc::default());
        inner.names.insert(path.to_owned(), file);
        inner.events.push(Event::Create(path.to_owned(), file));
        Ok(Box::new(SimFile { disk: self.clone(), file }))
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let inner = self.0.lock().unwrap();
        Ok(inner.contents[inner.find(path)?].to_vec())
    }

    fn read_ranges(&self, path: &Path, ranges: &[Range<u64>]) -> io::Result<Vec<Vec<u8>>> {
        let inner = self.0.lock().unwrap();
        let bytes = &inner.contents[inner.find(path)?];
        let part = |range: &Range<u64>| bytes.get(range.start as usize..range.end as usize).map(<[u8]>::to_vec);
        ranges.iter().map(|range| part(range).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())).collect()
    }

    fn sync_file(&self, path: &Path) -> io::Result<()> {
        let file = self.0.lock().unwrap().find(path)?;
        SimFile { disk: self.clone(), file }.sync()
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let inner = self.0.lock().unwrap();
        let within = inner.names.keys().chain(&inner.folders).filter(|name| name.parent() == Some(path));
        Ok(within.map(|name| name.file_name().unwrap().to_str().unwrap().to_owned()).collect())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut inner = self.0.lock().unwrap();
        inner.change()?;
        let file = inner.find(from)?;
        inner.names.remove(from);
        inner.names.insert(to.to_owned(), file);
        inner.events.push(Event::Rename(from.to_owned(), to.to_owned(), file));
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut inner = self.0.lock().unwrap();
        inner.change()?;
        if inner.names.remove(path).is_some() {
            inner.events.push(Event::Remove(path.to_owned()));
        }
        Ok(())
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let mut inner = self.0.lock().unwrap();
        inner.change()?;
        inner.events.push(Event::SyncDir(path.to_owned()));
        Ok(())
    }
}

struct SimFile<M> {
    disk: SimDisk<M>,
    file: usize,
}

impl<M: Clone + Send> Write for SimFile<M> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut inner = self.disk.0.lock().unwrap();
        let result = inner.grow();
        let written = if result.is_ok() { bytes } else { &bytes[..bytes.len() / 2] };
        let offset = inner.contents[self.file].len();
        Arc::make_mut(&mut inner.contents[self.file]).extend_from_slice(written);
        inner.events.push(Event::Write(self.file, offset, written.to_vec()));
        result.map(|()| bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<M: Clone + Send> DiskFile for SimFile<M> {
    fn sync(&mut self) -> io::Result<()> {
        let mut inner = self.disk.0.lock().unwrap();
        let result = inner.change();
        inner.events.push(if result.is_ok() { Event::Sync(self.file) } else { Event::SyncFailed(self.file) });
        result
    }
}
