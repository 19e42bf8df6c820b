#![doc = include_str!("../README.md")]
#![deny(unsafe_code)]

mod ahead;
mod clock;
mod conversations;
mod counts;
mod decode;
mod echo;
mod engine;
mod flow;
mod hash;
mod histogram;
mod index;
mod key;
mod limits;
mod marks;
mod memory;
mod metric;
mod opening;
mod options;
mod packet;
mod reader;
mod record;
mod rollup;
mod segments;
mod servers;
mod shard;
mod slab;
mod stats;
mod stream;
mod streams;
mod table;
mod tag;
mod tcp;
mod touched;
mod wheel;

pub use decode::Layer;
pub use engine::{FlowEngine, Input, Output};
pub use histogram::Histogram;
pub use limits::Limits;
pub use metric::{Metric, MetricKey, MetricValues};
pub use options::Options;
pub use packet::{LinkType, Packet};
pub use record::{
    CallRecord, Close, Confidence, Conversation, Counters, Durations, Endpoint, FlowRecord, Sides, Transport,
};
pub use shard::Sharder;
pub use stats::{DropReason, Stats};
pub use stream::{StreamEvent, StreamInput, StreamOpening};
