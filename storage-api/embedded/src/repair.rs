//! Makes a damaged store whole again, out of what can still be read, and says what is lost.

use std::path::{Path, PathBuf};

use serde::Serialize;
use storage_api::{TableDefinition, TableName};

use crate::check::{Examined, MissingFile, Progress, TableReport, examine_all, manifest_damage, missing, tables};
use crate::embedded::lock;
use crate::error::Failure;
use crate::flush::write_rows;
use crate::keeper::Keeper;
use crate::log::Log;
use crate::place::claim;
use crate::rebuild::{Rebuilt, rebuild};
use crate::recovery::recover;
use crate::state::Shared;
use crate::{Disk, OpenError, Options, RecoveryReport};

/// What a repair did and could not save.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RepairReport {
    /// Set when the manifest had to be made anew out of the files.
    pub manifest: Option<Rebuilt>,
    /// What reading the log found. Damaged parts were kept in `quarantine/`; the rest was written anew.
    pub recovery: RecoveryReport,
    /// Files that are gone: the store no longer expects them. Their rows are lost.
    pub missing: Vec<MissingFile>,
    /// Files that were replaced by what could be read of them.
    pub mended: Vec<MendedFile>,
    /// Every table, as it is now.
    pub tables: Vec<TableReport>,
}

/// A damaged file that is no longer part of the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MendedFile {
    /// The file.
    pub path: PathBuf,
    /// What was wrong with it.
    pub reason: String,
    /// How many rows were written into it.
    pub rows: u64,
    /// How many of them were saved into a new file.
    pub saved: u64,
    /// Where the damaged file is kept.
    pub kept_as: PathBuf,
}

impl RepairReport {
    /// Rows of sealed files that are lost. What damaged parts of the log held is not known.
    pub fn rows_lost(&self) -> u64 {
        let missing = self.missing.iter().map(|file| file.rows);
        missing.chain(self.mended.iter().map(|file| file.rows - file.saved)).sum()
    }
}

/// Reads everything, saves what is readable of damaged files into new ones, and takes out of the store what is lost. A
/// manifest that cannot be read is made anew out of the sealed files; `known` says what tables are that have none. Damaged
/// bytes are kept in `quarantine/`. Can be interrupted and begun again at any moment. Blocks.
///
/// # Errors
/// As [`crate::check`], and when the disk cannot be written.
pub fn repair(
    directory: impl AsRef<Path>,
    options: Options,
    known: &[TableDefinition],
    progress: &mut dyn FnMut(Progress),
) -> Result<RepairReport, OpenError> {
    let root = directory.as_ref();
    let _lock = lock(root, &*options.disk)?;
    claim(root, &*options.disk)?;
    let mut report = RepairReport::default();
    if let Some(reason) = manifest_damage(root, &*options.disk)? {
        report.manifest = Some(rebuild(root, &*options.disk, known, reason)?);
    }
    let recovered = recover(root, options)?;
    let shared = std::sync::Arc::new(recovered.shared);
    report.recovery = recovered.report;
    report.missing = missing(&shared);
    let failed = |failure: Failure| OpenError::io(root, std::io::Error::other(failure));
    if !report.missing.is_empty() {
        forget_missing(&shared).map_err(failed)?;
    }
    examine_all(&shared, progress, |table, examined| {
        if examined.reason.is_some() {
            report.mended.push(mend(&shared, table, examined)?);
        }
        Ok(())
    })?;
    // Damaged parts of the log are in quarantine; what was good is written into a new segment.
    let (keeper, _tasks) = Keeper::new();
    let mut log = Log::new(shared.clone(), keeper, recovered.log.next);
    log.rewrite(recovered.log).map_err(|error| OpenError::io(root, error))?;
    report.tables = tables(&shared);
    Ok(report)
}

fn forget_missing(shared: &Shared) -> Result<(), Failure> {
    let there: Vec<(TableName, Vec<u64>)> = shared
        .tables()
        .iter()
        .map(|(name, table)| (name.clone(), table.files.iter().map(|file| file.entry.id).collect()))
        .collect();
    shared.commit(
        |manifest| {
            for (name, ids) in &there {
                if let Some(entry) = manifest.tables.get_mut(name.as_str()) {
                    entry.files.retain(|file| ids.contains(&file.id));
                }
            }
            Ok(())
        },
        |_, ()| {},
    )
}

fn mend(shared: &Shared, table: &str, examined: Examined) -> Result<MendedFile, OpenError> {
    let Examined { file, reason, batches, readable } = examined;
    let failed = |failure: Failure| OpenError::io(&file.path, std::io::Error::other(failure));
    let name = TableName::new(table).map_err(|error| OpenError::io(&file.path, std::io::Error::other(error)))?;
    let copy = format!("{table}-{}", file.entry.name());
    let kept_as = match file.disk().read(&file.path) {
        Ok(bytes) => keep_aside(shared.disk(), &shared.root, &copy, &bytes)?,
        Err(_) => move_aside(shared.disk(), &shared.root, &copy, &file.path)?,
    };
    let saved = match shared.snapshot(&name) {
        Some(table) if readable > 0 => {
            write_rows(shared, &table.definition, table.kept_from, &batches, 1, &[file.entry.id]).map_err(failed)?
        }
        _ => Vec::new(),
    };
    shared
        .commit(
            |manifest| {
                if let Some(entry) = manifest.tables.get_mut(name.as_str()) {
                    entry.files.retain(|entry| entry.id != file.entry.id);
                    entry.files.extend(saved.iter().map(|file| file.entry.clone()));
                }
                Ok(())
            },
            |tables, ()| {
                if let Some(table) = tables.get_mut(&name) {
                    table.files.retain(|other| other.entry.id != file.entry.id);
                    table.files.extend(saved.iter().cloned());
                }
                file.retire();
            },
        )
        .map_err(failed)?;
    let reason = reason.unwrap_or_default();
    Ok(MendedFile { path: file.path.clone(), reason, rows: file.entry.rows, saved: readable, kept_as })
}

/// Keeps bytes for whoever can read more out of them; safe when it returns.
pub(crate) fn keep_aside(disk: &dyn Disk, root: &Path, name: &str, bytes: &[u8]) -> Result<PathBuf, OpenError> {
    let folder = root.join("quarantine");
    let copy = folder.join(name);
    let keep = || {
        disk.create_dir(&folder)?;
        let mut file = disk.create(&copy)?;
        file.write_all(bytes)?;
        file.sync()?;
        disk.sync_dir(&folder)
    };
    keep().map_err(|error| OpenError::io(&copy, error))?;
    Ok(copy)
}

/// The same for a file of which not a byte can be read.
fn move_aside(disk: &dyn Disk, root: &Path, name: &str, path: &Path) -> Result<PathBuf, OpenError> {
    let folder = root.join("quarantine");
    let place = folder.join(name);
    let moved = || {
        disk.create_dir(&folder)?;
        disk.rename(path, &place)?;
        disk.sync_dir(&folder)
    };
    moved().map_err(|error| OpenError::io(&place, error))?;
    Ok(place)
}
