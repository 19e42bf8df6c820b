//! What happened, in running totals.

/// What happened so far. Every record of a message that was handed in is counted in exactly one of the first group, or is
/// [`held`](crate::Tracer::held).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Records of messages handed in. Their sum below: `messages` = `delivered` + … + `dropped` + what is held.
    pub messages: u64,
    /// Handed on.
    pub delivered: u64,
    /// Nothing new in them: another process had received the same, or the sequence number was wrong.
    pub repeated: u64,
    /// Received without being taken out of the socket: they come again.
    pub peeked: u64,
    /// Of no bytes, on a socket that has no datagrams.
    pub empty: u64,
    /// Ciphertext whose plaintext comes from elsewhere.
    pub encrypted: u64,
    /// On sockets of other protocols.
    pub not_followed: u64,
    /// Nobody polled: [`Limits::waiting`](crate::Limits::waiting) and [`Limits::waiting_bytes`](crate::Limits::waiting_bytes).
    pub dropped: u64,

    /// Records of the ring that were no events.
    pub malformed: u64,
    /// Events that came so late that later ones had been handed on: [`Limits::reorder`](crate::Limits::reorder).
    pub late: u64,
    /// Events that were not waited with for long enough: [`Limits::reorder_events`](crate::Limits::reorder_events) and
    /// [`Limits::reorder_bytes`](crate::Limits::reorder_bytes).
    pub hurried: u64,
    /// Payload bytes handed on.
    pub bytes_delivered: u64,
    /// Bytes of the messages handed on that were not captured, or are beyond what is wanted of their stream
    /// ([`Tracer::limit_head`](crate::Tracer::limit_head)).
    pub bytes_missing: u64,
    /// Bytes handed on before.
    pub bytes_repeated: u64,
    /// Bytes between messages that never came.
    pub bytes_lost: u64,
    /// Holes that these are.
    pub gaps: u64,
    /// Holes that were given up because too much waited: [`Limits::gap_pieces`](crate::Limits::gap_pieces),
    /// [`Limits::gap_bytes`](crate::Limits::gap_bytes) and [`Limits::gap_bytes_total`](crate::Limits::gap_bytes_total).
    pub gaps_hurried: u64,
    /// Streams handed on.
    pub streams_opened: u64,
    /// Of these, closed.
    pub streams_closed: u64,
    /// Streams given up for others: [`Limits::streams`](crate::Limits::streams).
    pub streams_evicted: u64,
    /// Streams of TLS connections whose socket is not known.
    pub streams_unaddressed: u64,
    /// Descriptors that are not remembered: [`Limits::holders`](crate::Limits::holders).
    pub holders_dropped: u64,
    /// Ports that are not remembered: [`Limits::listening`](crate::Limits::listening).
    pub listening_dropped: u64,
    /// Threads forgotten before they sent something: [`Limits::threads`](crate::Limits::threads).
    pub threads_forgotten: u64,
    /// Messages forgotten before anybody asked for evidence: [`Limits::marks`](crate::Limits::marks).
    pub marks_forgotten: u64,
    /// Questions for evidence that were not answered because of [`Limits::mark_steps`](crate::Limits::mark_steps).
    pub evidence_refused: u64,
    /// TLS connections of which no plaintext was seen: [`Tracer::poll_opaque`](crate::Tracer::poll_opaque).
    pub opaque: u64,
    /// TLS connections of which it is not known whether plaintext was seen, or nobody asked: [`Limits::opaque`](crate::Limits::opaque).
    pub opaque_dropped: u64,
    /// Uses of `io_uring`: what goes that way is not seen.
    pub io_uring: u64,
    /// Processes forgotten for others: [`Limits::processes`](crate::Limits::processes).
    pub processes_evicted: u64,
    /// Processes of which nobody read more in time: [`Limits::unread`](crate::Limits::unread).
    pub unread_dropped: u64,
}
