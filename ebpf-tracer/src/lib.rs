#![doc = include_str!("../README.md")]

mod kernel;
mod probe;
mod tls;

pub use kernel::{
    BtfError, Capture, Filter, Kernel, KernelLimits, KernelTypes, LoadError, MapError, Names, TlsError, TlsHooks,
};
pub use metaflow_ebpf_common as events;
pub use probe::{Finding, Found, Rights, probe};
pub use tls::{FileId, TlsContents, TlsKind, TlsLibraries, TlsLibrary, Unseen};
