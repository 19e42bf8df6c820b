#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod addresses;
mod listeners;
mod process;

pub use addresses::LocalAddresses;
pub use listeners::{Listeners, Socket, Transport};
pub use process::Process;
