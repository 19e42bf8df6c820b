#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod address;
mod answer;
mod dictionary;
mod error;
mod features;
mod http;
mod options;
mod predicate;
mod probe;
mod retention;
mod senders;
mod server;
mod settings;
mod sql;
mod store;
mod tables;
mod types;
mod wire;

pub use address::{Address, AddressError};
pub use error::{OpenError, RequestError};
pub use features::Features;
pub use options::{Limits, Options};
pub use store::{ClickHouse, Stats};
