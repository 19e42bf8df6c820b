//! Packets, borrowed from a capture or copied out of it.

use flow_core::{LinkType, Packet};
use metaflow_packet_capture::VlanTag;
use protocol_parsers::Timestamp;

/// A packet of a capture as an engine takes it.
pub(crate) fn as_input(packet: metaflow_packet_capture::Packet<'_>) -> Packet<'_> {
    Packet {
        time: Timestamp::from_nanos(packet.time_ns),
        link: LinkType(packet.link.number()),
        interface: packet.interface,
        captured: packet.captured,
        original_len: packet.original_len,
        vlan: packet.vlan.map(VlanTag::id),
    }
}

/// Copies of packets one behind the other, so that the ring's memory can go back to the kernel while another thread works on them.
/// Emptied, it keeps its memory.
#[derive(Default)]
pub(crate) struct Packets {
    bytes: Vec<u8>,
    records: Vec<Record>,
}

/// What there is to a packet beside its bytes.
struct Record {
    time: Timestamp,
    captured: usize,
    original_len: u32,
    interface: u32,
    link: LinkType,
    vlan: Option<u16>,
}

impl Packets {
    /// With room for so many packets of so many bytes.
    pub(crate) fn with_capacity(packets: usize, bytes: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes), records: Vec::with_capacity(packets) }
    }

    pub(crate) fn push(&mut self, packet: &Packet<'_>) {
        let Packet { time, link, interface, captured, original_len, vlan } = *packet;
        self.bytes.extend_from_slice(captured);
        self.records.push(Record { time, captured: captured.len(), original_len, interface, link, vlan });
    }

    /// The packets in the order in which they came.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Packet<'_>> {
        let mut rest = self.bytes.as_slice();
        self.records.iter().map(move |record| {
            let (captured, behind) = rest.split_at_checked(record.captured).unwrap_or_default();
            rest = behind;
            let Record { time, original_len, interface, link, vlan, .. } = *record;
            Packet { time, link, interface, captured, original_len, vlan }
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.records.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Bytes of all packets.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.records.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_are_what_was_copied_and_the_memory_is_used_again() {
        let packet = |number: u32, captured| Packet {
            time: Timestamp::from_nanos(number.into()),
            link: LinkType::ETHERNET,
            interface: number,
            captured,
            original_len: 100 + number,
            vlan: (number == 2).then_some(7),
        };
        let lent = [packet(1, b"first"), packet(2, b""), packet(3, b"the third")];
        let mut packets = Packets::with_capacity(3, 14);
        let memory = packets.bytes.as_ptr();
        for _ in 0..2 {
            packets.clear();
            lent.iter().for_each(|packet| packets.push(packet));
            assert_eq!((packets.len(), packets.bytes(), packets.is_empty()), (3, 14, false));
            let copied: Vec<_> = packets.iter().map(|packet| format!("{packet:?}")).collect();
            assert_eq!(copied, lent.map(|packet| format!("{packet:?}")));
        }
        assert_eq!(packets.bytes.as_ptr(), memory);
    }
}
