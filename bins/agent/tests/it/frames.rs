//! Captures made by hand.

use std::net::SocketAddrV4;

use etherparse::PacketBuilder;
use metaflow_packet_capture::{LinkType, PcapWriter};

/// 2026-09-21T14:13:20Z
pub(crate) const START: u64 = 1_790_000_000_000_000_000;
const CLIENT_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
const SERVER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];

/// A capture in the making: each packet comes a millisecond after the one before.
pub(crate) struct Capture {
    writer: PcapWriter<Vec<u8>>,
    time: u64,
    vlan: Option<u16>,
}

impl Capture {
    pub(crate) fn new() -> Self {
        Self { writer: PcapWriter::new(Vec::new(), LinkType::Ethernet).unwrap(), time: START, vlan: None }
    }

    /// What comes next is tagged.
    pub(crate) fn vlan(mut self, vlan: u16) -> Self {
        self.vlan = Some(vlan);
        self
    }

    /// A TCP connection in which client and server take turns, from SYN to the last FIN's ACK.
    pub(crate) fn tcp(mut self, client: &str, server: &str, turns: &[&[u8]]) -> Self {
        let ends: [SocketAddrV4; 2] = [client.parse().unwrap(), server.parse().unwrap()];
        let mut sequence = [1000_u32, 5000];
        let segment = |capture: &mut Self, from: usize, sequence: [u32; 2], flags: &str, payload: &[u8]| {
            let (source, target) = (ends[from], ends[1 - from]);
            let builder = capture.link(from).ipv4(source.ip().octets(), target.ip().octets(), 64);
            let mut tcp = builder.tcp(source.port(), target.port(), sequence[from], 64_000);
            if flags.contains('S') {
                tcp = tcp.syn();
            }
            if flags.contains('A') {
                tcp = tcp.ack(sequence[1 - from]);
            }
            if flags.contains('F') {
                tcp = tcp.fin();
            }
            let mut frame = Vec::new();
            tcp.write(&mut frame, payload).unwrap();
            capture.frame(&frame);
        };
        segment(&mut self, 0, sequence, "S", b"");
        sequence[0] += 1;
        segment(&mut self, 1, sequence, "SA", b"");
        sequence[1] += 1;
        segment(&mut self, 0, sequence, "A", b"");
        for (turn, payload) in turns.iter().enumerate() {
            let from = turn % 2;
            segment(&mut self, from, sequence, "A", payload);
            sequence[from] += u32::try_from(payload.len()).unwrap();
        }
        for from in [0, 1] {
            segment(&mut self, from, sequence, "FA", b"");
            sequence[from] += 1;
        }
        segment(&mut self, 0, sequence, "A", b"");
        self
    }

    /// Datagrams in turns.
    pub(crate) fn udp(mut self, client: &str, server: &str, turns: &[&[u8]]) -> Self {
        let ends: [SocketAddrV4; 2] = [client.parse().unwrap(), server.parse().unwrap()];
        for (turn, payload) in turns.iter().enumerate() {
            let (source, target) = (ends[turn % 2], ends[1 - turn % 2]);
            let builder = self.link(turn % 2).ipv4(source.ip().octets(), target.ip().octets(), 64);
            let mut frame = Vec::new();
            builder.udp(source.port(), target.port()).write(&mut frame, payload).unwrap();
            self.frame(&frame);
        }
        self
    }

    /// A frame as it is.
    pub(crate) fn frame(&mut self, frame: &[u8]) {
        self.writer.write(self.time, frame, u32::try_from(frame.len()).unwrap()).unwrap();
        self.time += 1_000_000;
    }

    pub(crate) fn bytes(self) -> Vec<u8> {
        self.writer.into_inner()
    }

    fn link(&self, from: usize) -> Link {
        let (source, target) = if from == 0 { (CLIENT_MAC, SERVER_MAC) } else { (SERVER_MAC, CLIENT_MAC) };
        Link { source, target, vlan: self.vlan }
    }
}

/// What stands before the IP header.
struct Link {
    source: [u8; 6],
    target: [u8; 6],
    vlan: Option<u16>,
}

impl Link {
    fn ipv4(self, source: [u8; 4], target: [u8; 4], ttl: u8) -> etherparse::PacketBuilderStep<etherparse::IpHeaders> {
        let ethernet = PacketBuilder::ethernet2(self.source, self.target);
        match self.vlan {
            Some(vlan) => ethernet.single_vlan(vlan.try_into().unwrap()).ipv4(source, target, ttl),
            None => ethernet.ipv4(source, target, ttl),
        }
    }
}

/// A little of everything: an HTTP call with a trace and with what would steer a terminal, a failing Redis command, a DNS lookup in
/// a VLAN.
pub(crate) fn shop() -> Capture {
    let query = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x04shop\x07example\x00\x00\x01\x00\x01";
    let answer = b"\x12\x34\x81\x80\x00\x01\x00\x01\x00\x00\x00\x00\x04shop\x07example\x00\x00\x01\x00\x01\
        \xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\x0a\x00\x00\x02";
    let request =
        b"GET /cart/17?x=a,\"b\" HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: tab\there\xc2\x9b2J\xe2\x80\xae\r\n\
        traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n\r\n";
    let response = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
    Capture::new()
        .tcp("10.0.0.1:40000", "10.0.0.2:80", &[request, response])
        .tcp(
            "10.0.0.1:40001",
            "10.0.0.2:6379",
            &[b"*3\r\n$3\r\nSET\r\n$2\r\nk1\r\n$7\r\nhunter2\r\n", b"-WRONGTYPE wrong kind\r\n"],
        )
        .vlan(7)
        .udp("10.0.0.1:40002", "10.0.0.3:53", &[query, answer])
}
