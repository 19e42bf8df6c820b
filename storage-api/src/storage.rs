use std::any::Any;
use std::fmt::Debug;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::Schema;
use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::BoxStream;

use crate::scan::project;
use crate::{
    AppendError, Capabilities, CreateTableError, DropError, IngestBatch, Predicate, Pushdown, ScanError, ScanRequest,
    TableDefinition, TableName, Timestamp, evaluate,
};

/// Batches as they come out of a store. Dropping it ends the work behind it.
pub type BatchStream = BoxStream<'static, Result<RecordBatch, ScanError>>;

/// A database that holds tables of Arrow batches.
///
/// Five methods are required; a backend that has only these is right, and may become fast later by the others. What each
/// promises is tested by [`crate::conformance_suite!`].
#[async_trait]
pub trait Storage: Debug + Send + Sync {
    /// What this backend can do. Does not change while it is open.
    fn capabilities(&self) -> Capabilities;

    /// Makes the table be there, with at least these columns; answers how it now stands: first the columns it had, then
    /// the new ones. Creating the same table again changes nothing; new columns must be nullable and read as NULL in rows
    /// that are older. Columns that the definition no longer names stay. Descriptions are taken from the newest definition.
    ///
    /// # Errors
    /// A change of a column's type or kind, of the time column or of the sort order is refused, and nothing is changed.
    async fn create_table(&self, table: &TableDefinition) -> Result<TableDefinition, CreateTableError>;

    /// Stores the batch: all of its rows or none, and as durable as [`Capabilities::durability`] says when this returns.
    /// Every scan that begins afterwards sees it. The same [`crate::BatchId`] in the same table is stored once, whatever
    /// rows come with it the second time, also across restarts of a durable store; see [`crate::BatchWindow`] for how
    /// long. A batch without rows is stored as nothing, and its id remembered. If the returned future is dropped, the
    /// batch may or may not be stored.
    ///
    /// # Errors
    /// See [`AppendError`]; on each of them, [`AppendError::is_retryable`] says whether sending it again may help.
    async fn append(&self, table: &TableName, batch: IngestBatch) -> Result<(), AppendError>;

    /// Reads rows: a snapshot of what was stored when it was called, each batch wholly or not at all. Order and sizes of
    /// the answered batches are not defined; none is empty, and each has exactly the asked columns with the table's types.
    /// The time range is kept exactly; for predicate and limit see [`ScanRequest`]. For exact rows from any backend use
    /// [`StorageExt::scan_exact`].
    ///
    /// # Errors
    /// What is wrong with the request is said at once; what fails while reading comes as an item, and ends the stream.
    async fn scan(&self, request: ScanRequest) -> Result<BatchStream, ScanError>;

    /// Drops every row of the table that is older than `limit`. Such rows that arrive afterwards may be dropped as well.
    ///
    /// # Errors
    /// See [`DropError`].
    async fn drop_before(&self, table: &TableName, limit: Timestamp) -> Result<(), DropError>;

    /// How [`Storage::scan`] treats this predicate on this table.
    fn pushdown(&self, table: &TableName, predicate: &Predicate) -> Pushdown {
        let _ = (table, predicate);
        Pushdown::Unsupported
    }

    /// Runs SQL of [`Capabilities::sql`]'s dialect inside the backend.
    ///
    /// # Errors
    /// [`ScanError::Unsupported`] unless the backend speaks SQL.
    async fn query(&self, sql: &str) -> Result<BatchStream, ScanError> {
        let _ = sql;
        Err(ScanError::Unsupported { what: "speak SQL" })
    }

    /// Something that only callers who know this backend understand, for example the tables in the form of a query engine.
    fn extension(&self) -> Option<Arc<dyn Any + Send + Sync>> {
        None
    }
}

/// What can be said in terms of [`Storage`].
#[async_trait]
pub trait StorageExt: Storage {
    /// Like [`Storage::scan`], but exactly the rows for which the predicate is true and at most as many as the limit says,
    /// whatever the backend leaves undone.
    ///
    /// `definition` is the table as [`Storage::create_table`] answered it.
    ///
    /// # Errors
    /// As [`Storage::scan`].
    async fn scan_exact(
        &self,
        definition: &TableDefinition,
        mut request: ScanRequest,
    ) -> Result<BatchStream, ScanError> {
        let columns = request.resolve(definition)?;
        let Some(predicate) = request.predicate.clone() else { return self.scan(request).await };
        if self.pushdown(&request.table, &predicate) == Pushdown::Exact {
            return self.scan(request).await;
        }
        // The predicate's columns are read too, behind those that were asked for, and cut off after the filter.
        let schema = definition.schema();
        let mut names: Vec<String> = columns.iter().map(|&index| schema.field(index).name().clone()).collect();
        let asked = names.len();
        for column in predicate.columns() {
            if !names.iter().any(|name| name == column) {
                names.push(column.to_owned());
            }
        }
        let limit = request.limit.take();
        request.projection = Some(names);
        let kept: Vec<usize> = (0..asked).collect();
        let answer =
            Arc::new(Schema::new(columns.iter().map(|&index| schema.fields()[index].clone()).collect::<Vec<_>>()));
        let filtered = self.scan(request).await?.filter_map(move |batch| {
            let rows = batch.and_then(|batch| {
                let rows = evaluate::filter(&batch, &predicate)?;
                Ok(project(&rows, &kept, &answer)?)
            });
            std::future::ready(match rows {
                Ok(rows) if rows.num_rows() == 0 => None,
                other => Some(other),
            })
        });
        Ok(match limit {
            Some(limit) => limited(filtered.boxed(), limit),
            None => filtered.boxed(),
        })
    }
}

impl<S: Storage + ?Sized> StorageExt for S {}

/// Ends the stream after so many rows.
fn limited(stream: BatchStream, limit: usize) -> BatchStream {
    let cut = stream.scan(limit, |left, batch| {
        if *left == 0 {
            return std::future::ready(None);
        }
        std::future::ready(Some(batch.map(|batch| {
            let rows = batch.num_rows().min(*left);
            *left -= rows;
            batch.slice(0, rows)
        })))
    });
    cut.boxed()
}
