//! A database of one's own in one file: a directory to which only is added, with one Arrow IPC file for each batch.
//!
//! `cargo run -p metaflow-storage-api --example ipc_directory -- DIR` stores some rows and reads them back;
//! `cargo test -p metaflow-storage-api --example ipc_directory` runs the suite of every backend on it. MetaFlow's server takes
//! such a crate by one line where it opens its store: `Arc::new(IpcDirectory::open(path)?)`.
//!
//! Files are never changed: DIR/TABLE/SOURCE-EPOCH-SEQUENCE.arrow for a batch, DIR/TABLE/NUMBER.table for each form of the
//! definition, DIR/TABLE/NANOSECONDS.horizon for each time before which rows no longer count. So a list of names is a
//! snapshot. Whatever comes to be there comes by a rename, whole. It blocks where it reads and writes, which a server's
//! backend should not.
#![expect(clippy::print_stdout, reason = "a program for people")]

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use arrow_array::RecordBatch;
use arrow_ipc::reader::FileReader;
use arrow_ipc::writer::FileWriter;
use arrow_schema::SchemaRef;
use async_trait::async_trait;
use futures::StreamExt;
use storage_api::*;

/// The tables of one directory.
#[derive(Debug)]
pub struct IpcDirectory {
    path: PathBuf,
    /// Held by whoever adds a file.
    adding: Mutex<()>,
}

impl IpcDirectory {
    /// Opens a directory, and makes it if it is not there.
    ///
    /// # Errors
    /// What the file system says.
    pub fn open(path: impl Into<PathBuf>) -> std::io::Result<Self> {
        let path = path.into();
        fs::create_dir_all(&path)?;
        Ok(Self { path, adding: Mutex::default() })
    }

    /// Writes a file beside its place and renames it there.
    fn add(&self, place: &Path, schema: &SchemaRef, rows: Option<&RecordBatch>) -> Result<(), BackendError> {
        let beside = place.with_extension("new");
        let mut writer = FileWriter::try_new(File::create(&beside).map_err(BackendError::retryable)?, schema)?;
        rows.map_or(Ok(()), |rows| writer.write(rows))?;
        writer.finish()?;
        fs::rename(&beside, place).map_err(BackendError::retryable)
    }

    /// The files of a table that end so, sorted; none if there is no such table.
    fn files(&self, table: &TableName, ending: &str) -> Result<Vec<PathBuf>, BackendError> {
        let Ok(folder) = fs::read_dir(self.path.join(table.as_str())) else { return Ok(Vec::new()) };
        let files = folder.map(|entry| entry.map(|entry| entry.path()));
        let mut files = files.collect::<Result<Vec<_>, _>>().map_err(BackendError::retryable)?;
        files.retain(|file| file.extension().is_some_and(|found| found == ending));
        files.sort();
        Ok(files)
    }

    fn definition(&self, table: &TableName) -> Result<Option<TableDefinition>, BackendError> {
        let Some(newest) = self.files(table, "table")?.pop() else { return Ok(None) };
        let file = FileReader::try_new(File::open(newest).map_err(BackendError::retryable)?, None)?;
        TableDefinition::from_schema(&file.schema()).map(Some).map_err(BackendError::permanent)
    }

    /// The time before which rows no longer count.
    fn horizon(&self, table: &TableName) -> Result<Option<Timestamp>, BackendError> {
        let files = self.files(table, "horizon")?;
        let nanos = |file: &PathBuf| file.file_stem()?.to_str()?.parse().ok().map(Timestamp::from_nanos);
        Ok(files.iter().filter_map(nanos).max())
    }
}

#[async_trait]
impl Storage for IpcDirectory {
    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::default();
        capabilities.durability = Durability::Os;
        // Every batch is remembered, by its file.
        capabilities.dedup_window = 1 << 40;
        capabilities
    }

    async fn create_table(&self, table: &TableDefinition) -> Result<TableDefinition, CreateTableError> {
        let _adding = self.adding.lock().unwrap_or_else(PoisonError::into_inner);
        let stored = self.definition(table.name())?;
        let grown = stored.as_ref().map_or_else(|| Ok(table.clone()), |stored| stored.grown_by(table))?;
        if stored.as_ref() != Some(&grown) {
            let folder = self.path.join(table.name().as_str());
            fs::create_dir_all(&folder).map_err(BackendError::retryable)?;
            let number = self.files(table.name(), "table")?.len();
            self.add(&folder.join(format!("{number:010}.table")), grown.schema(), None)?;
        }
        Ok(grown)
    }

    async fn append(&self, table: &TableName, batch: IngestBatch) -> Result<(), AppendError> {
        let unknown = || AppendError::UnknownTable { table: table.clone() };
        let definition = self.definition(table)?.ok_or_else(unknown)?;
        let rows = conform(&batch.batch, &definition);
        let rows = rows.map_err(|source| AppendError::Schema { table: table.clone(), source })?;
        let BatchId { source, epoch, sequence } = batch.id;
        let name = format!("{source:032x}-{epoch:016x}-{sequence:020}.arrow");
        let place = self.path.join(table.as_str()).join(name);
        let _adding = self.adding.lock().unwrap_or_else(PoisonError::into_inner);
        if place.exists() { Ok(()) } else { Ok(self.add(&place, rows.schema_ref(), Some(&rows))?) }
    }

    async fn scan(&self, request: ScanRequest) -> Result<BatchStream, ScanError> {
        let table = request.table.clone();
        let definition = self.definition(&table)?.ok_or(ScanError::UnknownTable { table: table.clone() })?;
        let columns = request.resolve(&definition)?;
        let kept = TimeRange { from: self.horizon(&table)?, until: None }.intersect(request.time);
        let kept = kept.predicate(definition.time_column());
        // A predicate is left to the caller, and with it the limit.
        let mut left = request.limit.filter(|_| request.predicate.is_none()).unwrap_or(usize::MAX);
        let read = move |file: PathBuf| -> Result<Vec<RecordBatch>, ScanError> {
            let file = FileReader::try_new(File::open(file).map_err(BackendError::retryable)?, None)?;
            let shaped =
                |rows: Result<RecordBatch, _>| Ok(filter(&widen(&rows?, &definition)?, &kept)?.project(&columns)?);
            file.map(shaped).collect()
        };
        let files = futures::stream::iter(self.files(&table, "arrow")?).map(read);
        let batches = files.flat_map(|rows| {
            let (rows, error) = rows.map_or_else(|error| (Vec::new(), Some(Err(error))), |rows| (rows, None));
            futures::stream::iter(rows.into_iter().map(Ok).chain(error))
        });
        let limited = batches.map(move |rows: Result<RecordBatch, ScanError>| {
            let rows = rows?;
            let cut = rows.slice(0, rows.num_rows().min(left));
            left -= cut.num_rows();
            Ok(cut)
        });
        let is_some =
            |rows: &Result<RecordBatch, _>| !rows.as_ref().is_ok_and(|rows: &RecordBatch| rows.num_rows() == 0);
        Ok(limited.filter(move |rows| std::future::ready(is_some(rows))).boxed())
    }

    async fn drop_before(&self, table: &TableName, limit: Timestamp) -> Result<(), DropError> {
        let unknown = || DropError::UnknownTable { table: table.clone() };
        let definition = self.definition(table)?.ok_or_else(unknown)?;
        let place = self.path.join(table.as_str()).join(format!("{}.horizon", limit.as_nanos()));
        let _adding = self.adding.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(self.add(&place, definition.schema(), None)?)
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args_os().nth(1).ok_or("say in which directory")?;
    futures::executor::block_on(async {
        let store = IpcDirectory::open(path)?;
        let table = TableDefinition::builder("calls").time("time", "when").build()?;
        store.create_table(&table).await?;
        let times = arrow_array::TimestampNanosecondArray::from(vec![1, 2, 3]).with_timezone("+00:00");
        let rows = RecordBatch::try_new(table.schema().clone(), vec![Arc::new(times)])?;
        let id = BatchId { source: 1, epoch: 1, sequence: 1 };
        store.append(table.name(), IngestBatch::new(id, rows)).await?;
        let found: Vec<_> = store.scan(ScanRequest::new(table.name().clone())).await?.collect().await;
        println!("{} batches of `{}` in {}", found.len(), table.name(), store.path.display());
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use storage_api::conformance::Fixture;
    use tempfile::TempDir;

    use super::*;

    struct Fresh(TempDir, Option<Arc<IpcDirectory>>);

    impl Fresh {
        async fn new() -> Self {
            let folder = TempDir::new().unwrap();
            let store = IpcDirectory::open(folder.path()).unwrap();
            Self(folder, Some(Arc::new(store)))
        }
    }

    #[async_trait]
    impl Fixture for Fresh {
        fn storage(&self) -> Arc<dyn Storage> {
            self.1.clone().unwrap()
        }

        async fn reopen(&mut self) -> bool {
            self.1 = Some(Arc::new(IpcDirectory::open(self.0.path()).unwrap()));
            true
        }
    }

    storage_api::conformance_suite!(futures::executor::block_on, Fresh::new);
}
