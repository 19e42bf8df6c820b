//! What the store holds, behind one short lock; and the manifest, behind another that is held while it is written.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::TimestampNanosecondType;
use storage_api::{BatchWindows, DedupLimits, TableDefinition, TableName, Timestamp};

use crate::budget::Budget;
use crate::error::Failure;
use crate::footers::Footers;
use crate::manifest::{FileEntry, Manifest};
use crate::reserve::Reserve;
use crate::stats::Counters;
use crate::{Disk, Options};

/// Everything that the parts of an open store share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) root: PathBuf,
    pub(crate) options: Options,
    pub(crate) budget: Budget,
    pub(crate) counters: Counters,
    pub(crate) footers: Footers,
    reserve: Reserve,
    tables: Mutex<Tables>,
    manifest: Mutex<Manifest>,
}

pub(crate) type Tables = BTreeMap<TableName, Table>;

#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) definition: TableDefinition,
    /// Rows before this time were dropped; those that files or memory still hold are hidden.
    pub(crate) kept_from: Option<Timestamp>,
    /// Rows in the current log segments.
    pub(crate) active: Vec<Arc<Rows>>,
    /// Rows that are being written to files.
    pub(crate) sealed: Vec<Arc<Rows>>,
    pub(crate) files: Vec<Arc<DataFile>>,
    pub(crate) windows: BatchWindows,
}

/// A batch in memory.
#[derive(Debug)]
pub(crate) struct Rows {
    pub(crate) batch: Arc<RecordBatch>,
    /// Times of the earliest and the latest row.
    pub(crate) first: i64,
    pub(crate) last: i64,
    /// What it takes of the [`Budget`].
    pub(crate) units: u32,
}

/// A sealed file. Once it is obsolete it is removed as soon as no scan reads it.
#[derive(Debug)]
pub(crate) struct DataFile {
    pub(crate) entry: FileEntry,
    pub(crate) path: PathBuf,
    disk: Arc<dyn Disk>,
    obsolete: AtomicBool,
    /// Its bytes were found changed; it is not merged, so that what is wrong stays where it is.
    damaged: AtomicBool,
}

/// A table at one moment.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) definition: TableDefinition,
    pub(crate) kept_from: Option<Timestamp>,
    pub(crate) rows: Vec<Arc<Rows>>,
    pub(crate) files: Vec<Arc<DataFile>>,
}

impl Shared {
    pub(crate) fn new(root: PathBuf, options: Options, manifest: Manifest, tables: Tables) -> Self {
        Self {
            root,
            budget: Budget::new(options.limits.memory),
            counters: Counters::default(),
            footers: Footers::new(options.limits.footers),
            reserve: Reserve::default(),
            options,
            tables: Mutex::new(tables),
            manifest: Mutex::new(manifest),
        }
    }

    pub(crate) fn disk(&self) -> &dyn Disk {
        &*self.options.disk
    }

    pub(crate) fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn definition(&self, table: &TableName) -> Option<TableDefinition> {
        self.tables().get(table).map(|table| table.definition.clone())
    }

    pub(crate) fn snapshot(&self, table: &TableName) -> Option<Snapshot> {
        let tables = self.tables();
        let table = tables.get(table)?;
        Some(Snapshot {
            definition: table.definition.clone(),
            kept_from: table.kept_from,
            rows: table.sealed.iter().chain(&table.active).cloned().collect(),
            files: table.files.clone(),
        })
    }

    /// Changes the manifest: on the disk first, and only if that succeeds in memory, together with the tables.
    ///
    /// After a failure the old or the new manifest may be on the disk. Both describe the same rows, since nothing that
    /// either names is removed; the next change writes the whole manifest again.
    pub(crate) fn commit<R>(
        &self,
        change: impl FnOnce(&mut Manifest) -> Result<R, Failure>,
        install: impl FnOnce(&mut Tables, R),
    ) -> Result<(), Failure> {
        let mut manifest = self.manifest.lock().unwrap_or_else(PoisonError::into_inner);
        let mut next = manifest.clone();
        let result = change(&mut next)?;
        match write_manifest(self.disk(), &self.root, &next) {
            // On a full disk retention must still be able to say what is no longer needed.
            Err(failure) if failure.full => {
                self.reserve.use_up(self.disk(), &self.root);
                write_manifest(self.disk(), &self.root, &next)?;
            }
            written => written?,
        }
        *manifest = next;
        install(&mut self.tables(), result);
        Ok(())
    }

    /// The files that the manifest names, there or not.
    pub(crate) fn entries(&self, table: &TableName) -> Vec<FileEntry> {
        let manifest = self.manifest.lock().unwrap_or_else(PoisonError::into_inner);
        manifest.tables.get(table.as_str()).map(|entry| entry.files.clone()).unwrap_or_default()
    }

    pub(crate) fn take_reserve(&self) {
        if self.options.reserve {
            self.reserve.take(self.disk(), &self.root);
        }
    }

    /// A new id for a file. It is not used again even if the file is never named by a manifest.
    pub(crate) fn next_file(&self) -> u64 {
        let mut manifest = self.manifest.lock().unwrap_or_else(PoisonError::into_inner);
        manifest.next_file += 1;
        manifest.next_file - 1
    }

    pub(crate) fn data_file(&self, table: &TableName, entry: FileEntry) -> Arc<DataFile> {
        let path = self.root.join(FileEntry::folder(table)).join(entry.name());
        let (obsolete, damaged) = (AtomicBool::new(false), AtomicBool::new(false));
        Arc::new(DataFile { entry, path, disk: self.options.disk.clone(), obsolete, damaged })
    }
}

/// Writes the manifest aside, makes it safe, and puts it in place of the old one.
pub(crate) fn write_manifest(disk: &dyn Disk, root: &Path, manifest: &Manifest) -> Result<(), Failure> {
    let fail = |error: &(dyn std::error::Error + 'static)| Failure::new("the manifest could not be written", error);
    let bytes = manifest.encode().map_err(|error| fail(&error))?;
    let (new, place) = (root.join("MANIFEST.new"), root.join("MANIFEST"));
    let write = || {
        let mut file = disk.create(&new)?;
        file.write_all(&bytes)?;
        file.sync()?;
        drop(file);
        disk.rename(&new, &place)?;
        disk.sync_dir(root)
    };
    write().map_err(|error| fail(&error))
}

impl Table {
    pub(crate) fn new(definition: TableDefinition, limits: DedupLimits) -> Self {
        Self {
            definition,
            kept_from: None,
            active: Vec::new(),
            sealed: Vec::new(),
            files: Vec::new(),
            windows: BatchWindows::new(limits),
        }
    }
}

impl Rows {
    /// Wraps rows that have their table's shape; none for no rows.
    pub(crate) fn new(batch: Arc<RecordBatch>, time: usize, units: u32) -> Option<Self> {
        let times = batch.columns().get(time)?.as_primitive_opt::<TimestampNanosecondType>()?.values();
        let (first, last) =
            times.iter().fold((i64::MAX, i64::MIN), |(first, last), &time| (first.min(time), last.max(time)));
        (!times.is_empty()).then_some(Self { batch, first, last, units })
    }
}

impl DataFile {
    /// No longer part of the store.
    pub(crate) fn retire(&self) {
        self.obsolete.store(true, Ordering::Release);
    }

    pub(crate) fn set_damaged(&self) {
        self.damaged.store(true, Ordering::Release);
    }

    pub(crate) fn is_damaged(&self) -> bool {
        self.damaged.load(Ordering::Acquire)
    }

    pub(crate) fn disk(&self) -> &Arc<dyn Disk> {
        &self.disk
    }
}

impl Drop for DataFile {
    fn drop(&mut self) {
        if self.obsolete.load(Ordering::Acquire) {
            // If it stays, the next opening of the store removes it.
            let _ = self.disk.remove(&self.path);
        }
    }
}
