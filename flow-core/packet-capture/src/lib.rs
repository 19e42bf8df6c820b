#![doc = include_str!("../README.md")]

mod file;
mod limits;
mod link;
mod live;
mod packet;
mod write;

pub use file::{CaptureFile, Compression, Damage, Format, Found, OpenError, Progress, ReadError, Truncation};
pub use limits::Limits;
pub use link::LinkType;
pub use live::{
    Connection, FilterError, Interface, OpenRingError, Ring, RingCounters, RingError, RingFilter, RingOptions, Stop,
    Wake, interfaces, wait,
};
pub use packet::{Batch, Packet, Packets, VlanTag};
pub use write::{PcapWriter, WriteError};
