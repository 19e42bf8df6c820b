//! A manifest made anew out of the sealed files, when the one there was is lost.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Serialize;
use storage_api::{TableDefinition, TableName};

use crate::check::sealed_files;
use crate::error::Failure;
use crate::flush::times;
use crate::log::log_folder;
use crate::manifest::{FileEntry, Manifest, TableEntry, TailEntry};
use crate::parquet_file::REPLACES;
use crate::reading::{Salvage, salvage};
use crate::repair::keep_aside;
use crate::state::write_manifest;
use crate::{Disk, OpenError};

/// What a new manifest was made of. Not known any more are: which batches were stored (one that a sender repeats is stored
/// again), up to when rows had been dropped (rows of files that hold younger ones too come back until retention drops them
/// again), and whether rows in the log had just been written to a file (then they are there twice).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Rebuilt {
    /// What was wrong with the old one.
    pub reason: String,
    /// Where the old one is kept; none if there was none.
    pub kept_as: Option<PathBuf>,
    /// Sealed files that it names.
    pub files: u64,
    /// Files that were left out because a merged file holds their rows.
    pub replaced: u64,
    /// Files of which neither the footer nor the table could be made out: where they are kept. Their rows are lost.
    pub unreadable: Vec<PathBuf>,
}

/// A file that could be read.
struct Found {
    entry: FileEntry,
    definition: Option<TableDefinition>,
    replaces: Vec<u64>,
    whole: bool,
}

/// Writes a new manifest.
pub(crate) fn rebuild(
    root: &Path,
    disk: &dyn Disk,
    known: &[TableDefinition],
    reason: String,
) -> Result<Rebuilt, OpenError> {
    let mut rebuilt = Rebuilt { reason, ..Rebuilt::default() };
    let place = root.join("MANIFEST");
    if let Ok(bytes) = disk.read(&place) {
        let name = format!("MANIFEST-{:08x}", crc32c::crc32c(&bytes));
        rebuilt.kept_as = Some(keep_aside(disk, root, &name, &bytes)?);
    }
    let mut tables: BTreeMap<String, (Option<TableDefinition>, Vec<Found>)> = BTreeMap::new();
    for definition in known {
        tables.insert(definition.name().to_string(), (Some(definition.clone()), Vec::new()));
    }
    let mut next_file = 1;
    for (table, name) in sealed_files(root, disk)? {
        let Some((hour, id)) = FileEntry::parse_name(&name) else { continue };
        next_file = next_file.max(id + 1);
        let path = root.join("tables").join(&table).join(&name);
        let bytes = disk.read(&path).map_err(|error| OpenError::io(&path, error))?;
        match find(&table, hour, id, &bytes, known) {
            Some(found) => tables.entry(table).or_default().1.push(found),
            // It would be removed as belonging to nothing.
            None => rebuilt.unreadable.push(keep_aside(disk, root, &format!("{table}-{name}"), &bytes)?),
        }
    }
    let folder = log_folder(root);
    let names = disk.list(&folder).map_err(|error| OpenError::io(&folder, error))?;
    let log_from = names.iter().filter_map(|name| name.strip_suffix(".log")?.parse().ok()).min().unwrap_or(1);
    let mut manifest = Manifest { log_from, next_file, tables: BTreeMap::new() };
    for (name, (known, mut files)) in tables {
        files.sort_by_key(|file| file.entry.id);
        // Columns are only ever added, so the newest file knows most.
        let mut definitions = files.iter().filter_map(|file| file.definition.clone());
        let first = definitions.next();
        let grown = first.map(|first| definitions.fold(first, |table, newer| table.grown_by(&newer).unwrap_or(table)));
        let Some(definition) = grown.or(known) else { continue };
        let mut entry = TableEntry::new(&definition);
        let there: BTreeSet<u64> = files.iter().map(|file| file.entry.id).collect();
        // A damaged file whose sources are all still there is not needed; a whole one makes its sources unnecessary.
        let spare = |file: &Found| {
            !file.whole && !file.replaces.is_empty() && file.replaces.iter().all(|id| there.contains(id))
        };
        let replaced: BTreeSet<u64> =
            files.iter().filter(|file| file.whole).flat_map(|file| file.replaces.iter().copied()).collect();
        for file in files {
            if replaced.contains(&file.entry.id) || spare(&file) {
                rebuilt.replaced += 1;
            } else {
                rebuilt.files += 1;
                entry.files.push(file.entry);
            }
        }
        manifest.tables.insert(name, entry);
    }
    let failed = |failure: Failure| OpenError::io(&place, std::io::Error::other(failure));
    disk.create_dir(&folder).map_err(|error| OpenError::io(&folder, error))?;
    for name in manifest.tables.keys() {
        let folder = root.join("tables").join(name);
        disk.create_dir(&folder).map_err(|error| OpenError::io(&folder, error))?;
    }
    write_manifest(disk, root, &manifest).map_err(failed)?;
    Ok(rebuilt)
}

fn find(table: &str, hour: i64, id: u64, bytes: &[u8], known: &[TableDefinition]) -> Option<Found> {
    let name = TableName::new(table).ok()?;
    let Salvage { batches, rows: readable, footer, schema } = salvage(bytes.to_vec(), None);
    let (footer, schema) = (footer?, schema?);
    let told = TableDefinition::from_schema(&schema).ok().filter(|table| *table.name() == name);
    let definition = told.clone().or_else(|| {
        // Files of older versions do not say it; their columns must be the table's first ones.
        let known = known.iter().find(|table| *table.name() == name)?;
        let mut pairs = schema.fields().iter().zip(known.schema().fields());
        let fits = schema.fields().len() <= known.schema().fields().len()
            && pairs.all(|(file, table)| file.name() == table.name() && file.data_type() == table.data_type());
        fits.then(|| known.clone())
    })?;
    let rows = u64::try_from(footer.parquet.file_metadata().num_rows()).ok()?;
    let replaces = footer.value(REPLACES).unwrap_or_default();
    let replaces = replaces.split(',').filter_map(|id| id.parse().ok()).collect();
    let (mut first, mut last) = (i64::MAX, i64::MIN);
    for batch in &batches {
        let (earliest, latest) = times(batch, definition.time_index());
        (first, last) = (first.min(earliest), last.max(latest));
    }
    let whole = readable == rows;
    let crc = crc32c::crc32c(bytes);
    let entry = FileEntry {
        id,
        hour,
        rows,
        bytes: bytes.len() as u64,
        memory: batches.iter().map(|batch| batch.get_array_memory_size() as u64).sum(),
        first: first.min(last),
        last: last.max(first),
        // One that does not fit, so that the damage is found again and mended.
        crc32c: if whole { crc } else { !crc },
        tail: footer.tail().and_then(|offset| {
            Some(TailEntry { offset, crc32c: crc32c::crc32c(bytes.get(usize::try_from(offset).ok()?..)?) })
        }),
    };
    Some(Found { entry, definition: told, replaces, whole })
}
