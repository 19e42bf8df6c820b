//! Whether a store that nobody has open is whole: every part of the log and every sealed file is read. Nothing is changed.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::RecordBatch;
use serde::Serialize;

use crate::embedded::lock;
use crate::manifest::FileEntry;
use crate::place::claim;
use crate::read_only::ReadOnly;
use crate::reading::{is_whole, salvage};
use crate::recovery::recover;
use crate::report::Damage;
use crate::state::{DataFile, Shared};
use crate::{Disk, OpenError, Options, RecoveryReport};

/// How far a check is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Sealed files that were read.
    pub files: u64,
    /// All of them.
    pub of_files: u64,
    /// Bytes that were read.
    pub bytes: u64,
    /// All of them.
    pub of_bytes: u64,
}

/// What a check found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct CheckReport {
    /// Why the manifest cannot be read. The store does not open then, and of the rest only the sealed files that lie there
    /// are counted, in [`CheckReport::unnamed`].
    pub manifest: Option<String>,
    /// Sealed files that lie there without a manifest that could name them.
    pub unnamed: u64,
    /// What opening the store would find.
    pub recovery: RecoveryReport,
    /// Files that should be there and are not.
    pub missing: Vec<MissingFile>,
    /// Files whose bytes changed or cannot be decoded.
    pub damaged: Vec<DamagedFile>,
    /// Every table.
    pub tables: Vec<TableReport>,
}

/// A sealed file that is not there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MissingFile {
    /// The file.
    pub path: PathBuf,
    /// How many rows it holds.
    pub rows: u64,
}

/// A sealed file that is not what was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DamagedFile {
    /// The file.
    pub path: PathBuf,
    /// What is wrong.
    pub reason: String,
    /// How many rows were written into it.
    pub rows: u64,
    /// How many of them can be read, and are saved by a repair.
    pub readable: u64,
}

/// What a table holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TableReport {
    /// Its name.
    pub name: String,
    /// Sealed files that are there.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Their rows, as far as they can be read.
    pub rows: u64,
    /// Rows that stand in the log only.
    pub log_rows: u64,
}

impl CheckReport {
    /// Whether everything that was acknowledged is there and can be read. The end of a log that was being written when the
    /// process died is no damage: nothing in it had been acknowledged.
    pub fn is_whole(&self) -> bool {
        self.manifest.is_none() && self.recovery.is_complete() && self.missing.is_empty() && self.damaged.is_empty()
    }
}

/// Reads everything. Blocks, for as long as the disk takes; `progress` hears of each file.
///
/// # Errors
/// When the store is open, is not there, is of a newer format, or cannot be read for other reasons than damage.
pub fn check(
    directory: impl AsRef<Path>,
    options: Options,
    progress: &mut dyn FnMut(Progress),
) -> Result<CheckReport, OpenError> {
    let root = directory.as_ref();
    let _lock = lock(root, &*options.disk)?;
    let options = Options { disk: Arc::new(ReadOnly(options.disk.clone())), ..options };
    claim(root, &*options.disk)?;
    let mut report = CheckReport::default();
    if let Some(reason) = manifest_damage(root, &*options.disk)? {
        let files = sealed_files(root, &*options.disk)?;
        return Ok(CheckReport { manifest: Some(reason), unnamed: files.len() as u64, ..report });
    }
    let recovered = recover(root, options)?;
    report.recovery = recovered.report;
    // No copies were made.
    let recovery = &mut report.recovery;
    recovery.quarantined.iter_mut().chain(&mut recovery.truncated).for_each(|damage: &mut Damage| damage.copy = None);
    report.missing = missing(&recovered.shared);
    report.tables = tables(&recovered.shared);
    examine_all(&recovered.shared, progress, |table, examined| {
        let Some(reason) = examined.reason else { return Ok(()) };
        if let Some(table) = report.tables.iter_mut().find(|report| report.name == table) {
            table.rows -= examined.file.entry.rows - examined.readable;
        }
        report.damaged.push(DamagedFile {
            path: examined.file.path.clone(),
            reason,
            rows: examined.file.entry.rows,
            readable: examined.readable,
        });
        Ok(())
    })?;
    Ok(report)
}

/// What opening a store would find, without opening it: for tests that ask a hundred thousand times.
#[doc(hidden)]
#[derive(Debug)]
pub struct Contents {
    /// Rows that stand in the log only.
    pub rows: Vec<Arc<RecordBatch>>,
    /// Sealed files.
    pub files: Vec<PathBuf>,
    /// Rows before this time do not count.
    pub kept_from: Option<storage_api::Timestamp>,
    /// What was damaged.
    pub recovery: RecoveryReport,
}

/// See [`Contents`]; of one table.
#[doc(hidden)]
pub fn contents(root: &Path, options: Options, table: &storage_api::TableName) -> Result<Contents, OpenError> {
    let options = Options { disk: Arc::new(ReadOnly(options.disk.clone())), ..options };
    let recovered = recover(root, options)?;
    let mut contents = Contents { rows: Vec::new(), files: Vec::new(), kept_from: None, recovery: recovered.report };
    if let Some(table) = recovered.shared.tables().get(table) {
        contents.rows = table.active.iter().map(|rows| rows.batch.clone()).collect();
        contents.files = table.files.iter().map(|file| file.path.clone()).collect();
        contents.kept_from = table.kept_from;
    }
    Ok(contents)
}

/// Why the manifest of a store cannot be read, if it cannot.
pub(crate) fn manifest_damage(root: &Path, disk: &dyn Disk) -> Result<Option<String>, OpenError> {
    match crate::recovery::read_manifest(disk, root) {
        Ok(Some(_)) => Ok(None),
        Ok(None) => Err(OpenError::Missing { path: root.join("MANIFEST") }),
        Err(OpenError::Damaged { reason, .. }) => Ok(Some(reason)),
        Err(OpenError::Missing { .. }) => Ok(Some("it is missing".to_owned())),
        Err(error) => Err(error),
    }
}

/// All finished sealed files that lie in the folders of tables: folder, name.
pub(crate) fn sealed_files(root: &Path, disk: &dyn Disk) -> Result<Vec<(String, String)>, OpenError> {
    let list = |folder: &Path| disk.list(folder).map_err(|error| OpenError::io(folder, error));
    let mut found = Vec::new();
    let folder = root.join("tables");
    let mut tables = list(&folder)?;
    tables.sort_unstable();
    for table in tables {
        let names = list(&folder.join(&table))?;
        found.extend(
            names.into_iter().filter(|name| FileEntry::parse_name(name).is_some()).map(|name| (table.clone(), name)),
        );
    }
    Ok(found)
}

pub(crate) fn missing(shared: &Shared) -> Vec<MissingFile> {
    let there: Vec<(storage_api::TableName, Vec<u64>)> = shared
        .tables()
        .iter()
        .map(|(name, table)| (name.clone(), table.files.iter().map(|file| file.entry.id).collect()))
        .collect();
    let mut missing = Vec::new();
    for (name, ids) in there {
        for entry in shared.entries(&name).into_iter().filter(|entry| !ids.contains(&entry.id)) {
            let path = shared.root.join(FileEntry::folder(&name)).join(entry.name());
            missing.push(MissingFile { path, rows: entry.rows });
        }
    }
    missing
}

pub(crate) fn tables(shared: &Shared) -> Vec<TableReport> {
    let report = |(name, table): (&storage_api::TableName, &crate::state::Table)| TableReport {
        name: name.to_string(),
        files: table.files.len() as u64,
        bytes: table.files.iter().map(|file| file.entry.bytes).sum(),
        rows: table.files.iter().map(|file| file.entry.rows).sum(),
        log_rows: table.active.iter().map(|rows| rows.batch.num_rows() as u64).sum(),
    };
    shared.tables().iter().map(report).collect()
}

/// A sealed file that was read as a whole.
pub(crate) struct Examined {
    pub(crate) file: Arc<DataFile>,
    /// What is wrong, if anything.
    pub(crate) reason: Option<String>,
    pub(crate) batches: Vec<RecordBatch>,
    pub(crate) readable: u64,
}

/// Reads every file and hands on what it found.
pub(crate) fn examine_all(
    shared: &Shared,
    progress: &mut dyn FnMut(Progress),
    mut found: impl FnMut(&str, Examined) -> Result<(), OpenError>,
) -> Result<(), OpenError> {
    let files: Vec<_> = shared.tables().iter().map(|(name, table)| (name.clone(), table.files.clone())).collect();
    let all = || files.iter().flat_map(|(_, files)| files);
    let (of_files, of_bytes) = (all().count() as u64, all().map(|file| file.entry.bytes).sum());
    let mut now = Progress { files: 0, of_files, bytes: 0, of_bytes };
    progress(now);
    for (name, files) in &files {
        for file in files {
            found(name.as_str(), examine(file)?)?;
            now.files += 1;
            now.bytes += file.entry.bytes;
            progress(now);
        }
    }
    Ok(())
}

fn examine(file: &Arc<DataFile>) -> Result<Examined, OpenError> {
    let bytes = match file.disk().read(&file.path) {
        Ok(bytes) => bytes,
        // A disk that cannot read these sectors any more; anything else may pass.
        Err(error) if is_broken(&error) => {
            let reason = Some(error.to_string());
            return Ok(Examined { file: file.clone(), reason, batches: Vec::new(), readable: 0 });
        }
        Err(error) => return Err(OpenError::io(&file.path, error)),
    };
    let whole = is_whole(&file.entry, &bytes);
    let salvaged = salvage(bytes, file.entry.tail);
    let decoded = salvaged.rows == file.entry.rows;
    let reason = match (whole, decoded) {
        (true, true) => None,
        (false, _) => Some("its checksum does not fit".to_owned()),
        (true, false) => Some("its rows cannot be decoded".to_owned()),
    };
    let readable = salvaged.rows.min(file.entry.rows);
    Ok(Examined { file: file.clone(), reason, batches: salvaged.batches, readable })
}

/// EIO.
pub(crate) fn is_broken(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error())
}
