//! What happened, in running totals.

use std::fmt;

/// Why a packet was not counted in any conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DropReason {
    /// A link type that is not read.
    LinkType,
    /// No IP packet: ARP, spanning tree and the like.
    NotIp,
    /// A transport that is not followed: not TCP, UDP or ICMP.
    Transport,
    /// A header contradicts itself, or the bytes on the wire end within it.
    Malformed,
    /// The capture ends within the headers.
    CutShort,
    /// More tags and tunnels within each other than are followed.
    TooDeep,
    /// A piece of a datagram whose other pieces never came, contradicted each other or had no room.
    Fragment,
}

impl DropReason {
    /// All, in the order of their counters.
    pub const ALL: [Self; 7] =
        [Self::LinkType, Self::NotIp, Self::Transport, Self::Malformed, Self::CutShort, Self::TooDeep, Self::Fragment];

    /// The name used in records.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::LinkType => "link_type",
            Self::NotIp => "not_ip",
            Self::Transport => "transport",
            Self::Malformed => "malformed",
            Self::CutShort => "cut_short",
            Self::TooDeep => "too_deep",
            Self::Fragment => "fragment",
        }
    }
}

impl fmt::Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What happened so far. `packets` = counted in conversations + dropped + `fragments_waiting`, exactly; a conversation's packets
/// are those of its flow records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Frames handed in.
    pub packets: u64,
    /// Frames counted in a conversation.
    pub packets_followed: u64,
    /// Frames dropped, by [`DropReason`] in the order of [`DropReason::ALL`].
    pub packets_dropped: [u64; DropReason::ALL.len()],
    /// Pieces of datagrams that wait for the others.
    pub fragments_waiting: u64,
    /// Conversations that began.
    pub flows_opened: u64,
    /// Conversations that ended, for whatever reason.
    pub flows_closed: u64,
    /// Of these, ended to make room: [`Limits::flows`](crate::Limits::flows).
    pub flows_evicted: u64,
    /// Streams that were opened: [`StreamEvent::Open`](crate::StreamEvent::Open).
    pub streams_opened: u64,
    /// Streams that were closed.
    pub streams_closed: u64,
    /// Streams that found no room: [`Limits::streams`](crate::Limits::streams).
    pub streams_refused: u64,
    /// Data and ends of streams that are not open, those that found no room among them.
    pub stream_events_unknown: u64,
    /// Payload bytes handed to the parsers in order.
    pub bytes_delivered: u64,
    /// Payload bytes that had been delivered before.
    pub bytes_repeated: u64,
    /// Payload bytes that never came: handed on as gaps.
    pub bytes_missing: u64,
    /// Holes given up because of the `reassembly_` limits.
    pub reassembly_overflows: u64,
    /// Segments so far from the others that they cannot belong to the stream.
    pub segments_out_of_window: u64,
    /// Calls counted in rows without domain and endpoint: [`Limits::metric_rows`](crate::Limits::metric_rows) and
    /// [`Limits::metric_text_bytes`](crate::Limits::metric_text_bytes).
    pub metrics_folded: u64,
    /// Additions to metrics that found no row at all.
    pub metrics_dropped: u64,
    /// Records dropped because nobody polled: [`Limits::waiting_records`](crate::Limits::waiting_records).
    pub records_dropped: u64,
}

impl Stats {
    /// Frames dropped for this reason.
    #[must_use]
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.packets_dropped.get(reason as usize).copied().unwrap_or_default()
    }

    /// Frames dropped for any reason.
    #[must_use]
    pub fn packets_dropped_total(&self) -> u64 {
        self.packets_dropped.iter().sum()
    }

    pub(crate) fn count_drop(&mut self, reason: DropReason, packets: u64) {
        if let Some(count) = self.packets_dropped.get_mut(reason as usize) {
            *count += packets;
        }
    }
}
