#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod budget;
mod disk;
mod embedded;
mod encoding;
mod error;
mod flush;
mod footers;
mod frame;
mod keeper;
mod log;
mod manifest;
mod merge;
mod options;
mod parquet_file;
mod provider;
mod pushdown;
mod record;
mod recovery;
mod report;
mod reserve;
mod state;
mod stats;

pub use disk::{Disk, DiskFile, OsDisk};
pub use embedded::Embedded;
pub use error::OpenError;
pub use options::{Limits, Options};
pub use report::{Damage, RecoveryReport};
pub use stats::Stats;
