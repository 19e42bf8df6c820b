//! Opening: the manifest says what there is; the log is read again; what belongs to nothing is removed; what is damaged is
//! set aside and reported.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use storage_api::{BatchId, BatchWindows, Seen, TableName};

use crate::budget::Budget;
use crate::error::OpenError;
use crate::frame::{HeaderError, Piece, SEGMENT_HEADER, Segment, VERSION};
use crate::log::{log_folder, segment_path};
use crate::manifest::{FileEntry, Manifest, ManifestError};
use crate::record::{Parsed, Record};
use crate::repair::keep_aside;
use crate::report::{Damage, RecoveryReport};
use crate::state::{Rows, Shared, Table, Tables, write_manifest};
use crate::{Disk, Options};

/// An opened store, before its threads run.
#[derive(Debug)]
pub(crate) struct Recovered {
    pub(crate) shared: Shared,
    pub(crate) report: RecoveryReport,
    pub(crate) log: Replayed,
}

pub(crate) fn recover(root: &Path, options: Options) -> Result<Recovered, OpenError> {
    let disk = options.disk.clone();
    let mut report = RecoveryReport::default();
    let manifest = match read_manifest(&*disk, root)? {
        Some(manifest) => manifest,
        None => new_store(&*disk, root)?,
    };
    let mut tables = Tables::new();
    for (name, entry) in &manifest.tables {
        let path = root.join("MANIFEST");
        let damaged = |reason: String| OpenError::Damaged { path: path.clone(), reason };
        let name = TableName::new(name).map_err(|error| damaged(error.to_string()))?;
        let definition = entry.definition().map_err(|error| damaged(error.to_string()))?;
        let mut table = Table::new(definition, options.limits.dedup);
        table.kept_from = entry.kept_from();
        table.windows = entry.windows(options.limits.dedup).map_err(|error| damaged(error.to_string()))?;
        tables.insert(name, table);
    }
    let shared = Shared::new(root.to_owned(), options, manifest.clone(), tables);
    find_files(&shared, &manifest, &mut report)?;
    let log = replay(&shared, manifest.log_from, &mut report)?;
    Ok(Recovered { shared, report, log })
}

/// The manifest; none where no store is yet.
pub(crate) fn read_manifest(disk: &dyn Disk, root: &Path) -> Result<Option<Manifest>, OpenError> {
    let path = root.join("MANIFEST");
    let io = |error| OpenError::io(&path, error);
    let bytes = match disk.read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // A new store writes its manifest before anything else, so one with a log or tables has lost it.
            let log = disk.list(&log_folder(root)).map_err(io)?;
            let tables = disk.list(&root.join("tables")).map_err(io)?;
            return match log.iter().any(|name| name.ends_with(".log")) || !tables.is_empty() {
                true => Err(OpenError::Missing { path }),
                false => Ok(None),
            };
        }
        Err(error) => return Err(io(error)),
    };
    Manifest::decode(&bytes).map(Some).map_err(|error| match error {
        ManifestError::Newer(found) => OpenError::NewerFormat { path: path.clone(), found, known: 1 },
        ManifestError::Damaged(reason) => OpenError::Damaged { path: path.clone(), reason },
    })
}

fn new_store(disk: &dyn Disk, root: &Path) -> Result<Manifest, OpenError> {
    let manifest = Manifest { log_from: 1, next_file: 1, tables: BTreeMap::new() };
    let io = |error| OpenError::io(root, error);
    disk.create_dir(&log_folder(root)).map_err(io)?;
    disk.create_dir(&root.join("tables")).map_err(io)?;
    write_manifest(disk, root, &manifest).map_err(|failure| io(io::Error::other(failure)))?;
    Ok(manifest)
}

/// Finds the files that the manifest names, and removes those that it does not: a crash left them before they counted.
fn find_files(shared: &Shared, manifest: &Manifest, report: &mut RecoveryReport) -> Result<(), OpenError> {
    let names: Vec<TableName> = shared.tables().keys().cloned().collect();
    for name in names {
        let folder = shared.root.join(FileEntry::folder(&name));
        let there = shared.disk().list(&folder).map_err(|error| OpenError::io(&folder, error))?;
        let mut there: BTreeSet<String> = there.into_iter().filter(|name| is_ours(name)).collect();
        let entries = manifest.tables.get(name.as_str()).map(|entry| entry.files.as_slice()).unwrap_or_default();
        let mut files = Vec::with_capacity(entries.len());
        for entry in entries {
            if there.remove(&entry.name()) {
                files.push(shared.data_file(&name, entry.clone()));
            } else {
                report.missing.push(folder.join(entry.name()));
            }
        }
        if let Some(table) = shared.tables().get_mut(&name) {
            table.files = files;
        }
        for leftover in there {
            let path = folder.join(leftover);
            shared.disk().remove(&path).map_err(|error| OpenError::io(&path, error))?;
            report.leftovers += 1;
        }
    }
    Ok(())
}

/// `HOUR-ID.parquet`, finished or not.
fn is_ours(name: &str) -> bool {
    FileEntry::parse_name(name.strip_suffix(".new").unwrap_or(name)).is_some()
}

/// What reading the log again brings.
#[derive(Debug)]
pub(crate) struct Replayed {
    /// The batches, in order.
    pub(crate) records: Vec<Record>,
    /// The segments that held them. Once the batches stand in a new one, these are not needed any more.
    pub(crate) segments: Vec<PathBuf>,
    /// The number of the next segment.
    pub(crate) next: u64,
}

/// Reads the log from its first needed segment on.
fn replay(shared: &Shared, log_from: u64, report: &mut RecoveryReport) -> Result<Replayed, OpenError> {
    let folder = log_folder(&shared.root);
    let names = shared.disk().list(&folder).map_err(|error| OpenError::io(&folder, error))?;
    let mut numbers: Vec<u64> = names.iter().filter_map(|name| name.strip_suffix(".log")?.parse().ok()).collect();
    numbers.sort_unstable();
    let before = shared.tables().iter().map(|(name, table)| (name.clone(), table.windows.clone())).collect();
    let next = numbers.last().map_or(log_from, |last| log_from.max(last + 1));
    let replayed = Replayed { records: Vec::new(), segments: Vec::new(), next };
    let mut replay = Replay { shared, report, before, seen: HashSet::new(), replayed };
    for &number in &numbers {
        let path = segment_path(&shared.root, number);
        if number < log_from {
            shared.disk().remove(&path).map_err(|error| OpenError::io(&path, error))?;
        } else {
            replay.segment(number, path)?;
        }
    }
    Ok(replay.replayed)
}

struct Replay<'a> {
    shared: &'a Shared,
    report: &'a mut RecoveryReport,
    /// What was stored before this log began.
    before: BTreeMap<TableName, BatchWindows>,
    /// What this log brought back so far. The tables' windows cannot be asked: a batch that was never acknowledged may
    /// stand in the log too, and may have moved them.
    seen: HashSet<(TableName, BatchId)>,
    replayed: Replayed,
}

impl Replay<'_> {
    fn segment(&mut self, number: u64, path: PathBuf) -> Result<(), OpenError> {
        let bytes = self.shared.disk().read(&path).map_err(|error| OpenError::io(&path, error))?;
        match Segment::parse(&bytes) {
            Ok(segment) if segment.number == number => {
                self.report.segments += 1;
                for piece in segment.pieces(&bytes) {
                    match piece {
                        Piece::Payload { offset, payload } => {
                            if self.record(payload).is_none() {
                                let damage = self.set_aside(&path, offset, payload)?;
                                self.report.quarantined.push(damage);
                            }
                        }
                        Piece::Damage { offset, bytes } => {
                            let damage = self.set_aside(&path, offset, bytes)?;
                            self.report.quarantined.push(damage);
                        }
                        Piece::Tail { offset, bytes } => {
                            let damage = self.set_aside(&path, offset, bytes)?;
                            self.report.truncated.push(damage);
                        }
                    }
                }
            }
            Err(HeaderError::Newer(found)) => return Err(OpenError::NewerFormat { path, found, known: VERSION }),
            // A segment of which the first write did not arrive holds nothing that was acknowledged.
            _ if bytes.len() < SEGMENT_HEADER || bytes.iter().all(|&byte| byte == 0) => {
                let damage = self.set_aside(&path, 0, &bytes)?;
                self.report.truncated.push(damage);
            }
            _ => {
                let damage = self.set_aside(&path, 0, &bytes)?;
                self.report.quarantined.push(damage);
            }
        }
        self.replayed.segments.push(path);
        Ok(())
    }

    /// Brings one batch back; `None` when it cannot be understood.
    fn record(&mut self, payload: &[u8]) -> Option<()> {
        let parsed = Parsed::parse(payload)?;
        let mut tables = self.shared.tables();
        let table = tables.get_mut(&parsed.table)?;
        let record = parsed.record(table.definition.schema()).ok()?;
        let before = self.before.get(&record.table).map_or(Seen::New, |windows| windows.seen(record.id));
        if before == Seen::Before || !self.seen.insert((record.table.clone(), record.id)) {
            self.report.repeated += 1;
            return Some(());
        }
        table.windows.record(record.id);
        self.report.batches += 1;
        self.report.rows += record.rows.num_rows() as u64;
        if record.rows.num_rows() > 0 {
            let units = self.shared.budget.occupy(Budget::units(record.size()));
            table.active.extend(Rows::new(record.rows.clone(), table.definition.time_index(), units).map(Arc::new));
        }
        self.replayed.records.push(record);
        Some(())
    }

    /// Keeps damaged bytes for whoever can read more out of them.
    fn set_aside(&self, path: &Path, offset: usize, bytes: &[u8]) -> Result<Damage, OpenError> {
        let damage = Damage { path: path.to_owned(), offset: offset as u64, length: bytes.len() as u64, copy: None };
        if bytes.iter().all(|&byte| byte == 0) {
            return Ok(damage);
        }
        let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        let copy = keep_aside(self.shared.disk(), &self.shared.root, &format!("{stem}-{offset}.bin"), bytes)?;
        Ok(Damage { copy: Some(copy), ..damage })
    }
}
