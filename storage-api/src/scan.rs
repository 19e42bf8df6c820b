use arrow_array::RecordBatch;
use arrow_schema::{ArrowError, SchemaRef};

use crate::{Predicate, ScanError, TableDefinition, TableName, TimeRange};

/// What to read from one table.
#[derive(Clone, Debug, PartialEq)]
pub struct ScanRequest {
    /// From where.
    pub table: TableName,
    /// Only rows of this time. Every backend keeps to it exactly.
    pub time: TimeRange,
    /// Which columns, in which order; `None` is all in the table's order. An empty list gives batches that have no
    /// columns, only a number of rows.
    pub projection: Option<Vec<String>>,
    /// Only rows for which this is true, as far as the backend says so, see [`crate::Storage::pushdown`].
    pub predicate: Option<Predicate>,
    /// At most so many rows, any of those that match. A backend for which the predicate is not exact ignores it.
    pub limit: Option<usize>,
}

impl ScanRequest {
    /// Everything in a table.
    pub fn new(table: TableName) -> Self {
        Self { table, time: TimeRange::ALL, projection: None, predicate: None, limit: None }
    }

    /// Only rows of this time.
    #[must_use]
    pub fn within(mut self, time: TimeRange) -> Self {
        self.time = time;
        self
    }

    /// Only these columns, in this order.
    #[must_use]
    pub fn columns<S: Into<String>>(mut self, columns: impl IntoIterator<Item = S>) -> Self {
        self.projection = Some(columns.into_iter().map(Into::into).collect());
        self
    }

    /// Only rows for which this is true (and what was asked for before).
    #[must_use]
    pub fn filter(mut self, predicate: Predicate) -> Self {
        self.predicate = Some(match self.predicate.take() {
            Some(first) => first.and(predicate),
            None => predicate,
        });
        self
    }

    /// At most so many rows.
    #[must_use]
    pub fn limit(mut self, rows: usize) -> Self {
        self.limit = Some(rows);
        self
    }

    /// Checks the request against the table and finds where its columns are: indices into the table's schema, in the
    /// order of the answer.
    ///
    /// # Errors
    /// [`ScanError::UnknownColumn`], [`ScanError::Predicate`].
    pub fn resolve(&self, definition: &TableDefinition) -> Result<Vec<usize>, ScanError> {
        let schema = definition.schema();
        if let Some(predicate) = &self.predicate {
            predicate.check(schema)?;
        }
        match &self.projection {
            None => Ok((0..schema.fields().len()).collect()),
            Some(names) => names
                .iter()
                .map(|name| {
                    schema.column_with_name(name).map(|(index, _)| index).ok_or_else(|| ScanError::UnknownColumn {
                        table: definition.name().clone(),
                        column: name.chars().take(64).collect(),
                    })
                })
                .collect(),
        }
    }
}

/// Keeps these columns of a batch, and its number of rows even when there are none.
pub(crate) fn project(batch: &RecordBatch, columns: &[usize], schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let arrays = columns.iter().map(|&index| batch.column(index).clone()).collect();
    let options = arrow_array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(schema.clone(), arrays, &options)
}
