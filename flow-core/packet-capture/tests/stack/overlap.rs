//! TCP: what an application reads from its socket is what the engine hands on.

use std::collections::{BTreeMap, HashMap};
use std::io::{ErrorKind, Read};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;

use fastrand::Rng;

use crate::conversation::{Conversation, Kind, Segment};
use crate::namespace::in_namespace;
use crate::observer::Observer;
use crate::wire::{ACK, SYN, Tcp, Wire, answer};

/// Conversations of every kind but the first, which has `OVERLAPS`.
const OTHERS: usize = 250;
const OVERLAPS: usize = 10_000;
/// Conversations at once.
const BATCH: usize = 250;
/// Each conversation has a client's port of its own, from here on.
const FIRST_PORT: usize = 2000;

/// What the servers of the test differ in.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Server {
    port: u16,
    fast_open: bool,
    is_urgent_inline: bool,
    receive_buffer: Option<i32>,
}

const SERVERS: [Server; 4] = [
    Server { port: 1001, fast_open: false, is_urgent_inline: true, receive_buffer: None },
    Server { port: 1002, fast_open: true, is_urgent_inline: true, receive_buffer: None },
    Server { port: 1003, fast_open: false, is_urgent_inline: false, receive_buffer: None },
    Server { port: 1004, fast_open: false, is_urgent_inline: true, receive_buffer: Some(2048) },
];

fn server(conversation: &Conversation) -> Server {
    SERVERS[match conversation.kind {
        Kind::UrgentOutOfLine => 2,
        Kind::WindowEdge => 3,
        _ if conversation.fast_open => 1,
        _ => 0,
    }]
}

/// A conversation that goes on.
struct Going {
    case: usize,
    conversation: Conversation,
    /// Of what the segments hold.
    rng: Rng,
    sent: usize,
    server_isn: u32,
    read: Vec<u8>,
}

struct Lab {
    wire: Wire,
    observer: Observer,
    listeners: Vec<TcpListener>,
    /// By the client's port.
    sockets: HashMap<u16, TcpStream>,
}

fn set<T>(socket: &impl AsRawFd, level: i32, option: i32, value: T) {
    // SAFETY: the kernel reads as many bytes as the value has, which lives as long as the call.
    let done = unsafe {
        libc::setsockopt(socket.as_raw_fd(), level, option, (&raw const value).cast(), size_of::<T>() as u32)
    };
    assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
}

fn listen(server: &Server) -> TcpListener {
    let listener = TcpListener::bind(("10.66.255.254", server.port)).unwrap();
    listener.set_nonblocking(true).unwrap();
    // SAFETY: no memory is passed.
    assert_eq!(unsafe { libc::listen(listener.as_raw_fd(), 4096) }, 0);
    set(&listener, libc::SOL_SOCKET, libc::SO_OOBINLINE, i32::from(server.is_urgent_inline));
    if server.fast_open {
        set(&listener, libc::IPPROTO_TCP, libc::TCP_FASTOPEN, 4096_i32);
    }
    if let Some(bytes) = server.receive_buffer {
        set(&listener, libc::SOL_SOCKET, libc::SO_RCVBUF, bytes);
    }
    listener
}

impl Lab {
    fn new() -> Option<Self> {
        let wire = Wire::new()?;
        // Data on a SYN is taken without a cookie, where a socket wants it.
        std::fs::write("/proc/sys/net/ipv4/tcp_fastopen", "514").unwrap();
        let listeners = SERVERS.iter().map(listen).collect();
        Some(Self { wire, observer: Observer::new(), listeners, sockets: HashMap::new() })
    }

    /// Sends a segment with bytes of its own; reads what the kernel says.
    fn send(&mut self, going: &mut Going, segment: Segment, all: &mut [Going]) {
        let Conversation { isn, has_timestamps, .. } = going.conversation;
        let is_open = segment.flags & SYN == 0 || segment.start >= 0;
        let stamp = [&[1, 1, 8, 10][..], &segment.timestamp.to_be_bytes(), &[0; 4]].concat();
        let header = Tcp {
            ports: ((FIRST_PORT + going.case) as u16, server(&going.conversation).port),
            seq: isn.wrapping_add(1).wrapping_add(segment.start as u32),
            ack: if is_open { going.server_isn.wrapping_add(1).wrapping_add(segment.ack) } else { 0 },
            flags: segment.flags,
            urgent: segment.urgent,
            options: if has_timestamps { &stamp } else { &[] },
            error: segment.error,
        };
        let data: Vec<u8> = (0..segment.len).map(|_| going.rng.u8(..)).collect();
        let frame = header.frame(&data);
        self.wire.send(&frame);
        self.observer.see(going.case, &frame);
        self.listen(going, all);
    }

    /// Takes what the kernel has sent.
    fn listen(&mut self, going: &mut Going, all: &mut [Going]) {
        let mut buffer = [0; 2048];
        while let Some(frame) = self.wire.receive(&mut buffer) {
            let Some(answer) = answer(frame) else { continue };
            let Some(case) = usize::from(answer.port).checked_sub(FIRST_PORT) else { continue };
            self.observer.see(case, frame);
            if answer.flags == SYN | ACK {
                let other = all.iter_mut().find(|other| other.case == case);
                let whose = if case == going.case { Some(&mut *going) } else { other };
                if let Some(whose) = whose {
                    whose.server_isn = answer.seq;
                }
            }
        }
    }

    fn accept(&mut self) {
        for listener in &self.listeners {
            while let Ok((socket, peer)) = listener.accept() {
                socket.set_nonblocking(true).unwrap();
                self.sockets.insert(peer.port(), socket);
            }
        }
    }

    /// What the application reads now.
    fn read(&mut self, going: &mut Going) {
        let port = (FIRST_PORT + going.case) as u16;
        if !self.sockets.contains_key(&port) {
            self.accept();
        }
        let Some(socket) = self.sockets.get_mut(&port) else { return };
        let mut buffer = [0; 65_536];
        loop {
            match socket.read(&mut buffer) {
                Ok(0) => return,
                Ok(length) => going.read.extend(&buffer[..length]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // Nothing is there; or there was a reset, which is told behind the data.
                Err(_) => return,
            }
        }
    }

    /// Plays conversations beside each other. Gives what the application read of each.
    fn play(&mut self, cases: Vec<(usize, Conversation, u64)>, order: &mut Rng) -> Vec<(usize, Vec<u8>)> {
        let begin = |(case, conversation, seed)| Going {
            case,
            conversation,
            rng: Rng::with_seed(seed),
            sent: 0,
            server_isn: 0,
            read: Vec::new(),
        };
        let mut going: Vec<_> = cases.into_iter().map(begin).collect();
        let mut done = Vec::new();
        while !going.is_empty() {
            let mut one = going.swap_remove(order.usize(..going.len()));
            let Some(segment) = one.next() else {
                self.read(&mut one);
                done.push(one);
                continue;
            };
            self.send(&mut one, segment, &mut going);
            if one.conversation.is_read_early {
                self.read(&mut one);
            }
            going.push(one);
        }
        // What the kernel put off has come by now.
        for one in &mut done {
            self.read(one);
        }
        for (_, socket) in self.sockets.drain() {
            // Closing sends a reset, and nothing of it stays.
            set(&socket, libc::SOL_SOCKET, libc::SO_LINGER, libc::linger { l_onoff: 1, l_linger: 0 });
        }
        let mut buffer = [0; 2048];
        while self.wire.receive(&mut buffer).is_some() {}
        done.into_iter().map(|one| (one.case, one.read)).collect()
    }
}

impl Going {
    /// The next segment: SYN, its acknowledgement, and those of the conversation.
    fn next(&mut self) -> Option<Segment> {
        let first = self.conversation.segments.first()?;
        let plain = Segment { len: 0, flags: ACK, urgent: 0, ack: 0, error: 0, ..*first };
        let stamp = self.conversation.segments.iter().map(|segment| segment.timestamp).max()?;
        self.sent += 1;
        Some(match self.sent {
            1 => Segment { start: -1, len: self.conversation.syn_data, flags: SYN, timestamp: stamp, ..plain },
            2 => Segment {
                start: if self.conversation.fast_open { self.conversation.syn_data as i64 } else { 0 },
                timestamp: stamp,
                ..plain
            },
            number => *self.conversation.segments.get(number - 3)?,
        })
    }
}

/// Agreement of one kind of conversations.
#[derive(Default)]
struct Tally {
    agreed: usize,
    cases: usize,
    /// Of these that agree, a gap was told behind the last byte.
    gaps_behind: usize,
    /// Those that differ for a reason, and for none that is known.
    differ: [Vec<usize>; 2],
}

/// Why an agreement of this kind is not complete, and the least that is expected of it in percent.
fn expected(kind: Kind) -> (usize, &'static str) {
    match kind {
        Kind::Overlaps | Kind::ResetsAside | Kind::WithoutAck => (99, "see the reasons"),
        Kind::SynDataRefused => (0, "handed on at once, before the SYN-ACK says that it was not taken"),
        Kind::UrgentOutOfLine => {
            (30, "nothing on the wire tells whether the application takes it in line, as is assumed")
        }
        Kind::BehindFin => (90, "Linux reads what joins a FIN before its turn has come"),
        Kind::WindowEdge => (50, "windows are not followed"),
        Kind::OldTimestamps => (25, "timestamps are not followed"),
        Kind::AckOfNothing => {
            (28, "taken like others: where a capture loses packets, what it did not see is acknowledged")
        }
        Kind::WrongChecksum => {
            (28, "checksums are not looked at: those of this host's own packets are made by the card")
        }
        Kind::Reset => (30, "a reset may be forged or refused, so what follows it is handed on"),
        Kind::SynWithin => (12, "taken for the next connection between these ports"),
    }
}

/// Places of `Tally::differ`.
const REASONS: [&str; 2] = ["segments from outside of the window wait", "none that is known"];

fn reason(conversation: &Conversation) -> usize {
    let is_far = |segment: &Segment| segment.start > 65_535 && segment.len > 0;
    usize::from(!conversation.segments.iter().any(is_far))
}

/// All cases, or the one that the environment names.
fn cases() -> Vec<(usize, Conversation, u64)> {
    let only = std::env::var("METAFLOW_CASE").ok().and_then(|number| number.parse::<usize>().ok());
    let count = |kind| if kind == Kind::Overlaps { OVERLAPS } else { OTHERS };
    let kinds = Kind::ALL.into_iter().flat_map(|kind| std::iter::repeat_n(kind, count(kind)));
    let drawn = kinds.enumerate().filter(|(case, _)| only.is_none_or(|only| only == *case)).map(|(case, kind)| {
        let mut rng = Rng::with_seed(case as u64);
        (case, Conversation::draw(kind, &mut rng), rng.u64(..))
    });
    drawn.collect()
}

#[test]
fn what_an_application_reads_is_what_is_handed_on() {
    in_namespace(|| {
        let Some(mut lab) = Lab::new() else {
            println!("skipped: there is no /dev/net/tun");
            return;
        };
        let cases = cases();
        let mut order = Rng::with_seed(1);
        let mut read = HashMap::new();
        for batch in cases.chunks(BATCH) {
            read.extend(lab.play(batch.to_vec(), &mut order));
        }
        let (heard, stats) = lab.observer.finish();
        let mut tallies: BTreeMap<Kind, Tally> = BTreeMap::new();
        let mut bytes = 0;
        for (case, conversation, _) in &cases {
            let (truth, heard) = (&read[case], heard.get(case).cloned().unwrap_or_default());
            let tally = tallies.entry(conversation.kind).or_default();
            let agrees = heard.gap.is_none_or(|gap| gap == heard.client.len()) && heard.client.concat() == *truth;
            bytes += truth.len();
            tally.cases += 1;
            if agrees {
                tally.agreed += 1;
                tally.gaps_behind += usize::from(heard.gap.is_some());
            } else {
                tally.differ[reason(conversation)].push(*case);
            }
            if cases.len() == 1 {
                println!(
                    "{conversation:#?}\nread  {truth:02x?}\nheard {:02x?}, {:?}",
                    heard.client.concat(),
                    heard.gap
                );
            }
        }
        println!("{} conversations, {} segments, {bytes} bytes read", cases.len(), stats.packets);
        for (kind, Tally { agreed, cases, gaps_behind, differ }) in &tallies {
            let (least, why) = expected(*kind);
            println!(
                "{kind:?}: {agreed} of {cases} agree, {gaps_behind} of them with a gap behind the last byte: {why}"
            );
            if least == 99 {
                for (reason, cases) in REASONS.iter().zip(differ) {
                    println!("    {} differ, reason: {reason}; {:?}", cases.len(), &cases[..cases.len().min(5)]);
                }
                assert_eq!(differ[1], [], "cases to look at, each by METAFLOW_CASE");
            }
            assert!(agreed * 100 >= cases * least || *cases == 1, "{kind:?}: fewer than {least} %");
        }
    });
}
