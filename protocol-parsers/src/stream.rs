//! What goes in: pieces of the two byte streams of a connection.

use crate::Timestamp;

/// One of the two ends of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// The end that opened the connection, or sent the first datagram.
    Client,
    /// The other end.
    Server,
}

impl Side {
    /// The opposite end.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }

    pub(crate) const fn index(self) -> usize {
        self as usize
    }
}

/// How the bytes travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// A TCP connection: two streams of bytes.
    Tcp,
    /// A UDP conversation: one chunk is one datagram.
    Udp,
    /// A Unix socket.
    Unix,
}

impl Transport {
    /// The name used in records.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Unix => "unix",
        }
    }

    /// Whether every chunk is a whole message.
    #[must_use]
    pub const fn is_datagram(self) -> bool {
        matches!(self, Self::Udp)
    }
}

/// Bytes that one side sent, in the order in which it sent them.
#[derive(Clone, Copy, Debug)]
pub struct StreamChunk<'a> {
    /// Who sent them.
    pub side: Side,
    /// When they were seen.
    pub time: Timestamp,
    /// Position of the first byte in what this side sent. Must not fall; a jump over what came before is a gap.
    pub offset: u64,
    /// The captured bytes.
    pub bytes: &'a [u8],
    /// Bytes directly behind `bytes` that were sent but not captured (snap length, payload limit).
    pub missing: u64,
}

/// What is known of a connection before its first byte.
#[derive(Clone, Copy, Debug)]
pub struct Opening {
    /// How the bytes travel.
    pub transport: Transport,
    /// Whether the streams begin with the connection's first bytes. False when it was joined later.
    pub from_start: bool,
    /// Whether it is sure which side is the client. If not, the protocol decides.
    pub sides_known: bool,
    /// The server's port. A hint only: it decides between protocols that both fit, never alone.
    pub server_port: Option<u16>,
}

impl Opening {
    /// A TCP connection seen from its handshake on.
    pub const TCP: Self = Self { transport: Transport::Tcp, from_start: true, sides_known: true, server_port: None };
    /// A TCP connection joined in its middle: who opened it is a guess.
    pub const TCP_JOINED: Self =
        Self { transport: Transport::Tcp, from_start: false, sides_known: false, server_port: None };
    /// A UDP conversation: who asks is known from the messages only.
    pub const UDP: Self = Self { transport: Transport::Udp, from_start: true, sides_known: false, server_port: None };
}
