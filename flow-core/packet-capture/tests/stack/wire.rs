//! Frames, and the device that carries them to this kernel.

use std::io::{ErrorKind, Read, Write};

use crate::namespace::{Tun, ip};

pub(crate) const FIN: u8 = 1;
pub(crate) const SYN: u8 = 2;
pub(crate) const RST: u8 = 4;
pub(crate) const ACK: u8 = 16;
pub(crate) const URG: u8 = 32;
pub(crate) const TCP: u8 = 6;
pub(crate) const UDP: u8 = 17;

const KERNEL_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
const OUR_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];
/// Where the kernel's sockets are.
pub(crate) const KERNEL: [u8; 4] = [10, 66, 255, 254];
pub(crate) const KERNEL_V6: [u8; 16] = [0xfd, 0x66, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xfe];
/// Who speaks to them over TCP.
pub(crate) const CLIENT: [u8; 4] = [10, 66, 0, 2];

/// A network of 10.66.0.0/16 and fd66::/64 with this kernel at its one end and the test at its other.
pub(crate) struct Wire(Tun);

impl Wire {
    /// `None` where the kernel has no TAP devices.
    pub(crate) fn new() -> Option<Self> {
        let device = Tun::new("tap0", libc::IFF_TAP)?;
        for command in [
            "link set tap0 address 02:00:00:00:00:01",
            "link set tap0 up",
            "addr add 10.66.255.254/16 dev tap0",
            "-6 addr add fd66::fffe/64 dev tap0 nodad",
            "neigh add 10.66.0.2 lladdr 02:00:00:00:00:02 dev tap0 nud permanent",
        ] {
            ip(command);
        }
        Some(Self(device))
    }

    /// The kernel has dealt with the frame when this returns, but for what a socket that is in use puts off.
    pub(crate) fn send(&mut self, frame: &[u8]) {
        self.0.0.write_all(frame).unwrap();
    }

    /// The next frame of the kernel.
    pub(crate) fn receive<'a>(&mut self, buffer: &'a mut [u8]) -> Option<&'a [u8]> {
        match self.0.0.read(buffer) {
            Ok(length) => Some(&buffer[..length]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => None,
            Err(error) => panic!("{error}"),
        }
    }
}

pub(crate) fn ethernet(ip: &[u8]) -> Vec<u8> {
    let kind = if ip[0] >> 4 == 4 { [0x08, 0x00] } else { [0x86, 0xdd] };
    [&KERNEL_MAC[..], &OUR_MAC, &kind, ip].concat()
}

/// An IPv4 packet; `fragment` is the field of flags and offset.
pub(crate) fn ipv4(from: [u8; 4], protocol: u8, id: u16, fragment: u16, payload: &[u8]) -> Vec<u8> {
    let length = 20 + payload.len() as u16;
    let mut packet = vec![0x45, 0];
    for field in [length, id, fragment] {
        packet.extend(field.to_be_bytes());
    }
    packet.extend([64, protocol, 0, 0]);
    packet.extend(from);
    packet.extend(KERNEL);
    let sum = checksum(&[&packet]);
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    packet.extend(payload);
    packet
}

pub(crate) fn ipv6(from: [u8; 16], next: u8, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u16).to_be_bytes();
    [&[0x60, 0, 0, 0, length[0], length[1], next, 64][..], &from, &KERNEL_V6, payload].concat()
}

/// The Internet checksum (RFC 1071) of parts that follow each other; each but the last of even length.
pub(crate) fn checksum(parts: &[&[u8]]) -> u16 {
    let words = parts.iter().flat_map(|part| part.chunks(2));
    let sum: u64 = words.map(|word| u64::from(word[0]) << 8 | u64::from(*word.get(1).unwrap_or(&0))).sum();
    let folded = (sum & 0xffff) + (sum >> 16 & 0xffff) + (sum >> 32);
    !((folded & 0xffff) + (folded >> 16)) as u16
}

/// A TCP header as it is written.
pub(crate) struct Tcp<'a> {
    pub(crate) ports: (u16, u16),
    pub(crate) seq: u32,
    pub(crate) ack: u32,
    pub(crate) flags: u8,
    pub(crate) urgent: u16,
    /// A multiple of 4 bytes.
    pub(crate) options: &'a [u8],
    /// Added to the checksum.
    pub(crate) error: u16,
}

impl Tcp<'_> {
    /// The frame of a segment from the client.
    pub(crate) fn frame(&self, data: &[u8]) -> Vec<u8> {
        let mut segment = Vec::with_capacity(60 + data.len());
        segment.extend(self.ports.0.to_be_bytes());
        segment.extend(self.ports.1.to_be_bytes());
        segment.extend(self.seq.to_be_bytes());
        segment.extend(self.ack.to_be_bytes());
        segment.extend([(20 + self.options.len() as u8) << 2, self.flags, 0xff, 0xff, 0, 0]);
        segment.extend(self.urgent.to_be_bytes());
        segment.extend(self.options);
        segment.extend(data);
        let length = (segment.len() as u16).to_be_bytes();
        let sum = checksum(&[&CLIENT, &KERNEL, &[0, TCP], &length, &segment]).wrapping_add(self.error);
        segment[16..18].copy_from_slice(&sum.to_be_bytes());
        ethernet(&ipv4(CLIENT, TCP, 0, 0x4000, &segment))
    }
}

/// What the test reads of a segment of the kernel.
pub(crate) struct Answer {
    /// Of the client.
    pub(crate) port: u16,
    pub(crate) seq: u32,
    pub(crate) flags: u8,
}

/// `None` for anything but TCP over IPv4.
pub(crate) fn answer(frame: &[u8]) -> Option<Answer> {
    let is_tcp = frame.len() >= 54 && frame[12..15] == [0x08, 0x00, 0x45] && frame[23] == TCP;
    is_tcp.then(|| Answer {
        port: u16::from_be_bytes([frame[36], frame[37]]),
        seq: u32::from_be_bytes(frame[38..42].try_into().unwrap()),
        flags: frame[47],
    })
}
