//! One block of the ring: `include/uapi/linux/if_packet.h` of the kernel, `tpacket_block_desc` and `tpacket3_hdr`.

use std::mem::offset_of;

use libc::{sockaddr_ll, tpacket_block_desc, tpacket_hdr_v1, tpacket3_hdr};

use crate::link::LinkType;
use crate::packet::{Record, VlanTag};

/// Where a block says whose it is.
pub(super) const STATUS: usize = HEADER + offset_of!(tpacket_hdr_v1, block_status);
const HEADER: usize = offset_of!(tpacket_block_desc, hdr);
/// Each packet's header is followed by the link-layer address.
const ADDRESS: usize = size_of::<tpacket3_hdr>().next_multiple_of(libc::TPACKET_ALIGNMENT);

/// A walk over the packets of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Walk {
    /// Where the header of the next packet is.
    next: usize,
    /// Packets from there on.
    left: u32,
}

/// How the frames of an interface become packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frames {
    pub(super) link: LinkType,
    /// The interface is a loopback and the kernel shows each packet on its way out too.
    pub(super) skip_outgoing: bool,
}

impl Walk {
    pub(super) fn new(block: &[u8]) -> Self {
        let next = u32_at(block, HEADER + offset_of!(tpacket_hdr_v1, offset_to_first_pkt)) as usize;
        let left = u32_at(block, HEADER + offset_of!(tpacket_hdr_v1, num_pkts));
        Self { next, left }
    }

    /// Notes packets until there are no more or `records` has as many as it has room for. Returns how many were not
    /// noted: on their way out of a loopback, or not IP where frames have no header to say what they are.
    pub(super) fn take(&mut self, block: &[u8], frames: Frames, records: &mut Vec<Record>) -> u64 {
        let mut ignored = 0;
        while self.left > 0 && records.len() < records.capacity() {
            let Some((record, next)) = read(block, self.next, frames) else {
                // The kernel does not lie; if it did, what is left of the block could not be found.
                ignored += u64::from(std::mem::take(&mut self.left));
                break;
            };
            match record {
                Some(record) => records.push(record),
                None => ignored += 1,
            }
            self.next += next;
            self.left -= 1;
        }
        ignored
    }
}

/// The packet whose header is at a place, unless it is to be ignored, and the way from there to the next.
fn read(block: &[u8], at: usize, frames: Frames) -> Option<(Option<Record>, usize)> {
    let header = block.get(at..)?.get(..ADDRESS + size_of::<sockaddr_ll>())?;
    let next = u32_at(header, offset_of!(tpacket3_hdr, tp_next_offset)) as usize;
    let address = &header[ADDRESS..];
    let outgoing = address[offset_of!(sockaddr_ll, sll_pkttype)] == libc::PACKET_OUTGOING;
    let protocol = u16::from_be(u16_at(address, offset_of!(sockaddr_ll, sll_protocol)));
    let is_ip = matches!(i32::from(protocol), libc::ETH_P_IP | libc::ETH_P_IPV6);
    if outgoing && frames.skip_outgoing || frames.link == LinkType::RawIp && !is_ip {
        return Some((None, next));
    }
    let offset = at + usize::from(u16_at(header, offset_of!(tpacket3_hdr, tp_mac)));
    let captured = u32_at(header, offset_of!(tpacket3_hdr, tp_snaplen));
    block.get(offset..)?.get(..captured as usize)?;
    let seconds = u64::from(u32_at(header, offset_of!(tpacket3_hdr, tp_sec)));
    let nanoseconds = u64::from(u32_at(header, offset_of!(tpacket3_hdr, tp_nsec)));
    let record = Record {
        time_ns: seconds * 1_000_000_000 + nanoseconds,
        offset: offset as u32,
        captured,
        original: u32_at(header, offset_of!(tpacket3_hdr, tp_len)),
        interface: u32_at(address, offset_of!(sockaddr_ll, sll_ifindex)),
        link: frames.link,
        vlan: vlan(header),
    };
    Some((Some(record), next))
}

/// The tag that the network card or the kernel took out of the frame.
fn vlan(header: &[u8]) -> VlanTag {
    const VARIANT: usize = offset_of!(tpacket3_hdr, hv1);
    let status = u32_at(header, offset_of!(tpacket3_hdr, tp_status));
    if status & libc::TP_STATUS_VLAN_VALID == 0 {
        return Record::UNTAGGED;
    }
    let tci = u32_at(header, VARIANT + offset_of!(libc::tpacket_hdr_variant1, tp_vlan_tci)) as u16;
    let tpid = u16_at(header, VARIANT + offset_of!(libc::tpacket_hdr_variant1, tp_vlan_tpid));
    // Kernels before 3.14 did not say the protocol of the tag.
    let said = status & libc::TP_STATUS_VLAN_TPID_VALID != 0;
    VlanTag { tpid: if said { tpid } else { libc::ETH_P_8021Q as u16 }, tci }
}

/// The two bytes at a place, which the caller has checked to be there, in the order of this machine.
fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_ne_bytes([bytes[at], bytes[at + 1]])
}

/// The four bytes at a place, which the caller has checked to be there, in the order of this machine.
fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

#[cfg(test)]
mod tests {
    use std::mem::offset_of;

    use libc::{sockaddr_ll, tpacket3_hdr};
    use proptest::prelude::*;

    use super::{ADDRESS, Frames, Walk};
    use crate::link::LinkType;

    /// A block as the kernel fills it, with a packet of four bytes for each packet type and protocol.
    fn block(packets: &[(u8, i32)]) -> Vec<u8> {
        const FIRST: usize = 48;
        const STEP: usize = 96;
        let mut block = vec![0; FIRST + packets.len() * STEP];
        block[12..16].copy_from_slice(&(packets.len() as u32).to_ne_bytes());
        block[16..20].copy_from_slice(&(FIRST as u32).to_ne_bytes());
        for (number, (kind, protocol)) in packets.iter().enumerate() {
            let header = &mut block[FIRST + number * STEP..][..STEP];
            header[offset_of!(tpacket3_hdr, tp_next_offset)..][..4].copy_from_slice(&(STEP as u32).to_ne_bytes());
            header[offset_of!(tpacket3_hdr, tp_snaplen)..][..4].copy_from_slice(&4_u32.to_ne_bytes());
            header[offset_of!(tpacket3_hdr, tp_mac)..][..2].copy_from_slice(&80_u16.to_ne_bytes());
            header[ADDRESS + offset_of!(sockaddr_ll, sll_pkttype)] = *kind;
            let protocol = (*protocol as u16).to_be_bytes();
            header[ADDRESS + offset_of!(sockaddr_ll, sll_protocol)..][..2].copy_from_slice(&protocol);
            header[80..84].fill(number as u8);
        }
        block
    }

    fn taken(packets: &[(u8, i32)], frames: Frames) -> (Vec<u8>, u64) {
        let block = block(packets);
        let mut records = Vec::with_capacity(packets.len());
        let ignored = Walk::new(&block).take(&block, frames, &mut records);
        (crate::Batch::new(&block, &records).iter().map(|packet| packet.captured[0]).collect(), ignored)
    }

    #[test]
    fn a_kernel_that_shows_loopback_packets_on_their_way_out_too_is_understood() {
        let (in_, out) = ((libc::PACKET_HOST, libc::ETH_P_IP), (libc::PACKET_OUTGOING, libc::ETH_P_IP));
        let frames = |skip_outgoing| Frames { link: LinkType::Ethernet, skip_outgoing };
        assert_eq!(taken(&[out, in_, out, in_], frames(true)), (vec![1, 3], 2));
        assert_eq!(taken(&[out, in_, out, in_], frames(false)), (vec![0, 1, 2, 3], 0));
    }

    #[test]
    fn what_is_not_ip_is_ignored_where_no_header_says_what_it_is() {
        let packets = [libc::ETH_P_IP, libc::ETH_P_ARP, libc::ETH_P_IPV6].map(|protocol| (libc::PACKET_HOST, protocol));
        let frames = |link| Frames { link, skip_outgoing: false };
        assert_eq!(taken(&packets, frames(LinkType::RawIp)), (vec![0, 2], 1));
        assert_eq!(taken(&packets, frames(LinkType::Ethernet)), (vec![0, 1, 2], 0));
    }

    proptest! {
        #[test]
        fn a_block_that_lies_is_survived_and_its_packets_are_counted(
            mut block in proptest::collection::vec(any::<u8>(), 48..4096),
            first in 0..200_u32,
            count in 0..50_u32,
            words in proptest::collection::vec((any::<proptest::sample::Index>(), 0..300_u32), 0..60),
        ) {
            for (place, value) in words {
                let at = place.index(block.len() / 4) * 4;
                block[at..at + 4].copy_from_slice(&value.to_ne_bytes());
            }
            block[12..16].copy_from_slice(&count.to_ne_bytes());
            block[16..20].copy_from_slice(&first.to_ne_bytes());
            let mut walk = Walk::new(&block);
            let mut records = Vec::with_capacity(7);
            let mut seen = 0;
            let frames = Frames { link: LinkType::Ethernet, skip_outgoing: true };
            while walk.left > 0 {
                records.clear();
                seen += walk.take(&block, frames, &mut records) + records.len() as u64;
                for packet in crate::Batch::new(&block, &records) {
                    prop_assert!(packet.captured.len() <= block.len());
                }
            }
            prop_assert_eq!(seen, u64::from(count));
        }
    }
}
