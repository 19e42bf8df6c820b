#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod batch;
mod capabilities;
pub mod conformance;
mod dedup;
mod error;
mod evaluate;
mod kind;
mod memory;
mod name;
mod predicate;
mod scalar;
mod scan;
mod shape;
mod storage;
mod table;
mod time;

pub use batch::{BatchId, IngestBatch};
pub use capabilities::{Capabilities, Durability, Pushdown, SqlDialect};
pub use dedup::{BatchWindow, BatchWindows, DedupLimits, Seen};
pub use error::{AppendError, BackendError, CreateTableError, DropError, ScanError};
pub use evaluate::{Truth, evaluate, filter};
pub use kind::{ColumnKind, ParseKindError};
pub use memory::{Memory, MemoryLimits, MemoryStats};
pub use name::{NameError, TableName};
pub use predicate::{Comparison, MAX_PREDICATE_DEPTH, Predicate, PredicateError};
pub use scalar::Scalar;
pub use scan::ScanRequest;
pub use shape::{SchemaError, conform, widen};
pub use storage::{BatchStream, Storage, StorageExt};
pub use table::{ColumnDefinition, DefinitionError, TableBuilder, TableDefinition};
pub use time::{TimeRange, Timestamp};
