use std::any::Any;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::{self, JoinHandle};

use arrow_array::{RecordBatch, RecordBatchOptions};
use arrow_schema::Schema;
use async_trait::async_trait;
use datafusion::catalog::TableProvider;
use datafusion::common::DataFusionError;
use datafusion::physical_plan::execute_stream;
use datafusion::prelude::{SessionConfig, SessionContext};
use futures::StreamExt;
use storage_api::{
    AppendError, BackendError, BatchStream, Capabilities, CreateTableError, DropError, IngestBatch, Predicate,
    Pushdown, ScanError, ScanRequest, Seen, Storage, TableDefinition, TableName, Timestamp, conform, filter,
};
use tokio::sync::oneshot;

use crate::budget::Budget;
use crate::error::Failure;
use crate::keeper::{Keeper, Task};
use crate::log::{Log, Pending, Request};
use crate::manifest::{FileEntry, TableEntry};
use crate::place::claim;
use crate::provider::{Provider, extension};
use crate::record::Record;
use crate::recovery::recover;
use crate::state::Shared;
use crate::{Disk, OpenError, Options, RecoveryReport, Stats, pushdown, reading};

/// A store in a directory.
///
/// All of its methods, and the streams it hands out, need a tokio runtime, whichever; files are never touched on its
/// worker threads. Dropping the store waits for what is being written; rows in memory stay in the log.
pub struct Embedded {
    shared: Arc<Shared>,
    report: RecoveryReport,
    session: SessionContext,
    keeper: Keeper,
    /// `None` while closing.
    log: Option<Sender<Request>>,
    threads: Vec<JoinHandle<()>>,
    /// Held until everything else is gone.
    _lock: Box<dyn Any + Send + Sync>,
}

impl Embedded {
    /// Opens the store in a directory, which is made if it is not there. What was found is in [`Embedded::recovery`].
    ///
    /// # Errors
    /// See [`OpenError`]. In particular, one process at a time may have a store open.
    pub async fn open(directory: impl AsRef<Path>, options: Options) -> Result<Self, OpenError> {
        let root = directory.as_ref().to_owned();
        let path = root.clone();
        let opened = tokio::task::spawn_blocking(move || Self::open_blocking(&root, options)).await;
        opened.unwrap_or_else(|error| Err(OpenError::Io { path, source: io::Error::other(error) }))
    }

    fn open_blocking(root: &Path, options: Options) -> Result<Self, OpenError> {
        options.limits.check().map_err(OpenError::Limits)?;
        let disk = options.disk.clone();
        let io = |error| OpenError::io(root, error);
        disk.create_dir(root).map_err(io)?;
        let lock = lock(root, &*disk)?;
        claim(root, &*disk)?;
        let recovered = recover(root, options)?;
        let shared = Arc::new(recovered.shared);
        let (keeper, tasks) = Keeper::new();
        let (log, requests) = channel();
        let mut writer = Log::new(shared.clone(), keeper.clone(), recovered.log.next);
        writer.rewrite(recovered.log).map_err(io)?;
        shared.take_reserve();
        let spawn =
            |name: &str, work: Box<dyn FnOnce() + Send>| thread::Builder::new().name(name.to_owned()).spawn(work);
        let threads = vec![
            spawn("metaflow-log", Box::new(move || writer.run(&requests))).map_err(io)?,
            spawn("metaflow-keeper", {
                let (keeper, shared, log) = (keeper.clone(), shared.clone(), log.clone());
                Box::new(move || keeper.run(&shared, &log, &tasks))
            })
            .map_err(io)?,
        ];
        let config =
            SessionConfig::new().with_target_partitions(thread::available_parallelism().map_or(1, usize::from));
        let session = SessionContext::new_with_config(config);
        Ok(Self { shared, report: recovered.report, session, keeper, log: Some(log), threads, _lock: lock })
    }

    /// What opening found and did.
    pub fn recovery(&self) -> &RecoveryReport {
        &self.report
    }

    /// Writes all rows in memory to files now.
    ///
    /// # Errors
    /// When writing fails; the rows are then still in memory and in the log, and scans see them.
    pub async fn flush(&self) -> Result<(), BackendError> {
        self.ask(Task::Flush).await
    }

    /// Merges small files now, and lets go of the oldest ones beyond [`crate::Limits::sealed_bytes`].
    ///
    /// # Errors
    /// When reading or writing fails; the files are then as they were.
    pub async fn merge(&self) -> Result<(), BackendError> {
        self.ask(Task::Merge).await
    }

    /// Reads every sealed file and compares it with its checksum; answers those that are damaged or cannot be read.
    ///
    /// # Errors
    /// When the work could not be done at all.
    pub async fn check(&self) -> Result<Vec<PathBuf>, BackendError> {
        let check = |shared: &Shared| {
            let files: Vec<_> = shared.tables().values().flat_map(|table| table.files.clone()).collect();
            let damaged = files.iter().filter(|file| reading::checked(file).is_err());
            Ok(damaged.map(|file| file.path.clone()).collect())
        };
        self.blocking(check).await
    }

    /// Ends the store's threads and gives the directory free, without blocking the runtime as dropping does.
    pub async fn close(self) {
        // A panic of the closing thread has been reported by the runtime already.
        let _ = tokio::task::spawn_blocking(move || drop(self)).await;
    }

    /// What the store did and holds.
    pub fn stats(&self) -> Stats {
        let (counters, budget) = (&self.shared.counters, &self.shared.budget);
        let mut stats = Stats {
            batches: counters.batches.get(),
            rows: counters.rows.get(),
            duplicates: counters.duplicates.get(),
            too_old: counters.too_old.get(),
            too_large: counters.too_large.get(),
            groups: counters.groups.get(),
            log_bytes: counters.log_bytes.get(),
            log_failures: counters.log_failures.get(),
            waits: budget.waits(),
            refusals: budget.refusals(),
            flushes: counters.flushes.get(),
            flush_failures: counters.flush_failures.get(),
            merges: counters.merges.get(),
            merge_failures: counters.merge_failures.get(),
            read_failures: counters.read_failures.get(),
            files_expired: counters.files_expired.get(),
            rows_expired: counters.rows_expired.get(),
            footers_forgotten: self.shared.footers.forgotten(),
            last_failure: counters.last_failure(),
            ..Stats::default()
        };
        for table in self.shared.tables().values() {
            stats.windows_forgotten += table.windows.forgotten();
            let rows = table.sealed.iter().chain(&table.active);
            stats.rows_in_memory += rows.map(|rows| rows.batch.num_rows() as u64).sum::<u64>();
            stats.files += table.files.len() as u64;
            stats.file_rows += table.files.iter().map(|file| file.entry.rows).sum::<u64>();
            stats.file_bytes += table.files.iter().map(|file| file.entry.bytes).sum::<u64>();
        }
        stats
    }

    async fn ask(&self, task: impl FnOnce(oneshot::Sender<Result<(), Failure>>) -> Task) -> Result<(), BackendError> {
        let (answer, done) = oneshot::channel();
        self.keeper.send(task(answer));
        match done.await {
            Ok(result) => result.map_err(BackendError::retryable),
            Err(_) => Err(BackendError::permanent("the store is closed")),
        }
    }

    /// Runs work on files off the runtime's worker threads.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Shared) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, BackendError> {
        let shared = self.shared.clone();
        match tokio::task::spawn_blocking(move || work(&shared)).await {
            Ok(result) => result.map_err(BackendError::retryable),
            Err(error) => Err(BackendError::permanent(error)),
        }
    }
}

#[async_trait]
impl Storage for Embedded {
    fn capabilities(&self) -> Capabilities {
        let limits = &self.shared.options.limits;
        let mut capabilities = Capabilities::default();
        capabilities.prunes_by_time = true;
        capabilities.durability = self.shared.options.durability;
        capabilities.batch_rows = Some(limits.batch_rows);
        capabilities.batch_bytes = Some(limits.batch_bytes);
        capabilities.dedup_window = limits.dedup.window.div_ceil(64) * 64;
        capabilities
    }

    async fn create_table(&self, table: &TableDefinition) -> Result<TableDefinition, CreateTableError> {
        let wanted = table.clone();
        let done = self.blocking(move |shared| Ok(create(shared, &wanted)));
        done.await?
    }

    async fn append(&self, table: &TableName, batch: IngestBatch) -> Result<(), AppendError> {
        let limits = &self.shared.options.limits;
        let counters = &self.shared.counters;
        let IngestBatch { id, batch } = batch;
        let definition =
            self.shared.definition(table).ok_or_else(|| AppendError::UnknownTable { table: table.clone() })?;
        let too_large = |size, limit, unit| {
            counters.too_large.add(1);
            Err(AppendError::TooLarge { size, limit, unit })
        };
        if batch.num_rows() > limits.batch_rows {
            return too_large(batch.num_rows(), limits.batch_rows, "rows");
        }
        let rows =
            conform(&batch, &definition).map_err(|source| AppendError::Schema { table: table.clone(), source })?;
        drop(batch);
        let seen = self.shared.tables().get(table).map_or(Seen::New, |table| table.windows.seen(id));
        match seen {
            Seen::Before => {
                counters.duplicates.add(1);
                return Ok(());
            }
            Seen::Unknown { oldest } => {
                counters.too_old.add(1);
                return Err(AppendError::TooOld { id, oldest });
            }
            Seen::New => {}
        }
        let record = Record::encode(table, id, &rows).map_err(|error| AppendError::Backend(error.into()))?;
        drop(rows);
        let size = record.size();
        if size > limits.batch_bytes {
            return too_large(size, limits.batch_bytes, "bytes");
        }
        let room = self.shared.budget.take(Budget::units(size), || self.keeper.poke()).await;
        let units = room.map_err(|failure| match failure.full {
            true => failure.into_append(),
            false => AppendError::Busy { reason: format!("memory is full: {failure}") },
        })?;
        let (answer, done) = oneshot::channel();
        let request = Request::Append(Box::new(Pending { record, units: units.keep(), answer }));
        let closed = || AppendError::Backend(BackendError::permanent("the store is closed"));
        self.log.as_ref().and_then(|log| log.send(request).ok()).ok_or_else(closed)?;
        done.await.unwrap_or_else(|_| Err(closed()))
    }

    async fn scan(&self, request: ScanRequest) -> Result<BatchStream, ScanError> {
        let definition = self
            .shared
            .definition(&request.table)
            .ok_or_else(|| ScanError::UnknownTable { table: request.table.clone() })?;
        let wanted = request.resolve(&definition)?;
        let schema = definition.schema();
        let filters = pushdown::filters(&definition, request.time, request.predicate.as_ref());
        let time = request.time.predicate(definition.time_column());
        let conditions: Vec<Predicate> =
            [Some(time).filter(|time| !time.conjuncts().is_empty()), request.predicate].into_iter().flatten().collect();
        // Columns of the conditions are read too, each column once, in the table's order.
        let needed = conditions.iter().flat_map(Predicate::columns).filter_map(|name| schema.index_of(name).ok());
        let mut read: Vec<usize> = wanted.iter().copied().chain(needed).collect();
        read.sort_unstable();
        read.dedup();
        let places: Vec<usize> = wanted.iter().map(|index| read.binary_search(index).unwrap_or_default()).collect();
        let answer =
            Arc::new(Schema::new(wanted.iter().map(|&index| schema.fields()[index].clone()).collect::<Vec<_>>()));

        let provider = Provider { shared: self.shared.clone(), name: request.table, schema: schema.clone() };
        let unfiltered = request.limit.filter(|_| conditions.is_empty());
        let plan = provider.scan(&self.session.state(), Some(&read), &filters, unfiltered).await.map_err(failed)?;
        let stream = execute_stream(plan, self.session.task_ctx()).map_err(failed)?;
        let shape = move |batch: RecordBatch| -> Result<RecordBatch, ScanError> {
            let rows = conditions.iter().try_fold(batch, |rows, condition| filter(&rows, condition))?;
            let columns = places.iter().map(|&place| rows.column(place).clone()).collect();
            let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
            Ok(RecordBatch::try_new_with_options(answer.clone(), columns, &options)?)
        };
        let shaped = stream.map(move |batch| batch.map_err(failed).and_then(&shape));
        let rows = shaped.filter(|batch| std::future::ready(batch.as_ref().map_or(true, |batch| batch.num_rows() > 0)));
        Ok(limited(rows.boxed(), request.limit))
    }

    async fn drop_before(&self, table: &TableName, limit: Timestamp) -> Result<(), DropError> {
        if self.shared.definition(table).is_none() {
            return Err(DropError::UnknownTable { table: table.clone() });
        }
        let name = table.clone();
        Ok(self.blocking(move |shared| drop_rows(shared, &name, limit)).await?)
    }

    fn pushdown(&self, table: &TableName, predicate: &Predicate) -> Pushdown {
        let fits = self.shared.definition(table).is_some_and(|table| predicate.check(table.schema()).is_ok());
        if fits { Pushdown::Exact } else { Pushdown::Unsupported }
    }

    /// An `Arc<dyn SchemaProvider>` of DataFusion (version 55) with all tables; each scan sees memory and files of the
    /// moment when it is planned.
    fn extension(&self) -> Option<Arc<dyn Any + Send + Sync>> {
        Some(extension(&self.shared))
    }
}

impl fmt::Debug for Embedded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Embedded").field("root", &self.shared.root).finish_non_exhaustive()
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        self.keeper.send(Task::Stop);
        self.log = None;
        // The log's thread ends when the keeper's, which may still ask it, has ended. A panic has been reported already.
        for thread in self.threads.drain(..).rev() {
            let _ = thread.join();
        }
    }
}

/// Takes the store for this process alone, as long as the answer lives.
pub(crate) fn lock(root: &Path, disk: &dyn Disk) -> Result<Box<dyn Any + Send + Sync>, OpenError> {
    disk.lock(&root.join("LOCK")).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => OpenError::Locked { path: root.to_owned() },
        io::ErrorKind::NotFound => OpenError::Missing { path: root.to_owned() },
        _ => OpenError::io(root, error),
    })
}

fn create(shared: &Shared, wanted: &TableDefinition) -> Result<TableDefinition, CreateTableError> {
    let name = wanted.name().clone();
    let failed = |failure| CreateTableError::Backend(BackendError::retryable(failure));
    if let Some(stored) = shared.definition(&name)
        && stored.grown_by(wanted)? == stored
    {
        return Ok(stored);
    }
    let folder = shared.root.join(FileEntry::folder(&name));
    let made = shared.disk().create_dir(&folder);
    made.map_err(|error| failed(Failure::new("the table's folder could not be made", &error)))?;
    let mut refused = None;
    let mut stands = wanted.clone();
    let limits = shared.options.limits.dedup;
    let committed = shared.commit(
        |manifest| {
            if let Some(entry) = manifest.tables.get_mut(name.as_str()) {
                let stored = entry.definition().map_err(|error| Failure::new("the manifest", &error))?;
                match stored.grown_by(wanted) {
                    Ok(grown) => stands = grown,
                    Err(error) => {
                        let reason = error.to_string();
                        refused = Some(error);
                        return Err(Failure { what: "create table", reason, full: false });
                    }
                }
                entry.set_definition(&stands);
            } else {
                manifest.tables.insert(name.to_string(), TableEntry::new(wanted));
            }
            Ok(stands.clone())
        },
        |tables, definition| {
            let table = tables.entry(name.clone()).or_insert_with(|| crate::state::Table::new(wanted.clone(), limits));
            table.definition = definition;
        },
    );
    match (refused, committed) {
        (Some(error), _) => Err(error),
        (None, Err(failure)) => Err(failed(failure)),
        (None, Ok(())) => Ok(stands),
    }
}

/// Hides old rows, and lets go of files that hold nothing else.
fn drop_rows(shared: &Shared, name: &TableName, limit: Timestamp) -> Result<(), Failure> {
    shared.commit(
        |manifest| {
            if let Some(entry) = manifest.tables.get_mut(name.as_str()) {
                entry.kept_from = Some(entry.kept_from.map_or(limit.as_nanos(), |before| before.max(limit.as_nanos())));
                entry.files.retain(|file| file.last >= limit.as_nanos());
            }
            Ok(())
        },
        |tables, ()| {
            if let Some(table) = tables.get_mut(name) {
                table.kept_from = table.kept_from.max(Some(limit));
                let old = |file: &mut Arc<crate::state::DataFile>| file.entry.last < limit.as_nanos();
                table.files.extract_if(.., old).for_each(|file| file.retire());
            }
        },
    )
}

/// Ends a stream after so many rows.
fn limited(stream: BatchStream, limit: Option<usize>) -> BatchStream {
    let Some(mut left) = limit else { return stream };
    if left == 0 {
        return futures::stream::empty().boxed();
    }
    let mut stream = stream;
    futures::stream::poll_fn(move |context| {
        if left == 0 {
            return std::task::Poll::Ready(None);
        }
        stream.poll_next_unpin(context).map_ok(|batch| {
            let batch = batch.slice(0, batch.num_rows().min(left));
            left -= batch.num_rows();
            batch
        })
    })
    .boxed()
}

fn failed(error: DataFusionError) -> ScanError {
    let retryable = matches!(error.find_root(), DataFusionError::ResourcesExhausted(_)) || Failure::may_pass(&error);
    let error = if retryable { BackendError::retryable(error) } else { BackendError::permanent(error) };
    ScanError::Backend(error)
}
