//! Link types, tags, IP headers: which conversation a frame belongs to, and how long it really is.

use flow_core::{DropReason, LinkType, Options, Packet};

use crate::frames::{
    ACK, CLIENT, CLIENT_V6, SERVER, SERVER_V6, Segment, TCP, UDP, ethernet, ipv4, ipv6, syn, syn_v6, udp,
};
use crate::lab::{Lab, START};

/// A frame captured whole.
pub(crate) fn frame(link: LinkType, captured: &[u8]) -> Packet<'_> {
    Packet { time: START, link, interface: 0, captured, original_len: captured.len() as u32, vlan: None }
}

/// What the engine makes of one frame.
pub(crate) fn seen(packet: Packet<'_>) -> Lab {
    let mut lab = Lab::new();
    lab.see(packet);
    lab.finish();
    lab
}

/// Its layers, and who talks with whom.
pub(crate) fn peeled(packet: Packet<'_>) -> (Vec<String>, String) {
    let lab = seen(packet);
    let flow = lab.flow();
    let layers = flow.layers.iter().map(ToString::to_string).collect();
    let conversation = flow.conversation;
    (layers, format!("{} {} {}", conversation.transport.name(), conversation.client, conversation.server))
}

const V4: &str = "tcp 10.0.0.1:40000 10.0.0.2:80";
const V6: &str = "tcp [2001:db8::1]:40000 [2001:db8::2]:80";

fn reason(packet: Packet<'_>) -> DropReason {
    let lab = seen(packet);
    let stats = lab.engine.stats();
    assert!(lab.flows.is_empty());
    DropReason::ALL.into_iter().find(|reason| stats.dropped(*reason) == 1).unwrap()
}

#[test]
fn every_link_type_leads_to_the_packet() {
    let cooked = |ether_type: u16, ip: &[u8]| {
        [&[0, 0, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0][..], &ether_type.to_be_bytes(), ip].concat()
    };
    let cooked_2 = |ether_type: u16, ip: &[u8]| {
        [&ether_type.to_be_bytes()[..], &[0, 0, 0, 0, 0, 2, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0], ip].concat()
    };
    let behind = |head: &[u8], ip: &[u8]| [head, ip].concat();
    let (four, six) = (syn(), syn_v6());
    let cases = [
        (LinkType::NULL, behind(&[2, 0, 0, 0], &four), behind(&[30, 0, 0, 0], &six)),
        (LinkType::NULL, behind(&[0, 0, 0, 2], &four), behind(&[0, 0, 0, 24], &six)),
        (LinkType::LOOP, behind(&[0, 0, 0, 2], &four), behind(&[0, 0, 0, 24], &six)),
        (LinkType::ETHERNET, ethernet(0x0800, &four), ethernet(0x86dd, &six)),
        (LinkType::PPP, behind(&[0xff, 3, 0, 0x21], &four), behind(&[0xff, 3, 0, 0x57], &six)),
        (LinkType::PPP, behind(&[0, 0x21], &four), behind(&[0x57], &six)),
        (LinkType::PPP_HDLC, behind(&[0xff, 3, 0x21], &four), behind(&[0xff, 3, 0, 0x57], &six)),
        (LinkType::PPP_HDLC, behind(&[0x0f, 0, 8, 0], &four), behind(&[0x8f, 0, 0x86, 0xdd], &six)),
        (LinkType::CISCO_HDLC, behind(&[0x0f, 0, 8, 0], &four), behind(&[0x8f, 0, 0x86, 0xdd], &six)),
        (LinkType::RAW_IP, four.clone(), six.clone()),
        (LinkType::RAW_BSD, four.clone(), six.clone()),
        (LinkType::RAW_OPENBSD, four.clone(), six.clone()),
        (LinkType::IPV4, four.clone(), six.clone()),
        (LinkType::IPV6, four.clone(), six.clone()),
        (LinkType::LINUX_COOKED, cooked(0x0800, &four), cooked(0x86dd, &six)),
        (LinkType::LINUX_COOKED_2, cooked_2(0x0800, &four), cooked_2(0x86dd, &six)),
    ];
    for (link, four, six) in &cases {
        assert_eq!(peeled(frame(*link, four)), (vec![], V4.to_owned()), "{link:?}");
        assert_eq!(peeled(frame(*link, six)), (vec![], V6.to_owned()), "{link:?}");
    }
    assert_eq!(reason(frame(LinkType(147), &syn())), DropReason::LinkType);
}

#[test]
fn ip_over_802_2_with_a_snap_header() {
    let snap = [&[0xaa, 0xaa, 3, 0, 0, 0, 8, 0][..], &syn()].concat();
    assert_eq!(peeled(frame(LinkType::ETHERNET, &ethernet(snap.len() as u16, &snap))), (vec![], V4.to_owned()));
}

#[test]
fn tags_are_taken_off_and_kept_outermost_first() {
    let tag =
        |id: u16, ether_type: u16, inner: &[u8]| [&id.to_be_bytes()[..], &ether_type.to_be_bytes(), inner].concat();
    let one = ethernet(0x8100, &tag(0xe00a, 0x0800, &syn()));
    assert_eq!(peeled(frame(LinkType::ETHERNET, &one)).0, ["vlan:10"], "priority bits are no part of the identifier");
    for outer in [0x88a8, 0x9100, 0x9200, 0x8100] {
        let two = ethernet(outer, &tag(20, 0x8100, &tag(10, 0x86dd, &syn_v6())));
        assert_eq!(
            peeled(frame(LinkType::ETHERNET, &two)),
            (vec!["vlan:20".to_owned(), "vlan:10".to_owned()], V6.into())
        );
        let stripped = Packet { vlan: Some(0xf01e), ..frame(LinkType::ETHERNET, &two) };
        assert_eq!(peeled(stripped).0, ["vlan:30", "vlan:20", "vlan:10"]);
    }
}

#[test]
fn the_same_ports_in_another_vlan_are_another_conversation_unless_told_otherwise() {
    let frames = [None, Some(0), Some(5), Some(6)];
    let bytes = ethernet(0x0800, &syn());
    let flows = |vlan_in_key| {
        let mut options = Options::default();
        options.vlan_in_key = vlan_in_key;
        let mut lab = Lab::with(options);
        for vlan in frames {
            lab.see(Packet { vlan, ..frame(LinkType::ETHERNET, &bytes) });
        }
        lab.finish();
        lab.flows.len()
    };
    assert_eq!((flows(true), flows(false)), (3, 1), "tag 0 carries a priority only");
}

#[test]
fn the_same_conversation_at_two_interfaces_is_seen_twice_unless_told_otherwise() {
    let bytes = syn();
    for (interface_in_key, expected) in [(true, 2), (false, 1)] {
        let mut options = Options::default();
        options.interface_in_key = interface_in_key;
        let mut lab = Lab::with(options);
        for interface in [1, 2] {
            lab.see(Packet { interface, ..frame(LinkType::RAW_IP, &bytes) });
        }
        lab.finish();
        assert_eq!(lab.flows.len(), expected);
    }
}

#[test]
fn ethernet_padding_is_no_payload() {
    let bare = Segment { seq: 1, ack: 1, flags: ACK, window: 9, data: &[] };
    let mut padded = ethernet(0x0800, &ipv4(CLIENT, SERVER, TCP, &bare.bytes(40_000, 80)));
    padded.resize(60, 0);
    let flow = seen(frame(LinkType::ETHERNET, &padded)).flow().clone();
    assert_eq!((flow.counters.bytes.client, flow.counters.payload_bytes.client), (60, 0));
    let mut padded = ethernet(0x86dd, &ipv6(CLIENT_V6, SERVER_V6, UDP, &udp(40_000, 9999, b"abc")));
    padded.resize(90, 0);
    let flow = seen(frame(LinkType::ETHERNET, &padded)).flow().clone();
    assert_eq!((flow.counters.bytes.client, flow.counters.payload_bytes.client), (90, 3));
}

#[test]
fn a_frame_cut_by_the_snap_length_counts_in_full() {
    let data = [7; 1000];
    let segment = Segment { seq: 1, ack: 1, flags: ACK, window: 9, data: &data };
    let whole = ethernet(0x0800, &ipv4(CLIENT, SERVER, TCP, &segment.bytes(40_000, 80)));
    for snap in [54, 55, 68, 96, 1053] {
        let cut = Packet { original_len: whole.len() as u32, ..frame(LinkType::ETHERNET, &whole[..snap]) };
        let flow = seen(cut).flow().clone();
        assert_eq!((flow.counters.bytes.client, flow.counters.payload_bytes.client), (1054, 1000), "{snap}");
    }
    let datagram = ethernet(0x0800, &ipv4(CLIENT, SERVER, UDP, &udp(40_000, 9999, &data)));
    let cut = Packet { original_len: datagram.len() as u32, ..frame(LinkType::ETHERNET, &datagram[..60]) };
    assert_eq!(seen(cut).flow().counters.payload_bytes.client, 1000);
    let within_headers = Packet { original_len: whole.len() as u32, ..frame(LinkType::ETHERNET, &whole[..50]) };
    assert_eq!(reason(within_headers), DropReason::CutShort);
}

#[test]
fn segmentation_offload_leaves_no_length_in_the_header() {
    let data = vec![7; 70_000];
    let segment = Segment { seq: 1, ack: 1, flags: ACK, window: 9, data: &data };
    let mut four = ipv4(CLIENT, SERVER, TCP, &segment.bytes(40_000, 80));
    four[2..4].copy_from_slice(&[0, 0]);
    let mut six = ipv6(CLIENT_V6, SERVER_V6, TCP, &segment.bytes(40_000, 80));
    six[4..6].copy_from_slice(&[0, 0]);
    for packet in [four, six] {
        assert_eq!(seen(frame(LinkType::RAW_IP, &packet)).flow().counters.payload_bytes.client, 70_000);
    }
}

#[test]
fn extension_headers_are_passed_over() {
    let segment = Segment { seq: 1, ack: 0, flags: 2, window: 9, data: &[] }.bytes(40_000, 80);
    let option = |next: u8| [&[next, 1, 1, 12][..], &[0; 12]].concat();
    let atomic = [TCP, 0, 0, 0, 0, 0, 0, 9];
    let chain = [option(60), option(43), option(44), atomic.to_vec(), segment.clone()].concat();
    assert_eq!(peeled(frame(LinkType::RAW_IP, &ipv6(CLIENT_V6, SERVER_V6, 0, &chain))), (vec![], V6.to_owned()));
    let authentication = [&[TCP, 4, 0, 0][..], &[9; 20], &segment].concat();
    let expected = (vec!["ah".to_owned()], V6.to_owned());
    assert_eq!(peeled(frame(LinkType::RAW_IP, &ipv6(CLIENT_V6, SERVER_V6, 51, &authentication))), expected);
    assert_eq!(peeled(frame(LinkType::RAW_IP, &ipv4(CLIENT, SERVER, 51, &authentication))).1, V4);
    let endless: Vec<u8> = (0..200).flat_map(|_| [60, 0, 1, 4, 0, 0, 0, 0]).collect();
    assert_eq!(reason(frame(LinkType::RAW_IP, &ipv6(CLIENT_V6, SERVER_V6, 60, &endless))), DropReason::TooDeep);
}

#[test]
fn what_is_not_followed_is_counted_with_its_reason() {
    let arp = ethernet(0x0806, &[0; 28]);
    assert_eq!(reason(frame(LinkType::ETHERNET, &arp)), DropReason::NotIp);
    assert_eq!(reason(frame(LinkType::ETHERNET, &ethernet(38, &[0x42, 0x42, 3, 0, 0, 0, 0, 0]))), DropReason::NotIp);
    assert_eq!(reason(frame(LinkType::RAW_IP, &ipv4(CLIENT, SERVER, 132, &[0; 40]))), DropReason::Transport);
    assert_eq!(reason(frame(LinkType::RAW_IP, &[0x50; 40])), DropReason::Malformed);
    assert_eq!(
        reason(frame(LinkType::RAW_IP, &ipv4(CLIENT, SERVER, TCP, &[0; 40]))),
        DropReason::Malformed,
        "offset 0"
    );
    assert_eq!(reason(frame(LinkType::RAW_IP, &ipv4(CLIENT, SERVER, TCP, &[0; 10]))), DropReason::Malformed);
    assert_eq!(
        reason(frame(LinkType::RAW_IP, &ipv4(CLIENT, SERVER, UDP, &[0, 1, 0, 2, 0, 7, 0, 0]))),
        DropReason::Malformed
    );
    let tags: Vec<u8> = (0..20).flat_map(|_| [0, 1, 0x81, 0]).collect();
    assert_eq!(reason(frame(LinkType::ETHERNET, &ethernet(0x8100, &tags))), DropReason::TooDeep);
}

#[test]
fn an_echo_and_its_reply_are_one_conversation() {
    let echo = |kind: u8, seq: u8| [kind, 0, 0, 0, 0x12, 0x34, 0, seq, b'p', b'i', b'n', b'g'];
    let mut lab = Lab::new();
    for (from, to, kind) in [(CLIENT, SERVER, 8), (SERVER, CLIENT, 0), (CLIENT, SERVER, 8)] {
        lab.see(frame(LinkType::RAW_IP, &ipv4(from, to, 1, &echo(kind, 1))));
    }
    for (from, to, kind) in [(CLIENT_V6, SERVER_V6, 128), (SERVER_V6, CLIENT_V6, 129)] {
        lab.see(frame(LinkType::RAW_IP, &ipv6(from, to, 58, &echo(kind, 1))));
    }
    lab.finish();
    let counted: Vec<_> = lab
        .flows
        .iter()
        .map(|flow| (flow.conversation.client.to_string(), flow.counters.packets.client, flow.counters.packets.server))
        .collect();
    assert_eq!(counted, [("10.0.0.1:4660".to_owned(), 2, 1), ("[2001:db8::1]:4660".to_owned(), 1, 1)]);
}
