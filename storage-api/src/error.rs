use std::error::Error;
use std::fmt;

use arrow_schema::{ArrowError, DataType};

use crate::{BatchId, DefinitionError, PredicateError, SchemaError, TableName};

/// What went wrong below the trait: disk, network, engine.
#[derive(Debug)]
pub struct BackendError {
    source: Box<dyn Error + Send + Sync>,
    retryable: bool,
}

impl BackendError {
    /// A failure that may be gone the next time: full disk, server away, overload.
    pub fn retryable(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { source: source.into(), retryable: true }
    }

    /// A failure that the same request meets again.
    pub fn permanent(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { source: source.into(), retryable: false }
    }

    /// Whether the same request may succeed later.
    pub fn is_retryable(&self) -> bool {
        self.retryable
    }
}

impl fmt::Display for BackendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.source.fmt(f)
    }
}

impl Error for BackendError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.source()
    }
}

impl From<ArrowError> for BackendError {
    fn from(error: ArrowError) -> Self {
        Self::permanent(error)
    }
}

/// Why a table was not created or grown.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CreateTableError {
    /// The definition contradicts itself.
    #[error(transparent)]
    Definition(#[from] DefinitionError),
    /// A column has another type or kind than stored.
    #[error("column `{column}` of table `{table}` is stored as {stored} and cannot become {wanted}")]
    TypeChange {
        /// The table.
        table: TableName,
        /// The column.
        column: String,
        /// Type (and kind, if that differs) in the store.
        stored: String,
        /// Type (and kind) asked for.
        wanted: String,
    },
    /// A new column is not nullable, so rows already stored could not have it.
    #[error("new column `{column}` of table `{table}` must be nullable")]
    NewColumnRequired {
        /// The table.
        table: TableName,
        /// The column.
        column: String,
    },
    /// Time column, sort order or nullability differ from what is stored.
    #[error("{what} of table `{table}` cannot be changed")]
    LayoutChange {
        /// The table.
        table: TableName,
        /// What differs.
        what: &'static str,
    },
    /// The backend cannot store this type.
    #[error("this store has no place for column `{column}` of type {data_type}")]
    UnsupportedType {
        /// The column.
        column: String,
        /// Its type.
        data_type: DataType,
    },
    /// The store's own failure.
    #[error("the table could not be created: {0}")]
    Backend(#[from] BackendError),
}

impl CreateTableError {
    /// Whether the same request may succeed later.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Backend(error) if error.is_retryable())
    }
}

/// Why a batch was not stored. After any of these, none of its rows is visible; after a retryable one the same batch may
/// be sent again and will still be stored once.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// No such table; create it first.
    #[error("there is no table `{table}`")]
    UnknownTable {
        /// The name.
        table: TableName,
    },
    /// The rows do not fit the table.
    #[error("the batch does not fit table `{table}`: {source}")]
    Schema {
        /// The table.
        table: TableName,
        /// What does not fit.
        source: SchemaError,
    },
    /// More than the store takes in one piece; split it (each part under its own id).
    #[error("the batch has {size} {unit}, more than the {limit} that are taken at once")]
    TooLarge {
        /// How much it is.
        size: usize,
        /// How much is allowed.
        limit: usize,
        /// Of what: `rows` or `bytes`.
        unit: &'static str,
    },
    /// The number lies below the window in which numbers are remembered, so that it cannot be told whether the batch was
    /// stored before. It is refused, for storing it twice would be worse than saying so.
    #[error("batch {id} lies below {oldest}, the oldest number still remembered")]
    TooOld {
        /// The batch.
        id: BatchId,
        /// Smallest sequence number that would have been taken.
        oldest: u64,
    },
    /// No room now: memory is full and waiting did not help.
    #[error("the store is busy: {reason}")]
    Busy {
        /// What is short.
        reason: String,
    },
    /// No space left where the data lives.
    #[error("no space left: {reason}")]
    Full {
        /// Where.
        reason: String,
    },
    /// The store's own failure.
    #[error("the batch could not be stored: {0}")]
    Backend(#[from] BackendError),
}

impl AppendError {
    /// Whether the same batch may succeed later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Busy { .. } | Self::Full { .. } => true,
            Self::Backend(error) => error.is_retryable(),
            _ => false,
        }
    }
}

/// Why rows could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScanError {
    /// No such table.
    #[error("there is no table `{table}`")]
    UnknownTable {
        /// The name.
        table: TableName,
    },
    /// The projection names a column that is not there.
    #[error("table `{table}` has no column `{column}`")]
    UnknownColumn {
        /// The table.
        table: TableName,
        /// The column.
        column: String,
    },
    /// The predicate does not fit the table.
    #[error(transparent)]
    Predicate(#[from] PredicateError),
    /// The backend has no such operation.
    #[error("this store does not {what}")]
    Unsupported {
        /// The operation, as an infinitive.
        what: &'static str,
    },
    /// The store's own failure.
    #[error("the rows could not be read: {0}")]
    Backend(#[from] BackendError),
}

impl ScanError {
    /// Whether the same request may succeed later.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Backend(error) if error.is_retryable())
    }
}

impl From<ArrowError> for ScanError {
    fn from(error: ArrowError) -> Self {
        Self::Backend(error.into())
    }
}

/// Why old rows could not be dropped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DropError {
    /// No such table.
    #[error("there is no table `{table}`")]
    UnknownTable {
        /// The name.
        table: TableName,
    },
    /// The store's own failure.
    #[error("old rows could not be dropped: {0}")]
    Backend(#[from] BackendError),
}

impl DropError {
    /// Whether the same request may succeed later.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Backend(error) if error.is_retryable())
    }
}
