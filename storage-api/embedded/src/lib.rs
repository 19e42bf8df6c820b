#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

#[cfg(feature = "object-store")]
mod bucket;
mod budget;
mod check;
mod disk;
mod embedded;
mod encoding;
mod error;
mod expire;
mod flush;
mod footers;
mod frame;
mod keeper;
mod log;
mod manifest;
mod merge;
mod options;
mod parquet_file;
mod place;
mod provider;
mod pushdown;
mod read_only;
mod reading;
mod rebuild;
mod record;
mod recovery;
mod repair;
mod report;
mod reserve;
mod state;
mod stats;

#[cfg(feature = "object-store")]
pub use bucket::{Bucket, BucketError};
pub use check::{CheckReport, DamagedFile, MissingFile, Progress, TableReport, check};
#[doc(hidden)]
pub use check::{Contents, contents};
pub use disk::{Disk, DiskFile, OsDisk};
pub use embedded::Embedded;
pub use error::OpenError;
pub use options::{Limits, Options};
pub use rebuild::Rebuilt;
pub use repair::{MendedFile, RepairReport, repair};
pub use report::{Damage, RecoveryReport};
pub use stats::Stats;
