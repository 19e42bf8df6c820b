//! What a server can do, found out by trying it on a table that is dropped again.

use std::hash::{BuildHasher, Hasher, RandomState};

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Int64Array, RecordBatch};
use arrow_ipc::writer::StreamWriter;
use storage_api::Durability;

use crate::answer::Batches;
use crate::server::Server;
use crate::sql::Name;
use crate::{Features, OpenError, RequestError};

/// What can be tried by declaring a table: the feature, a column more, settings of the table more.
const DECLARATIONS: &[(Features, &str, &str)] = &[
    (Features::DATE_TIME_64, ", t DateTime64(9, 'UTC')", ""),
    (Features::BOOL, ", b Bool", ""),
    (Features::IPV6, ", a Nullable(IPv6)", ""),
    (Features::CODECS, ", c Nullable(Int64) CODEC(T64, ZSTD(1)), d Int64 CODEC(Delta(8), ZSTD(1))", ""),
    (Features::BLOOM_FILTERS, ", s Nullable(String), INDEX i s TYPE bloom_filter(0.01) GRANULARITY 1", ""),
    (Features::MIN_MAX, ", INDEX i x TYPE minmax GRANULARITY 1", ""),
    (Features::FSYNC, "", WRITING_THROUGH),
];

/// Settings of a table whose rows are on the disk when an insert returns, and stay there when parts are merged and those they
/// were merged from removed, or fetched by another replica.
pub(crate) const WRITING_THROUGH: &str = ", fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1, \
     min_compressed_bytes_to_fsync_after_merge = 1, min_compressed_bytes_to_fsync_after_fetch = 1";

/// Tries all that the options allow.
pub(crate) async fn features(server: &Server, allowed: Features) -> Result<Features, OpenError> {
    let probe = Probe { server, table: format!("PROBE_{:016x}", RandomState::new().build_hasher().finish()) };
    // Without a comment there is no place for the definition of a table.
    if !probe.declares(", m Map(UInt32, Nullable(String))", "COMMENT 'x'", "").await? {
        return Err(probe.unsupported("have the type Map and comments of tables"));
    }
    if server.shards.is_some() && !probe.does("SELECT 1 SETTINGS insert_shard_id = 1 FORMAT Null".to_owned()).await? {
        return Err(probe.unsupported("put a batch on one shard of a cluster (insert_shard_id)"));
    }
    let mut found = Features::NONE;
    for &(feature, column, settings) in DECLARATIONS {
        if allowed.has(feature) && probe.declares(column, "", settings).await? {
            found = found | feature;
        }
    }
    if allowed.has(Features::REPLICATION) && server.features.has(Features::ON_CLUSTER) && probe.replicates().await? {
        found = found | Features::REPLICATION;
    }
    let made = probe.with_rows(allowed, &mut found).await;
    let dropped = probe.drop_table().await;
    made.and(dropped)?;
    Ok(found)
}

struct Probe<'a> {
    server: &'a Server,
    table: String,
}

impl Probe<'_> {
    fn unsupported(&self, what: &'static str) -> OpenError {
        OpenError::Unsupported { address: self.server.place(), version: self.server.version.clone(), what }
    }

    fn failed(&self, source: RequestError) -> OpenError {
        OpenError::Request { address: self.server.place(), source }
    }

    /// Whether the server does it; an error if it cannot be asked.
    async fn does(&self, statement: String) -> Result<bool, OpenError> {
        match self.server.change(statement).await {
            Ok(()) => Ok(true),
            Err(error @ RequestError::Refused { .. }) if !error.is_retryable() => Ok(false),
            Err(error) => Err(self.failed(error)),
        }
    }

    async fn declares(&self, column: &str, tail: &str, settings: &str) -> Result<bool, OpenError> {
        let done = self.does(self.create(column, tail, settings)).await?;
        if done {
            self.drop_table().await?;
        }
        Ok(done)
    }

    /// Needs a Keeper and the macros `shard` and `replica`.
    async fn replicates(&self) -> Result<bool, OpenError> {
        let (table, path) = (Name(&self.table), format!("/clickhouse/tables/{{shard}}/{}", self.table));
        let engine = format!("ReplicatedMergeTree('{path}', '{{replica}}')");
        let done = self.does(format!("CREATE TABLE {table} (x Int64) ENGINE = {engine} ORDER BY x")).await?;
        if done {
            self.drop_table().await?;
        }
        Ok(done)
    }

    fn create(&self, column: &str, tail: &str, settings: &str) -> String {
        let table = Name(&self.table);
        format!(
            "CREATE TABLE {table} (x Int64{column}) ENGINE = MergeTree ORDER BY x \
             SETTINGS index_granularity = 8192{settings} {tail}"
        )
    }

    async fn drop_table(&self) -> Result<(), OpenError> {
        let statement = format!("DROP TABLE IF EXISTS {}", Name(&self.table));
        self.server.change(statement).await.map_err(|error| self.failed(error))
    }

    /// Rows in, rows out, rows twice, rows away.
    async fn with_rows(&self, allowed: Features, found: &mut Features) -> Result<(), OpenError> {
        let arrow = "read and write ArrowStream";
        let window = ", non_replicated_deduplication_window = 100";
        let remembers = allowed.has(Features::TOKENS) && self.does(self.create("", "", window)).await?;
        if !remembers && !self.does(self.create("", "", "")).await? {
            return Err(self.unsupported("create tables for this user"));
        }
        for _ in 0..2 {
            let token = if remembers { "insert_deduplication_token=probe" } else { "" };
            let sent = self.server.insert(0, token, self.rows().map_err(|_| self.unsupported(arrow))?).await;
            match sent {
                Ok(()) => {}
                Err(error @ RequestError::Refused { .. }) if !error.is_retryable() => {
                    return Err(self.unsupported(arrow));
                }
                Err(error) => return Err(self.failed(error)),
            }
        }
        let values = self.values().await.map_err(|error| match error {
            error if error.is_retryable() => self.failed(error),
            _ => self.unsupported(arrow),
        })?;
        match values.as_slice() {
            [7, 8] if remembers => *found = *found | Features::TOKENS,
            [7, 7, 8, 8] => {}
            _ => return Err(self.unsupported(arrow)),
        }
        if allowed.has(Features::LIGHT_DELETES) {
            let done = self.does(format!("DELETE FROM {} WHERE x = 7", Name(&self.table))).await?;
            if done && self.values().await.map_err(|error| self.failed(error))?.iter().all(|&value| value == 8) {
                *found = *found | Features::LIGHT_DELETES;
            }
        }
        Ok(())
    }

    fn rows(&self) -> Result<Vec<u8>, arrow_schema::ArrowError> {
        let rows = RecordBatch::try_from_iter([("x", std::sync::Arc::new(Int64Array::from(vec![7, 8])) as _)])?;
        let mut bytes = format!("INSERT INTO {} (x) FORMAT ArrowStream\n", Name(&self.table)).into_bytes();
        let mut writer = StreamWriter::try_new(&mut bytes, rows.schema_ref())?;
        writer.write(&rows)?;
        writer.finish()?;
        drop(writer);
        Ok(bytes)
    }

    async fn values(&self) -> Result<Vec<i64>, RequestError> {
        let answer = self.server.read("", format!("SELECT x FROM {} ORDER BY x", Name(&self.table))).await?;
        let mut batches = Batches::new(answer, 1 << 20);
        let mut values = Vec::new();
        while let Some(batch) = batches.next().await? {
            let column = batch.columns().first().and_then(|column| column.as_primitive_opt::<Int64Type>());
            values.extend_from_slice(column.ok_or_else(|| batches.nonsense("no numbers"))?.values());
        }
        Ok(values)
    }
}

/// What an acknowledged batch survives, as it was asked for and as the server can.
pub(crate) fn durability(asked: Durability, features: Features) -> Durability {
    if features.has(Features::FSYNC) { asked } else { asked.min(Durability::Os) }
}
