#![doc = include_str!("../README.md")]

mod tls;

pub use tls::{FileId, TlsContents, TlsKind, TlsLibraries, TlsLibrary, Unseen};
