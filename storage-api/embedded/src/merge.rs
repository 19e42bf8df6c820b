//! Many small files of an hour become one: fewer to open, better sorted, better compressed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use storage_api::TableName;

use crate::error::Failure;
use crate::flush::write_rows;
use crate::reading;
use crate::state::{DataFile, Shared};

/// So many small files of an hour are worth merging: each row is written about log₄(size of a full file ÷ size of a
/// flushed one) times more.
const WORTH: usize = 4;

/// Merges one group of files, if there is any worth it. `false` when there is nothing to do.
pub(crate) fn merge_once(shared: &Shared) -> Result<bool, Failure> {
    let Some((name, inputs)) = choose(shared) else { return Ok(false) };
    let Some(table) = shared.snapshot(&name) else { return Ok(false) };
    let mut batches = Vec::new();
    for file in &inputs {
        batches.extend(reading::read(file)?);
    }
    // Into one file whatever hours it spans, so that every merge leaves fewer files than there were.
    let replaced: BTreeSet<u64> = inputs.iter().map(|file| file.entry.id).collect();
    let ids: Vec<u64> = replaced.iter().copied().collect();
    let outputs = write_rows(shared, &table.definition, table.kept_from, &batches, 1, &ids)?;
    drop(batches);
    let mut gone = false;
    let committed = shared.commit(
        |manifest| {
            let files = manifest.tables.get_mut(name.as_str()).map(|entry| &mut entry.files);
            let files = files
                .filter(|files| replaced.len() == files.iter().filter(|entry| replaced.contains(&entry.id)).count());
            // Retention may have dropped some in the meantime: then the merged file is not wanted.
            let Some(files) = files else {
                gone = true;
                return Err(Failure { what: "merge", reason: "its files were dropped".to_owned(), full: false });
            };
            files.retain(|entry| !replaced.contains(&entry.id));
            files.extend(outputs.iter().map(|file| file.entry.clone()));
            Ok(())
        },
        |tables, ()| {
            if let Some(table) = tables.get_mut(&name) {
                table.files.retain(|file| !replaced.contains(&file.entry.id));
                table.files.extend(outputs.iter().cloned());
            }
            inputs.iter().for_each(|file| file.retire());
        },
    );
    if gone {
        outputs.iter().for_each(|file| file.retire());
        return Ok(true);
    }
    committed.map(|()| true)
}

/// The group with the most files, smallest first, that together stay within the bound.
fn choose(shared: &Shared) -> Option<(TableName, Vec<Arc<DataFile>>)> {
    let most = shared.options.limits.merge as u64;
    let mut groups: BTreeMap<(TableName, i64), Vec<Arc<DataFile>>> = BTreeMap::new();
    for (name, table) in shared.tables().iter() {
        for file in table.files.iter().filter(|file| file.entry.memory <= most / 2 && !file.is_damaged()) {
            groups.entry((name.clone(), file.entry.hour)).or_default().push(file.clone());
        }
    }
    let within = |mut files: Vec<Arc<DataFile>>| {
        files.sort_by_key(|file| file.entry.memory);
        let mut sum = 0;
        let fits = files.iter().take_while(|file| {
            sum += file.entry.memory;
            sum <= most
        });
        let count = fits.count();
        files.truncate(count);
        files
    };
    let groups = groups.into_iter().map(|((name, _), files)| (name, within(files)));
    groups.filter(|(_, files)| files.len() >= WORTH).max_by_key(|(_, files)| files.len())
}
