use std::collections::BTreeSet;

use crate::error::Failure;
use crate::state::Shared;

/// Lets go of the oldest sealed files, whichever table they are of, until the rest fits into the bound. Files of lasting
/// tables count, but stay.
pub(crate) fn keep_within(shared: &Shared) -> Result<(), Failure> {
    let Some(most) = shared.options.limits.sealed_bytes else { return Ok(()) };
    let oldest = choose(shared, most);
    if oldest.is_empty() {
        return Ok(());
    }
    shared.commit(
        |manifest| {
            for entry in manifest.tables.values_mut() {
                entry.files.retain(|file| !oldest.contains(&file.id));
            }
            Ok(())
        },
        |tables, ()| {
            for table in tables.values_mut() {
                for file in table.files.extract_if(.., |file| oldest.contains(&file.entry.id)) {
                    shared.counters.files_expired.add(1);
                    shared.counters.rows_expired.add(file.entry.rows);
                    file.retire();
                }
            }
        },
    )
}

fn choose(shared: &Shared, most: u64) -> BTreeSet<u64> {
    let tables = shared.tables();
    let mut bytes: u64 = tables.values().flat_map(|table| &table.files).map(|file| file.entry.bytes).sum();
    let mut files: Vec<_> = tables
        .iter()
        .filter(|(name, _)| !shared.options.lasting.contains(*name))
        .flat_map(|(_, table)| table.files.iter().map(|file| (file.entry.last, file.entry.id, file.entry.bytes)))
        .collect();
    files.sort_unstable();
    let mut chosen = BTreeSet::new();
    for (_, id, size) in files {
        if bytes <= most {
            break;
        }
        bytes -= size;
        chosen.insert(id);
    }
    chosen
}
