//! Metrics: requests, errors, latency and TCP health of a second or a minute.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use protocol_parsers::{Protocol, Timestamp};

use crate::histogram::Histogram;
use crate::{Counters, Durations, Transport};

/// What one row of metrics is about. Rows of calls have a protocol and mostly an endpoint; rows of transport health have none.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MetricKey {
    /// How the bytes travel.
    pub transport: Transport,
    /// Who asked; `::` over Unix sockets.
    pub client: IpAddr,
    /// Who answers; `::` over Unix sockets.
    pub server: IpAddr,
    /// Port of who answers.
    pub server_port: u16,
    /// The interface that saw it, as the caller numbers them.
    pub interface: u32,
    /// Application protocol.
    pub protocol: Option<Protocol>,
    /// The protocol's verb.
    pub request_type: Option<Arc<str>>,
    /// Host, schema, queried name.
    pub domain: Option<Arc<str>>,
    /// What was asked for, in few distinct values.
    pub endpoint: Option<Arc<str>>,
}

/// One row of metrics. Rows add up: over windows, and over keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metric {
    /// Start of the window, a multiple of its length.
    pub start: Timestamp,
    /// Length of the window.
    pub window: Duration,
    /// What it is about.
    pub key: MetricKey,
    /// What was counted.
    pub values: MetricValues,
}

/// What a row of metrics counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MetricValues {
    /// Requests whose end was seen in the window, errors included.
    pub requests: u64,
    /// Of these with [`Status::ClientError`](protocol_parsers::Status::ClientError).
    pub client_errors: u64,
    /// Of these with [`Status::ServerError`](protocol_parsers::Status::ServerError).
    pub server_errors: u64,
    /// Of these with [`Status::Timeout`](protocol_parsers::Status::Timeout).
    pub timeouts: u64,
    /// Durations of the requests that have one.
    pub durations: Durations,
    /// The same as a histogram.
    pub latency: Histogram,
    /// Payload bytes of the requests.
    pub request_bytes: u64,
    /// Payload bytes of the answers.
    pub response_bytes: u64,
    /// Transport counters of the window.
    pub counters: Counters,
    /// Conversations that began.
    pub flows_opened: u64,
    /// Conversations that ended.
    pub flows_closed: u64,
    /// Of these refused, reset or never answered.
    pub flows_failed: u64,
    /// Handshakes measured, first SYN → ACK.
    pub rtt: Durations,
}
