//! Connections that say little, any number of them: each packet is a function of the connection's number and of what was said.

use super::conversation::{ACK, Event, PSH, Planned, SYN};
use super::frame::{CLIENT, Header, Hosts, Route, SERVER, Wrap};

const REQUEST: &[u8] = b"*2\r\n$3\r\nGET\r\n$10\r\nsession:42\r\n";
const ANSWER: &[u8] = b"$5\r\nhello\r\n";
/// Ports of each client.
const PORTS: u64 = 50_000;
const FIRST_PORT: u64 = 10_000;

/// What quiet connections are like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Over IPv4, requests and answers of Redis in turn.
    Ipv4,
    /// The same over IPv6.
    Ipv6,
    /// Over IPv4, so many bytes of no protocol in every packet behind the handshake.
    Bytes(u16),
}

/// Makes the frames of quiet connections: a handshake, and then each end speaks in turn.
#[derive(Debug)]
pub struct Quiet {
    shape: Shape,
    payload: Vec<u8>,
    frame: Vec<u8>,
}

impl Default for Quiet {
    fn default() -> Self {
        Self::new(Shape::Ipv4)
    }
}

impl Quiet {
    /// Packets of a handshake.
    pub const HANDSHAKE: u32 = 3;

    /// Connections like this.
    #[must_use]
    pub fn new(shape: Shape) -> Self {
        let length = if let Shape::Bytes(length) = shape { usize::from(length) } else { 0 };
        Self { shape, payload: vec![0xf7; length], frame: Vec::new() }
    }

    /// The packet of connection `number` before which it had so many.
    pub fn frame(&mut self, number: u64, packets: u32) -> &[u8] {
        let client = (number / PORTS) as u32;
        let [_, a, b, c] = client.to_be_bytes();
        let server = (number % 200) as u8;
        let prefix = [0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0];
        let v6 =
            |last: [u8; 5]| std::array::from_fn(|at| prefix.iter().chain(&last).copied().nth(at).unwrap_or_default());
        let route = Route {
            hosts: match self.shape {
                Shape::Ipv6 => Hosts::V6([v6([1, 10, a, b, c]), v6([2, 172, 16, 0, server])]),
                _ => Hosts::V4([[10, a, b, c], [172, 16, 0, server]]),
            },
            ports: [(FIRST_PORT + number % PORTS) as u16, 6379],
            wrap: Wrap::Plain,
        };
        let [request, answer] = match self.shape {
            Shape::Bytes(_) => [&self.payload[..]; 2],
            _ => [REQUEST, ANSWER],
        };
        let (from, flags, payload): (usize, u8, &[u8]) = match packets {
            0 => (CLIENT, SYN, &[]),
            1 => (SERVER, SYN | ACK, &[]),
            2 => (CLIENT, ACK, &[]),
            turn if turn % 2 == 1 => (CLIENT, ACK | PSH, request),
            _ => (SERVER, ACK | PSH, answer),
        };
        let said = packets.saturating_sub(Self::HANDSHAKE);
        let position = |side: usize| {
            let messages = if side == CLIENT { said.div_ceil(2) } else { said / 2 };
            let length = if side == CLIENT { request.len() } else { answer.len() } as u32;
            let initial = (number as u32).wrapping_mul(0x9e37_79b9) ^ side as u32;
            let opened = u32::from(packets > side as u32);
            initial.wrapping_add(opened).wrapping_add(messages.wrapping_mul(length))
        };
        let ack = if flags & ACK == 0 { 0 } else { position(1 - from) };
        let planned =
            Planned { from, seq: position(from), ack, flags, window: 502, payload: Vec::new(), event: Event::Nothing };
        let header = Header::Tcp(super::tcp(&planned, &mut [0; 2], 0));
        route.write(&mut self.frame, from, &header, payload);
        &self.frame
    }
}
