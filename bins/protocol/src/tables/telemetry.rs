//! What others measured and sent: OpenTelemetry's spans and logs, profiles, samples of Prometheus.

use crate::column::{Table, attributes, bytes, float64, instant, name, nanos, number32, number64, text, time};

/// A span as OpenTelemetry's protocol carries it (opentelemetry.proto.trace.v1, `Span`).
pub const SPANS: Table = Table {
    name: "spans",
    version: 1,
    description: "one span that a program told of itself by OpenTelemetry",
    sort: &["service", "span_name", "time"],
    columns: &[
        time("time", "", "when it began").required(),
        nanos("duration_ns", "ns", "beginning to end").required(),
        bytes("trace_id", "", "trace of the span").required(),
        bytes("span_id", "", "the span").required(),
        bytes("parent_span_id", "", "parent, unless it is the first of its trace"),
        text("trace_state", "", "W3C tracestate"),
        number32("flags", "", "W3C trace flags in bits 0 to 7; bit 8: bit 9 says whether the parent is remote")
            .required(),
        name("service", "service.name of the resource"),
        name("span_name", "the operation"),
        name("span_kind", "internal, server, client, producer, consumer or unspecified").required(),
        name("status", "unset, ok or error").required(),
        text("status_message", "", "what went wrong"),
        name("scope", "instrumentation scope, with its version behind a space"),
        attributes("resource_attributes", "who sent it: attributes of the resource"),
        attributes("attributes", "attributes of the span; what is no text as JSON"),
        text("events", "", "JSON array of time_ns, name, attributes, in the order sent"),
        text("links", "", "JSON array of trace_id, span_id, trace_state, flags, attributes, in the order sent"),
        number32("dropped", "", "attributes, events and links that the sender dropped").required(),
    ],
};

/// A log record as OpenTelemetry's protocol carries it (opentelemetry.proto.logs.v1, `LogRecord`).
pub const LOGS: Table = Table {
    name: "logs",
    version: 1,
    description: "one log record",
    sort: &["service", "time"],
    columns: &[
        time("time", "", "when it happened; when it was collected, if that is not known").required(),
        instant("observed_ns", "ns", "when it was collected, since the Unix epoch"),
        name("service", "service.name of the resource"),
        number32("severity_number", "", "1 to 24: trace, debug, info, warn, error, fatal, four each; 0 unknown")
            .required(),
        name("severity", "the source's own word for it"),
        name("event_name", "kind of the event, if the record is one"),
        text("body", "", "the message; what is no text as JSON"),
        bytes("trace_id", "", "trace in which it was written"),
        bytes("span_id", "", "span in which it was written"),
        number32("flags", "", "W3C trace flags in bits 0 to 7").required(),
        name("scope", "instrumentation scope, with its version behind a space"),
        attributes("resource_attributes", "who sent it: attributes of the resource"),
        attributes("attributes", "attributes of the record; what is no text as JSON"),
        number32("dropped", "", "attributes that the sender dropped").required(),
    ],
};

/// How often a stack was met.
pub const PROFILES: Table = Table {
    name: "profiles",
    version: 1,
    description: "how often one stack of one process was met",
    sort: &["service", "profile_type", "time"],
    columns: &[
        time("time", "", "start of the span in which it was met").required(),
        nanos("duration_ns", "ns", "length of that span").required(),
        name("service", "service of the process"),
        name("profile_type", "what was measured, e.g. cpu, off_cpu, alloc_space").required(),
        name("unit", "of the value: nanoseconds, bytes, samples, …").required(),
        name("stack", "frames, the outermost first, with ; between them").required(),
        number64("samples", "", "how often it was met").required(),
        number64("value", "", "sum over the samples, in the unit").required(),
        number64("period", "", "value between two samples, if they were taken regularly"),
        number32("process_pid", "", "process"),
        instant("process_start_ns", "ns", "start of that process, since the Unix epoch"),
        name("process_name", "name of that process"),
        name("process_thread", "thread of that process"),
        name("process_container", "container of that process"),
        bytes("trace_id", "", "trace in which it ran"),
        bytes("span_id", "", "span in which it ran"),
        attributes("attributes", "further labels"),
    ],
};

/// A sample of a time series, classic or a native histogram (prometheus.proto `TimeSeries`, io.prometheus.write.v2).
pub const PROMETHEUS_SAMPLES: Table = Table {
    name: "prometheus_samples",
    version: 1,
    description: "one sample of one time series of Prometheus",
    sort: &["metric", "series", "time"],
    columns: &[
        time("time", "", "of the sample").required(),
        name("metric", "name of the metric").required(),
        number64("series", "", "hash of all labels: rows of one series have the same").required(),
        attributes("labels", "all labels but the name"),
        float64("value", "", "the value; none of a native histogram; a stale marker is the NaN 0x7ff0000000000002"),
        bytes("histogram", "", "a native histogram: message Histogram of io.prometheus.write.v2, as received"),
        instant("start_ns", "ns", "since when a counter or histogram counts, since the Unix epoch"),
        name("metric_type", "counter, gauge, histogram, gauge_histogram, summary, info, state_set or unknown"),
        name("unit", "of the metric"),
    ],
};
