#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod decode;
mod histogram;
mod key;
mod limits;
mod metric;
mod options;
mod packet;
mod record;
mod stats;

pub use decode::Layer;
pub use histogram::Histogram;
pub use limits::Limits;
pub use metric::{Metric, MetricKey, MetricValues};
pub use options::Options;
pub use packet::{LinkType, Packet};
pub use record::{CallRecord, Close, Conversation, Counters, Durations, FlowRecord, Sides, Transport};
pub use stats::{DropReason, Stats};
