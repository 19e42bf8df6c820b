#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod answer;
pub mod build;
mod column;
mod messages;
mod schema_match;
pub mod tables;
mod wire;

/// The gRPC service, generated from the description in `tests/generated.rs` and kept in the repository.
#[allow(unused_qualifications, clippy::all, clippy::allow_attributes_without_reason, reason = "written by a generator")]
#[rustfmt::skip]
#[path = "generated/metaflow.v1.Ingest.rs"]
mod ingest;

pub use answer::{Refusal, Retry};
pub use column::{Column, Table, Values};
pub use ingest::{ingest_client, ingest_server};
pub use messages::{
    AppendRequest, AppendResponse, HelloRequest, HelloResponse, LONGEST_AGENT_NAME, Sender, SenderError, TableVersion,
};
pub use wire::{DecodeError, WireLimits, decode_batch, encode_batch};
