//! From events of sockets to streams.

mod beneath;
mod direction;
mod piece;
mod roles;
mod stream;
mod table;

use flow_core::{Endpoint, Transport};
use metaflow_ebpf_common::{Flags, Operation, SocketEvent, Source};
use protocol_parsers::Side;

use beneath::Beneath;
use piece::{Piece, Way};
use roles::{AF_INET, AF_INET6, AF_UNIX, IPPROTO_TCP, Listening, addresses, side_of_first, side_of_name};
use stream::Setting;
use table::{Key, Table};

use crate::event::operation;
use crate::marks::Mark;
use crate::opaque::{Opaque, OpaqueTls, Record};
use crate::order::counts_from;
use crate::sink::Sink;
use crate::threads::Threads;

const SOCK_STREAM: u8 = 1;
const SOCK_DGRAM: u8 = 2;
const SOCK_SEQPACKET: u8 = 5;
const IPPROTO_UDP: u8 = 17;

/// Where streams are seen, as [`StreamOpening::interface`](flow_core::StreamOpening::interface) says it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Places {
    /// What is sent over sockets.
    pub syscall: u32,
    /// What is sent in TLS.
    pub tls: u32,
}

/// Takes events in the order in which they count.
#[derive(Debug)]
pub(crate) struct Sockets {
    table: Table,
    listening: Listening,
    threads: Threads,
    beneath: Beneath,
    opaque: Opaque,
    places: Places,
}

impl Sockets {
    pub(crate) fn new(places: Places) -> Self {
        Self {
            table: Table::new(),
            listening: Listening::new(),
            threads: Threads::new(),
            beneath: Beneath::new(),
            opaque: Opaque::new(),
            places,
        }
    }

    /// Something happened on a socket.
    pub(crate) fn apply(&mut self, event: &SocketEvent, payload: Vec<u8>, sink: &mut Sink) {
        let time = counts_from(event);
        self.expire(time, sink);
        match operation(event.operation) {
            Some(Operation::Send) => self.message(event, Way::Sent, payload, sink),
            Some(Operation::Receive) => self.message(event, Way::Received, payload, sink),
            Some(Operation::Connect) if event.total == 0 => self.begin(event, Some(Side::Client), sink),
            Some(Operation::Accept) => {
                let dropped = &mut sink.stats.listening_dropped;
                self.listening.insert(event.netns, event.local_port, sink.limits.listening, dropped);
                self.begin(event, Some(Side::Server), sink);
            }
            Some(Operation::Close) => self.table.close(event.inode, (event.header.tgid, event.fd), time, sink),
            Some(Operation::IoUring) => sink.stats.io_uring += 1,
            Some(Operation::Pair) => {
                self.begin(event, None, sink);
                // It is the other one's birth as well, of which no descriptor is told.
                let other = SocketEvent { inode: event.peer_inode, peer_inode: event.inode, fd: -1, ..*event };
                self.begin(&other, None, sink);
            }
            Some(Operation::Connect | Operation::Shutdown) | None => {}
        }
    }

    /// A process ended.
    pub(crate) fn end_process(&mut self, pid: u32, time_ns: u64, sink: &mut Sink) {
        self.expire(time_ns, sink);
        self.table.end_process(pid, time_ns, sink);
        self.opaque.ended(pid);
    }

    /// Lets time pass.
    pub(crate) fn expire(&mut self, now: u64, sink: &mut Sink) {
        self.table.expire(now, sink);
        self.opaque.expire(now, sink);
    }

    /// Closes all streams.
    pub(crate) fn finish(&mut self, sink: &mut Sink) {
        self.opaque.expire(u64::MAX, sink);
        self.table.clear(sink);
    }

    /// A process listens to a port, or nobody does so any more.
    pub(crate) fn listening(&mut self, netns: u32, port: u16, is_listening: bool, sink: &mut Sink) {
        if is_listening {
            self.listening.insert(netns, port, sink.limits.listening, &mut sink.stats.listening_dropped);
        } else {
            self.listening.remove(netns, port);
        }
    }

    /// Streams that are followed.
    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    /// Records of the ring that are held in streams.
    pub(crate) fn held(&self) -> u64 {
        self.table.held()
    }

    /// A connection begins, on whose `side` the process is where one of the two can be said to have opened it.
    fn begin(&mut self, event: &SocketEvent, side: Option<Side>, sink: &mut Sink) {
        let Some(kind) = Kind::of(event).filter(|kind| !kind.is_datagrams()) else { return };
        let key = Key::Wire(event.inode);
        let time = counts_from(event);
        // A `connect` that was under way is asked for again until it is over.
        let is_another = self.table.get_mut(&key).is_some_and(|stream| !stream.is_new());
        if is_another || self.table.socket(event.inode).is_some_and(|socket| socket.has_moved(event)) {
            self.table.remove_socket(event.inode, time, sink);
        }
        if self.table.get_mut(&key).is_none() {
            let setting = self.setting(event, kind, side, Way::Sent);
            self.table.insert(key, Setting { from_start: true, ..setting }, sink);
        }
        if let Some(socket) = self.table.socket(event.inode) {
            (socket.side, socket.is_pair) = (side, side.is_none());
        }
        self.table.note(event, sink);
        self.table.schedule(key, sink);
    }

    /// A piece of a message.
    fn message(&mut self, event: &SocketEvent, way: Way, payload: Vec<u8>, sink: &mut Sink) {
        let Some(kind) = Kind::of(event) else {
            sink.stats.not_followed += 1;
            return;
        };
        if event.flags & Flags::PEEK != 0 {
            sink.stats.peeked += 1;
            return;
        }
        if event.total == 0 && !kind.is_datagrams() {
            sink.stats.empty += 1;
            return;
        }
        if self.table.socket(event.inode).is_some_and(|socket| socket.has_moved(event)) {
            self.table.remove_socket(event.inode, counts_from(event), sink);
        }
        let key = kind.key(event);
        let thread = (event.header.tgid, event.header.tid);
        if kind.transport == Transport::Tcp && !kind.is_plaintext && event.at == 0 {
            let limit = sink.limits.threads;
            if let Some(above) = self.beneath.wire(thread, way, event.inode, event.total, &payload, limit) {
                self.find_beneath(event, above, event.inode, sink);
            }
        }
        let is_encrypted = self.table.note(event, sink);
        if is_encrypted && !kind.is_plaintext {
            sink.stats.encrypted += 1;
            self.opaque.plaintext(event.header.tgid, event.inode, sink);
            if let Some(stream) = self.table.get_mut(&key) {
                stream.last_ns = stream.last_ns.max(counts_from(event));
            }
            return;
        }
        let mark = (event.at == 0).then(|| self.mark(event, way, kind, sink));
        let Some(mut piece) = Piece::of(event, payload, mark) else { return };
        if kind.is_plaintext {
            self.opaque.plaintext(event.header.tgid, event.inode, sink);
            self.follow(event, key, &piece, sink);
        }
        if self.table.get_mut(&key).is_none() {
            self.join(event, key, kind, &piece, sink);
        }
        if kind.transport == Transport::Tcp && !kind.is_plaintext && event.at == 0 {
            self.look_for_tls(event, &piece, sink);
        }
        let Some(stream) = self.table.get_mut(&key) else { return };
        if stream.is_new() && event.family != 0 {
            (stream.setting.local, stream.setting.remote) = ends(event);
            if !stream.setting.sides_known && stream.setting.from_start {
                stream.setting.side = side_of_first(way);
            }
        }
        if let Some(mark) = &mut piece.mark {
            mark.order = stream.messages;
            stream.messages += 1;
        }
        stream.take(piece, sink);
        if stream.deadline == u64::MAX || stream.waits() {
            self.table.schedule(key, sink);
        }
        if kind.is_plaintext
            && event.inode == 0
            && event.at == 0
            && let Some(inode) = self.beneath.plaintext(thread, way, key, event.total, sink.limits.threads)
        {
            self.find_beneath(event, key, inode, sink);
        }
    }

    /// Notes what a message on a socket has of a TLS connection whose plaintext was not seen so far.
    fn look_for_tls(&mut self, event: &SocketEvent, piece: &Piece, sink: &mut Sink) {
        let Some(record) = Record::of(&piece.bytes) else { return };
        let Some(socket) = self.table.socket(event.inode).filter(|socket| !socket.had_plaintext) else { return };
        match (record, socket.tls_client) {
            (Record::Handshake { by_server }, None) => {
                socket.tls_client = Some(if by_server { piece.way.other() } else { piece.way });
            }
            (Record::Data, Some(way)) if way == piece.way => {
                // Once is enough.
                socket.tls_client = None;
                let (_, remote) = ends(event);
                let connection = OpaqueTls { pid: event.header.tgid, time_ns: counts_from(event), remote };
                self.opaque.data(event.inode, connection, sink);
            }
            _ => {}
        }
    }

    /// The socket below a TLS connection that does not tell it shows, if that is below no other.
    fn find_beneath(&mut self, event: &SocketEvent, key: Key, inode: u64, sink: &mut Sink) {
        let is_taken = self.table.socket(inode).is_some_and(|socket| socket.had_plaintext);
        if !is_taken && self.table.get_mut(&key).is_some_and(|stream| stream.setting.inode == 0) {
            self.settle(event, key, inode, sink);
        }
    }

    /// The socket below a TLS connection is known at last.
    fn settle(&mut self, event: &SocketEvent, key: Key, inode: u64, sink: &mut Sink) {
        self.table.bind(key, inode);
        if event.inode == inode {
            self.table.note(event, sink);
        }
        let Some(socket) = self.table.socket(inode) else { return };
        (socket.had_plaintext, socket.is_encrypted) = (true, true);
        self.opaque.plaintext(event.header.tgid, inode, sink);
        let (side, addresses) = (socket.side, socket.addresses);
        let Some(stream) = self.table.get_mut(&key) else { return };
        if let Some((local, remote)) = addresses.filter(|_| stream.is_unsettled) {
            let guess = || self.listening.side(event.netns, local, remote);
            let (side, sides_known) = side.map_or_else(guess, |side| (side, true));
            let setting = &mut stream.setting;
            (setting.local, setting.remote) = (local.into(), remote.into());
            (setting.side, setting.sides_known) = (side, sides_known);
        }
        stream.setting.from_start = side.is_some() && stream.begins_at_0();
        stream.settle(sink);
    }

    /// A stream that is not known yet, or no longer.
    fn join(&mut self, event: &SocketEvent, key: Key, kind: Kind, piece: &Piece, sink: &mut Sink) {
        let side = self.table.socket(event.inode).and_then(|socket| socket.side);
        let setting = self.setting(event, kind, side, piece.way);
        let stream = self.table.insert(key, setting, sink);
        if kind.is_plaintext {
            stream.is_unsettled = event.inode == 0;
            // Both directions are counted from when the connection was first seen.
            let is_first = piece.seq == Some(0);
            if is_first {
                stream.begin_at(0);
            }
            stream.setting.from_start &= is_first || piece.seq.is_none();
            if self.table.socket(event.inode).is_some_and(|socket| std::mem::replace(&mut socket.had_plaintext, true))
                && let Some(stream) = self.table.get_mut(&key)
            {
                // The count was lost, not the connection.
                stream.setting.from_start = false;
            }
        }
        self.table.note(event, sink);
    }

    /// A TLS connection may be used for another socket, and its socket may be known later than itself.
    fn follow(&mut self, event: &SocketEvent, key: Key, piece: &Piece, sink: &mut Sink) {
        let Some(stream) = self.table.get_mut(&key) else { return };
        let inode = stream.setting.inode;
        let is_other = inode != 0 && event.inode != 0 && inode != event.inode;
        if is_other || stream.is_over_before(piece) {
            self.table.remove(key, counts_from(event), sink);
        } else if inode == 0 && event.inode != 0 {
            self.settle(event, key, event.inode, sink);
        }
    }

    fn setting(&self, event: &SocketEvent, kind: Kind, known: Option<Side>, way: Way) -> Setting {
        let (side, sides_known) = match known {
            Some(side) => (side, true),
            None if kind.transport == Transport::Tcp && event.family != 0 => {
                let (local, remote) = addresses(event);
                self.listening.side(event.netns, local, remote)
            }
            None if let Some(side) = side_of_name(event) => (side, true),
            None => (side_of_first(way), false),
        };
        let (local, remote) = ends(event);
        Setting {
            inode: event.inode,
            begun_ns: counts_from(event),
            transport: kind.transport,
            is_datagrams: kind.is_datagrams(),
            is_plaintext: kind.is_plaintext,
            side,
            sides_known,
            from_start: kind.is_datagrams() || known.is_some(),
            local,
            remote,
            interface: if kind.is_plaintext { self.places.tls } else { self.places.syscall },
        }
    }

    fn mark(&mut self, event: &SocketEvent, way: Way, kind: Kind, sink: &mut Sink) -> Mark {
        let header = event.header;
        let thread = (header.tgid, header.tid);
        // What a process tells itself, a log or its manager is no part of what it answers.
        let is_aside = kind.transport == Transport::UnixDatagram
            || event.flags & Flags::PAIR != 0
            || event.family == AF_UNIX && self.table.socket(event.inode).is_some_and(|socket| socket.is_pair);
        let syscall_trace_id = match way {
            _ if is_aside => None,
            Way::Received => {
                let socket = if event.inode == 0 { event.tls } else { event.inode };
                let forgotten = &mut sink.stats.threads_forgotten;
                Some(self.threads.received(thread, socket, sink.limits.threads, forgotten))
            }
            Way::Sent => self.threads.sent(thread),
        };
        let time = sink.clock.from_monotonic(counts_from(event));
        let (pid, tid, comm, cgroup) = (header.tgid, header.tid, event.comm, event.cgroup);
        let sent = way == Way::Sent;
        Mark { time, sent, pid, tid, comm, cgroup, syscall_trace_id, order: 0 }
    }
}

/// Both ends: the process's and the other one.
fn ends(event: &SocketEvent) -> (Endpoint, Endpoint) {
    if event.family == AF_UNIX {
        return (Endpoint::Unix(event.inode), Endpoint::Unix(event.peer_inode));
    }
    let (local, remote) = addresses(event);
    (local.into(), remote.into())
}

/// What kind of socket.
#[derive(Clone, Copy, Debug)]
struct Kind {
    transport: Transport,
    is_plaintext: bool,
}

impl Kind {
    fn of(event: &SocketEvent) -> Option<Self> {
        let is_plaintext = event.source == Source::Openssl as u8;
        let transport = match (event.family, event.socket_type, event.protocol) {
            (AF_UNIX, SOCK_STREAM, _) => Transport::Unix,
            (AF_UNIX, SOCK_DGRAM | SOCK_SEQPACKET, _) => Transport::UnixDatagram,
            (AF_INET | AF_INET6, SOCK_STREAM, IPPROTO_TCP) => Transport::Tcp,
            (AF_INET | AF_INET6, SOCK_DGRAM, IPPROTO_UDP) => Transport::Udp,
            // A TLS connection whose socket is not known.
            (0, ..) if is_plaintext => Transport::Tcp,
            _ => return None,
        };
        Some(Self { transport, is_plaintext })
    }

    /// Plaintext is a stream, whatever carries it.
    fn is_datagrams(self) -> bool {
        matches!(self.transport, Transport::Udp | Transport::UnixDatagram) && !self.is_plaintext
    }

    fn key(self, event: &SocketEvent) -> Key {
        if self.is_plaintext {
            Key::Plaintext(event.header.tgid, event.tls)
        } else if self.transport == Transport::Udp {
            Key::Peer(event.inode, addresses(event).1)
        } else {
            Key::Wire(event.inode)
        }
    }
}
