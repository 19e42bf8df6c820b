//! Traffic made to measure with: conversations of several protocols at once, deterministic by its seed, with the truth about it.
//!
//! Each packet is the next one of a random conversation, which is the worst case for caches. Servers and what is asked of them are
//! popular by Zipf's law. There are tags, tunnels, IPv6, options of TCP, repeated and late segments, closed windows, errors, resets; no
//! packet is missing, and everything that begins also ends.

mod conversation;
mod file;
mod frame;
mod messages;
mod quiet;
mod tally;
mod zipf;

pub use file::CapturedTraffic;
pub use quiet::{Quiet, Shape};
pub(crate) use zipf::Zipf;

pub use tally::{Calls, PROTOCOLS, Tally};

use etherparse::TcpHeader;
use etherparse::TcpOptionElement::{
    MaximumSegmentSize, Noop, SelectiveAcknowledgementPermitted, Timestamp, WindowScale,
};
use fastrand::Rng;

use conversation::{ACK, Conversation, Event, FIN, PSH, Planned, RST, SYN, Topic};
use frame::{CLIENT, Header, Hosts, Route, SERVER, Wrap};
use messages::{Class, Resources};

/// How much traffic.
#[derive(Clone, Copy, Debug)]
pub struct Amount {
    /// Other seeds, other traffic.
    pub seed: u64,
    /// So many packets, and those that then end what is under way.
    pub packets: u64,
    /// Conversations at once.
    pub conversations: usize,
}

/// Traffic, one frame after the other. Ethernet.
pub struct Traffic {
    rng: Rng,
    amount: Amount,
    services: Zipf,
    resources: Resources,
    /// The port that each client used last.
    ports: [u16; CLIENTS],
    active: Vec<Conversation>,
    /// The one that sends next whatever the dice say: who gets a second FIN acknowledges it at once.
    next: Option<usize>,
    time_ns: u64,
    frame: Vec<u8>,
    truth: Tally,
}

const CLIENTS: usize = 64;
const SERVICES: usize = 48;
/// What the services do, again and again in this order: the most popular first.
const TOPICS: [Topic; 8] =
    [Topic::Http, Topic::Redis, Topic::MySql, Topic::Dns, Topic::Http, Topic::Download, Topic::Http, Topic::Opaque];
/// 2026-11-23 10:00:00 UTC.
const BEGIN_NS: u64 = 1_795_428_000_000_000_000;
/// From one packet to the next, on average: 50,000 a second.
const GAP_NS: u64 = 20_000;
const FIRST_PORT: u16 = 20_000;

impl Traffic {
    /// The same for the same amount, always.
    #[must_use]
    pub fn new(amount: Amount) -> Self {
        let mut traffic = Self {
            rng: Rng::with_seed(amount.seed),
            amount,
            services: Zipf::new(SERVICES),
            resources: Resources::new(),
            ports: [FIRST_PORT; CLIENTS],
            active: Vec::with_capacity(amount.conversations),
            next: None,
            time_ns: BEGIN_NS,
            frame: Vec::new(),
            truth: Tally::default(),
        };
        for _ in 0..amount.conversations {
            let conversation = traffic.begin();
            traffic.active.push(conversation);
        }
        traffic
    }

    /// When the next frame was seen, in nanoseconds since the Unix epoch, and the frame.
    pub fn next_frame(&mut self) -> Option<(u64, &[u8])> {
        while !self.active.is_empty() {
            let place = self.next.take().unwrap_or_else(|| self.rng.usize(..self.active.len()));
            let hurry = self.truth.packets >= self.amount.packets;
            if let Some(planned) = self.active[place].next(&mut self.rng, &self.resources, hurry) {
                self.time_ns += self.rng.u64(1..2 * GAP_NS);
                self.send(place, &planned);
                return Some((self.time_ns, &self.frame));
            }
            if hurry {
                self.active.swap_remove(place);
            } else {
                self.active[place] = self.begin();
            }
        }
        None
    }

    /// What there was so far; of calls those that were answered.
    #[must_use]
    pub fn truth(&self) -> &Tally {
        &self.truth
    }

    fn begin(&mut self) -> Conversation {
        let client = self.rng.usize(..CLIENTS);
        let service = self.services.any(&mut self.rng);
        let topic = TOPICS[service % TOPICS.len()];
        let port = &mut self.ports[client];
        *port = if *port == u16::MAX { FIRST_PORT } else { *port + 1 };
        let server_port = match topic {
            Topic::Http | Topic::Download => 8080,
            Topic::Redis => 6379,
            Topic::MySql => 3306,
            Topic::Dns => 53,
            Topic::Opaque => 9000,
        };
        let number = |side: usize| if side == CLIENT { client as u8 } else { service as u8 };
        // Of 16 clients one is in a VXLAN, two in a VLAN, three speak IPv6.
        let (is_v6, wrap) = match client % 16 {
            0 => (false, Wrap::Vxlan(42)),
            1 | 2 => (false, Wrap::Vlan(100 + client as u16 % 16)),
            3..=5 => (true, Wrap::Plain),
            _ => (false, Wrap::Plain),
        };
        let hosts = if is_v6 {
            Hosts::V6(
                [CLIENT, SERVER].map(|side| [0xfd, 0, 0, 0, 0, 0, 0, side as u8, 0, 0, 0, 0, 0, 0, 0, number(side)]),
            )
        } else {
            Hosts::V4([CLIENT, SERVER].map(|side| [10, side as u8, 0, number(side)]))
        };
        let route = Route { hosts, ports: [*port, server_port], wrap };
        Conversation::new(&mut self.rng, route, topic, service)
    }

    /// Makes the frame, and notes what it means.
    fn send(&mut self, place: usize, planned: &Planned) {
        let conversation = &mut self.active[place];
        let header = match conversation.is_tcp() {
            true => Header::Tcp(tcp(planned, &mut conversation.clocks, self.time_ns)),
            false => Header::Udp,
        };
        conversation.route.write(&mut self.frame, planned.from, &header, &planned.payload);
        let truth = &mut self.truth;
        truth.packets += 1;
        truth.bytes += self.frame.len() as u64;
        truth.zero_windows += u64::from(planned.window == 0);
        if conversation.opened_ns.is_none() {
            conversation.opened_ns = Some(self.time_ns);
            truth.flows += 1;
            truth.ipv6_flows += u64::from(matches!(conversation.route.hosts, Hosts::V6(_)));
            truth.vlan_flows += u64::from(matches!(conversation.route.wrap, Wrap::Vlan(_)));
            truth.vxlan_flows += u64::from(matches!(conversation.route.wrap, Wrap::Vxlan(_)));
        }
        match planned.event {
            Event::Nothing | Event::Opens => {}
            Event::Opened => {
                truth.handshakes += 1;
                truth.handshakes_ns += self.time_ns - conversation.opened_ns.unwrap_or_default();
            }
            Event::Repeats => truth.retransmissions += 1,
            Event::Late => truth.out_of_order += 1,
            Event::Finishes => {
                truth.finished += 1;
                self.next = Some(place);
            }
            Event::Resets => truth.reset += 1,
            Event::Asks => conversation.asked_ns = self.time_ns,
            Event::Answers(count, class) => {
                let calls = &mut truth.calls[conversation.topic.protocol().expect("only protocols have calls")];
                calls.count += count;
                calls.client_errors += if class == Class::ClientError { count } else { 0 };
                calls.server_errors += if class == Class::ServerError { count } else { 0 };
                calls.duration_ns += count * (self.time_ns - conversation.asked_ns);
            }
        }
    }
}

/// A header with the options that Linux sends.
fn tcp(planned: &Planned, clocks: &mut [u32; 2], time_ns: u64) -> TcpHeader {
    let has = |flag: u8| planned.flags & flag != 0;
    let mut header = TcpHeader::new(0, 0, planned.seq, planned.window);
    header.acknowledgment_number = planned.ack;
    (header.syn, header.ack, header.psh, header.fin, header.rst) = (has(SYN), has(ACK), has(PSH), has(FIN), has(RST));
    clocks[planned.from] = (time_ns / 1_000_000) as u32;
    let timestamp = Timestamp(clocks[planned.from], if has(ACK) { clocks[1 - planned.from] } else { 0 });
    let options = match (has(SYN), has(RST)) {
        (true, _) => header.set_options(&[
            MaximumSegmentSize(1460),
            SelectiveAcknowledgementPermitted,
            timestamp,
            Noop,
            WindowScale(7),
        ]),
        (false, true) => Ok(()),
        (false, false) => header.set_options(&[Noop, Noop, timestamp]),
    };
    options.expect("they fit 40 bytes");
    header
}
