//! What a network does to known conversations: it loses, repeats and reorders.

use protocol_parsers::{Opening, Side, Timestamp};

use crate::conversation::Conversation;
use crate::packets::{Frame, records};

const PORTS: [u16; 2] = [40_000, 7_777];
const SEQUENCE: [u32; 2] = [0xffff_ff00, 1_000];
const SYN: u8 = 2;
const ACK: u8 = 16;

/// A conversation as packets. From its piece `known` on, each byte of the script says of the next packet how long it is (the lower five
/// bits, in steps of four bytes) and what becomes of it. As long as nothing is lost, the calls are those of the packets in their order; but
/// where a connection is joined late, what comes first is where it begins.
pub(crate) fn conversation(conversation: &Conversation, known: usize, script: &[u8]) {
    let mut script = script.iter().copied();
    let mut line = Line::new(conversation.opening);
    let mut undisturbed = Line::new(conversation.opening);
    for (number, piece) in conversation.pieces.iter().enumerate() {
        let time = Conversation::time(number);
        let mut from = 0;
        while from < piece.bytes.len() {
            let how = if number < known { 0 } else { script.next().unwrap_or(0) };
            let length = if how & 31 == 0 || line.datagrams { usize::MAX } else { usize::from(how & 31) * 4 };
            let to = from.saturating_add(length).min(piece.bytes.len());
            undisturbed.send(piece.side, &piece.bytes, from..to, time);
            match how >> 5 {
                0 | 1 => line.send(piece.side, &piece.bytes, from..to, time),
                2 | 3 => line.hold(piece.side, &piece.bytes, from..to, time),
                4 => {
                    line.send(piece.side, &piece.bytes, from..to, time);
                    line.send(piece.side, &piece.bytes, from..to, time);
                }
                5 => line.send(piece.side, &piece.bytes, from.saturating_sub(3)..to, time),
                6 => line.send(piece.side, &piece.bytes, from..(to + 9).min(piece.bytes.len()), time),
                _ => line.lost = true,
            }
            from = to;
        }
        // What was held back comes before the other side has anything to answer.
        line.turn(piece.side, piece.bytes.len());
        undisturbed.turn(piece.side, piece.bytes.len());
    }
    let calls = line.calls();
    if !line.lost && !line.datagrams && conversation.opening.from_start {
        assert_eq!(calls, undisturbed.calls(), "{}", conversation.name);
    }
}

/// What was on the wire.
struct Line {
    datagrams: bool,
    ports: [u16; 2],
    frames: Vec<Frame>,
    /// Frames that come later than others behind them.
    held: Vec<Frame>,
    /// Bytes that each side has said before this piece.
    sent: [u32; 2],
    lost: bool,
}

impl Line {
    fn new(opening: Opening) -> Self {
        let datagrams = opening.transport.is_datagram();
        let ports = [PORTS[0], opening.server_port.unwrap_or(PORTS[1])];
        let mut line = Self { datagrams, ports, frames: Vec::new(), held: Vec::new(), sent: [0; 2], lost: false };
        if !datagrams && opening.from_start {
            for (side, flags) in [(Side::Client, SYN), (Side::Server, SYN | ACK)] {
                let before = SEQUENCE[side as usize].wrapping_sub(1);
                let frame = line.segment(side, before, flags, &[], Timestamp::ZERO);
                line.frames.push(frame);
            }
        }
        line
    }

    fn send(&mut self, side: Side, bytes: &[u8], range: std::ops::Range<usize>, time: Timestamp) {
        let frame = self.frame(side, bytes, range, time);
        self.frames.push(frame);
    }

    fn hold(&mut self, side: Side, bytes: &[u8], range: std::ops::Range<usize>, time: Timestamp) {
        let frame = self.frame(side, bytes, range, time);
        self.held.push(frame);
    }

    /// A side has said what it had to say.
    fn turn(&mut self, side: Side, length: usize) {
        self.frames.extend(self.held.drain(..).rev());
        self.sent[side as usize] += length as u32;
    }

    fn frame(&self, side: Side, bytes: &[u8], range: std::ops::Range<usize>, time: Timestamp) -> Frame {
        let sequence = SEQUENCE[side as usize].wrapping_add(self.sent[side as usize] + range.start as u32);
        let bytes = bytes.get(range).unwrap_or_default();
        if self.datagrams {
            let [from, to] = self.between(side).map(u16::to_be_bytes);
            let length = (bytes.len() as u16 + 8).to_be_bytes();
            return ip(side, 17, &[&from[..], &to, &length, &[0, 0], bytes].concat(), time);
        }
        self.segment(side, sequence, ACK, bytes, time)
    }

    fn segment(&self, side: Side, sequence: u32, flags: u8, bytes: &[u8], time: Timestamp) -> Frame {
        let [from, to] = self.between(side).map(u16::to_be_bytes);
        let other = side.other() as usize;
        let acknowledged = SEQUENCE[other].wrapping_add(self.sent[other]).to_be_bytes();
        let rest = [5 << 4, flags, 0xff, 0xff, 0, 0, 0, 0];
        ip(side, 6, &[&from[..], &to, &sequence.to_be_bytes(), &acknowledged, &rest, bytes].concat(), time)
    }

    fn between(&self, side: Side) -> [u16; 2] {
        let [client, server] = self.ports;
        if side == Side::Client { [client, server] } else { [server, client] }
    }

    fn calls(&self) -> Vec<String> {
        records(&self.frames).into_iter().filter(|record| record.starts_with("Call(")).collect()
    }
}

/// An IPv4 packet between the two.
fn ip(side: Side, protocol: u8, payload: &[u8], time: Timestamp) -> Frame {
    let [client, server] = [[10, 0, 0, 1], [10, 0, 0, 2]];
    let [from, to] = if side == Side::Client { [client, server] } else { [server, client] };
    let length = (payload.len() as u16 + 20).to_be_bytes();
    let head = [0x45, 0, length[0], length[1], 0, 0, 0, 0, 64, protocol, 0, 0];
    Frame::raw(time, [&head[..], &from, &to, payload].concat())
}
