//! From records to rows of the standard tables.

use flow_core::Sides;

/// What every builder of rows can do beside appending its kind of record.
macro_rules! builder {
    ($name:ident) => {
        impl $name {
            /// The table of the rows.
            #[must_use]
            pub fn table(&self) -> &'static $crate::Table {
                self.0.table()
            }

            /// Rows that wait for [`finish`](Self::finish).
            #[must_use]
            pub fn len(&self) -> usize {
                self.0.len()
            }

            /// Whether no row waits.
            #[must_use]
            pub fn is_empty(&self) -> bool {
                self.len() == 0
            }

            /// About how many bytes the rows have on the wire.
            #[must_use]
            pub fn bytes(&self) -> usize {
                self.0.bytes()
            }

            /// The rows so far, of the table's wire schema; the builder is empty again.
            ///
            /// # Errors
            /// Never for what `append` took.
            pub fn finish(&mut self) -> Result<arrow_array::RecordBatch, arrow_schema::ArrowError> {
                self.0.finish()
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($name)).field("rows", &self.len()).finish_non_exhaustive()
            }
        }
    };
}

mod calls;
mod column;
mod events;
mod flows;
mod losses;
mod metrics;
mod rows;

pub use calls::CallsBuilder;
pub use events::{Event, EventsBuilder};
pub use flows::FlowsBuilder;
pub use losses::{Loss, LossesBuilder};
pub use metrics::MetricsBuilder;

/// Where a record was observed: what the engine does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place<'a> {
    /// In call order: `client_process`, `client_nic`, …, `server_process`; `unknown` for a capture file.
    pub observation_point: &'a str,
    /// Interface, file, `syscall` or `tls`.
    pub capture: Option<&'a str>,
    /// The process at that point.
    pub process: Option<Process<'a>>,
    /// Paths of the ends that are Unix sockets, where they have any: `/run/mysqld/mysqld.sock`, or `@NAME` of an abstract one (unix(7)).
    pub paths: Sides<Option<&'a str>>,
    /// What system calls tell of a call beside its bytes, where it was seen in them.
    pub evidence: Option<Evidence>,
}

/// What system calls tell of a call, for those who join calls into traces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Evidence {
    /// Links calls of one thread: what a thread sends has the number of what it received before. Of the request; unique with agent and
    /// epoch.
    pub syscall_trace_id_request: Option<u64>,
    /// The same of the answer.
    pub syscall_trace_id_response: Option<u64>,
    /// The thread of [`Place::process`] that sent or received the request (the answer, if only that was seen).
    pub thread_id: Option<u32>,
}

/// A process at an observation point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process<'a> {
    /// Its id.
    pub pid: u32,
    /// When it started, in nanoseconds since the Unix epoch: tells it from an earlier process of the same id.
    pub start_ns: u64,
    /// Its name.
    pub name: &'a str,
    /// The name of its thread.
    pub thread: Option<&'a str>,
    /// The container it runs in.
    pub container: Option<&'a str>,
}
