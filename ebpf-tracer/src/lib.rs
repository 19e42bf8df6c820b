#![doc = include_str!("../README.md")]

mod budget;
mod clock;
mod container;
mod control_groups;
mod event;
mod evidence;
mod hash;
mod kernel;
mod limits;
mod marks;
mod opaque;
mod order;
mod probe;
mod proc;
mod processes;
mod reader;
mod recording;
mod sink;
mod sockets;
mod stats;
mod threads;
mod tls;
mod tracer;

pub use budget::Budget;
pub use clock::Clock;
pub use container::container_id;
pub use control_groups::{ControlGroupError, control_groups};
pub use event::{Event, EventError};
pub use evidence::Evidence;
pub use kernel::{
    BtfError, Capture, Filter, Hooks, Kernel, KernelLimits, KernelTypes, LoadError, MapError, Names, TlsError, TlsHooks,
};
pub use limits::Limits;
pub use marks::Mark;
pub use metaflow_ebpf_common as events;
pub use opaque::OpaqueTls;
pub use probe::{Finding, Found, Rights, probe};
pub use proc::{Connection, ConnectionState, Proc};
pub use processes::{Process, Snapshot};
pub use reader::{OwnNumberError, is_first_namespace, own_number};
pub use recording::{Entry, Recording, RecordingError, RecordingWriter};
pub use sockets::Places;
pub use stats::Stats;
pub use tls::{FileId, TlsContents, TlsKind, TlsLibraries, TlsLibrary, TlsUnseen, TlsWatch, Unseen};
pub use tracer::Tracer;
