//! Which engine a packet belongs to, where several work side by side.

use std::collections::VecDeque;

use hashbrown::HashMap;

use crate::decode::{Datagram, Joined, Joins, Layers, Next, Piece, Region, Walked, transport, walk};
use crate::{DropReason, Packet};

/// Spreads packets over engines so that both directions of a conversation, in tunnels too, come to the same one: by a keyed hash of
/// the innermost addresses and ports.
///
/// Pieces of a fragmented datagram follow the piece that came first. Where that one does not tell the ports, it is hashed without.
#[derive(Debug)]
pub struct Sharder {
    shards: usize,
    random: ahash::RandomState,
    layers: Layers,
    pieces: Pieces,
}

/// Where the pieces of datagrams go.
#[derive(Debug)]
struct Pieces {
    random: ahash::RandomState,
    hashes: HashMap<Datagram, u64, ahash::RandomState>,
    /// By age.
    order: VecDeque<Datagram>,
    /// Of the piece met last.
    last: Option<u64>,
}

/// Datagrams whose pieces are remembered.
const REMEMBERED: usize = 4096;

impl Sharder {
    /// For so many engines, at least one.
    #[must_use]
    pub fn new(shards: usize) -> Self {
        let random = crate::hash::keyed();
        let pieces = Pieces {
            random: random.clone(),
            hashes: HashMap::with_hasher(crate::hash::keyed()),
            order: VecDeque::new(),
            last: None,
        };
        Self { shards: shards.max(1), random, layers: Layers::NONE, pieces }
    }

    /// The engine of a packet, from 0. Packets of no conversation go to the first.
    pub fn shard(&mut self, packet: &Packet<'_>) -> usize {
        if self.shards == 1 {
            return 0;
        }
        self.layers.clear();
        self.pieces.last = None;
        let frame = Region::new(packet.captured, packet.original_len.max(packet.captured.len() as u32));
        let hash = match walk(Next::Link(packet.link), frame, &mut self.layers, Some(&mut self.pieces)) {
            Ok(Walked::Packet(view)) => Some(self.random.hash_one(view.tuple)),
            _ => self.pieces.last,
        };
        // The upper bits choose: a table within the engine uses the lower ones.
        hash.map_or(0, |hash| ((u128::from(hash) * self.shards as u128) >> 64) as usize)
    }
}

impl Joins for Pieces {
    fn add(&mut self, _layers: &Layers, piece: Piece, payload: Region<'_>) -> Result<Option<Joined>, DropReason> {
        let datagram = piece.datagram;
        let hash = self.hashes.get(&datagram).copied().unwrap_or_else(|| {
            let view = transport(datagram.route, datagram.protocol, payload);
            match view {
                Ok(view) if piece.offset == 0 => self.random.hash_one(view.tuple),
                _ => self.random.hash_one(datagram.route.hosts()),
            }
        });
        if self.hashes.insert(datagram, hash).is_none() {
            self.order.push_back(datagram);
        }
        while self.order.len() > REMEMBERED {
            if let Some(oldest) = self.order.pop_front() {
                self.hashes.remove(&oldest);
            }
        }
        self.last = Some(hash);
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use protocol_parsers::Timestamp;

    use super::*;
    use crate::LinkType;

    /// A UDP datagram, or a piece of one, between two hosts.
    fn packet(from: u8, to: u8, ports: [u16; 2], fragment: u16) -> Vec<u8> {
        let mut bytes = vec![0x45, 0, 0, 36, 0, 9, (fragment >> 8) as u8, fragment as u8, 64, 17, 0, 0];
        bytes.extend([10, 0, 0, from, 10, 0, 0, to]);
        bytes.extend(ports.into_iter().flat_map(u16::to_be_bytes));
        bytes.extend([0, 16, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8]);
        bytes
    }

    fn shard(sharder: &mut Sharder, captured: &[u8]) -> usize {
        let (time, original_len) = (Timestamp::ZERO, captured.len() as u32);
        sharder.shard(&Packet { time, link: LinkType::RAW_IP, interface: 0, captured, original_len, vlan: None })
    }

    #[test]
    fn both_directions_and_all_pieces_come_to_one_engine_and_conversations_to_all() {
        let mut sharder = Sharder::new(7);
        let mut counts = [0; 7];
        for port in 1000..2000 {
            let there = shard(&mut sharder, &packet(1, 2, [port, 53], 0));
            assert_eq!(there, shard(&mut sharder, &packet(2, 1, [53, port], 0)));
            counts[there] += 1;
        }
        assert!(counts.iter().all(|count| (80..220).contains(count)), "{counts:?}");
        let first = shard(&mut sharder, &packet(1, 2, [4000, 53], 0x2000));
        assert_eq!(first, shard(&mut sharder, &packet(1, 2, [4000, 53], 0)), "the ports are those of the first piece");
        assert_eq!(first, shard(&mut sharder, &packet(1, 2, [7, 7], 0x0002)), "where the ports would stand is data");
        let early = shard(&mut sharder, &packet(3, 4, [7, 7], 0x0002));
        assert_eq!(early, shard(&mut sharder, &packet(3, 4, [4000, 53], 0x2000)), "the first piece comes second");
    }

    #[test]
    fn what_is_no_conversation_comes_to_the_first_and_memory_is_bounded() {
        let mut sharder = Sharder::new(2);
        assert_eq!(shard(&mut sharder, b""), 0);
        for id in 0..2 * REMEMBERED as u32 {
            let mut piece = packet(1, 2, [1, 2], 0x2000);
            piece[12..16].copy_from_slice(&id.to_be_bytes());
            shard(&mut sharder, &piece);
        }
        assert_eq!(sharder.pieces.hashes.len(), REMEMBERED);
    }
}
