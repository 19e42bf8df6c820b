//! A kernel that does what it is told, and what the tracer makes of it, in words.
#![allow(dead_code, reason = "each test file uses its part")]

use std::net::{Ipv4Addr, SocketAddr};

use ebpf_tracer::events::{Flags, Header, Kind, Operation, ProcessEvent, SocketEvent, Source};
use ebpf_tracer::{Clock, Event, Limits, Places, Tracer};
use flow_core::{Endpoint, StreamEvent, StreamInput};
use protocol_parsers::Side;

pub(crate) const MS: u64 = 1_000_000;
pub(crate) const SECOND: u64 = 1_000 * MS;
/// How far the time of the day is ahead of the kernel's clock.
pub(crate) const EPOCH: i64 = 1_700_000_000_000_000_000;

/// An end of a connection: `10.0.0.1:40000` to `10.0.0.2:80`, descriptor 5 of process 1.
pub(crate) fn client(inode: u64) -> SocketEvent {
    let mut event = SocketEvent {
        header: Header { kind: Kind::Socket as u32, tgid: 1, tid: 1, ..Header::default() },
        inode,
        fd: 5,
        netns: 1,
        family: 2,
        socket_type: 1,
        protocol: 6,
        state: 1,
        local_port: 40_000,
        remote_port: 80,
        ..SocketEvent::default()
    };
    event.local[..4].copy_from_slice(&[10, 0, 0, 1]);
    event.remote[..4].copy_from_slice(&[10, 0, 0, 2]);
    event
}

/// The other end, of process 2.
pub(crate) fn server(inode: u64) -> SocketEvent {
    let mut event = client(inode);
    (event.header.tgid, event.header.tid) = (2, 2);
    (event.local, event.remote) = (event.remote, event.local);
    (event.local_port, event.remote_port) = (event.remote_port, event.local_port);
    event
}

/// A datagram socket of process 1 that is not connected.
pub(crate) fn datagrams(inode: u64, peer: u8) -> SocketEvent {
    let mut event = client(inode);
    (event.socket_type, event.protocol, event.remote_port) = (2, 17, 53);
    event.remote[3] = peer;
    event
}

/// What a call does.
pub(crate) trait Call: Sized {
    fn by(self, process: u32, thread: u32) -> Self;
    fn connects(self, time: u64) -> Self;
    fn accepts(self, time: u64) -> Self;
    fn closes(self, time: u64) -> Self;
    /// From when to when, at which sequence number, how many bytes.
    fn sends(self, enter: u64, exit: u64, seq: u32, total: usize) -> Self;
    fn receives(self, enter: u64, exit: u64, seq: u32, total: usize) -> Self;
    fn unpositioned(self) -> Self;
    fn flagged(self, flags: u16) -> Self;
    fn tls(self, connection: u64) -> Self;
    fn at(self, at: u32, is_last: bool) -> Self;
}

impl Call for SocketEvent {
    fn by(mut self, process: u32, thread: u32) -> Self {
        (self.header.tgid, self.header.tid) = (process, thread);
        self
    }

    fn connects(mut self, time: u64) -> Self {
        (self.operation, self.header.time_ns) = (Operation::Connect as u8, time);
        self
    }

    fn accepts(mut self, time: u64) -> Self {
        (self.operation, self.header.time_ns) = (Operation::Accept as u8, time);
        self
    }

    fn closes(mut self, time: u64) -> Self {
        (self.operation, self.header.time_ns) = (Operation::Close as u8, time);
        self
    }

    fn sends(mut self, enter: u64, exit: u64, seq: u32, total: usize) -> Self {
        (self.operation, self.enter_ns, self.header.time_ns) = (Operation::Send as u8, enter, exit);
        (self.position, self.total, self.flags) = (seq, total as u32, Flags::POSITION | Flags::LAST);
        self
    }

    fn receives(self, enter: u64, exit: u64, seq: u32, total: usize) -> Self {
        Self { operation: Operation::Receive as u8, ..self.sends(enter, exit, seq, total) }
    }

    fn unpositioned(mut self) -> Self {
        self.flags &= !Flags::POSITION;
        self.position = 0;
        self
    }

    fn flagged(mut self, flags: u16) -> Self {
        self.flags |= flags;
        self
    }

    fn tls(mut self, connection: u64) -> Self {
        (self.source, self.tls) = (Source::Openssl as u8, connection);
        self
    }

    fn at(mut self, at: u32, is_last: bool) -> Self {
        self.at = at;
        if !is_last {
            self.flags &= !Flags::LAST;
        }
        self
    }
}

/// A tracer, and what it handed on.
pub(crate) struct Lab {
    pub(crate) tracer: Tracer,
    pub(crate) seen: Vec<String>,
}

impl Lab {
    pub(crate) fn new() -> Self {
        Self::limited(|_| {})
    }

    pub(crate) fn limited(change: impl FnOnce(&mut Limits)) -> Self {
        let mut limits = Limits::default();
        change(&mut limits);
        let clock = Clock { monotonic_ns: EPOCH, boottime_ns: EPOCH };
        Self { tracer: Tracer::new(limits, clock, Places { syscall: 7, tls: 8 }), seen: Vec::new() }
    }

    pub(crate) fn push(&mut self, mut event: SocketEvent, payload: &[u8]) {
        event.header.payload = payload.len() as u32;
        self.tracer.push(&Event::Socket(event, payload));
    }

    pub(crate) fn ends(&mut self, process: u32, time: u64) {
        let header =
            Header { kind: Kind::Process as u32, tgid: process, tid: process, time_ns: time, ..Header::default() };
        let event = ProcessEvent { header, change: ProcessEvent::ENDED, ..ProcessEvent::default() };
        self.tracer.push(&Event::Process(event, &[]));
    }

    /// Reads what there is.
    pub(crate) fn drain(&mut self) {
        while let Some(input) = self.tracer.poll() {
            self.seen.push(in_words(&input));
        }
    }

    /// What was handed on until then.
    pub(crate) fn until(&mut self, time: u64) -> Vec<String> {
        self.tracer.advance(time);
        self.drain();
        std::mem::take(&mut self.seen)
    }

    /// What is handed on to the end.
    pub(crate) fn finish(&mut self) -> Vec<String> {
        self.tracer.finish();
        self.drain();
        self.check();
        assert_eq!(self.tracer.held(), 0);
        assert_eq!(self.tracer.streams(), 0);
        std::mem::take(&mut self.seen)
    }

    /// Every record is accounted for.
    pub(crate) fn check(&self) {
        let stats = self.tracer.stats();
        let counted = stats.delivered
            + stats.repeated
            + stats.peeked
            + stats.empty
            + stats.encrypted
            + stats.not_followed
            + stats.dropped;
        assert_eq!(stats.messages, counted + self.tracer.held(), "{stats:?}");
    }
}

fn address(end: Endpoint) -> String {
    let Endpoint::Ip(address) = end else { return end.to_string() };
    match address {
        SocketAddr::V4(v4) if v4.ip().octets()[..3] == [10, 0, 0] => format!(".{}:{}", v4.ip().octets()[3], v4.port()),
        SocketAddr::V4(v4) if *v4.ip() == Ipv4Addr::UNSPECIFIED => format!("?:{}", v4.port()),
        other => other.to_string(),
    }
}

fn in_words(input: &StreamInput<'_>) -> String {
    let what = match input.event {
        StreamEvent::Open(opening) => {
            let transport = opening.transport.name();
            let known = if opening.sides_known { "→" } else { "?→" };
            let joined = if opening.from_start { "" } else { " joined" };
            let tls = if opening.interface == 8 { " tls" } else { "" };
            format!("open {transport} {} {known} {}{joined}{tls}", address(opening.client), address(opening.server))
        }
        StreamEvent::Data { chunk, tcp_seq } => {
            let side = if chunk.side == Side::Client { "client" } else { "server" };
            let missing = if chunk.missing > 0 { format!(" +{}", chunk.missing) } else { String::new() };
            let seq = tcp_seq.map(|seq| format!(" seq {seq}")).unwrap_or_default();
            format!("{side} {} {}{missing}{seq}", chunk.offset, chunk.bytes.escape_ascii())
        }
        StreamEvent::Close { time } => {
            format!("close at {} ms", (time.as_nanos() - EPOCH as u64) / MS)
        }
        _ => "?".to_owned(),
    };
    format!("{} {what}", input.stream)
}
