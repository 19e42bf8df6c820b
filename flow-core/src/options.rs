//! Choices of a caller.

use std::time::Duration;

use crate::Limits;

/// How an engine works.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// Bounds.
    pub limits: Limits,
    /// How the application protocols are read; `None` leaves the payload alone.
    pub parsers: Option<protocol_parsers::Options>,
    /// Whether the same addresses and ports in different VLANs are different conversations.
    pub vlan_in_key: bool,
    /// Whether the same conversation seen at different interfaces is several: one per place where it is observed.
    pub interface_in_key: bool,
    /// Whether metrics of seconds and minutes are made.
    pub metrics: bool,
    /// Whether flow records are made.
    pub flows: bool,
    /// Long conversations are also recorded in pieces of this length; `None` gives one record at their end.
    pub pieces: Option<Duration>,
    /// Put in front of the numbers of conversations and calls, so that engines side by side give different ones.
    pub shard: u8,
}

impl Options {
    /// The longest that anything is waited for.
    pub(crate) fn patience(&self) -> Duration {
        let request =
            self.parsers.as_ref().map(|parsers| parsers.limits.stream_timeout.max(parsers.limits.datagram_timeout));
        let waits = [request, self.pieces].into_iter().flatten();
        waits.fold(self.limits.longest_idle(), Duration::max)
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            parsers: Some(protocol_parsers::Options::default()),
            vlan_in_key: true,
            interface_in_key: true,
            metrics: true,
            flows: true,
            pieces: None,
            shard: 0,
        }
    }
}
