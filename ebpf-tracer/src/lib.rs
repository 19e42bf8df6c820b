#![doc = include_str!("../README.md")]

mod clock;
mod event;
mod evidence;
mod hash;
mod limits;
mod marks;
mod order;
mod sink;
mod sockets;
mod stats;
mod threads;
mod tracer;

pub use clock::Clock;
pub use event::{Event, EventError};
pub use evidence::Evidence;
pub use limits::Limits;
pub use marks::Mark;
pub use metaflow_ebpf_common::{Flags, Header, Kind, Operation, ProcessEvent, SocketEvent, Source};
pub use sockets::Places;
pub use stats::Stats;
pub use tracer::Tracer;
