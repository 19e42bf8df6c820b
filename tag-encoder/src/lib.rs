#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![no_std]

extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

mod additions;
mod dictionary;
mod limits;
mod log;
mod names;
#[cfg(feature = "std")]
mod shared;
mod snapshot;

pub use additions::{Additions, ApplyError, Block};
pub use dictionary::Dictionary;
pub use limits::{DictionaryStats, Limits};
pub use log::{LOG_HEADER, LogError, LogReader, encode_block};
pub use names::{NameId, OVERFLOW_NAME};
#[cfg(feature = "std")]
pub use shared::{SharedDictionary, Writers, WritersSnapshot};
pub use snapshot::{DomainSnapshot, Snapshot};
