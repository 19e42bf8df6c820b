#![doc = include_str!("../README.md")]

mod probe;
mod tls;

pub use probe::{Finding, Found, Rights, probe};
pub use tls::{FileId, TlsContents, TlsKind, TlsLibraries, TlsLibrary, Unseen};
