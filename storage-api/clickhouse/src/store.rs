use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow_array::cast::AsArray;
use arrow_array::types::UInt64Type;
use arrow_array::{RecordBatch, RecordBatchOptions};
use arrow_schema::{ArrowError, Schema, SchemaRef};
use async_trait::async_trait;
use storage_api::{
    AppendError, BatchId, BatchStream, Capabilities, CreateTableError, DropError, IngestBatch, Predicate, Pushdown,
    ScanError, ScanRequest, SchemaError, Seen, SqlDialect, Storage, TableDefinition, TableName, Timestamp, conform,
};
use tokio::sync::Semaphore;

use crate::answer::{self, Batches};
use crate::error::codes::{UNKNOWN_DATABASE, UNKNOWN_TABLE};
use crate::senders::Senders;
use crate::server::Server;
use crate::sql::Name;
use crate::tables::Tables;
use crate::types::{NULL_SUFFIX, is_nested};
use crate::{Address, Features, OpenError, Options, RequestError, dictionary, predicate, probe, retention, wire};

/// Tables in a ClickHouse, or in a cluster of them.
///
/// Works inside a tokio runtime. Several processes may have the same database open.
#[derive(Debug)]
pub struct ClickHouse {
    server: Arc<Server>,
    options: Options,
    tables: Tables,
    senders: Senders,
    room: Semaphore,
    refused_large: AtomicU64,
    conditions_left: AtomicU64,
}

/// What the bounds of a store refused so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Batches that were too large.
    pub refused_large: u64,
    /// Conditions that were too long to be sent, so that more rows travelled.
    pub conditions_left: u64,
    /// Windows of senders that were forgotten and had to be looked up again.
    pub windows_forgotten: u64,
}

impl ClickHouse {
    /// Opens a database, and makes it if it is not there. Tries what the server can do.
    ///
    /// # Errors
    /// [`OpenError`]: the server cannot be reached, refuses, or lacks what every store needs.
    pub async fn open(address: Address, options: Options) -> Result<Self, OpenError> {
        let server = Arc::new(Server::open(address, &options).await?);
        Ok(Self {
            server,
            tables: Tables::default(),
            senders: Senders::new(options.limits.dedup),
            room: Semaphore::new(options.limits.appends.max(1)),
            refused_large: AtomicU64::new(0),
            conditions_left: AtomicU64::new(0),
            options,
        })
    }

    /// What was found that the server can do.
    pub fn features(&self) -> Features {
        self.server.features
    }

    /// What the server calls its version. For people: nothing is concluded from it.
    pub fn version(&self) -> &str {
        &self.server.version
    }

    /// Settings for exact answers that the server does not know.
    pub fn unknown_settings(&self) -> &[String] {
        self.server.unknown_settings()
    }

    /// What the bounds refused so far.
    pub fn stats(&self) -> Stats {
        Stats {
            refused_large: self.refused_large.load(Ordering::Relaxed),
            conditions_left: self.conditions_left.load(Ordering::Relaxed),
            windows_forgotten: self.senders.forgotten(),
        }
    }

    /// Makes a ClickHouse dictionary over a table, for those who ask ClickHouse itself, under the table's name in upper-case
    /// letters: of a table `names`, `dictGet('NAMES', 'value', (key, …))`. It is at most a minute old. Keys and value must be
    /// required columns.
    ///
    /// # Errors
    /// A server that has no dictionaries refuses; the store itself needs none.
    pub async fn create_dictionary(
        &self,
        table: &TableDefinition,
        keys: &[&str],
        value: &str,
    ) -> Result<(), CreateTableError> {
        dictionary::create(&self.server, table, keys, value).await
    }

    async fn definition(&self, table: &TableName) -> Result<Option<TableDefinition>, RequestError> {
        match self.tables.known(table) {
            Some(definition) => Ok(Some(definition)),
            None => self.tables.look(&self.server, table).await,
        }
    }

    /// Whether the error means that the table is gone; if so, it is no longer known.
    fn is_gone(&self, table: &TableName, error: &RequestError) -> bool {
        let gone = error.has_code(&[UNKNOWN_TABLE, UNKNOWN_DATABASE]);
        if gone {
            self.tables.forget(table);
        }
        gone
    }

    fn append_failed(&self, table: &TableName, error: RequestError) -> AppendError {
        match self.is_gone(table, &error) {
            true => AppendError::UnknownTable { table: table.clone() },
            false => error.into_append(),
        }
    }

    fn scan_failed(&self, table: &TableName, error: RequestError) -> ScanError {
        match self.is_gone(table, &error) {
            true => ScanError::UnknownTable { table: table.clone() },
            false => ScanError::Backend(error.into()),
        }
    }

    /// The rows in the table's shape, also when another process has grown it.
    async fn shaped(
        &self,
        table: &TableName,
        batch: &RecordBatch,
    ) -> Result<(RecordBatch, TableDefinition), AppendError> {
        let failed = |error| self.append_failed(table, error);
        let unknown = || AppendError::UnknownTable { table: table.clone() };
        let definition = self.definition(table).await.map_err(failed)?.ok_or_else(unknown)?;
        match conform(batch, &definition) {
            Ok(rows) => Ok((rows, definition)),
            Err(first @ SchemaError::Unknown { .. }) => {
                let newer = self.tables.look(&self.server, table).await.map_err(failed)?.ok_or_else(unknown)?;
                let source = first;
                if newer == definition {
                    return Err(AppendError::Schema { table: table.clone(), source });
                }
                let rows = conform(batch, &newer);
                rows.map(|rows| (rows, newer)).map_err(|source| AppendError::Schema { table: table.clone(), source })
            }
            Err(source) => Err(AppendError::Schema { table: table.clone(), source }),
        }
    }

    async fn insert(&self, table: &TableName, id: BatchId, body: Vec<u8>) -> Result<(), AppendError> {
        let token: String = wire::id_bytes(id).iter().map(|byte| format!("{byte:02x}")).collect();
        let more = match self.server.features.has(Features::TOKENS) {
            true => format!("insert_deduplication_token={token}"),
            false => String::new(),
        };
        let shard = self.server.shards.map_or(0, |shards| 1 + shard_of(id, shards));
        let doubt = self.senders.doubt(table, id);
        let sent = self.server.insert(shard, &more, body).await;
        if !sent.as_ref().is_err_and(RequestError::is_ambiguous) {
            doubt.settle(sent.is_ok());
        }
        sent.map_err(|error| self.append_failed(table, error))
    }

    fn too_large(&self, size: usize, limit: usize, unit: &'static str) -> AppendError {
        self.refused_large.fetch_add(1, Ordering::Relaxed);
        AppendError::TooLarge { size, limit, unit }
    }

    /// The definition and the places of the asked columns, also when another process has grown the table.
    async fn resolve(&self, request: &ScanRequest) -> Result<(TableDefinition, Vec<usize>), ScanError> {
        let table = &request.table;
        let failed = |error| self.scan_failed(table, error);
        let unknown = || ScanError::UnknownTable { table: table.clone() };
        let definition = self.definition(table).await.map_err(failed)?.ok_or_else(unknown)?;
        match request.resolve(&definition) {
            Ok(columns) => Ok((definition, columns)),
            Err(first) => {
                let newer = self.tables.look(&self.server, table).await.map_err(failed)?.ok_or_else(unknown)?;
                if newer == definition {
                    return Err(first);
                }
                request.resolve(&newer).map(|columns| (newer, columns))
            }
        }
    }
}

/// All batches of one life of a sender go to one shard, so that the shard knows those it has. Never to be changed: it says
/// where batches are that were stored before (SplitMix64's mixing).
fn shard_of(id: BatchId, shards: u32) -> u32 {
    let mut mixed = (id.source as u64) ^ ((id.source >> 64) as u64).rotate_left(32) ^ id.epoch.rotate_left(17);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((mixed ^ (mixed >> 31)) % u64::from(shards)) as u32
}

#[async_trait]
impl Storage for ClickHouse {
    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::default();
        capabilities.sql = Some(SqlDialect::ClickHouse);
        capabilities.aggregates = true;
        capabilities.prunes_by_time = true;
        capabilities.durability = probe::durability(self.server.address.durability, self.server.features);
        capabilities.batch_rows = Some(self.options.limits.batch_rows);
        capabilities.batch_bytes = Some(self.options.limits.batch_bytes);
        capabilities.dedup_window = self.options.limits.dedup.window.div_ceil(64).max(1) * 64;
        capabilities
    }

    async fn create_table(&self, table: &TableDefinition) -> Result<TableDefinition, CreateTableError> {
        self.tables.create(&self.server, table, &self.options).await
    }

    async fn append(&self, name: &TableName, batch: IngestBatch) -> Result<(), AppendError> {
        let IngestBatch { id, batch } = batch;
        let limits = &self.options.limits;
        let (rows, definition) = self.shaped(name, &batch).await?;
        if rows.num_rows() > limits.batch_rows {
            return Err(self.too_large(rows.num_rows(), limits.batch_rows, "rows"));
        }
        // The semaphore is never closed, so that there is always room some time.
        let _room = self.room.acquire().await;
        let _turn = self.senders.turn(name, id).await;
        let seen = self.senders.seen(&self.server, name, id).await;
        match seen.map_err(|error| self.append_failed(name, error))? {
            Seen::Before => return Ok(()),
            Seen::Unknown { oldest } => return Err(AppendError::TooOld { id, oldest }),
            Seen::New => {}
        }
        let target = Name(name.as_str()).to_string();
        let body = wire::insert(&target, &rows, &definition, id, self.server.features)
            .map_err(|error| AppendError::Backend(error.into()))?;
        if body.len() > limits.batch_bytes {
            return Err(self.too_large(body.len(), limits.batch_bytes, "bytes"));
        }
        self.insert(name, id, body).await
    }

    async fn scan(&self, request: ScanRequest) -> Result<BatchStream, ScanError> {
        let (definition, columns) = self.resolve(&request).await?;
        let features = self.server.features;
        let mut conditions = vec!["LAST_DAY > 0".to_owned()];
        conditions.extend(predicate::within(request.time, &definition, features));
        let mut limit = request.limit;
        if let Some(asked) = &request.predicate {
            match predicate::condition(asked, &definition, features, self.options.limits.condition_bytes) {
                Ok(condition) => conditions.push(condition),
                Err(_) => {
                    self.conditions_left.fetch_add(1, Ordering::Relaxed);
                    limit = None;
                }
            }
        }
        let rows = format!("FROM {} WHERE {}", Name(request.table.as_str()), conditions.join(" AND "));
        let rows = limit.map_or(rows.clone(), |limit| format!("{rows} LIMIT {limit}"));
        let schema: SchemaRef = Arc::new(Schema::new(
            columns.iter().map(|&index| definition.schema().fields()[index].clone()).collect::<Vec<_>>(),
        ));
        let statement = match columns.is_empty() {
            true => format!("SELECT count() AS C FROM (SELECT 1 {rows})"),
            false => format!("SELECT {} {rows}", selected(&schema).join(", ")),
        };
        let answer = self.server.read("output_format_arrow_string_as_string=0", statement).await;
        let answer = answer.map_err(|error| self.scan_failed(&request.table, error))?;
        let batches = Batches::new(answer, self.options.limits.piece_bytes);
        Ok(answer::batches(batches, move |batch| shape(&batch, &schema)))
    }

    async fn drop_before(&self, table: &TableName, limit: Timestamp) -> Result<(), DropError> {
        let unknown = || DropError::UnknownTable { table: table.clone() };
        let failed = |error: RequestError| match self.is_gone(table, &error) {
            true => unknown(),
            false => DropError::Backend(error.into()),
        };
        let definition = self.definition(table).await.map_err(failed)?.ok_or_else(unknown)?;
        retention::drop_before(&self.server, &definition, limit).await.map_err(failed)
    }

    /// Exact for every condition that fits the table and is not longer than [`crate::Limits::condition_bytes`].
    fn pushdown(&self, table: &TableName, asked: &Predicate) -> Pushdown {
        let Some(definition) = self.tables.known(table) else { return Pushdown::Unsupported };
        let limit = self.options.limits.condition_bytes;
        let fits = asked.check(definition.schema()).is_ok()
            && predicate::condition(asked, &definition, self.server.features, limit).is_ok();
        if fits { Pushdown::Exact } else { Pushdown::Unsupported }
    }

    /// Runs a `SELECT` of ClickHouse's dialect, which can only read. Tables have the names that they have in the store; the
    /// answer has the Arrow types that ClickHouse gives it (`String` as `Utf8`).
    async fn query(&self, sql: &str) -> Result<BatchStream, ScanError> {
        let answer = self.server.read("output_format_arrow_string_as_string=1", sql.to_owned()).await;
        let batches =
            Batches::new(answer.map_err(|error| ScanError::Backend(error.into()))?, self.options.limits.piece_bytes);
        Ok(answer::batches(batches, Ok))
    }
}

/// The columns under names that no column has.
fn selected(schema: &Schema) -> Vec<String> {
    let mut parts = Vec::new();
    for (index, field) in schema.fields().iter().enumerate() {
        parts.push(format!("{} AS C{index}", Name(field.name())));
        if field.is_nullable() && is_nested(field.data_type()) {
            parts.push(format!("`{}{NULL_SUFFIX}` AS N{index}", field.name()));
        }
    }
    parts
}

/// What was answered to [`selected`], in the table's types.
fn shape(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let short = || ArrowError::SchemaError("fewer columns than were asked for".to_owned());
    let mut given = batch.columns().iter();
    if schema.fields().is_empty() {
        let counted = given.next().and_then(|column| column.as_primitive_opt::<UInt64Type>()).ok_or_else(short)?;
        let rows = counted.values().iter().sum::<u64>() as usize;
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        return RecordBatch::try_new_with_options(schema.clone(), Vec::new(), &options);
    }
    let mut columns = Vec::with_capacity(schema.fields().len());
    for field in schema.fields() {
        let mut column = wire::recast(given.next().ok_or_else(short)?, field.data_type())?;
        if field.is_nullable() && is_nested(field.data_type()) {
            column = wire::nullify(&column, given.next().ok_or_else(short)?)?;
        }
        columns.push(column);
    }
    RecordBatch::try_new(schema.clone(), columns)
}
