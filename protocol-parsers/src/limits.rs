//! Bounds of everything that grows with what is observed, and what they dropped.

use core::time::Duration;

use crate::Transport;

/// Bounds of one [`Dissector`](crate::Dissector) and its connections.
///
/// What only bounds the work within one message (how deep values are nested, how many records are searched for the context of a trace) is no
/// choice: the modules of the protocols say it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes kept per side while the protocol is not known yet.
    pub detection_bytes: usize,
    /// Bytes of one incomplete message kept per side. A longer message is read as far as it was kept; its length stays true.
    pub message_bytes: usize,
    /// Requests of one connection that may wait for their answer at once. The oldest beyond it is reported as unanswered.
    pub open_requests: usize,
    /// Bytes one connection may hold in buffers and open requests together.
    pub connection_bytes: usize,
    /// Bytes of one text field. A longer one is cut at a character border and named in the attribute `truncated`.
    pub text_bytes: usize,
    /// Attributes of one call.
    pub attributes: usize,
    /// Bytes of one direction's header table in HTTP/2, counted as RFC 7541, 4.1 does. Entries beyond it are unknown when they are
    /// referred to, and the calls are marked as incomplete.
    pub header_table_bytes: usize,
    /// Bytes of one header list in HTTP/2, counted likewise: short references can make long lists. Headers beyond it are not read.
    pub header_list_bytes: usize,
    /// Prepared statements of one connection whose texts are kept for their executions (MySQL, PostgreSQL). One that was not used for long
    /// makes room; its executions are then without text and incomplete.
    pub statements: usize,
    /// Bytes of all these texts together; of one text an eighth of it is kept.
    pub statement_bytes: usize,
    /// Portals of one connection whose texts are kept (PostgreSQL), with half as many bytes as those of the statements.
    pub portals: usize,
    /// Topics of one Kafka message that are listed.
    pub topics: usize,
    /// Names of Kafka topics that one connection keeps by the ids that messages have in their place.
    pub topic_names: usize,
    /// The same for all connections of one [`Dissector`](crate::Dissector): what one connection told names the topics of others.
    pub shared_topic_names: usize,
    /// Reported requests of one connection whose places are kept, so that their late answers are not taken for those of others.
    pub late_places: usize,
    /// gRPC streams of one connection whose messages are counted at once.
    pub counted_streams: usize,
    /// Bytes of one message, from its first one on, of which a [`Tap`](crate::Tap) sees what is body. The rest of it is only not shown, so
    /// it has no counter.
    pub tap_bytes: usize,
    /// Finished calls that wait for [`poll`](crate::Dissector::poll); more are dropped and counted.
    pub ready_calls: usize,
    /// A request on TCP or a Unix socket without an answer for this long is a timeout.
    pub stream_timeout: Duration,
    /// A request on UDP without an answer for this long is a timeout.
    pub datagram_timeout: Duration,
    /// A request that its own side takes back (RST_STREAM in HTTP/2) is reported so long after, unless its deadline comes first: an answer
    /// may cross what takes it back.
    pub crossing_time: Duration,
}

impl Limits {
    /// How long a request may wait for its answer.
    #[must_use]
    pub fn timeout(&self, transport: Transport) -> Duration {
        if transport.is_datagram() { self.datagram_timeout } else { self.stream_timeout }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            detection_bytes: 4 << 10,
            message_bytes: (64 << 10) + 512,
            open_requests: 1024,
            connection_bytes: 256 << 10,
            text_bytes: 64 << 10,
            attributes: 64,
            header_table_bytes: 16 << 10,
            header_list_bytes: 64 << 10,
            statements: 256,
            statement_bytes: 64 << 10,
            portals: 32,
            topics: 128,
            topic_names: 128,
            shared_topic_names: 4096,
            late_places: 64,
            counted_streams: 256,
            tap_bytes: 4 << 10,
            ready_calls: 65_536,
            stream_timeout: Duration::from_secs(120),
            datagram_timeout: Duration::from_secs(15),
            crossing_time: Duration::from_secs(1),
        }
    }
}

/// What happened, in running totals. Every bound of [`Limits`] has its counter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Chunks handed in.
    pub chunks: u64,
    /// Bytes handed in.
    pub bytes: u64,
    /// Messages read.
    pub messages: u64,
    /// Calls handed out or waiting.
    pub calls: u64,
    /// Gaps that no message's known length bridged.
    pub gaps: u64,
    /// Bytes that fit no protocol, were dropped while looking for the next message, or lay behind an encryption.
    pub unread_bytes: u64,
    /// Messages that were no message of their protocol.
    pub parse_errors: u64,
    /// Connections whose protocol was given up after too many errors in a row.
    pub protocols_given_up: u64,
    /// Connections whose protocol was recognised by what one side sent and refuted by the first bytes of the other.
    pub verdicts_withdrawn: u64,
    /// Messages longer than [`Limits::message_bytes`], read in part.
    pub long_messages: u64,
    /// Detection windows longer than [`Limits::detection_bytes`].
    pub long_detections: u64,
    /// Requests reported early because of [`Limits::open_requests`] or [`Limits::connection_bytes`].
    pub requests_evicted: u64,
    /// Answers that came after their request had been reported.
    pub late_answers: u64,
    /// Requests that timed out.
    pub timeouts: u64,
    /// Calls reported at their deadline because what ends them may have been lost.
    pub ends_lost: u64,
    /// Text fields cut by [`Limits::text_bytes`], [`Limits::topics`] or [`Limits::statement_bytes`].
    pub texts_cut: u64,
    /// Texts of prepared statements and portals dropped by [`Limits::statements`], [`Limits::statement_bytes`] or [`Limits::portals`].
    pub texts_forgotten: u64,
    /// Names of topics dropped by [`Limits::topic_names`] or [`Limits::shared_topic_names`].
    pub topic_names_dropped: u64,
    /// Places dropped by [`Limits::late_places`].
    pub late_places_dropped: u64,
    /// Attributes dropped by [`Limits::attributes`].
    pub attributes_dropped: u64,
    /// Entries of header tables dropped by [`Limits::header_table_bytes`].
    pub header_entries_dropped: u64,
    /// Header lists cut by [`Limits::header_list_bytes`].
    pub header_lists_cut: u64,
    /// Streams whose messages were not counted to the end because of [`Limits::counted_streams`].
    pub streams_uncounted: u64,
    /// Calls dropped by [`Limits::ready_calls`].
    pub calls_dropped: u64,
}
