//! TLS connections whose plaintext nobody sees.
//!
//! A connection is taken for one when a handshake was seen on its socket, then data from its client, and no plaintext of it within
//! [`Limits::plaintext`](crate::Limits::plaintext). A handshake that fails is none, and a connection that is opened in advance is none
//! before it is used. Of a process of which plaintext was seen whose socket is not known, nobody can say which connections are none.

use std::collections::{HashMap, HashSet, VecDeque};

use flow_core::Endpoint;

use crate::hash::keyed;
use crate::limits::nanos;
use crate::sink::Sink;

/// A TLS connection of which no plaintext was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpaqueTls {
    /// The process.
    pub pid: u32,
    /// When it sent or received data first, on the kernel's monotonic clock.
    pub time_ns: u64,
    /// The other end.
    pub remote: Endpoint,
}

/// The types of a record (RFC 8446 §5.1).
const HANDSHAKE: u8 = 22;
const APPLICATION_DATA: u8 = 23;
/// The second message of a handshake (RFC 8446 §4).
const SERVER_HELLO: u8 = 2;
/// What TLS 1.3 dresses up as data: an alert (2 bytes, a type and an authentication code), and the end of a handshake with a hash of 32 or
/// 48 bytes (RFC 8446 §4.4.4, §5.2).
const NO_DATA: [u16; 3] = [19, 53, 69];

/// What a message on a socket begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Record {
    /// A handshake; whether the server's part of it.
    Handshake { by_server: bool },
    /// What applications say.
    Data,
}

impl Record {
    /// Many libraries read the five bytes of a record's header by themselves.
    pub(crate) fn of(bytes: &[u8]) -> Option<Self> {
        let [kind, 3, 0..=4, high, low, rest @ ..] = bytes else { return None };
        let length = u16::from_be_bytes([*high, *low]);
        match *kind {
            HANDSHAKE => Some(Self::Handshake { by_server: rest.first() == Some(&SERVER_HELLO) }),
            APPLICATION_DATA if !NO_DATA.contains(&length) => Some(Self::Data),
            _ => None,
        }
    }
}

/// Connections whose plaintext is waited for.
#[derive(Debug)]
pub(crate) struct Opaque {
    /// By their sockets.
    waiting: HashMap<u64, OpaqueTls, ahash::RandomState>,
    /// The same by time; those whose plaintext came are in it, too.
    by_time: VecDeque<(u64, u64)>,
    /// Processes of which plaintext was seen without the socket that it goes through.
    unaddressed: HashSet<u32, ahash::RandomState>,
}

impl Opaque {
    pub(crate) fn new() -> Self {
        let (waiting, unaddressed) = (HashMap::with_hasher(keyed()), HashSet::with_hasher(keyed()));
        Self { waiting, by_time: VecDeque::new(), unaddressed }
    }

    /// Data of a TLS connection was seen on this socket.
    pub(crate) fn data(&mut self, inode: u64, connection: OpaqueTls, sink: &mut Sink) {
        if self.by_time.len() >= sink.limits.opaque {
            sink.stats.opaque_dropped += 1;
            return;
        }
        self.waiting.insert(inode, connection);
        self.by_time.push_back((connection.time_ns.saturating_add(nanos(sink.limits.plaintext)), inode));
    }

    /// Plaintext of this process was seen, of the connection over this socket, or over one that is not known.
    pub(crate) fn plaintext(&mut self, pid: u32, inode: u64, sink: &mut Sink) {
        if inode != 0 {
            self.waiting.remove(&inode);
        } else if self.unaddressed.contains(&pid) || self.unaddressed.len() < sink.limits.opaque {
            self.unaddressed.insert(pid);
        } else {
            sink.stats.opaque_dropped += 1;
        }
    }

    /// A process ended, and another may have its number.
    pub(crate) fn ended(&mut self, pid: u32) {
        self.unaddressed.remove(&pid);
    }

    /// Lets time pass.
    pub(crate) fn expire(&mut self, now: u64, sink: &mut Sink) {
        while let Some((_, inode)) = self.by_time.pop_front_if(|(due, _)| *due <= now) {
            if let Some(connection) = self.waiting.remove(&inode)
                && !self.unaddressed.contains(&connection.pid)
            {
                sink.opaque(connection);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_data_is_data() {
        let hello = [22, 3, 1, 2, 0, 1, 0, 1];
        assert_eq!(Record::of(&hello), Some(Record::Handshake { by_server: false }));
        assert_eq!(Record::of(&hello[..5]), Some(Record::Handshake { by_server: false }));
        assert_eq!(Record::of(&[22, 3, 3, 0, 90, 2]), Some(Record::Handshake { by_server: true }));
        assert_eq!(Record::of(&[23, 3, 3, 0, 30, 7, 8]), Some(Record::Data));
        for no_data in [&[23, 3, 3, 0, 19][..], &[23, 3, 3, 0, 53, 1], &[21, 3, 3, 0, 2], &[22, 3], b"GET / HTTP/1.1"] {
            assert_eq!(Record::of(no_data), None, "{no_data:?}");
        }
    }
}
