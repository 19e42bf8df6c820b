//! What is either so or not of a conversation, in one word.

use crate::Transport;
use crate::key::End;

/// Yes or no, for each of these constants. Those that are there for each end are asked with [`Marks::of`].
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Marks(u32);

impl Marks {
    const TRANSPORT: u32 = 0b11;
    const V6: u32 = 1 << 2;
    const CLIENT_HIGH: u32 = 1 << 3;
    /// Its client was seen to open it.
    pub(crate) const CLIENT_SURE: u32 = 1 << 4;
    /// Packets came since it was filed by its deadline.
    pub(crate) const FRESH: u32 = 1 << 5;
    /// A segment that is no part of a handshake was seen.
    pub(crate) const BEYOND_HANDSHAKE: u32 = 1 << 6;
    /// The parts of the handshake that were seen.
    pub(crate) const SYN: u32 = 1 << 7;
    pub(crate) const SYN_ACK: u32 = 1 << 8;
    pub(crate) const ACK: u32 = 1 << 9;
    /// Who sent the SYN-ACK.
    const SYN_ACK_HIGH: u32 = 1 << 10;

    /// Who is its server is known from other conversations.
    pub(crate) const SERVER_KNOWN: u32 = 1 << 11;

    /// A segment of this end was seen, and with it its sequence numbers.
    pub(crate) const SEEN: u32 = 1 << 12;
    /// The first of them is that of a SYN.
    pub(crate) const BEGUN: u32 = 1 << 14;
    /// It has closed, with the last of its sequence numbers.
    pub(crate) const FIN: u32 = 1 << 16;
    /// The other end has acknowledged that.
    pub(crate) const FIN_HEARD: u32 = 1 << 18;
    /// Data waits for the other end's acknowledgement.
    pub(crate) const UNACKNOWLEDGED: u32 = 1 << 20;
    /// A FIN follows these data.
    pub(crate) const FIN_BEHIND: u32 = 1 << 22;
    /// Its receive window is closed.
    pub(crate) const WINDOW_CLOSED: u32 = 1 << 24;
    /// It said something last.
    pub(crate) const SPOKE_LAST: u32 = 1 << 26;
    /// It has reset the connection.
    pub(crate) const RESET: u32 = 1 << 28;
    /// What it had sent before the connection was reset is known.
    pub(crate) const SENT_KNOWN: u32 = 1 << 30;

    pub(crate) fn new(transport: Transport, is_v6: bool, client: End, is_client_sure: bool) -> Self {
        let mut marks = Self(transport as u32);
        marks.set(Self::V6, is_v6);
        marks.set(Self::CLIENT_HIGH, client == End::High);
        marks.set(Self::CLIENT_SURE, is_client_sure);
        marks
    }

    #[inline(always)]
    pub(crate) fn has(self, mark: u32) -> bool {
        self.0 & mark != 0
    }

    #[inline(always)]
    pub(crate) fn set(&mut self, mark: u32, to: bool) {
        self.0 = if to { self.0 | mark } else { self.0 & !mark };
    }

    /// Whether this end has a mark.
    #[inline(always)]
    pub(crate) fn of(self, end: End, mark: u32) -> bool {
        self.has(mark << end as u32)
    }

    #[inline(always)]
    pub(crate) fn set_of(&mut self, end: End, mark: u32, to: bool) {
        self.set(mark << end as u32, to);
    }

    /// Takes a mark of this end away if `is_over`.
    #[inline(always)]
    pub(crate) fn clear_of(&mut self, end: End, mark: u32, is_over: bool) {
        self.0 &= !((mark * u32::from(is_over)) << end as u32);
    }

    /// Whether the handshake is complete, this end was seen, and did not reset the connection.
    #[inline(always)]
    pub(crate) fn is_under_way(self, from: End) -> bool {
        let seen = Self::ACK | Self::SEEN << from as u32;
        self.0 & (seen | Self::RESET << from as u32) == seen
    }

    /// Whether this is a TCP connection of which both ends were seen, beyond the handshake or without any, none of them is closing, and no
    /// window is closed.
    #[inline(always)]
    pub(crate) fn is_plain(self) -> bool {
        let seen = Self::SEEN * 3;
        let special = (Self::RESET | Self::FIN | Self::WINDOW_CLOSED) * 3;
        (self.0 & (Self::TRANSPORT | seen | special) == Transport::Tcp as u32 | seen)
            & (self.0 & (Self::SYN_ACK | Self::ACK) != Self::SYN_ACK)
    }

    /// Whether both ends have a mark.
    pub(crate) fn both(self, mark: u32) -> bool {
        self.0 & (mark * 3) == mark * 3
    }

    /// The end that has a mark; the lower one of both.
    pub(crate) fn who(self, mark: u32) -> Option<End> {
        End::BOTH.into_iter().find(|end| self.of(*end, mark))
    }

    /// Takes a mark of either end away.
    pub(crate) fn clear_both(&mut self, mark: u32) {
        self.set(mark | mark << 1, false);
    }

    /// Whether it may be over now and was not before, or the other way round.
    #[inline(always)]
    pub(crate) fn ends_otherwise(self, before: Self) -> bool {
        (self.0 ^ before.0) & ((Self::RESET * 3) | (Self::FIN_HEARD * 3)) != 0
    }

    #[inline(always)]
    pub(crate) fn transport(self) -> Transport {
        match self.0 & Self::TRANSPORT {
            0 => Transport::Tcp,
            1 => Transport::Udp,
            _ => Transport::Icmp,
        }
    }

    pub(crate) fn is_v6(self) -> bool {
        self.has(Self::V6)
    }

    /// Who is taken for the client.
    #[inline(always)]
    pub(crate) fn client(self) -> End {
        End::from_bit(self.has(Self::CLIENT_HIGH))
    }

    pub(crate) fn set_client(&mut self, end: End) {
        self.set(Self::CLIENT_HIGH, end == End::High);
    }

    /// Whether it was opened since, in all three steps.
    #[inline(always)]
    pub(crate) fn was_opened_since(self, before: Self) -> bool {
        self.has(Self::ACK) && !before.has(Self::ACK)
    }

    /// Whether all of the handshake was seen, which says by how much windows are shifted, and the connection was not reset.
    #[inline(always)]
    pub(crate) fn tell_windows(self) -> bool {
        self.0 & (Self::ACK | (Self::BEGUN * 3) | (Self::RESET * 3)) == Self::ACK | (Self::BEGUN * 3)
    }

    /// Who sent the SYN-ACK, if it was seen.
    pub(crate) fn accepter(self) -> End {
        End::from_bit(self.has(Self::SYN_ACK_HIGH))
    }

    pub(crate) fn set_accepter(&mut self, end: End) {
        self.set(Self::SYN_ACK, true);
        self.set(Self::SYN_ACK_HIGH, end == End::High);
    }
}
