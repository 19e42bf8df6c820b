//! What the kernel knows about a finished call.

use protocol_parsers::{Call, Side};

use crate::marks::{Mark, Marks};
use crate::stats::Stats;

/// Who sent and received the messages of a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Evidence {
    /// The message that the request's first byte was in.
    pub request: Option<Mark>,
    /// The message that the response's first byte was in.
    pub response: Option<Mark>,
}

impl Evidence {
    /// Whether the process is the one who asked: it sent the request, or received the answer.
    #[must_use]
    pub fn is_client(&self) -> Option<bool> {
        self.request.map(|request| request.sent).or(self.response.map(|response| !response.sent))
    }

    /// The process: that of the request where both differ, as after a fork.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.first().map(|mark| mark.pid)
    }

    /// The message seen first.
    #[must_use]
    pub fn first(&self) -> Option<&Mark> {
        self.request.as_ref().or(self.response.as_ref())
    }

    /// Hand-over number of the request's thread.
    #[must_use]
    pub fn syscall_trace_id_request(&self) -> Option<u64> {
        self.request?.syscall_trace_id
    }

    /// Hand-over number of the response's thread.
    #[must_use]
    pub fn syscall_trace_id_response(&self) -> Option<u64> {
        self.response?.syscall_trace_id
    }

    pub(crate) fn of(stream: u64, call: &Call<'_>, marks: &Marks, steps: usize, stats: &mut Stats) -> Self {
        let mut find = |side: Side, offset: Option<u64>| {
            let found = marks.at(stream, side, offset?, steps);
            stats.evidence_refused += u64::from(found.is_err());
            found.ok().flatten().copied()
        };
        Self {
            request: find(call.requester(), call.request_offset()),
            response: find(call.answerer(), call.response_offset()),
        }
    }
}
