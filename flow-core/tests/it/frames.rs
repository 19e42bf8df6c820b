//! Frames by hand: every field may lie.

/// Flags of a TCP header.
pub(crate) const FIN: u8 = 1;
pub(crate) const SYN: u8 = 2;
pub(crate) const RST: u8 = 4;
pub(crate) const ACK: u8 = 16;

/// IP protocol numbers.
pub(crate) const TCP: u8 = 6;
pub(crate) const UDP: u8 = 17;

/// Who talks in most tests.
pub(crate) const CLIENT: [u8; 4] = [10, 0, 0, 1];
pub(crate) const SERVER: [u8; 4] = [10, 0, 0, 2];
pub(crate) const CLIENT_V6: [u8; 16] = [0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
pub(crate) const SERVER_V6: [u8; 16] = [0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2];

/// An IPv4 packet.
pub(crate) fn ipv4(from: [u8; 4], to: [u8; 4], protocol: u8, payload: &[u8]) -> Vec<u8> {
    ipv4_piece(from, to, protocol, 7, 0, false, payload)
}

/// A piece of an IPv4 packet, `offset` in bytes.
pub(crate) fn ipv4_piece(
    from: [u8; 4],
    to: [u8; 4],
    protocol: u8,
    id: u16,
    offset: u16,
    more: bool,
    payload: &[u8],
) -> Vec<u8> {
    let length = 20 + payload.len() as u16;
    let field = (offset / 8) | (u16::from(more) << 13);
    let fixed = [&[0x45, 0][..], &length.to_be_bytes(), &id.to_be_bytes(), &field.to_be_bytes()].concat();
    [&fixed[..], &[64, protocol, 0, 0], &from, &to, payload].concat()
}

/// An IPv6 packet between the two hosts of most tests.
pub(crate) fn ipv6(from: [u8; 16], to: [u8; 16], next: u8, payload: &[u8]) -> Vec<u8> {
    [&[0x60, 0, 0, 0][..], &(payload.len() as u16).to_be_bytes(), &[next, 64], &from, &to, payload].concat()
}

/// A fragment header of IPv6 with its piece, `offset` in bytes.
pub(crate) fn ipv6_piece(next: u8, id: u32, offset: u16, more: bool, payload: &[u8]) -> Vec<u8> {
    let field = offset | u16::from(more);
    [&[next, 0][..], &field.to_be_bytes(), &id.to_be_bytes(), payload].concat()
}

/// A UDP datagram.
pub(crate) fn udp(from: u16, to: u16, payload: &[u8]) -> Vec<u8> {
    let length = 8 + payload.len() as u16;
    [&from.to_be_bytes()[..], &to.to_be_bytes(), &length.to_be_bytes(), &[0, 0], payload].concat()
}

/// A TCP segment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment<'a> {
    pub(crate) seq: u32,
    pub(crate) ack: u32,
    pub(crate) flags: u8,
    pub(crate) window: u16,
    pub(crate) data: &'a [u8],
}

impl Segment<'_> {
    pub(crate) fn bytes(&self, from: u16, to: u16) -> Vec<u8> {
        self.bytes_with(from, to, &[])
    }

    /// With these options, whose length is a multiple of four.
    pub(crate) fn bytes_with(&self, from: u16, to: u16, options: &[u8]) -> Vec<u8> {
        let ports = [from.to_be_bytes(), to.to_be_bytes()].concat();
        let numbers = [self.seq.to_be_bytes(), self.ack.to_be_bytes()].concat();
        let [high, low] = self.window.to_be_bytes();
        let length = 0x50 + ((options.len() / 4) << 4) as u8;
        [&ports[..], &numbers, &[length, self.flags, high, low, 0, 0, 0, 0], options, self.data].concat()
    }
}

/// The first packet of the conversation that most decode tests look for.
pub(crate) fn syn() -> Vec<u8> {
    let syn = Segment { seq: 1, ack: 0, flags: SYN, window: 1024, data: &[] };
    ipv4(CLIENT, SERVER, TCP, &syn.bytes(40_000, 80))
}

/// The same in IPv6.
pub(crate) fn syn_v6() -> Vec<u8> {
    let syn = Segment { seq: 1, ack: 0, flags: SYN, window: 1024, data: &[] };
    ipv6(CLIENT_V6, SERVER_V6, TCP, &syn.bytes(40_000, 80))
}

/// An Ethernet frame.
pub(crate) fn ethernet(ether_type: u16, payload: &[u8]) -> Vec<u8> {
    [&[2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1][..], &ether_type.to_be_bytes(), payload].concat()
}

/// A question of DNS, and its answer.
pub(crate) const QUERY: &[u8] = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x04shop\x04test\0\0\x01\0\x01";
pub(crate) const ANSWER: &[u8] =
    b"\x12\x34\x81\x80\0\x01\0\x01\0\0\0\0\x04shop\x04test\0\0\x01\0\x01\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\x0a\0\0\x09";
