//! Sockets, their streams, and who has a descriptor of them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;

use metaflow_ebpf_common::{Flags, SocketEvent, Source};
use protocol_parsers::Side;

use super::piece::Way;
use super::roles::{IPPROTO_TCP, addresses};
use super::stream::{Setting, Stream};
use crate::hash::keyed;
use crate::limits::{Limits, nanos};
use crate::order::counts_from;
use crate::sink::Sink;

/// So many are looked at to find one that would end first.
const EVICTION_LOOKS: usize = 8;
/// So many streams of a socket are looked at when it seems to be closed: its own, and what goes through TLS.
const CLOSING_LOOKS: usize = 4;

/// Which stream. Of a socket they are told apart by its inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Key {
    /// What is sent over a socket.
    Wire(u64),
    /// Datagrams of a socket from and to this peer.
    Peer(u64, SocketAddr),
    /// What is sent in TLS: process, and connection in it. The socket below may not be known, or not yet.
    Plaintext(u32, u64),
}

/// What is known of a socket as a whole. It is remembered as long as it has a stream.
#[derive(Debug, Default)]
pub(super) struct Socket {
    /// The side of the process, where it was seen how the socket came to be.
    pub(super) side: Option<Side>,
    /// Made by `socketpair`: its other end is in the same process, or was before a fork.
    pub(super) is_pair: bool,
    /// The way that the client of a TLS connection sends, once its handshake was seen.
    pub(super) tls_client: Option<Way>,
    /// A TLS connection over it was seen.
    pub(super) had_plaintext: bool,
    /// Addresses of a TCP connection, once both are known.
    pub(super) addresses: Option<(SocketAddr, SocketAddr)>,
    /// Plaintext of it comes from elsewhere.
    pub(super) is_encrypted: bool,
    /// The last known descriptor was closed then.
    closed_ns: Option<u64>,
    holders: Vec<Holder>,
    streams: usize,
}

impl Socket {
    /// Whether the number of the inode was given to another connection. Addresses are lost when a connection ends: that is no change.
    pub(super) fn has_moved(&self, event: &SocketEvent) -> bool {
        self.addresses.is_some_and(|known| connection(event).is_some_and(|told| told != known))
    }
}

/// Addresses of a TCP connection, as far as both are told.
fn connection(event: &SocketEvent) -> Option<(SocketAddr, SocketAddr)> {
    let is_told = event.protocol == IPPROTO_TCP && event.local_port != 0 && event.remote_port != 0;
    is_told.then(|| addresses(event))
}

/// A process and its descriptor.
type Holder = (u32, i32);

/// All of them.
#[derive(Debug)]
pub(super) struct Table {
    sockets: HashMap<u64, Socket, ahash::RandomState>,
    streams: HashMap<Key, Stream, ahash::RandomState>,
    by_socket: BTreeSet<(u64, Key)>,
    /// When each stream is looked at again: not later than it has to be.
    timers: BTreeSet<(u64, Key)>,
    descriptors: BTreeMap<Holder, u64>,
}

impl Table {
    pub(super) fn new() -> Self {
        Self {
            sockets: HashMap::with_hasher(keyed()),
            streams: HashMap::with_hasher(keyed()),
            by_socket: BTreeSet::new(),
            timers: BTreeSet::new(),
            descriptors: BTreeMap::new(),
        }
    }

    pub(super) fn socket(&mut self, inode: u64) -> Option<&mut Socket> {
        self.sockets.get_mut(&inode)
    }

    pub(super) fn get_mut(&mut self, key: &Key) -> Option<&mut Stream> {
        self.streams.get_mut(key)
    }

    pub(super) fn len(&self) -> usize {
        self.streams.len()
    }

    /// Records of the ring that are held in streams. Takes as long as there are streams.
    pub(super) fn held(&self) -> u64 {
        self.streams.values().map(Stream::held).sum()
    }

    /// Adds a stream that is not there yet; another may have to go.
    pub(super) fn insert(&mut self, key: Key, setting: Setting, sink: &mut Sink) -> &mut Stream {
        while self.streams.len() >= sink.limits.streams.max(1) {
            self.evict(sink);
        }
        self.sockets.entry(setting.inode).or_default().streams += 1;
        self.by_socket.insert((setting.inode, key));
        self.streams.entry(key).or_insert_with(|| Stream::new(setting))
    }

    /// The socket below a stream turns out to be this one.
    pub(super) fn bind(&mut self, key: Key, inode: u64) {
        let Some(stream) = self.streams.get_mut(&key) else { return };
        let before = std::mem::replace(&mut stream.setting.inode, inode);
        self.by_socket.remove(&(before, key));
        self.by_socket.insert((inode, key));
        self.sockets.entry(inode).or_default().streams += 1;
        self.leave(before);
    }

    /// Looks at a stream again when it has to be: to be called when something has happened on it.
    pub(super) fn schedule(&mut self, key: Key, sink: &Sink) {
        let Some(stream) = self.streams.get_mut(&key) else { return };
        let socket = self.sockets.get(&stream.setting.inode);
        let deadline = deadline(stream, socket, sink);
        if deadline < stream.deadline {
            self.timers.remove(&(stream.deadline, key));
            stream.deadline = deadline;
            self.timers.insert((deadline, key));
        }
    }

    /// Lets time pass: gives up what is missing, and closes what is over.
    pub(super) fn expire(&mut self, now: u64, sink: &mut Sink) {
        while let Some((deadline_was, key)) = self.timers.first().copied().filter(|(deadline, _)| *deadline <= now) {
            self.timers.pop_first();
            let Some(stream) = self.streams.get_mut(&key) else { continue };
            stream.give_up_until(deadline_was, sink);
            let socket = self.sockets.get(&stream.setting.inode);
            let deadline = deadline(stream, socket, sink);
            stream.deadline = deadline;
            if deadline > deadline_was {
                self.timers.insert((deadline, key));
                continue;
            }
            let (inode, last, is_new) = (stream.setting.inode, stream.last_ns, stream.is_new());
            match socket.and_then(|socket| socket.closed_ns) {
                Some(time) if !is_new => self.remove_socket(inode, time, sink),
                time => self.remove(key, time.unwrap_or(last), sink),
            }
        }
    }

    /// Ends a stream and closes it.
    pub(super) fn remove(&mut self, key: Key, time_ns: u64, sink: &mut Sink) {
        let Some(stream) = self.streams.remove(&key) else { return };
        let inode = stream.setting.inode;
        self.by_socket.remove(&(inode, key));
        self.timers.remove(&(stream.deadline, key));
        stream.end(time_ns, sink);
        self.leave(inode);
    }

    /// A socket has a stream less.
    fn leave(&mut self, inode: u64) {
        let Some(socket) = self.sockets.get_mut(&inode) else { return };
        socket.streams -= 1;
        if socket.streams == 0
            && let Some(socket) = self.sockets.remove(&inode)
        {
            for holder in socket.holders {
                self.descriptors.remove(&holder);
            }
        }
    }

    /// Ends all streams of a socket.
    pub(super) fn remove_socket(&mut self, inode: u64, time_ns: u64, sink: &mut Sink) {
        let keys: Vec<_> = self.keys(inode).collect();
        for key in keys {
            self.remove(key, time_ns, sink);
        }
    }

    /// Ends all.
    pub(super) fn clear(&mut self, sink: &mut Sink) {
        while let Some((inode, key)) = self.by_socket.first().copied() {
            let last = self.streams.get(&key).map_or(0, |stream| stream.last_ns);
            let closed = self.sockets.get(&inode).and_then(|socket| socket.closed_ns);
            self.remove(key, closed.unwrap_or(last), sink);
        }
    }

    /// Notes what an event tells of its socket: that a process has it, and what it carries. Whether that is ciphertext whose plaintext comes
    /// from elsewhere.
    pub(super) fn note(&mut self, event: &SocketEvent, sink: &mut Sink) -> bool {
        let is_encrypted = event.source == Source::Openssl as u8 || event.flags & Flags::ENCRYPTED != 0;
        let Some(socket) = self.sockets.get_mut(&event.inode) else { return is_encrypted };
        socket.is_encrypted |= is_encrypted;
        socket.closed_ns = None;
        if socket.addresses.is_none() {
            socket.addresses = connection(event);
        }
        let (is_encrypted, holder) = (socket.is_encrypted, (event.header.tgid, event.fd));
        if event.fd < 0 || socket.holders.contains(&holder) {
            return is_encrypted;
        }
        if socket.holders.len() >= sink.limits.holders {
            sink.stats.holders_dropped += 1;
            return is_encrypted;
        }
        socket.holders.push(holder);
        // Whatever it was before, nobody saw that it was closed.
        if let Some(other) = self.descriptors.insert(holder, event.inode)
            && other != event.inode
        {
            self.release(other, holder, counts_from(event), sink);
        }
        is_encrypted
    }

    /// A process closed a descriptor; -1 if that was the last one, whichever it was.
    pub(super) fn close(&mut self, inode: u64, holder: Holder, time_ns: u64, sink: &Sink) {
        if holder.1 < 0
            && let Some(socket) = self.sockets.get_mut(&inode)
        {
            for holder in socket.holders.drain(..) {
                self.descriptors.remove(&holder);
            }
        }
        if self.descriptors.get(&holder) == Some(&inode) {
            self.descriptors.remove(&holder);
        }
        self.release(inode, holder, time_ns, sink);
    }

    /// A process ended, and with it its descriptors.
    pub(super) fn end_process(&mut self, pid: u32, time_ns: u64, sink: &Sink) {
        let range = (pid, i32::MIN)..=(pid, i32::MAX);
        let held: Vec<_> = self.descriptors.range(range).map(|(holder, inode)| (*holder, *inode)).collect();
        for (holder, inode) in held {
            self.close(inode, holder, time_ns, sink);
        }
    }

    /// Without a known descriptor a socket is closed, unless one shows up.
    fn release(&mut self, inode: u64, holder: Holder, time_ns: u64, sink: &Sink) {
        let Some(socket) = self.sockets.get_mut(&inode) else { return };
        socket.holders.retain(|other| *other != holder);
        if !socket.holders.is_empty() || socket.closed_ns.is_some() {
            return;
        }
        socket.closed_ns = Some(time_ns);
        // The first that is looked at ends the others. A process that opens and closes descriptors all the time does not make all of
        // them be looked at each time.
        let first: Vec<_> = self.keys(inode).take(CLOSING_LOOKS).collect();
        for key in first {
            self.schedule(key, sink);
        }
    }

    fn keys(&self, inode: u64) -> impl Iterator<Item = Key> {
        let first = (inode, Key::Wire(0));
        self.by_socket.range(first..).take_while(move |(of, _)| *of == inode).map(|(_, key)| *key)
    }

    /// Ends the stream that would end first if nothing more came, or nearly so.
    fn evict(&mut self, sink: &mut Sink) {
        for _ in 0..EVICTION_LOOKS {
            let Some((was, key)) = self.timers.first().copied() else { break };
            let Some(stream) = self.streams.get_mut(&key) else { break };
            let deadline = deadline(stream, self.sockets.get(&stream.setting.inode), sink);
            if deadline <= was {
                break;
            }
            stream.deadline = deadline;
            self.timers.remove(&(was, key));
            self.timers.insert((deadline, key));
        }
        let first = self.timers.first().map(|(_, key)| *key).or_else(|| self.by_socket.first().map(|(_, key)| *key));
        let Some(key) = first else { return };
        sink.stats.streams_evicted += 1;
        let last = self.streams.get(&key).map_or(0, |stream| stream.last_ns);
        self.remove(key, last, sink);
    }
}

/// When a stream has to be looked at.
fn deadline(stream: &Stream, socket: Option<&Socket>, sink: &Sink) -> u64 {
    let Limits { idle, datagram_idle, close, close_unused, .. } = sink.limits;
    let close = if stream.is_new() { close_unused } else { close };
    let idle = if stream.setting.is_datagrams { datagram_idle } else { idle };
    let closed = socket.and_then(|socket| socket.closed_ns).map_or(u64::MAX, |time| time.saturating_add(nanos(close)));
    stream.last_ns.saturating_add(nanos(idle)).min(closed).min(stream.gap_deadline(sink))
}
