//! Sealed files: how they are written and how they are read.

use std::io::{self, Read, Write};
use std::ops::Range;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::{DataType, SchemaRef};
use bytes::{Buf, Bytes};
use futures::FutureExt;
use futures::future::BoxFuture;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader, SortingColumn};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::reader::{ChunkReader, Length};
use parquet::schema::types::ColumnPath;
use storage_api::{ColumnKind, TableDefinition};

use crate::DiskFile;
use crate::encoding::is_diverse;
use crate::error::Failure;
use crate::manifest::FileEntry;
use crate::state::{DataFile, Shared};

/// Rows of a row group: what a filter can skip by the footer alone.
const ROW_GROUP: usize = 256 * 1024;
/// Rows of a page: what it can skip by the page index.
const PAGE_ROWS: usize = 8 * 1024;
const LEVEL: i32 = 3;
/// One false answer in a hundred costs ten bits a value.
const BLOOM_FALSE: f64 = 0.01;

/// Writes rows into one file of the table's folder and makes its bytes safe, its name not yet.
pub(crate) fn write(
    shared: &Shared,
    table: &TableDefinition,
    rows: &RecordBatch,
    mut entry: FileEntry,
) -> Result<Arc<DataFile>, Failure> {
    let fail = |error: &(dyn std::error::Error + 'static)| Failure::new("a file could not be written", error);
    let disk = shared.disk();
    let place = shared.data_file(table.name(), entry.clone()).path.clone();
    let aside = place.with_extension("parquet.new");
    let file = disk.create(&aside).map_err(|error| fail(&error))?;
    let sink = Summed { file, bytes: 0, crc: 0 };
    let write = || {
        let mut writer = ArrowWriter::try_new(sink, rows.schema(), Some(properties(table, rows)))?;
        writer.write(rows)?;
        let mut sink = writer.into_inner()?;
        sink.file.sync()?;
        Ok::<_, ParquetError>((sink.bytes, sink.crc))
    };
    let written = write().and_then(|sums| {
        disk.rename(&aside, &place)?;
        Ok(sums)
    });
    match written {
        Ok((bytes, crc)) => {
            (entry.bytes, entry.crc32c) = (bytes, crc);
            Ok(shared.data_file(table.name(), entry))
        }
        Err(error) => {
            // No manifest names it; whatever stays is removed when the store is opened.
            let _ = disk.remove(&aside);
            Err(fail(&error))
        }
    }
}

/// Sorted, compressed, numbers that do not repeat byte by byte, with statistics for skipping. Floats have none: those of Parquet leave NaN out, and a filter that
/// NaN passes would lose it. Bloom filters for binary columns, which hold the ids of traces and spans.
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

/// All rows of a file, if its bytes are still those that were written.
pub(crate) fn read(file: &DataFile) -> Result<Vec<RecordBatch>, Failure> {
    let fail = |error: &(dyn std::error::Error + 'static)| Failure::new("a file could not be read", error);
    let bytes = Bytes::from(checked(file)?);
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).map_err(|error| fail(&error))?;
    let batches = reader.with_batch_size(PAGE_ROWS).build().map_err(|error| fail(&error))?;
    batches.collect::<Result<_, _>>().map_err(|error| fail(&error))
}

/// The bytes of a file, if they are still those that were written.
pub(crate) fn checked(file: &DataFile) -> Result<Vec<u8>, Failure> {
    let bytes = file.disk().read(&file.path).map_err(|error| Failure::new("a file could not be read", &error))?;
    if bytes.len() as u64 == file.entry.bytes && crc32c::crc32c(&bytes) == file.entry.crc32c {
        return Ok(bytes);
    }
    file.set_damaged();
    let reason = format!("the checksum of {} does not fit", file.path.display());
    Err(Failure { what: "a file is damaged", reason, full: false })
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
}

impl Write for Summed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write_all(bytes)?;
        self.bytes += bytes.len() as u64;
        self.crc = crc32c::crc32c_append(self.crc, bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// A sealed file for readers that block.
#[derive(Clone, Debug)]
pub(crate) struct Ranges(pub(crate) Arc<DataFile>);

impl Ranges {
    fn range(&self, range: Range<u64>) -> io::Result<Bytes> {
        let mut parts = self.0.disk().read_ranges(&self.0.path, std::slice::from_ref(&range))?;
        Ok(parts.pop().map(Bytes::from).unwrap_or_default())
    }
}

impl Length for Ranges {
    fn len(&self) -> u64 {
        self.0.entry.bytes
    }
}

impl ChunkReader for Ranges {
    type T = Box<dyn Read + Send>;

    fn get_read(&self, start: u64) -> parquet::errors::Result<Self::T> {
        Ok(Box::new(self.range(start..self.0.entry.bytes)?.reader()))
    }

    fn get_bytes(&self, start: u64, length: usize) -> parquet::errors::Result<Bytes> {
        Ok(self.range(start..start.saturating_add(length as u64))?)
    }
}

/// A sealed file for readers that must not block: each read runs on the runtime's threads for such work.
#[derive(Debug)]
pub(crate) struct AsyncRanges {
    pub(crate) shared: Arc<Shared>,
    pub(crate) file: Arc<DataFile>,
}

impl AsyncFileReader for AsyncRanges {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, parquet::errors::Result<Bytes>> {
        let file = Ranges(self.file.clone());
        blocking(move || Ok(file.range(range)?)).boxed()
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, parquet::errors::Result<Vec<Bytes>>> {
        let file = self.file.clone();
        blocking(move || {
            let parts = file.disk().read_ranges(&file.path, &ranges)?;
            Ok(parts.into_iter().map(Bytes::from).collect())
        })
        .boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        _: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, parquet::errors::Result<Arc<ParquetMetaData>>> {
        let (shared, file) = (self.shared.clone(), self.file.clone());
        async move {
            let id = file.entry.id;
            if let Some(footer) = shared.footers.get(id) {
                return Ok(footer);
            }
            let reader = ParquetMetaDataReader::new().with_page_index_policy(PageIndexPolicy::Optional);
            let footer = blocking(move || reader.parse_and_finish(&Ranges(file))).await?;
            let footer = Arc::new(footer);
            shared.footers.put(id, footer.clone());
            Ok(footer)
        }
        .boxed()
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> parquet::errors::Result<T> + Send + 'static,
) -> parquet::errors::Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(ParquetError::External(Box::new(error))))
}
