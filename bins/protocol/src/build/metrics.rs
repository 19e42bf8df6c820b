use std::time::Duration;

use flow_core::Metric;

use super::Place;
use super::rows::Rows;
use crate::tables::{METRICS_1M, METRICS_1S};

/// Rows of the table `metrics_1s` or `metrics_1m`.
pub struct MetricsBuilder(Rows);

impl MetricsBuilder {
    /// Rows of windows of one second.
    #[must_use]
    pub fn of_seconds() -> Self {
        Self(Rows::new(&METRICS_1S))
    }

    /// Rows of windows of one minute.
    #[must_use]
    pub fn of_minutes() -> Self {
        Self(Rows::new(&METRICS_1M))
    }

    /// Whether a window of this length belongs into `metrics_1m`.
    #[must_use]
    pub fn is_minute(window: Duration) -> bool {
        window >= Duration::from_secs(60)
    }

    /// Adds one row.
    pub fn append(&mut self, metric: &Metric, place: &Place<'_>) {
        let (row, key, values) = (&mut self.0, &metric.key, &metric.values);
        let counters = &values.counters;
        row.time("time", metric.start.as_nanos());
        row.nanos("window_ns", metric.window);
        row.name("transport", key.transport.name());
        row.address("client_address", key.client);
        row.address("server_address", key.server);
        row.u16("server_port", key.server_port);
        row.name("protocol", key.protocol.as_ref().map(|protocol| protocol.name()));
        row.name("request_type", key.request_type.as_deref());
        row.name("domain", key.domain.as_deref());
        row.name("endpoint", key.endpoint.as_deref());
        row.name("observation_point", place.observation_point);
        row.name("capture", place.capture);
        row.process(place.process);
        row.u64("requests", values.requests);
        row.u64("client_errors", values.client_errors);
        row.u64("server_errors", values.server_errors);
        row.u64("timeouts", values.timeouts);
        row.durations(["duration_count", "duration_sum_ns", "duration_max_ns"], &values.durations);
        row.histogram("latency_bucket", "latency_count", &values.latency);
        row.u64("request_bytes", values.request_bytes);
        row.u64("response_bytes", values.response_bytes);
        row.sides(["packets_client", "packets_server"], counters.packets);
        row.sides(["bytes_client", "bytes_server"], counters.bytes);
        row.u64("flows_opened", values.flows_opened);
        row.u64("flows_closed", values.flows_closed);
        row.u64("flows_failed", values.flows_failed);
        row.sides(["retransmissions_client", "retransmissions_server"], counters.retransmissions);
        row.sides(["out_of_order_client", "out_of_order_server"], counters.out_of_order);
        row.sides(["zero_windows_client", "zero_windows_server"], counters.zero_windows);
        row.durations(["rtt_count", "rtt_sum_ns", "rtt_max_ns"], &values.rtt);
        row.durations(["srt_count", "srt_sum_ns", "srt_max_ns"], &counters.srt);
        row.durations(["art_count", "art_sum_ns", "art_max_ns"], &counters.art);
        row.health(counters);
        row.end_row();
    }
}

builder!(MetricsBuilder);
