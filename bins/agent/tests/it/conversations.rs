//! What the sides of recorded conversations sent, in turn.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use etherparse::{NetSlice, SlicedPacket, TransportSlice};
use metaflow_packet_capture::{CaptureFile, LinkType};

/// One conversation, its client being who opened it.
#[derive(Debug)]
pub(crate) struct Spoken {
    pub(crate) transport: &'static str,
    pub(crate) port: u16,
    /// Whether the client spoke, and what.
    pub(crate) turns: Vec<(bool, Vec<u8>)>,
}

impl Spoken {
    pub(crate) fn json(&self) -> String {
        let hexadecimal = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let turns = self.turns.iter().map(|(client, bytes)| (if *client { "c" } else { "s" }, hexadecimal(bytes)));
        serde_json::json!({ "transport": self.transport, "port": self.port, "turns": turns.collect::<Vec<_>>() })
            .to_string()
    }
}

type Key = (&'static str, SocketAddr, SocketAddr);

/// Those of a capture that it has from their beginning and without a hole, and how many others there are.
pub(crate) fn conversations(path: &Path) -> (Vec<Spoken>, usize) {
    let mut file = CaptureFile::open(path).unwrap();
    let mut found: Vec<Option<Spoken>> = Vec::new();
    let mut open: HashMap<Key, (usize, [Option<u32>; 2])> = HashMap::new();
    let mut others = 0;
    while let Some(batch) = file.next_batch().unwrap() {
        for packet in &batch {
            let sliced = match packet.link {
                LinkType::Ethernet => SlicedPacket::from_ethernet(packet.captured),
                LinkType::LinuxCooked => SlicedPacket::from_linux_sll(packet.captured),
                _ => SlicedPacket::from_ip(packet.captured),
            };
            let Ok(sliced) = sliced else { continue };
            let (from, to): (IpAddr, IpAddr) = match sliced.net {
                Some(NetSlice::Ipv4(ip)) => (ip.header().source_addr().into(), ip.header().destination_addr().into()),
                Some(NetSlice::Ipv6(ip)) => (ip.header().source_addr().into(), ip.header().destination_addr().into()),
                _ => continue,
            };
            match sliced.transport {
                Some(TransportSlice::Udp(udp)) => {
                    let ends = (SocketAddr::new(from, udp.source_port()), SocketAddr::new(to, udp.destination_port()));
                    let turned = open.get(&("udp", ends.1, ends.0)).copied();
                    let known = open.get(&("udp", ends.0, ends.1)).copied();
                    let place = turned.or(known).map_or_else(
                        || {
                            found.push(Some(Spoken { transport: "udp", port: ends.1.port(), turns: Vec::new() }));
                            open.insert(("udp", ends.0, ends.1), (found.len() - 1, [None; 2]));
                            found.len() - 1
                        },
                        |(place, _)| place,
                    );
                    if let Some(spoken) = &mut found[place] {
                        spoken.turns.push((turned.is_none(), udp.payload().to_vec()));
                    }
                }
                Some(TransportSlice::Tcp(tcp)) => {
                    let ends = (SocketAddr::new(from, tcp.source_port()), SocketAddr::new(to, tcp.destination_port()));
                    if tcp.syn() && !tcp.ack() {
                        found.push(Some(Spoken { transport: "tcp", port: ends.1.port(), turns: Vec::new() }));
                        let next = Some(tcp.sequence_number().wrapping_add(1));
                        open.insert(("tcp", ends.0, ends.1), (found.len() - 1, [next, None]));
                        continue;
                    }
                    let (by_client, key) = match open.contains_key(&("tcp", ends.0, ends.1)) {
                        true => (true, ("tcp", ends.0, ends.1)),
                        false => (false, ("tcp", ends.1, ends.0)),
                    };
                    let Some((place, next)) = open.get_mut(&key) else {
                        others += 1;
                        continue;
                    };
                    let next = &mut next[usize::from(!by_client)];
                    if tcp.syn() {
                        *next = Some(tcp.sequence_number().wrapping_add(1));
                        continue;
                    }
                    let (Some(expected), payload) = (*next, tcp.payload()) else { continue };
                    let before = expected.wrapping_sub(tcp.sequence_number()) as i32;
                    if payload.is_empty() {
                        continue;
                    }
                    if before < 0 {
                        // A hole.
                        others += usize::from(found[*place].take().is_some());
                    } else if let (Some(new), Some(spoken)) = (payload.get(before as usize..), &mut found[*place])
                        && !new.is_empty()
                    {
                        spoken.turns.push((by_client, new.to_vec()));
                        *next = Some(expected.wrapping_add(new.len() as u32));
                    }
                }
                _ => {}
            }
        }
    }
    (found.into_iter().flatten().filter(|spoken| !spoken.turns.is_empty()).collect(), others)
}
