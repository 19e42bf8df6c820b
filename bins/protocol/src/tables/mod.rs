//! The standard tables. Names and meanings are those of the records that the agent prints.

mod calls;
mod flows;
mod metrics;
mod telemetry;

pub use calls::CALLS;
pub use flows::FLOWS;
pub use metrics::{METRICS_1M, METRICS_1S};
pub use telemetry::{LOGS, PROFILES, PROMETHEUS_SAMPLES, SPANS};

use crate::column::{Column, Table, attributes, instant, name, number32, number64, overflow, text, time, writer};

/// Every table that rows are sent to.
pub const TABLES: &[&Table] =
    &[&CALLS, &FLOWS, &METRICS_1S, &METRICS_1M, &LOSSES, &EVENTS, &SPANS, &LOGS, &PROFILES, &PROMETHEUS_SAMPLES];

/// The table of this name, if it is one that rows are sent to.
#[must_use]
pub fn table(name: &str) -> Option<&'static Table> {
    TABLES.iter().copied().find(|table| table.name == name)
}

/// What was not recorded, and why.
pub const LOSSES: Table = Table {
    name: "losses",
    version: 1,
    description: "what was not recorded, where and why",
    sort: &["time"],
    columns: &[
        time("time", "", "start of the span in which it was lost").required(),
        instant("until_ns", "ns", "end of that span, since the Unix epoch").required(),
        name("place", "ring, decode, reassembly, parser, engine, queue, spool or server").required(),
        name("reason", "why, e.g. a limit's name").required(),
        number64("count", "", "how many").required(),
        name("unit", "of what: packets, bytes, chunks, calls, records, …").required(),
        name("capture", "interface, file, syscall or tls"),
    ],
};

/// What happened to processes and to the observation itself.
pub const EVENTS: Table = Table {
    name: "events",
    version: 1,
    description: "what happened to a process, or to the observation of one",
    sort: &["kind", "time"],
    columns: &[
        time("time", "", "when it happened").required(),
        name("kind", "what happened: process_start, process_exit, tls_unseen, io_uring, …").required(),
        text("text", "", "what happened and why, for people").required(),
        name("capture", "interface, file, syscall or tls"),
        number32("process_pid", "", "process to which it happened"),
        instant("process_start_ns", "ns", "start of that process, since the Unix epoch"),
        name("process_name", "name of that process"),
        name("process_thread", "thread of that process"),
        name("process_container", "container of that process"),
        attributes("attributes", "further facts, keys as in OpenTelemetry's semantic conventions"),
    ],
};

/// The name of every integer that the server gave out. Filled by the server, before the rows that use them.
pub const DICTIONARY: Table = Table {
    name: "dictionary",
    version: 1,
    description: "the name of every integer that a server gave out",
    sort: &["dictionary", "id"],
    columns: &[
        time("time", "", "when the server met the name").required(),
        text("dictionary", "", "kind of name, e.g. endpoint").required(),
        number32("id", "", "number of the name within writer and dictionary").required(),
        text("name", "", "the name").required(),
    ],
};

/// What the server adds to every row.
pub(crate) const ADDED_BY_SERVER: &[Column] = &[
    writer("writer", "", "server that gave out the integers of the row").required(),
    name("agent", "agent that sent the row"),
    number64("agent_epoch", "", "life of that agent"),
    overflow("overflow", "", "texts that found no integer because a dictionary was full, by column"),
];

/// Where the text of an attribute with a key that found no integer stands in the column `overflow`: behind this prefix and the key.
pub const OVERFLOWED_ATTRIBUTE: &str = "attributes.";
/// The column of texts that found no integer.
pub const OVERFLOW_COLUMN: &str = "overflow";
