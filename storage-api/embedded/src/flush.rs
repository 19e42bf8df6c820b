//! From memory to files: rows are split by hour, sorted, written, and only then named by the manifest.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::TimestampNanosecondType;
use arrow_array::{ArrayRef, RecordBatch, UInt32Array};
use arrow_schema::ArrowError;
use datafusion::arrow::compute::{SortColumn, SortOptions, concat_batches, lexsort_to_indices, take_record_batch};
use storage_api::{TableDefinition, TimeRange, Timestamp, filter, widen};

use crate::error::Failure;
use crate::log::{Sealed, log_folder};
use crate::manifest::FileEntry;
use crate::parquet_file;
use crate::state::{DataFile, Shared};

const HOUR: i64 = 3_600_000_000_000;

/// Writes set-aside rows into files, and forgets them and their log. After a failure they are still in both.
pub(crate) fn flush(shared: &Shared, sealed: Sealed) -> Result<(), Failure> {
    let Sealed { log_from, tables } = sealed;
    let mut written = Vec::with_capacity(tables.len());
    for (name, rows, windows) in tables {
        let files = match shared.snapshot(&name) {
            Some(table) if !rows.is_empty() => {
                let batches: Vec<_> = rows.iter().map(|rows| rows.batch.as_ref().clone()).collect();
                let most_files = shared.options.limits.files_per_flush;
                write_rows(shared, &table.definition, table.kept_from, &batches, most_files, &[])?
            }
            _ => Vec::new(),
        };
        written.push((name, files, windows));
    }
    shared.commit(
        |manifest| {
            manifest.log_from = log_from;
            for (name, files, windows) in &written {
                if let Some(entry) = manifest.tables.get_mut(name.as_str()) {
                    entry.files.extend(files.iter().map(|file| file.entry.clone()));
                    entry.set_windows(windows);
                }
            }
            Ok(())
        },
        |tables, ()| {
            for (name, files, _) in &written {
                if let Some(table) = tables.get_mut(name) {
                    table.files.extend(files.iter().cloned());
                    let units = table.sealed.drain(..).map(|rows| rows.units).sum();
                    shared.budget.give_back(units);
                }
            }
        },
    )?;
    remove_segments_below(shared, log_from);
    Ok(())
}

/// Splits rows by hour, sorts each hour and writes it as a file of its own, or several hours if there would be too many
/// files. The names of the files are safe afterwards. `replaces` are the files from which the rows come.
pub(crate) fn write_rows(
    shared: &Shared,
    table: &TableDefinition,
    kept_from: Option<Timestamp>,
    batches: &[RecordBatch],
    most_files: usize,
    replaces: &[u64],
) -> Result<Vec<Arc<DataFile>>, Failure> {
    let fail = |error: &(dyn std::error::Error + 'static)| Failure::new("rows could not be sorted", error);
    let kept = TimeRange { from: kept_from, until: None }.predicate(table.time_column());
    let mut shaped = Vec::with_capacity(batches.len());
    for batch in batches {
        let batch = widen(batch, table).map_err(|error| fail(&error))?;
        shaped.push(if kept_from.is_some() { filter(&batch, &kept).map_err(|error| fail(&error))? } else { batch });
    }
    let memory: usize = shaped.iter().map(RecordBatch::get_array_memory_size).sum();
    let (sorted, ends) = sort_by_hour(table, &shaped, most_files).map_err(|error| fail(&error))?;
    drop(shaped);
    if sorted.num_rows() == 0 {
        return Ok(Vec::new());
    }
    let folder = shared.root.join(FileEntry::folder(table.name()));
    let mut files = Vec::with_capacity(ends.len());
    let mut start = 0;
    for end in ends {
        let rows = sorted.slice(start, end - start);
        start = end;
        let (first, last) = times(&rows, table.time_index());
        let entry = FileEntry {
            id: shared.next_file(),
            hour: first.div_euclid(HOUR),
            rows: rows.num_rows() as u64,
            bytes: 0,
            memory: (memory as u64).saturating_mul(rows.num_rows() as u64) / sorted.num_rows() as u64,
            first,
            last,
            crc32c: 0,
            tail: None,
        };
        files.push(parquet_file::write(shared, table, &rows, entry, replaces)?);
    }
    shared.disk().sync_dir(&folder).map_err(|error| fail(&error))?;
    Ok(files)
}

/// All rows in one batch, sorted by file and within it by the table's order; and where each file ends.
fn sort_by_hour(
    table: &TableDefinition,
    batches: &[RecordBatch],
    most_files: usize,
) -> Result<(RecordBatch, Vec<usize>), ArrowError> {
    let all = concat_batches(&parquet_file::file_schema(table), batches)?;
    let Some(times) = all.column(table.time_index()).as_primitive_opt::<TimestampNanosecondType>() else {
        return Err(ArrowError::SchemaError("the time column holds no times".to_owned()));
    };
    let mut hours: BTreeMap<i64, usize> = BTreeMap::new();
    for time in times.values() {
        *hours.entry(time.div_euclid(HOUR)).or_default() += 1;
    }
    // Neighbouring hours share a file when there are more hours than files.
    let per_file = hours.len().div_ceil(most_files.max(1)).max(1);
    let (mut ends, mut file_of, mut rows) = (Vec::new(), BTreeMap::new(), 0);
    for (index, (hour, count)) in hours.iter().enumerate() {
        rows += count;
        let file = index / per_file;
        file_of.insert(*hour, file as u32);
        match ends.get_mut(file) {
            Some(end) => *end = rows,
            None => ends.push(rows),
        }
    }
    let mut columns = Vec::new();
    if ends.len() > 1 {
        let files = times.values().iter().map(|time| file_of.get(&time.div_euclid(HOUR)).copied().unwrap_or(0));
        columns.push(ascending(Arc::new(UInt32Array::from_iter_values(files))));
    }
    match table.sort_indices() {
        [] => columns.push(ascending(all.column(table.time_index()).clone())),
        sort => columns.extend(sort.iter().map(|&index| ascending(all.column(index).clone()))),
    }
    let order = lexsort_to_indices(&columns, None)?;
    Ok((take_record_batch(&all, &order)?, ends))
}

fn ascending(values: ArrayRef) -> SortColumn {
    SortColumn { values, options: Some(SortOptions { descending: false, nulls_first: true }) }
}

/// Times of the earliest and the latest row.
pub(crate) fn times(rows: &RecordBatch, time: usize) -> (i64, i64) {
    let Some(times) = rows.column(time).as_primitive_opt::<TimestampNanosecondType>() else { return (0, 0) };
    times.values().iter().fold((i64::MAX, i64::MIN), |(first, last), &time| (first.min(time), last.max(time)))
}

/// What a manifest on the disk has made unnecessary.
fn remove_segments_below(shared: &Shared, log_from: u64) {
    let folder = log_folder(&shared.root);
    for name in shared.disk().list(&folder).unwrap_or_default() {
        let number: Option<u64> = name.strip_suffix(".log").and_then(|number| number.parse().ok());
        if number.is_some_and(|number| number < log_from) {
            // If it stays, the next flush or opening removes it.
            let _ = shared.disk().remove(&folder.join(name));
        }
    }
}
