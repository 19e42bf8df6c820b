//! Headers that lie: nothing panics, and every frame is counted.

use flow_core::{LinkType, Packet};
use proptest::prelude::*;

use crate::decode::frame;
use crate::frames::{
    CLIENT, CLIENT_V6, SERVER, SERVER_V6, TCP, UDP, ethernet, ipv4, ipv4_piece, ipv6, ipv6_piece, syn, syn_v6, udp,
};
use crate::lab::{Lab, START};

/// Frames of every kind there is.
fn frames() -> Vec<(LinkType, Vec<u8>)> {
    let vxlan = [&[8, 0, 0, 0, 0, 0, 1, 0][..], &ethernet(0x8100, &[&[0, 1, 8, 0][..], &syn()].concat())].concat();
    let gtp = [&[0x34, 0xff, 0, 48, 0, 0, 0, 77, 0, 1, 0, 0x85, 1, 0, 9, 0][..], &syn_v6()].concat();
    let l2tp = [&[0x4a, 2, 0, 60, 0, 7, 0, 8, 0, 1, 0, 1, 0, 2, 9, 9, 0, 0x21][..], &syn()].concat();
    let teredo = [&[0, 1, 2, 3][..], &[9; 5], &[0; 9], &[0, 0, 1, 2, 3, 4, 5, 6], &syn_v6()].concat();
    let erspan =
        [&[0x10, 0, 0x22, 0xeb, 0, 0, 0, 1][..], &[0x20; 11], &[1], &[0; 8], &ethernet(0x0800, &syn())].concat();
    let nsh = [&[0, 2, 1, 1, 0, 1, 2, 255][..], &syn()].concat();
    let options =
        [&[60, 0, 1, 4, 0, 0, 0, 0, 51, 0, 1, 4, 0, 0, 0, 0, 6, 1, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2][..], &syn()[20..]];
    let datagram = udp(40_000, 53, crate::frames::QUERY);
    vec![
        (LinkType::ETHERNET, ethernet(0x0800, &syn())),
        (LinkType::ETHERNET, ethernet(0x0800, &ipv4(CLIENT, SERVER, UDP, &udp(1, 4789, &vxlan)))),
        (LinkType::ETHERNET, ethernet(0x86dd, &ipv6(CLIENT_V6, SERVER_V6, UDP, &udp(1, 2152, &gtp)))),
        (LinkType::RAW_IP, ipv4(CLIENT, SERVER, UDP, &udp(1, 1701, &l2tp))),
        (LinkType::RAW_IP, ipv4(CLIENT, SERVER, UDP, &udp(1, 3544, &teredo))),
        (LinkType::RAW_IP, ipv4(CLIENT, SERVER, 47, &erspan)),
        (LinkType::RAW_IP, ipv6(CLIENT_V6, SERVER_V6, 60, &options.concat())),
        (LinkType::ETHERNET, ethernet(0x894f, &nsh)),
        (LinkType::ETHERNET, ethernet(0x8864, &[&[0x11, 0, 0, 9, 0, 42, 0, 0x21][..], &syn()].concat())),
        (LinkType::ETHERNET, ethernet(0x8847, &[&[0, 1, 1, 64, 0, 0, 0, 0][..], &ethernet(0x0800, &syn())].concat())),
        (LinkType::RAW_IP, ipv4_piece(CLIENT, SERVER, UDP, 1, 0, true, &datagram[..16])),
        (LinkType::RAW_IP, ipv4_piece(CLIENT, SERVER, UDP, 1, 16, false, &datagram[16..])),
        (LinkType::RAW_IP, ipv6(CLIENT_V6, SERVER_V6, 44, &ipv6_piece(UDP, 1, 0, true, &datagram[..16]))),
        (LinkType::LINUX_COOKED, [&[0; 14][..], &[8, 0], &syn()].concat()),
        (LinkType::LINUX_COOKED_2, [&[8, 0][..], &[0; 18], &syn()].concat()),
        (LinkType::PPP, [&[0xff, 3, 0, 0x57][..], &syn_v6()].concat()),
        (LinkType::NULL, [&[2, 0, 0, 0][..], &syn()].concat()),
        (LinkType::RAW_IP, ipv4(CLIENT, SERVER, 1, &[8, 0, 0, 0, 1, 2, 3, 4, 5])),
        (LinkType::RAW_IP, ipv4(CLIENT, SERVER, TCP, &[0xff; 30])),
    ]
}

#[test]
fn a_frame_may_end_anywhere() {
    for (link, bytes) in frames() {
        for cut in 0..=bytes.len() {
            let mut lab = Lab::new();
            // The wire had no more, the capture kept no more, or the capture is wrong about the wire.
            for original_len in [cut as u32, bytes.len() as u32, u32::MAX, 0] {
                lab.see(Packet { original_len, ..frame(link, &bytes[..cut]) });
            }
            lab.finish();
            assert_eq!(lab.engine.stats().packets, 4);
        }
    }
}

#[test]
fn every_byte_may_be_any_other() {
    for (link, bytes) in frames() {
        let mut lab = Lab::new();
        for position in 0..bytes.len().min(80) {
            for value in [0, 1, 4, 6, 0x0f, 0x45, 0x7f, 0x80, 0xf0, 0xff, bytes[position] ^ 0x20] {
                let mut changed = bytes.clone();
                changed[position] = value;
                lab.see(frame(link, &changed));
                lab.see(Packet { original_len: u32::MAX, ..frame(link, &changed) });
            }
        }
        lab.finish();
    }
}

proptest! {
    #[test]
    fn bytes_of_any_kind_at_any_time(
        packets in prop::collection::vec((0u16..300, any::<u64>(), any::<u32>(), prop::collection::vec(any::<u8>(), 0..80)), 0..20)
    ) {
        let mut lab = Lab::new();
        for (link, time, original_len, captured) in &packets {
            let time = if time % 2 == 0 { START } else { protocol_parsers::Timestamp::from_nanos(*time) };
            lab.see(Packet { time, link: LinkType(*link), interface: 0, captured, original_len: *original_len, vlan: None });
        }
        lab.finish();
    }
}
