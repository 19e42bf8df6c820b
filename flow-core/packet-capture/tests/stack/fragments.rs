//! IP datagrams in pieces: what an application receives is what the engine hands on.

use std::collections::HashMap;
use std::net::{IpAddr, UdpSocket};

use fastrand::Rng;

use crate::namespace::in_namespace;
use crate::observer::Observer;
use crate::wire::{KERNEL_V6, UDP, Wire, checksum, ethernet, ipv4, ipv6};

/// Of each version of IP.
const CASES: usize = 2_000;
const PORT: u16 = 5000;

/// A piece of one of a case's two datagrams.
#[derive(Clone, Copy, Debug)]
struct Piece {
    datagram: usize,
    offset: usize,
    len: usize,
    more: bool,
}

/// A sender and what it sends: datagrams cut up, in any order, with pieces twice, within others, across others, with other ends.
struct Case {
    is_v6: bool,
    source: [u8; 2],
    lengths: [usize; 2],
    pieces: Vec<Piece>,
}

impl Case {
    fn draw(number: usize, rng: &mut Rng) -> Self {
        let lengths = [rng.usize(9..600), rng.usize(9..600)];
        let datagrams = 1 + usize::from(rng.u8(..4) == 0);
        let mut pieces = Vec::new();
        for (datagram, length) in lengths.into_iter().enumerate().take(datagrams) {
            let mut offset = 0;
            while offset < length {
                let len = (8 * rng.usize(1..=length.div_ceil(16))).min(length - offset);
                pieces.push(Piece { datagram, offset, len, more: offset + len < length });
                offset += len;
            }
        }
        for _ in 0..rng.usize(..4) {
            let known = pieces[rng.usize(..pieces.len())];
            let length = lengths[known.datagram];
            let added = match rng.u8(..12) {
                // The same again.
                0..4 => known,
                // A part of it, or of it and the next.
                4..7 => {
                    let skip = 8 * rng.usize(..=known.len.saturating_sub(1) / 8);
                    let (offset, rest) = (known.offset + skip, known.len - skip);
                    let whole = rng.bool() || rest < 8;
                    let len = if whole { rest } else { 8 * rng.usize(1..=rest / 8) };
                    Piece { offset, len, more: known.more || offset + len < length, ..known }
                }
                // It and something of what follows.
                7..9 => {
                    let room = length - known.offset;
                    let len = (known.len + 8 * rng.usize(1..4)).min(room);
                    Piece { len, more: known.offset + len < length, ..known }
                }
                // Not as long as it should be.
                9 => Piece { len: known.len.saturating_sub(rng.usize(1..8)).max(1), ..known },
                // Nothing.
                10 => Piece { len: 0, ..known },
                // The end is elsewhere, or was none.
                _ => Piece { more: !known.more, ..known },
            };
            pieces.insert(rng.usize(..=pieces.len()), added);
        }
        match rng.u8(..4) {
            0 => {}
            1 => pieces.reverse(),
            _ => rng.shuffle(&mut pieces),
        }
        if rng.u8(..8) == 0 {
            pieces.remove(rng.usize(..pieces.len()));
        }
        Self { is_v6: number >= CASES, source: (1 + number as u16).to_be_bytes(), lengths, pieces }
    }

    /// Who the datagrams come from: nobody else sends any from there.
    fn address(&self) -> IpAddr {
        let [high, low] = self.source;
        if self.is_v6 { self.v6().into() } else { [10, 66, high, low].into() }
    }

    fn v6(&self) -> [u8; 16] {
        let [high, low] = self.source;
        [0xfd, 0x66, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, high, low]
    }

    /// A whole datagram. What pieces of it hold never differs: of two that overlap, none is taken.
    fn datagram(&self, number: usize) -> Vec<u8> {
        let length = self.lengths[number];
        let mut rng = Rng::with_seed(u64::from(u16::from_be_bytes(self.source)) << 1 | number as u64);
        let ports = [0x30, 0x39, (PORT >> 8) as u8, PORT as u8];
        let size = (length as u16).to_be_bytes();
        let mut bytes = [&ports[..], &size, &[0, 0]].concat();
        bytes.extend((8..length).map(|_| rng.u8(..)));
        if self.is_v6 {
            let sum = checksum(&[&self.v6(), &KERNEL_V6, &size, &[0, UDP], &bytes]);
            bytes[6..8].copy_from_slice(&sum.to_be_bytes());
        }
        bytes
    }

    fn frame(&self, piece: &Piece) -> Vec<u8> {
        let whole = self.datagram(piece.datagram);
        let bytes = &whole[piece.offset..piece.offset + piece.len];
        let (offset, more, id) = (piece.offset as u16, u16::from(piece.more), 7 + piece.datagram as u16);
        ethernet(&if self.is_v6 {
            let [high, low] = (offset | more).to_be_bytes();
            let header = [UDP, 0, high, low, 0, 0, 0, id as u8];
            ipv6(self.v6(), 44, &[&header, bytes].concat())
        } else {
            let [high, low] = self.source;
            ipv4([10, 66, high, low], UDP, id, (more << 13) | (offset / 8), bytes)
        })
    }
}

#[test]
fn datagrams_an_application_receives_are_those_handed_on() {
    in_namespace(|| {
        let Some(mut wire) = Wire::new() else {
            println!("skipped: there is no /dev/net/tun");
            return;
        };
        let sockets =
            [UdpSocket::bind(("10.66.255.254", PORT)), UdpSocket::bind(("fd66::fffe", PORT))].map(Result::unwrap);
        let mut observer = Observer::new();
        let mut received: HashMap<IpAddr, Vec<Vec<u8>>> = HashMap::new();
        let cases: Vec<_> =
            (0..2 * CASES).map(|number| Case::draw(number, &mut Rng::with_seed(number as u64))).collect();
        for (number, case) in cases.iter().enumerate() {
            for piece in &case.pieces {
                let frame = case.frame(piece);
                wire.send(&frame);
                observer.see(number, &frame);
            }
            let mut buffer = [0; 2048];
            while wire.receive(&mut buffer).is_some() {}
            for socket in &sockets {
                socket.set_nonblocking(true).unwrap();
                while let Ok((length, from)) = socket.recv_from(&mut buffer) {
                    received.entry(from.ip()).or_default().push(buffer[..length].to_vec());
                }
            }
        }
        let (heard, _) = observer.finish();
        let mut tallies = [Tally::default(), Tally::default()];
        for (number, case) in cases.iter().enumerate() {
            let heard = heard.get(&number).map_or(&[][..], |heard| &heard.client);
            let truth = received.get(&case.address()).map_or(&[][..], Vec::as_slice);
            let tally = &mut tallies[usize::from(case.is_v6)];
            tally.datagrams += truth.len();
            let is_whole = |datagram: &&Vec<u8>| case.lengths.contains(&(datagram.len() + 8));
            if heard == truth {
                tally.agreed += 1;
            } else if heard.iter().filter(is_whole).eq(truth) {
                tally.cut += 1;
            } else {
                tally.others.push(number);
            }
        }
        for (version, tally) in [4, 6].into_iter().zip(&tallies) {
            let Tally { agreed, datagrams, cut, others } = tally;
            println!(
                "IPv{version}: {agreed} of {CASES} senders agree ({datagrams} datagrams received); {cut} differ by datagrams shorter than \
                 their UDP header says; {} otherwise",
                others.len()
            );
            assert!(*datagrams > CASES / 2, "most arrive");
            assert_eq!(others, &[], "they can be drawn again by their number");
        }
    });
}

/// Agreement of one version of IP.
#[derive(Default)]
struct Tally {
    agreed: usize,
    datagrams: usize,
    /// Linux leaves it to UDP to refuse what is too short; for the engine it is a datagram all the same.
    cut: usize,
    others: Vec<usize>,
}
