//! Sealed files: how they are read. Every byte that is handed out was compared with its checksum (but those of files from
//! versions that wrote none): a file that the disk has changed is an error that names it, never other rows.

use std::io::{self, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use bytes::{Buf, Bytes};
use futures::FutureExt;
use futures::future::BoxFuture;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::errors::ParquetError;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};
use parquet::file::reader::{ChunkReader, Length};

use crate::error::Failure;
use crate::manifest::{FileEntry, TailEntry};
use crate::parquet_file::{BLOCK, SUMS};
use crate::state::{DataFile, Shared};

/// Rows that are decoded at once.
const BATCH: usize = 8 * 1024;

/// Bytes of a sealed file are not those that were written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{} is damaged from byte {} to {}: check and repair the store, which saves the rows that can still be read",
    path.display(), bytes.start, bytes.end
)]
pub(crate) struct DamagedBytes {
    path: PathBuf,
    bytes: Range<u64>,
}

/// What the end of a file says about the rest.
#[derive(Debug)]
pub(crate) struct Footer {
    pub(crate) parquet: Arc<ParquetMetaData>,
    sums: Option<Sums>,
}

/// Checksums of everything before the tail; old files have none.
#[derive(Debug)]
struct Sums {
    /// Where the tail begins.
    tail: u64,
    blocks: Vec<u32>,
}

impl Sums {
    fn parse(text: &str) -> Option<Self> {
        let (tail, hex) = text.split_once(' ')?;
        let sum = |digits: &[u8]| u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok();
        Some(Self { tail: tail.parse().ok()?, blocks: hex.as_bytes().chunks(8).map(sum).collect::<Option<_>>()? })
    }
}

impl Footer {
    /// Takes it out of the bytes from `base` on, up to the end of the file.
    fn parse(tail: Bytes, base: u64) -> parquet::errors::Result<Self> {
        let reader = ParquetMetaDataReader::new().with_page_index_policy(PageIndexPolicy::Optional);
        let parquet = reader.parse_and_finish(&Part { bytes: tail, base })?;
        let mut footer = Self { parquet: Arc::new(parquet), sums: None };
        footer.sums = footer.value(SUMS).and_then(Sums::parse);
        Ok(footer)
    }

    /// Where the tail begins, if the file says it.
    pub(crate) fn tail(&self) -> Option<u64> {
        self.sums.as_ref().map(|sums| sums.tail)
    }

    /// The value of a key that stands beside the schema.
    pub(crate) fn value(&self, key: &str) -> Option<&str> {
        let pairs = self.parquet.file_metadata().key_value_metadata()?;
        pairs.iter().find(|pair| pair.key == key)?.value.as_deref()
    }

    /// The first block among these bytes, which begin at a block's beginning, that is not what was written.
    fn damaged(&self, bytes: &[u8], start: u64) -> Option<Range<u64>> {
        let sums = self.sums.as_ref()?;
        let end = (sums.tail.saturating_sub(start) as usize).min(bytes.len());
        let blocks = bytes[..end].chunks(BLOCK as usize).zip(start / BLOCK..);
        let wrong = blocks
            .into_iter()
            .find(|(block, number)| sums.blocks.get(*number as usize).is_none_or(|&sum| crc32c::crc32c(block) != sum));
        wrong.map(|(block, number)| number * BLOCK..number * BLOCK + block.len() as u64)
    }
}

/// Reads the end of a file and compares it.
pub(crate) fn footer(file: &DataFile) -> parquet::errors::Result<Footer> {
    match file.entry.tail {
        Some(tail) => {
            let range = tail.offset..file.entry.bytes;
            let bytes = raw(file, std::slice::from_ref(&range))?.pop().unwrap_or_default();
            if crc32c::crc32c(&bytes) != tail.crc32c {
                return Err(damaged(file, range));
            }
            Footer::parse(bytes, tail.offset)
        }
        None => Footer::parse(whole(file)?, 0),
    }
}

/// Parts of a file, each compared block by block.
fn ranges(file: &DataFile, footer: &Footer, wanted: &[Range<u64>]) -> parquet::errors::Result<Vec<Bytes>> {
    if footer.sums.is_none() {
        return raw(file, wanted);
    }
    let size = file.entry.bytes;
    // Whole blocks, each read once though neighbours share it.
    let mut blocks: Vec<Range<u64>> = wanted
        .iter()
        .map(|range| {
            range.start / BLOCK * BLOCK..range.end.div_ceil(BLOCK).saturating_mul(BLOCK).min(size).max(range.end)
        })
        .collect();
    blocks.sort_unstable_by_key(|range| range.start);
    blocks.dedup_by(|next, before| {
        let touch = next.start <= before.end;
        if touch {
            before.end = before.end.max(next.end);
        }
        touch
    });
    let parts = raw(file, &blocks)?;
    for (range, bytes) in blocks.iter().zip(&parts) {
        if let Some(wrong) = footer.damaged(bytes, range.start) {
            return Err(damaged(file, wrong));
        }
    }
    let part = |range: &Range<u64>| {
        let index = blocks.partition_point(|block| block.start <= range.start).saturating_sub(1);
        let (block, bytes) = blocks.get(index).zip(parts.get(index)).ok_or_else(short)?;
        let (from, to) = ((range.start - block.start) as usize, (range.end.saturating_sub(block.start)) as usize);
        if from > to || to > bytes.len() { Err(short()) } else { Ok(bytes.slice(from..to)) }
    };
    wanted.iter().map(part).collect()
}

fn raw(file: &DataFile, wanted: &[Range<u64>]) -> parquet::errors::Result<Vec<Bytes>> {
    let parts = file.disk().read_ranges(&file.path, wanted).map_err(|error| named(&file.path, error))?;
    Ok(parts.into_iter().map(Bytes::from).collect())
}

fn whole(file: &DataFile) -> parquet::errors::Result<Bytes> {
    Ok(file.disk().read(&file.path).map_err(|error| named(&file.path, error))?.into())
}

fn named(path: &Path, error: io::Error) -> ParquetError {
    io::Error::new(error.kind(), format!("{}: {error}", path.display())).into()
}

fn short() -> ParquetError {
    ParquetError::EOF("the range lies beyond the file".to_owned())
}

fn damaged(file: &DataFile, bytes: Range<u64>) -> ParquetError {
    file.set_damaged();
    ParquetError::External(Box::new(DamagedBytes { path: file.path.clone(), bytes }))
}

/// All rows of a file, if its bytes are still those that were written.
pub(crate) fn read(file: &DataFile) -> Result<Vec<RecordBatch>, Failure> {
    let fail = |error: &(dyn std::error::Error + 'static)| Failure::new("a file could not be read", error);
    let bytes = Bytes::from(checked(file)?);
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).map_err(|error| fail(&error))?;
    let batches = reader.with_batch_size(BATCH).build().map_err(|error| fail(&error))?;
    batches.collect::<Result<_, _>>().map_err(|error| fail(&error))
}

/// The bytes of a file, if they are still those that were written.
pub(crate) fn checked(file: &DataFile) -> Result<Vec<u8>, Failure> {
    let bytes = file.disk().read(&file.path).map_err(|error| Failure::new("a file could not be read", &error))?;
    if is_whole(&file.entry, &bytes) {
        return Ok(bytes);
    }
    file.set_damaged();
    let reason = format!("the checksum of {} does not fit", file.path.display());
    Err(Failure { what: "a file is damaged", reason, full: false })
}

pub(crate) fn is_whole(entry: &FileEntry, bytes: &[u8]) -> bool {
    bytes.len() as u64 == entry.bytes && crc32c::crc32c(bytes) == entry.crc32c
}

/// What can still be read of a file.
#[derive(Debug, Default)]
pub(crate) struct Salvage {
    pub(crate) batches: Vec<RecordBatch>,
    pub(crate) rows: u64,
    /// None when not even the footer can be read.
    pub(crate) footer: Option<Footer>,
    /// With the key-value metadata of the footer.
    pub(crate) schema: Option<SchemaRef>,
}

/// Reads the row groups that are sound: where the file has checksums, those whose blocks all are what was written; in
/// older files, those that can be decoded. The footer is compared only if `tail` is known.
pub(crate) fn salvage(bytes: Vec<u8>, tail: Option<TailEntry>) -> Salvage {
    let bytes = Bytes::from(bytes);
    let mut salvage = Salvage::default();
    if let Some(tail) = tail {
        let part = bytes.get(tail.offset as usize..).unwrap_or_default();
        if crc32c::crc32c(part) != tail.crc32c {
            return salvage;
        }
    }
    let Ok(footer) = Footer::parse(bytes.clone(), 0) else { return salvage };
    let Ok(metadata) = ArrowReaderMetadata::try_new(footer.parquet.clone(), ArrowReaderOptions::new()) else {
        return salvage;
    };
    for (group, about) in footer.parquet.row_groups().iter().enumerate() {
        let sound = about.columns().iter().all(|column| {
            let (start, length) = column.byte_range();
            let first = start / BLOCK * BLOCK;
            let last = start.saturating_add(length).div_ceil(BLOCK).saturating_mul(BLOCK).min(bytes.len() as u64);
            let part = bytes.get(first as usize..last as usize);
            part.is_some_and(|part| footer.damaged(part, first).is_none())
        });
        let rows = || -> Option<Vec<RecordBatch>> {
            let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(bytes.clone(), metadata.clone());
            let reader = reader.with_row_groups(vec![group]).with_batch_size(BATCH).build().ok()?;
            reader.collect::<Result<_, _>>().ok()
        };
        salvage.batches.extend(sound.then(rows).flatten().unwrap_or_default());
    }
    salvage.rows = salvage.batches.iter().map(|batch| batch.num_rows() as u64).sum();
    salvage.schema = Some(metadata.schema().clone());
    salvage.footer = Some(footer);
    salvage
}

/// The end of a file, as if it were the file.
struct Part {
    bytes: Bytes,
    base: u64,
}

impl Length for Part {
    fn len(&self) -> u64 {
        self.base + self.bytes.len() as u64
    }
}

impl ChunkReader for Part {
    type T = Box<dyn Read + Send>;

    fn get_read(&self, start: u64) -> parquet::errors::Result<Self::T> {
        let length = self.len().saturating_sub(start) as usize;
        Ok(Box::new(self.get_bytes(start, length)?.reader()))
    }

    fn get_bytes(&self, start: u64, length: usize) -> parquet::errors::Result<Bytes> {
        let from = start.checked_sub(self.base).ok_or_else(short)? as usize;
        let to = from.checked_add(length).filter(|&to| to <= self.bytes.len()).ok_or_else(short)?;
        Ok(self.bytes.slice(from..to))
    }
}

/// A sealed file for readers that must not block: each read runs on the runtime's threads for such work.
#[derive(Debug)]
pub(crate) struct AsyncRanges {
    shared: Arc<Shared>,
    file: Arc<DataFile>,
    /// Once it was read.
    footer: Option<Arc<Footer>>,
}

impl AsyncRanges {
    pub(crate) fn new(shared: Arc<Shared>, file: Arc<DataFile>) -> Self {
        Self { shared, file, footer: None }
    }

    async fn footer(&mut self) -> parquet::errors::Result<Arc<Footer>> {
        if let Some(footer) = &self.footer {
            return Ok(footer.clone());
        }
        let footer = match self.shared.footers.get(self.file.entry.id) {
            Some(footer) => footer,
            None => {
                let (shared, file) = (self.shared.clone(), self.file.clone());
                blocking(move || {
                    let footer = Arc::new(counted(&shared, footer(&file))?);
                    shared.footers.put(file.entry.id, footer.clone());
                    Ok(footer)
                })
                .await?
            }
        };
        Ok(self.footer.insert(footer).clone())
    }

    async fn read(&mut self, wanted: Vec<Range<u64>>) -> parquet::errors::Result<Vec<Bytes>> {
        let footer = self.footer().await?;
        let (shared, file) = (self.shared.clone(), self.file.clone());
        blocking(move || counted(&shared, ranges(&file, &footer, &wanted))).await
    }
}

impl AsyncFileReader for AsyncRanges {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, parquet::errors::Result<Bytes>> {
        async move { Ok(self.read(vec![range]).await?.pop().unwrap_or_default()) }.boxed()
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, parquet::errors::Result<Vec<Bytes>>> {
        self.read(ranges).boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        _: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, parquet::errors::Result<Arc<ParquetMetaData>>> {
        async move { Ok(self.footer().await?.parquet.clone()) }.boxed()
    }
}

/// Counts what went wrong.
fn counted<T>(shared: &Shared, result: parquet::errors::Result<T>) -> parquet::errors::Result<T> {
    if let Err(error) = &result {
        shared.counters.failed(&shared.counters.read_failures, error);
    }
    result
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> parquet::errors::Result<T> + Send + 'static,
) -> parquet::errors::Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(ParquetError::External(Box::new(error))))
}
