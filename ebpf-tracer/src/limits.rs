//! Bounds of everything that grows with what is observed.

use std::time::Duration;

/// Bounds of one [`Tracer`](crate::Tracer). Each has its counter in [`Stats`](crate::Stats).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// What is sent counts from when its call began, what is received from when its call returned. For this long an event may come
    /// after others that count as later: so long everything is held back.
    pub reorder: Duration,
    /// Events held back for that. Beyond it the earliest are no longer waited with.
    pub reorder_events: usize,
    /// Bytes of payload held back for that.
    pub reorder_bytes: usize,
    /// Bytes of a stream that are missing are waited for so long before they are given up.
    pub gap: Duration,
    /// Pieces of one stream that wait for missing bytes. Beyond it these are given up.
    pub gap_pieces: usize,
    /// Payload of one stream that waits for missing bytes, or for the rest of its datagram.
    pub gap_bytes: usize,
    /// The same for all streams together.
    pub gap_bytes_total: usize,
    /// Streams followed at once. Beyond it one of those that would be the first to end makes room.
    pub streams: usize,
    /// A stream on which nothing happened for this long has ended.
    pub idle: Duration,
    /// The same for datagrams.
    pub datagram_idle: Duration,
    /// The last known descriptor of a socket was closed: for this long a process may show that it has another one.
    pub close: Duration,
    /// The same for one on which nothing was sent or received: a server may hand it to a child, which waits for the first request.
    pub close_unused: Duration,
    /// Descriptors remembered of one socket.
    pub holders: usize,
    /// Ports remembered as listened to.
    pub listening: usize,
    /// What waits for [`poll`](crate::Tracer::poll); data beyond it is left out as a gap.
    pub waiting: usize,
    /// Payload of what waits there.
    pub waiting_bytes: usize,
    /// Threads remembered to have received something that they have not sent anything after.
    pub threads: usize,
    /// Messages remembered with their thread, for evidence.
    pub marks: usize,
    /// Messages of one stream looked through for one piece of evidence.
    pub mark_steps: usize,
    /// Plaintext of a TLS connection comes within this time after its ciphertext, or is taken for unseen.
    pub plaintext: Duration,
    /// TLS connections whose plaintext is waited for, and those without that wait to be told of.
    pub opaque: usize,
    /// Processes remembered, those that ended included.
    pub processes: usize,
    /// Processes that ended are remembered for this long.
    pub ended: Duration,
    /// Processes that wait for somebody to read more about them.
    pub unread: usize,
    /// Bytes of a command line or path that are kept.
    pub command_line: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            reorder: Duration::from_millis(20),
            reorder_events: 65_536,
            reorder_bytes: 64 << 20,
            gap: Duration::from_millis(100),
            gap_pieces: 64,
            gap_bytes: 1 << 20,
            gap_bytes_total: 64 << 20,
            streams: 65_536,
            idle: Duration::from_secs(120),
            datagram_idle: Duration::from_secs(60),
            close: Duration::from_secs(1),
            close_unused: Duration::from_secs(10),
            holders: 64,
            listening: 65_536,
            waiting: 65_536,
            waiting_bytes: 64 << 20,
            threads: 65_536,
            marks: 1 << 18,
            mark_steps: 1024,
            plaintext: Duration::from_secs(3),
            opaque: 65_536,
            processes: 65_536,
            ended: Duration::from_secs(180),
            unread: 4096,
            command_line: 4096,
        }
    }
}

/// In nanoseconds, as the kernel's times are.
pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
