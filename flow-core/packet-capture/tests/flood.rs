//! Real conversations through a ring of the real kernel, beside a flood that wants their place.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "helpers of tests fail them and print figures"
)]

#[path = "support/namespace.rs"]
mod namespace;

use std::collections::HashMap;
use std::ffi::c_int;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use flow_core::{Close, Endpoint, FlowEngine, FlowRecord, Input, Options, Output, Packet};
use metaflow_packet_capture::{Ring, RingOptions, Stop, interfaces, wait};
use namespace::in_namespace;
use protocol_parsers::{CallKind, Timestamp};

/// Real conversations, and how often each asks and is answered.
const REAL: usize = 1_000;
const ROUNDS: usize = 10;
/// Every third client resets its connection at the end.
const RESETS: usize = 3;
/// Conversations that the engine may follow at once: a small part of the flood.
const FLOWS: usize = 20_000;
/// Rows of metrics in one window. Every stranger would have one.
const METRIC_ROWS: usize = 4_096;
/// Frames of the flood.
const FLOOD: u64 = 300_000;
/// Frames of the flood that may be on their way: it goes as fast as they are read, so the ring never has to drop any.
const AHEAD: u64 = 5_000;
/// What one conversation may cost at most, tables and buffers included; and what the rest may.
const BYTES_PER_FLOW: u64 = 2_048;
const BYTES_BESIDE: u64 = 32 << 20;

/// What the application knows of a conversation, by its client's port.
type Truth = HashMap<u16, Talk>;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Talk {
    /// Of the client and the server.
    payload: [u64; 2],
    calls: u64,
    is_reset: bool,
}

/// What passed on the interface of a conversation, counted apart from the engine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Passed {
    /// Of the client and the server.
    packets: [u64; 2],
    bytes: [u64; 2],
}

/// A request of `round` rounds, and its answer of another length.
fn ask(client: usize, round: usize) -> Vec<u8> {
    format!("GET /item/{round} HTTP/1.1\r\nHost: shop\r\nX-Client: {client}\r\n\r\n").into_bytes()
}

fn reply(asked: usize) -> Vec<u8> {
    let body = "y".repeat(asked * 7 % 900);
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// Reads up to the empty line, and what `Content-Length` says behind it.
fn message(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.split_once("Content-Length: ").and_then(|(_, rest)| rest.lines().next()?.parse().ok());
            if body.len() >= length.unwrap_or(0) {
                return bytes;
            }
        }
        let length = stream.read(&mut buffer).unwrap();
        assert!(length > 0, "the peer is gone");
        bytes.extend(&buffer[..length]);
    }
}

/// Answers every client in turn, round for round.
fn serve(listener: &TcpListener) {
    let mut streams: Vec<_> = (0..REAL).map(|_| listener.accept().unwrap().0).collect();
    for _ in 0..ROUNDS {
        for stream in &mut streams {
            let asked = message(stream).len();
            stream.write_all(&reply(asked)).unwrap();
        }
    }
    for stream in &mut streams {
        // The end, or a reset.
        let _ = stream.read(&mut [0]);
    }
}

/// Asks in rounds, one client after the other; between rounds, so much of the flood passes.
fn converse(address: SocketAddr, flood: &Flood) -> Truth {
    let mut streams: Vec<_> = (0..REAL).map(|_| TcpStream::connect(address).unwrap()).collect();
    let mut truth = Truth::new();
    for round in 0..ROUNDS {
        flood.pass(round as u64 * FLOOD / ROUNDS as u64);
        for (client, stream) in streams.iter_mut().enumerate() {
            stream.write_all(&ask(client, round)).unwrap();
        }
        for (client, stream) in streams.iter_mut().enumerate() {
            let answered = message(stream).len();
            let talk = truth.entry(stream.local_addr().unwrap().port()).or_default();
            talk.payload[0] += ask(client, round).len() as u64;
            talk.payload[1] += answered as u64;
            talk.calls += 1;
        }
    }
    flood.pass(FLOOD);
    for (client, stream) in streams.into_iter().enumerate() {
        if client % RESETS == 0 {
            let linger = libc::linger { l_onoff: 1, l_linger: 0 };
            let length = size_of::<libc::linger>() as u32;
            let (level, option) = (libc::SOL_SOCKET, libc::SO_LINGER);
            // SAFETY: the kernel reads as many bytes as the value has, which lives as long as the call.
            let done =
                unsafe { libc::setsockopt(stream.as_raw_fd(), level, option, (&raw const linger).cast(), length) };
            assert_eq!(done, 0);
            truth.get_mut(&stream.local_addr().unwrap().port()).unwrap().is_reset = true;
        }
    }
    truth
}

/// Frames of strangers, and how many of them have passed the engine.
struct Flood {
    socket: OwnedFd,
    interface: u32,
    sent: AtomicU64,
    seen: Arc<AtomicU64>,
}

impl Flood {
    fn new(seen: Arc<AtomicU64>) -> Self {
        // SAFETY: no memory is passed.
        let descriptor = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
        assert!(descriptor >= 0, "{}", io::Error::last_os_error());
        // SAFETY: the descriptor is new and nobody else's.
        let socket = unsafe { OwnedFd::from_raw_fd(descriptor) };
        let interface = interfaces().unwrap().into_iter().find(|interface| interface.name == "lo").unwrap().index;
        Self { socket, interface, sent: AtomicU64::new(0), seen }
    }

    /// Sends frames until so many were sent in all.
    fn pass(&self, until: u64) {
        while self.sent.load(Ordering::Relaxed) < until {
            while self.sent.load(Ordering::Relaxed) > self.seen.load(Ordering::Acquire) + AHEAD {
                thread::yield_now();
            }
            self.send(&stranger(self.sent.fetch_add(1, Ordering::Relaxed)));
        }
    }

    fn send(&self, frame: &[u8]) {
        // SAFETY: all zeros is a value of this structure of integers.
        let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
        address.sll_family = libc::AF_PACKET as u16;
        address.sll_ifindex = self.interface as c_int;
        let (pointer, length) = ((&raw const address).cast(), size_of::<libc::sockaddr_ll>() as u32);
        // SAFETY: both pointers are to memory as long as is said.
        let sent =
            unsafe { libc::sendto(self.socket.as_raw_fd(), frame.as_ptr().cast(), frame.len(), 0, pointer, length) };
        assert_eq!(sent, frame.len() as isize, "{}", io::Error::last_os_error());
    }
}

/// A frame of its own conversation: a SYN to the real server, a datagram to any port, or one of keys that are all the same where addresses
/// are folded by exclusive or. This kernel takes none of them: they come from and go to where it is not.
fn stranger(number: u64) -> Vec<u8> {
    let [a, b, c, d] = (number as u32).to_be_bytes();
    let payload = b"spray";
    let port = (1024 + number % 60_000) as u16;
    let [high, low] = port.to_be_bytes();
    let udp = |from: [u8; 2], to: [u8; 2]| [&from[..], &to, &[0, 8 + payload.len() as u8, 0, 0], payload].concat();
    let v4 = |protocol: u8, transport: &[u8]| {
        let length = 20 + transport.len() as u8;
        [&[0x45, 0, 0, length, 0, 0, 0x40, 0, 64, protocol, 0, 0, 172, 16 | a, b, c, 198, 51, 100, d][..], transport]
            .concat()
    };
    let syn = [&[high, low, 0, 80, a, b, c, d, 0, 0, 0, 0, 0x50, 2, 0xff, 0xff, 0, 0, 0, 0][..]].concat();
    let (kind, packet) = match number % 3 {
        0 => ([8, 0], v4(6, &syn)),
        1 => ([8, 0], v4(17, &udp([high, low], [low, high]))),
        _ => {
            let head = [&[0x60, 0, 0, 0, 0, 8 + payload.len() as u8, 17, 64][..], &[0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0]];
            let from = [a, b, c, d, a, b, c, d];
            let to = [0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
            ([0x86, 0xdd], [&head.concat()[..], &from, &to, &udp([17, 92], [39, 15])].concat())
        }
    };
    [&[0; 12][..], &kind, &packet].concat()
}

/// What the engine told of the real conversations, and what passed of them.
#[derive(Default)]
struct Seen {
    flows: HashMap<u16, Vec<FlowRecord>>,
    calls: HashMap<u16, u64>,
    passed: HashMap<u16, Passed>,
}

impl Seen {
    fn take(&mut self, engine: &mut FlowEngine, server: u16) {
        while let Some(output) = engine.poll() {
            match output {
                Output::Call(record) => {
                    let is_whole = record.call.kind() == CallKind::RequestResponse && record.call.captured_complete();
                    *self.calls.entry(record.conversation.client.port()).or_default() += u64::from(is_whole);
                }
                Output::Flow(record) if is_real(record.conversation.server, server) => {
                    self.flows.entry(record.conversation.client.port()).or_default().push(record);
                }
                _ => {}
            }
        }
    }

    /// Counts a frame of a real conversation. Says whether it is one.
    fn count(&mut self, frame: &[u8], server: u16) -> bool {
        let port = |at: usize| u16::from_be_bytes([frame[at], frame[at + 1]]);
        if frame.len() < 54 || frame[12..14] != [8, 0] || frame[26] != 127 || frame[23] != 6 {
            return false;
        }
        let (side, client) = if port(36) == server { (0, port(34)) } else { (1, port(36)) };
        let passed = self.passed.entry(client).or_default();
        passed.packets[side] += 1;
        passed.bytes[side] += frame.len() as u64;
        true
    }

    /// Whether a conversation was told exactly.
    fn is_exact(&self, client: u16, talk: &Talk) -> bool {
        let Some([flow]) = self.flows.get(&client).map(Vec::as_slice) else { return false };
        let counters = &flow.counters;
        let passed = Passed {
            packets: [counters.packets.client, counters.packets.server],
            bytes: [counters.bytes.client, counters.bytes.server],
        };
        let close = if talk.is_reset { Close::ClientReset } else { Close::Finished };
        let told = Talk {
            payload: [counters.payload_bytes.client, counters.payload_bytes.server],
            calls: self.calls.get(&client).copied().unwrap_or_default(),
            is_reset: talk.is_reset,
        };
        told == *talk && self.passed.get(&client) == Some(&passed) && flow.close == Some(close)
    }
}

fn is_real(end: Endpoint, server: u16) -> bool {
    end.ip() == Ipv4Addr::LOCALHOST && end.port() == server
}

/// Reads the ring into the engine until the applications are done and nothing more is there.
fn observe(ring: &mut Ring, server: u16, seen: &AtomicU64, is_done: impl Fn() -> bool) -> (FlowEngine, Seen) {
    let mut options = Options::default();
    options.limits.flows = FLOWS;
    options.limits.metric_rows = METRIC_ROWS;
    let (mut engine, mut told) = (FlowEngine::new(options), Seen::default());
    let stop = Stop::new().unwrap();
    loop {
        let was_done = is_done();
        let mut frames = 0;
        wait(std::slice::from_ref(&*ring), &stop, Duration::from_millis(100)).unwrap();
        while let Some(batch) = ring.next_batch().unwrap() {
            let mut strangers = 0;
            for packet in batch {
                frames += 1;
                strangers += u64::from(!told.count(packet.captured, server));
                engine.handle(Input::Packet(Packet {
                    time: Timestamp::from_nanos(packet.time_ns),
                    link: flow_core::LinkType::ETHERNET,
                    interface: packet.interface,
                    captured: packet.captured,
                    original_len: packet.original_len,
                    vlan: None,
                }));
                told.take(&mut engine, server);
            }
            seen.fetch_add(strangers, Ordering::Release);
        }
        if was_done && frames == 0 {
            break;
        }
    }
    engine.finish();
    told.take(&mut engine, server);
    (engine, told)
}

#[test]
fn a_thousand_conversations_are_told_exactly_beside_a_flood() {
    in_namespace(|| {
        let mut ring = Ring::open("lo", &RingOptions { ring_bytes: 64 << 20, ..RingOptions::default() }).unwrap();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        // SAFETY: no memory is passed.
        assert_eq!(unsafe { libc::listen(listener.as_raw_fd(), 2 * REAL as c_int) }, 0);
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(AtomicU64::new(0));
        let flood = Flood::new(seen.clone());
        // Threads begin in the namespace of the one that starts them.
        let applications = thread::spawn(move || {
            let server = thread::spawn(move || serve(&listener));
            let truth = converse(address, &flood);
            server.join().unwrap();
            truth
        });
        let mut observed = None;
        let memory = allocation_counter::measure(|| {
            observed = Some(observe(&mut ring, address.port(), &seen, || applications.is_finished()));
        });
        let truth = applications.join().unwrap();
        let (engine, told) = observed.unwrap();

        let counters = ring.counters().unwrap();
        let exact = truth.iter().filter(|(client, talk)| told.is_exact(**client, talk)).count();
        let stats = engine.stats();
        println!(
            "{exact} of {REAL} conversations exact beside {FLOOD} frames of a flood; {} of the flood made room in a table of {FLOWS}; {} KiB \
             of memory at the most; the ring dropped {}",
            stats.flows_evicted,
            memory.bytes_max >> 10,
            counters.dropped
        );
        let wrong = truth.iter().find(|(client, talk)| !told.is_exact(**client, talk));
        let wrong =
            wrong.map(|(client, talk)| (talk, told.passed.get(client), told.calls.get(client), told.flows.get(client)));
        assert_eq!(truth.len(), REAL);
        assert!(exact * 1000 >= REAL * 999, "{exact}; one that is not: {wrong:#?}");
        let evicted = |flow: &&FlowRecord| flow.close == Some(Close::Evicted);
        assert_eq!(told.flows.values().flatten().filter(evicted).count(), 0, "only the flood made room");
        assert!(stats.flows_evicted > FLOOD / 2, "the flood was larger than the table: {stats:?}");
        assert_eq!(stats.packets, stats.packets_followed + stats.packets_dropped_total() + stats.fragments_waiting);
        assert_eq!((counters.dropped, counters.lent), (0, stats.packets));
        assert!(memory.bytes_max < FLOWS as u64 * BYTES_PER_FLOW + BYTES_BESIDE, "{}", memory.bytes_max);
    });
}
