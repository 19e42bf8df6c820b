//! Tunnels: the innermost conversation, and what was taken off around it.

use flow_core::{DropReason, LinkType, Packet};

use crate::decode::{frame, peeled, seen};
use crate::frames::{CLIENT_V6, SERVER_V6, UDP, ethernet, ipv4, ipv6, syn, syn_v6, udp};
use crate::lab::Lab;

/// The ends of the tunnel.
const HERE: [u8; 4] = [192, 0, 2, 1];
const THERE: [u8; 4] = [192, 0, 2, 2];

const INNER: &str = "tcp 10.0.0.1:40000 10.0.0.2:80";
const INNER_V6: &str = "tcp [2001:db8::1]:40000 [2001:db8::2]:80";

fn over_udp(port: u16, header: &[u8], inner: &[u8]) -> Vec<u8> {
    ipv4(HERE, THERE, UDP, &udp(55_555, port, &[header, inner].concat()))
}

fn over_ip(protocol: u8, header: &[u8], inner: &[u8]) -> Vec<u8> {
    ipv4(HERE, THERE, protocol, &[header, inner].concat())
}

fn check(packet: &[u8], layers: &[&str], conversation: &str) {
    let (seen, who) = peeled(frame(LinkType::RAW_IP, packet));
    assert_eq!((seen, who.as_str()), (layers.iter().map(ToString::to_string).collect(), conversation));
}

fn bridged() -> Vec<u8> {
    ethernet(0x0800, &syn())
}

#[test]
fn vxlan_and_its_extensions() {
    let i = [0x08, 0, 0, 0, 0, 0, 42, 0];
    for port in [4789, 8472, 6784] {
        check(&over_udp(port, &i, &bridged()), &["vxlan:42"], INNER);
    }
    let group_policy = [0x88, 0, 0x12, 0x34, 0, 0, 42, 0];
    check(&over_udp(4789, &group_policy, &bridged()), &["vxlan:42"], INNER);
    let generic = |next: u8| [0x0c, 0, 0, next, 0, 0, 42, 0];
    check(&over_udp(4790, &generic(1), &syn()), &["vxlan:42"], INNER);
    check(&over_udp(4790, &generic(2), &syn_v6()), &["vxlan:42"], INNER_V6);
    check(&over_udp(4790, &generic(3), &bridged()), &["vxlan:42"], INNER);
    let path = [0, 2, 1, 1, 0, 1, 2, 255];
    check(&over_udp(4790, &generic(4), &[&path[..], &syn()].concat()), &["vxlan:42", "nsh:258"], INNER);
    let label = [0, 1, 0x01, 64];
    check(&over_udp(4790, &generic(5), &[&label[..], &syn()].concat()), &["vxlan:42", "mpls:16"], INNER);
}

#[test]
fn geneve_with_options() {
    let bare = [0, 0, 0x65, 0x58, 0, 0, 7, 0];
    check(&over_udp(6081, &bare, &bridged()), &["geneve:7"], INNER);
    let options = [&[2, 0, 0x08, 0, 0, 0, 7, 0][..], &[1; 8]].concat();
    check(&over_udp(6081, &options, &syn()), &["geneve:7"], INNER);
}

#[test]
fn gre_and_what_travels_in_it() {
    check(&over_ip(47, &[0, 0, 8, 0], &syn()), &["gre"], INNER);
    check(&over_ip(47, &[0x20, 0, 0x86, 0xdd, 0, 0, 0, 9], &syn_v6()), &["gre:9"], INNER_V6);
    let all = [0xb0, 0, 0x65, 0x58, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 1];
    check(&over_ip(47, &all, &bridged()), &["gre:9"], INNER);
    let erspan_1 = [0, 0, 0x88, 0xbe];
    check(&over_ip(47, &erspan_1, &bridged()), &["erspan1"], INNER);
    let erspan_2 = [0x10, 0, 0x88, 0xbe, 0, 0, 0, 1, 0x10, 0, 0, 5, 0, 0, 0, 0];
    check(&over_ip(47, &erspan_2, &bridged()), &["erspan2:5"], INNER);
    let erspan_3 = |more: u8| [&[0x10, 0, 0x22, 0xeb, 0, 0, 0, 1, 0x20, 0, 0, 6][..], &[0; 7], &[more]].concat();
    check(&over_ip(47, &erspan_3(0), &bridged()), &["erspan3:6"], INNER);
    check(&over_ip(47, &[erspan_3(1), vec![0; 8]].concat(), &bridged()), &["erspan3:6"], INNER);
    let pptp = [0x30, 0x81, 0x88, 0x0b, 0, 0, 0, 3, 0, 0, 0, 1, 0, 0, 0, 1, 0xff, 3, 0, 0x21];
    check(&over_ip(47, &pptp, &syn()), &["pptp:3"], INNER);
}

#[test]
fn ip_and_ethernet_within_ip() {
    check(&over_ip(4, &[], &syn()), &["ipip"], INNER);
    check(&over_ip(41, &[], &syn_v6()), &["ipip"], INNER_V6);
    check(&ipv6(CLIENT_V6, SERVER_V6, 4, &syn()), &["ipip"], INNER);
    check(&ipv6(CLIENT_V6, SERVER_V6, 41, &syn_v6()), &["ipip"], INNER_V6);
    check(&over_ip(97, &[0x30, 0], &bridged()), &["etherip"], INNER);
    check(&over_ip(137, &[0, 1, 0x01, 64], &syn()), &["mpls:16"], INNER);
}

#[test]
fn mpls_labels_and_pseudowires() {
    let labels = [0, 1, 0x00, 64, 0, 2, 0x01, 64];
    let at_link = |inner: &[u8]| ethernet(0x8847, &[&labels[..], inner].concat());
    let expected = (vec!["mpls:16".to_owned(), "mpls:32".to_owned()], INNER.to_owned());
    assert_eq!(peeled(frame(LinkType::ETHERNET, &at_link(&syn()))), expected);
    assert_eq!(peeled(frame(LinkType::ETHERNET, &at_link(&[&[0; 4][..], &bridged()].concat()))), expected);
}

#[test]
fn subscriber_lines_and_mobile_networks() {
    let pppoe = ethernet(0x8864, &[&[0x11, 0, 0, 9, 0, 42, 0, 0x21][..], &syn()].concat());
    assert_eq!(peeled(frame(LinkType::ETHERNET, &pppoe)), (vec!["pppoe:9".to_owned()], INNER.to_owned()));
    check(&over_udp(2152, &[0x30, 0xff, 0, 40, 0, 0, 0, 77], &syn()), &["gtp:77"], INNER);
    let sequence = [0x32, 0xff, 0, 44, 0, 0, 0, 77, 0, 1, 0, 0];
    check(&over_udp(2152, &sequence, &syn()), &["gtp:77"], INNER);
    let extended = [0x34, 0xff, 0, 48, 0, 0, 0, 77, 0, 1, 0, 0x85, 1, 0, 9, 0];
    check(&over_udp(2152, &extended, &syn_v6()), &["gtp:77"], INNER_V6);
    check(&over_udp(1701, &[0, 2, 0, 7, 0, 8, 0xff, 3, 0, 0x21], &syn()), &["l2tp:7/8"], INNER);
    let all = [0x4a, 2, 0, 60, 0, 7, 0, 8, 0, 1, 0, 1, 0, 2, 9, 9, 0, 0x21];
    check(&over_udp(1701, &all, &syn()), &["l2tp:7/8"], INNER);
}

#[test]
fn teredo_with_authentication_and_origin() {
    check(&over_udp(3544, &[], &syn_v6()), &["teredo"], INNER_V6);
    let origin = [0, 0, 1, 2, 3, 4, 5, 6];
    check(&over_udp(3544, &origin, &syn_v6()), &["teredo"], INNER_V6);
    let authentication = [&[0, 1, 2, 3][..], &[9; 5], &[0; 9], &origin].concat();
    check(&over_udp(3544, &authentication, &syn_v6()), &["teredo"], INNER_V6);
}

#[test]
fn four_tunnels_within_each_other() {
    let vxlan = over_udp(4789, &[8, 0, 0, 0, 0, 0, 1, 0], &bridged());
    let ipip = over_ip(4, &[], &vxlan);
    let geneve = over_udp(6081, &[0, 0, 0x08, 0, 0, 0, 2, 0], &ipip);
    let gre = over_ip(47, &[0, 0, 8, 0], &geneve);
    check(&gre, &["gre", "geneve:2", "ipip", "vxlan:1"], INNER);
}

#[test]
fn too_many_tunnels_are_counted() {
    let packet = (0..13).fold(syn(), |inner, _| over_ip(4, &[], &inner));
    let lab = seen(frame(LinkType::RAW_IP, &packet));
    assert_eq!(lab.engine.stats().dropped(DropReason::TooDeep), 1);
    let packet = (0..30).fold(syn(), |inner, _| over_udp(6081, &[0, 0, 8, 0, 0, 0, 1, 0], &inner));
    let lab = seen(frame(LinkType::RAW_IP, &packet));
    assert_eq!(lab.flow().layers.len(), 12, "the conversation at the depth that is followed");
    assert_eq!(lab.flow().conversation.server.port(), 6081);
}

/// What only looks like a tunnel, or carries nothing that is followed.
#[test]
fn the_tunnel_itself_is_the_conversation_where_its_content_is_none() {
    let outer = "udp 192.0.2.1:55555 192.0.2.2:4789";
    let network = [8, 0, 0, 0, 0, 0, 1, 0];
    let arp = ethernet(0x0806, &[0; 28]);
    let gre_with_nothing = over_ip(47, &[0, 0, 0x12, 0x34], &[0; 8]);
    for inner in [arp, ethernet(0x0800, &gre_with_nothing), vec![], vec![0; 13], ethernet(0x0800, &[0x45, 0, 0])] {
        check(&over_udp(4789, &network, &inner), &[], outer);
    }
    check(&over_udp(4789, b"GET / HTTP/1.1\r\n", b""), &[], outer);
    check(&over_udp(4789, &[], &[]), &[], outer);
    check(&over_udp(2152, &[0x32, 1, 0, 4, 0, 0, 0, 0], &[0; 4]), &[], "udp 192.0.2.1:55555 192.0.2.2:2152");
    let endless = [&[0x34, 0xff, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0x85][..], &[0; 40]].concat();
    check(&over_udp(2152, &endless, &[]), &[], "udp 192.0.2.1:55555 192.0.2.2:2152");
    // A tunnel within the tunnel whose content is none: the inner one is the conversation.
    let inner = ethernet(0x0800, &over_udp(6081, &[0, 0, 0x08, 6, 0, 0, 1, 0], &[0; 28]));
    check(&over_udp(4789, &network, &inner), &["vxlan:1"], "udp 192.0.2.1:55555 192.0.2.2:6081");
}

#[test]
fn both_directions_of_a_tunnel_meet_where_its_numbers_differ() {
    let answer = {
        let segment = crate::frames::Segment { seq: 9, ack: 2, flags: 18, window: 9, data: &[] };
        ipv4(crate::frames::SERVER, crate::frames::CLIENT, 6, &segment.bytes(80, 40_000))
    };
    let gtp = |endpoint: u8, inner: &[u8]| over_udp(2152, &[0x30, 0xff, 0, 40, 0, 0, 0, endpoint], inner);
    let vxlan = |network: u8, inner: &[u8]| over_udp(4789, &[8, 0, 0, 0, 0, 0, network, 0], &ethernet(0x0800, inner));
    let flows = |frames: [Vec<u8>; 2]| {
        let mut lab = Lab::new();
        frames.iter().for_each(|bytes| lab.see(frame(LinkType::RAW_IP, bytes)));
        lab.finish();
        lab.flows.len()
    };
    assert_eq!(flows([gtp(1, &syn()), gtp(2, &answer)]), 1);
    assert_eq!(flows([vxlan(1, &syn()), vxlan(1, &answer)]), 1);
    assert_eq!(flows([vxlan(1, &syn()), vxlan(2, &answer)]), 2, "other networks may use the same addresses");
}

#[test]
fn lengths_in_a_tunnel_are_those_of_the_inner_headers() {
    let data = [1; 500];
    let inner = ethernet(0x0800, &ipv4([10, 0, 0, 1], [10, 0, 0, 2], UDP, &udp(1111, 2222, &data)));
    let packet = over_udp(4789, &[8, 0, 0, 0, 0, 0, 1, 0], &inner);
    let cut = Packet { original_len: packet.len() as u32, ..frame(LinkType::RAW_IP, &packet[..100]) };
    let flow = seen(cut).flow().clone();
    assert_eq!((flow.counters.payload_bytes.client, flow.counters.bytes.client), (500, packet.len() as u64));
}
