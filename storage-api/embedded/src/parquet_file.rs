//! Sealed files: how they are written. Ordinary Parquet, with what it takes to notice damage and to find the table again
//! without a manifest in the footer's key-value metadata:
//!
//! | key | value |
//! |---|---|
//! | `metaflow.table`, `.description`, `.time`, `.sort` | what the Arrow schema of the table says beside its fields |
//! | `metaflow.crc32c` | where the tail (page index and footer) begins; a space; 8 hex digits for each 64 KiB before it |
//! | `metaflow.replaces` | ids of the files whose rows this one holds, separated by commas |
//!
//! The tail's own checksum stands in the manifest.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::{DataType, SchemaRef};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::{KeyValue, SortingColumn};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;
use storage_api::{ColumnKind, TableDefinition};

use crate::DiskFile;
use crate::encoding::is_diverse;
use crate::error::Failure;
use crate::manifest::{FileEntry, TailEntry};
use crate::state::{DataFile, Shared};

/// Rows of a row group: what a filter can skip by the footer alone.
const ROW_GROUP: usize = 256 * 1024;
/// Rows of a page: what it can skip by the page index.
const PAGE_ROWS: usize = 8 * 1024;
const LEVEL: i32 = 3;
/// Bytes that share a checksum: what a read must read at least.
pub(crate) const BLOCK: u64 = 64 << 10;
/// Under which key their checksums stand.
pub(crate) const SUMS: &str = "metaflow.crc32c";
/// Under which key the ids of the files stand that this one replaces.
pub(crate) const REPLACES: &str = "metaflow.replaces";
/// One false answer in a hundred costs ten bits a value.
const BLOOM_FALSE: f64 = 0.01;

/// Writes rows into one file of the table's folder and makes its bytes safe, its name not yet.
pub(crate) fn write(
    shared: &Shared,
    table: &TableDefinition,
    rows: &RecordBatch,
    mut entry: FileEntry,
    replaces: &[u64],
) -> Result<Arc<DataFile>, Failure> {
    let fail = |error: &(dyn std::error::Error + 'static)| Failure::new("a file could not be written", error);
    let disk = shared.disk();
    let place = shared.data_file(table.name(), entry.clone()).path.clone();
    let aside = place.with_extension("parquet.new");
    let file = disk.create(&aside).map_err(|error| fail(&error))?;
    let sink = Summed { file, bytes: 0, crc: 0, blocks: Vec::new(), tail: None };
    let write = || {
        let mut writer = ArrowWriter::try_new(sink, rows.schema(), Some(properties(table, rows)))?;
        writer.write(rows)?;
        // All but the tail is on its way now, so that the tail can hold its checksums.
        writer.flush()?;
        writer.sync()?;
        let sums = writer.inner_mut().begin_tail();
        let about: BTreeMap<_, _> = table.schema().metadata().iter().collect();
        for (key, value) in about {
            writer.append_key_value_metadata(KeyValue::new(key.clone(), value.clone()));
        }
        if !replaces.is_empty() {
            let ids: Vec<String> = replaces.iter().map(u64::to_string).collect();
            writer.append_key_value_metadata(KeyValue::new(REPLACES.to_owned(), ids.join(",")));
        }
        writer.append_key_value_metadata(KeyValue::new(SUMS.to_owned(), sums));
        let mut sink = writer.into_inner()?;
        sink.file.sync()?;
        let Summed { bytes, crc, tail, .. } = sink;
        Ok::<_, ParquetError>((bytes, crc, tail))
    };
    let written = write().and_then(|sums| {
        disk.rename(&aside, &place)?;
        Ok(sums)
    });
    match written {
        Ok(sums) => {
            (entry.bytes, entry.crc32c, entry.tail) = sums;
            Ok(shared.data_file(table.name(), entry))
        }
        Err(error) => {
            // No manifest names it; whatever stays is removed when the store is opened.
            let _ = disk.remove(&aside);
            Err(fail(&error))
        }
    }
}

/// Sorted, compressed, numbers that do not repeat byte by byte, with statistics for skipping. Floats have none: those of
/// Parquet leave NaN out, and a filter that NaN passes would lose it. Bloom filters for binary columns, which hold the ids of traces and spans.
fn properties(table: &TableDefinition, rows: &RecordBatch) -> WriterProperties {
    let level = ZstdLevel::try_new(LEVEL).unwrap_or_default();
    let ascending = |&index: &usize| SortingColumn { column_idx: index as i32, descending: false, nulls_first: true };
    let sorting = table.sort_indices().iter().map(ascending);
    let mut properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(level))
        .set_max_row_group_row_count(Some(ROW_GROUP))
        .set_data_page_row_count_limit(PAGE_ROWS)
        .set_created_by(concat!("metaflow-storage-embedded ", env!("CARGO_PKG_VERSION")).to_owned());
    if plain_sort(table) {
        properties = properties.set_sorting_columns(Some(sorting.collect()));
    }
    for column in table.columns() {
        let path = ColumnPath::from(column.name.as_str());
        if rows.column_by_name(&column.name).is_some_and(|values| is_diverse(values)) {
            // Each of a number's bytes by itself: the high ones of neighbours are alike.
            properties = properties
                .set_column_dictionary_enabled(path.clone(), false)
                .set_column_encoding(path.clone(), Encoding::BYTE_STREAM_SPLIT);
        }
        properties = match (&column.kind, &column.data_type) {
            (_, DataType::Float32 | DataType::Float64) => {
                properties.set_column_statistics_enabled(path, EnabledStatistics::None)
            }
            (ColumnKind::Binary, _) => properties
                .set_column_bloom_filter_enabled(path.clone(), true)
                .set_column_bloom_filter_fpp(path.clone(), BLOOM_FALSE)
                .set_column_bloom_filter_max_ndv(path, rows.num_rows().clamp(64, ROW_GROUP) as u64),
            _ => properties,
        };
    }
    properties.build()
}

/// Parquet numbers its leaves; these are the columns' numbers only as long as no nested column comes before them.
fn plain_sort(table: &TableDefinition) -> bool {
    let nested = table.schema().fields().iter().position(|field| field.data_type().is_nested());
    table.sort_indices().iter().all(|&index| nested.is_none_or(|nested| index < nested))
}

/// The schema that rows of a file are written with: without metadata, which the manifest keeps.
pub(crate) fn file_schema(table: &TableDefinition) -> SchemaRef {
    Arc::new(table.schema().as_ref().clone().with_metadata(Default::default()))
}

/// Counts and sums what goes into a file.
struct Summed {
    file: Box<dyn DiskFile>,
    bytes: u64,
    crc: u32,
    /// Checksums of the blocks before the tail.
    blocks: Vec<u32>,
    tail: Option<TailEntry>,
}

impl Summed {
    /// What comes from now on is the tail. Answers the checksums of what came before, as the tail says them.
    fn begin_tail(&mut self) -> String {
        self.tail = Some(TailEntry { offset: self.bytes, crc32c: 0 });
        self.blocks.iter().fold(format!("{} ", self.bytes), |mut text, sum| {
            let _ = write!(text, "{sum:08x}");
            text
        })
    }

    fn sum_blocks(&mut self, mut bytes: &[u8]) {
        let mut at = self.bytes;
        while !bytes.is_empty() {
            let filled = at % BLOCK;
            let (part, rest) = bytes.split_at(bytes.len().min((BLOCK - filled) as usize));
            match self.blocks.last_mut().filter(|_| filled > 0) {
                Some(sum) => *sum = crc32c::crc32c_append(*sum, part),
                None => self.blocks.push(crc32c::crc32c(part)),
            }
            at += part.len() as u64;
            bytes = rest;
        }
    }
}

impl Write for Summed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write_all(bytes)?;
        self.crc = crc32c::crc32c_append(self.crc, bytes);
        match &mut self.tail {
            Some(tail) => tail.crc32c = crc32c::crc32c_append(tail.crc32c, bytes),
            None => self.sum_blocks(bytes),
        }
        self.bytes += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
