//! One conversation: what its sides say, packet by packet.

use std::collections::VecDeque;

use fastrand::Rng;

use super::frame::{CLIENT, Route, SERVER};
use super::messages::{self, Class, Resources};

/// What the sides talk about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Topic {
    Http,
    Redis,
    MySql,
    Dns,
    /// An HTTP answer of many segments.
    Download,
    /// Bytes of no known protocol.
    Opaque,
}

impl Topic {
    /// Its place in [`PROTOCOLS`](super::PROTOCOLS).
    pub(super) fn protocol(self) -> Option<usize> {
        match self {
            Self::Http | Self::Download => Some(0),
            Self::Redis => Some(1),
            Self::MySql => Some(2),
            Self::Dns => Some(3),
            Self::Opaque => None,
        }
    }

    /// How many exchanges a conversation has.
    fn exchanges(self, rng: &mut Rng) -> u32 {
        match self {
            Self::Http => rng.u32(1..12),
            Self::Redis => rng.u32(1..20),
            Self::MySql => rng.u32(1..10),
            Self::Dns | Self::Opaque => rng.u32(1..3),
            Self::Download => 1,
        }
    }
}

/// What a packet means to who counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    Nothing,
    /// The first SYN.
    Opens,
    /// The ACK of the SYN-ACK.
    Opened,
    /// Begins a request.
    Asks,
    /// Ends the answers of so many requests.
    Answers(u64, Class),
    /// Was sent before.
    Repeats,
    /// Comes behind its successor.
    Late,
    /// The second FIN.
    Finishes,
    Resets,
}

/// A packet to be sent.
pub(super) struct Planned {
    pub(super) from: usize,
    pub(super) seq: u32,
    pub(super) ack: u32,
    pub(super) flags: u8,
    pub(super) window: u16,
    pub(super) payload: Vec<u8>,
    pub(super) event: Event,
}

/// Flags of TCP (RFC 9293 §3.1).
pub(super) const FIN: u8 = 1;
pub(super) const SYN: u8 = 2;
pub(super) const RST: u8 = 4;
pub(super) const PSH: u8 = 8;
pub(super) const ACK: u8 = 16;
const WINDOW: u16 = 502;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Opening,
    Talking,
    Over,
}

/// A conversation under way.
pub(super) struct Conversation {
    pub(super) route: Route,
    pub(super) topic: Topic,
    /// When its first packet, and the running request, were sent.
    pub(super) opened_ns: Option<u64>,
    pub(super) asked_ns: u64,
    /// The timestamps option that each side sent last (RFC 7323 §3).
    pub(super) clocks: [u32; 2],
    service: usize,
    stage: Stage,
    exchanges: u32,
    /// Sequence numbers.
    next: [u32; 2],
    planned: VecDeque<Planned>,
}

impl Conversation {
    pub(super) fn new(rng: &mut Rng, route: Route, topic: Topic, service: usize) -> Self {
        Self {
            route,
            topic,
            opened_ns: None,
            asked_ns: 0,
            clocks: [0; 2],
            service,
            stage: Stage::Opening,
            exchanges: topic.exchanges(rng),
            next: [rng.u32(..), rng.u32(..)],
            planned: VecDeque::new(),
        }
    }

    pub(super) fn is_tcp(&self) -> bool {
        self.topic != Topic::Dns
    }

    /// The next packet; `None` when the conversation is over. With `hurry` it ends after the running exchange.
    pub(super) fn next(&mut self, rng: &mut Rng, resources: &Resources, hurry: bool) -> Option<Planned> {
        while self.planned.is_empty() {
            match self.stage {
                Stage::Opening => {
                    if self.is_tcp() {
                        self.open(rng);
                    }
                    self.stage = Stage::Talking;
                }
                Stage::Talking if self.exchanges > 0 && !(hurry && self.opened_ns.is_some()) => {
                    self.exchanges -= 1;
                    self.exchange(rng, resources);
                }
                Stage::Talking => {
                    if self.is_tcp() {
                        self.close(rng);
                    }
                    self.stage = Stage::Over;
                }
                Stage::Over => return None,
            }
        }
        self.planned.pop_front()
    }

    fn open(&mut self, rng: &mut Rng) {
        self.plan(CLIENT, SYN, Vec::new(), Event::Opens);
        self.maybe_repeat(rng);
        self.next[CLIENT] = self.next[CLIENT].wrapping_add(1);
        self.plan(SERVER, SYN | ACK, Vec::new(), Event::Nothing);
        self.next[SERVER] = self.next[SERVER].wrapping_add(1);
        self.plan(CLIENT, ACK, Vec::new(), Event::Opened);
        if self.topic == Topic::MySql {
            let [greeting, login, consent] = messages::mysql_login(rng);
            self.say(rng, SERVER, greeting, Event::Nothing);
            self.say(rng, CLIENT, login, Event::Asks);
            self.say(rng, SERVER, consent, Event::Answers(1, Class::Ok));
        }
    }

    fn exchange(&mut self, rng: &mut Rng, resources: &Resources) {
        match self.topic {
            Topic::Http => {
                self.ask(rng, resources);
                let length = rng.usize(20..600);
                let (mut answer, class) = messages::http_response(rng, length);
                answer.extend(noise(rng, length));
                self.say(rng, SERVER, answer, Event::Answers(1, class));
            }
            Topic::Download => {
                self.ask(rng, resources);
                let segments = rng.usize(4..40);
                let length = segments * self.route.segment();
                let (head, class) = messages::http_response(rng, length);
                self.say(rng, SERVER, head, Event::Answers(1, class));
                self.stream(rng, SERVER, segments);
            }
            Topic::Redis => {
                // Commands one behind the other, in one segment.
                let (mut requests, mut answers, class) = messages::redis(rng, resources);
                let mut count = 1;
                while rng.u8(..4) == 0 && count < 4 {
                    let (request, answer, other) = messages::redis(rng, resources);
                    if other == class {
                        requests.extend(request);
                        answers.extend(answer);
                        count += 1;
                    }
                }
                self.say(rng, CLIENT, requests, Event::Asks);
                self.say(rng, SERVER, answers, Event::Answers(count, class));
            }
            Topic::MySql => {
                let (query, answer, class) = messages::mysql(rng, resources);
                self.say(rng, CLIENT, query, Event::Asks);
                self.say(rng, SERVER, answer, Event::Answers(1, class));
            }
            Topic::Dns => {
                let (query, answer, class) = messages::dns(rng, resources);
                self.plan(CLIENT, 0, query, Event::Asks);
                self.plan(SERVER, 0, answer, Event::Answers(1, class));
            }
            Topic::Opaque => {
                let from = if rng.bool() { CLIENT } else { SERVER };
                let segments = rng.usize(2..30);
                self.stream(rng, from, segments);
            }
        }
        if self.is_tcp() && rng.bool() {
            self.plan(CLIENT, ACK, Vec::new(), Event::Nothing);
        }
    }

    /// A request of HTTP; its body comes in a segment of its own, as most clients send it.
    fn ask(&mut self, rng: &mut Rng, resources: &Resources) {
        let (head, body) = messages::http_request(rng, resources, self.service);
        self.say(rng, CLIENT, head, Event::Asks);
        if !body.is_empty() {
            self.say(rng, CLIENT, body, Event::Nothing);
        }
        if rng.u8(..3) == 0 {
            self.plan(SERVER, ACK, Vec::new(), Event::Nothing);
        }
    }

    fn close(&mut self, rng: &mut Rng) {
        if rng.u8(..10) == 0 {
            self.plan(CLIENT, RST | ACK, Vec::new(), Event::Resets);
            return;
        }
        let first = if rng.u8(..3) == 0 { SERVER } else { CLIENT };
        self.plan(first, FIN | ACK, Vec::new(), Event::Nothing);
        self.next[first] = self.next[first].wrapping_add(1);
        self.plan(1 - first, FIN | ACK, Vec::new(), Event::Finishes);
        self.next[1 - first] = self.next[1 - first].wrapping_add(1);
        self.plan(first, ACK, Vec::new(), Event::Nothing);
    }

    /// A message, in as many segments as it takes. Its last segment tells the event, but the first if that is a request.
    fn say(&mut self, rng: &mut Rng, from: usize, message: Vec<u8>, event: Event) {
        let segments = message.chunks(self.route.segment()).count();
        for (place, part) in message.chunks(self.route.segment()).enumerate() {
            let is_last = place + 1 == segments;
            let tells = if event == Event::Asks { place == 0 } else { is_last };
            let flags = if is_last { ACK | PSH } else { ACK };
            self.plan(from, flags, part.to_vec(), if tells { event } else { Event::Nothing });
            self.maybe_repeat(rng);
            self.next[from] = self.next[from].wrapping_add(part.len() as u32);
        }
    }

    /// Full segments two by two, some of them out of order, some repeated, each pair acknowledged.
    fn stream(&mut self, rng: &mut Rng, from: usize, segments: usize) {
        let length = self.route.segment();
        let mut left = segments;
        while left > 0 {
            let pair = left.min(2);
            left -= pair;
            for _ in 0..pair {
                self.plan(from, ACK, noise(rng, length).to_vec(), Event::Nothing);
                self.next[from] = self.next[from].wrapping_add(length as u32);
            }
            let last = self.planned.len() - 1;
            if pair == 2 && rng.u8(..30) == 0 {
                self.planned.swap(last - 1, last);
                self.planned[last].event = Event::Late;
            } else {
                self.maybe_repeat(rng);
            }
            self.plan(1 - from, ACK, Vec::new(), Event::Nothing);
            if rng.u8(..100) == 0 {
                // The reader is slow: its window closes and opens again.
                let last = self.planned.len() - 1;
                self.planned[last].window = 0;
                self.plan(1 - from, ACK, Vec::new(), Event::Nothing);
            }
        }
    }

    fn plan(&mut self, from: usize, flags: u8, payload: Vec<u8>, event: Event) {
        let ack = if flags & ACK == 0 { 0 } else { self.next[1 - from] };
        self.planned.push_back(Planned { from, seq: self.next[from], ack, flags, window: WINDOW, payload, event });
    }

    /// Sends the last segment again, one time in a hundred.
    fn maybe_repeat(&mut self, rng: &mut Rng) {
        if rng.u8(..100) == 0
            && let Some(Planned { from, seq, ack, flags, window, payload, .. }) = self.planned.back()
        {
            let (from, seq, ack, flags, window) = (*from, *seq, *ack, *flags, *window);
            let payload = payload.clone();
            self.planned.push_back(Planned { from, seq, ack, flags, window, payload, event: Event::Repeats });
        }
    }
}

/// Bytes that belong to no protocol, though many.
fn noise(rng: &mut Rng, length: usize) -> &'static [u8] {
    const NOISE: [u8; 8192] = {
        let mut noise = [0; 8192];
        let mut state = 0x9e37_79b9_u32;
        let mut place = 0;
        while place < noise.len() {
            // A linear congruential generator; above 127 nothing looks like a text protocol.
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            noise[place] = (state >> 24) as u8 | 0x80;
            place += 1;
        }
        noise
    };
    static BYTES: [u8; 8192] = NOISE;
    let begin = rng.usize(..BYTES.len() - length);
    &BYTES[begin..begin + length]
}
