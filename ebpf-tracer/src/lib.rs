#![doc = include_str!("../README.md")]

mod kernel;

pub use kernel::{
    BtfError, Capture, Filter, Kernel, KernelTypes, Limits, LoadError, MapError, Names, TlsError, TlsHooks,
};
pub use metaflow_ebpf_common as events;
