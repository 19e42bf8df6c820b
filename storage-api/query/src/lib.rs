#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod decode;
mod engine;
mod error;
mod filter;
mod histogram;
mod limits;
mod names_exec;
mod pg_catalog;
mod provider;
mod pushdown;
mod scan_exec;
mod statement;
mod suggest;
mod view;

pub use datafusion::common::ScalarValue;
pub use engine::{Answer, Prepared, QueryEngine};
pub use error::{Named, Position, QueryError};
pub use histogram::histogram_quantile;
pub use limits::QueryLimits;
pub use statement::{Statement, StatementKind};
