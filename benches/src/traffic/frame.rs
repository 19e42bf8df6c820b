//! Frames of a conversation: addresses, tags, tunnel, checksums.

use etherparse::{EtherType, Ethernet2Header, IpNumber, Ipv4Header, Ipv6FlowLabel, Ipv6Header, TcpHeader, UdpHeader};

/// Places in the arrays of a conversation.
pub(super) const CLIENT: usize = 0;
pub(super) const SERVER: usize = 1;

/// Addresses, client first.
#[derive(Clone, Copy, Debug)]
pub(super) enum Hosts {
    V4([[u8; 4]; 2]),
    V6([[u8; 16]; 2]),
}

/// What lies around the packets of a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wrap {
    Plain,
    Vlan(u16),
    Vxlan(u32),
}

/// Where a conversation runs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Route {
    pub(super) hosts: Hosts,
    /// Client's and server's.
    pub(super) ports: [u16; 2],
    pub(super) wrap: Wrap,
}

/// A transport header whose checksum is not set yet.
pub(super) enum Header {
    Tcp(TcpHeader),
    Udp,
}

const ETHERNET: usize = 14;
const VXLAN: usize = 8;
const VXLAN_PORT: u16 = 4789;
const HOPS: u8 = 64;

impl Route {
    /// Bytes of payload that fit a segment with the timestamps option (RFC 7323 §3) on a link of 1,500 bytes.
    pub(super) fn segment(&self) -> usize {
        match self.hosts {
            Hosts::V4(_) => 1448,
            Hosts::V6(_) => 1428,
        }
    }

    /// Writes the frame that `from` sends with this payload.
    pub(super) fn write(&self, frame: &mut Vec<u8>, from: usize, header: &Header, payload: &[u8]) {
        frame.clear();
        let transport = match header {
            Header::Tcp(header) => header.header_len(),
            Header::Udp => UdpHeader::LEN,
        };
        let length = transport + payload.len();
        match self.wrap {
            Wrap::Plain => ethernet(frame, from, self.ether_type()),
            Wrap::Vlan(id) => {
                ethernet(frame, from, EtherType::VLAN_TAGGED_FRAME);
                frame.extend(id.to_be_bytes());
                frame.extend(self.ether_type().0.to_be_bytes());
            }
            Wrap::Vxlan(network) => {
                self.tunnel(frame, from, network, ETHERNET + self.ip_length() + length);
                ethernet(frame, from, self.ether_type());
            }
        }
        self.ip(frame, from, matches!(header, Header::Tcp(_)), length);
        let [source, destination] = [self.ports[from], self.ports[1 - from]];
        match header {
            Header::Tcp(header) => {
                let mut header = header.clone();
                (header.source_port, header.destination_port) = (source, destination);
                let checksum = match self.hosts {
                    Hosts::V4(hosts) => header.calc_checksum_ipv4_raw(hosts[from], hosts[1 - from], payload),
                    Hosts::V6(hosts) => header.calc_checksum_ipv6_raw(hosts[from], hosts[1 - from], payload),
                };
                header.checksum = checksum.expect("a segment is short");
                frame.extend(header.to_bytes());
            }
            Header::Udp => {
                let mut header = UdpHeader {
                    source_port: source,
                    destination_port: destination,
                    length: length as u16,
                    checksum: 0,
                };
                let checksum = match self.hosts {
                    Hosts::V4(hosts) => header.calc_checksum_ipv4_raw(hosts[from], hosts[1 - from], payload),
                    Hosts::V6(hosts) => header.calc_checksum_ipv6_raw(hosts[from], hosts[1 - from], payload),
                };
                header.checksum = checksum.expect("a datagram is short");
                frame.extend(header.to_bytes());
            }
        }
        frame.extend(payload);
    }

    fn ether_type(&self) -> EtherType {
        match self.hosts {
            Hosts::V4(_) => EtherType::IPV4,
            Hosts::V6(_) => EtherType::IPV6,
        }
    }

    fn ip_length(&self) -> usize {
        match self.hosts {
            Hosts::V4(_) => Ipv4Header::MIN_LEN,
            Hosts::V6(_) => Ipv6Header::LEN,
        }
    }

    fn ip(&self, frame: &mut Vec<u8>, from: usize, is_tcp: bool, length: usize) {
        let protocol = if is_tcp { IpNumber::TCP } else { IpNumber::UDP };
        match self.hosts {
            Hosts::V4(hosts) => ipv4(frame, hosts[from], hosts[1 - from], protocol, length),
            Hosts::V6(hosts) => {
                let header = Ipv6Header {
                    traffic_class: 0,
                    flow_label: Ipv6FlowLabel::ZERO,
                    payload_length: length as u16,
                    next_header: protocol,
                    hop_limit: HOPS,
                    source: hosts[from],
                    destination: hosts[1 - from],
                };
                frame.extend(header.to_bytes());
            }
        }
    }

    /// The outer headers of VXLAN (RFC 7348 §5) between two machines that serve the network.
    fn tunnel(&self, frame: &mut Vec<u8>, from: usize, network: u32, length: usize) {
        ethernet(frame, from, EtherType::IPV4);
        let length = UdpHeader::LEN + VXLAN + length;
        let machine = |side: usize| [192, 168, side as u8, network as u8];
        ipv4(frame, machine(from), machine(1 - from), IpNumber::UDP, length);
        // The source port spreads conversations; zero says that there is no checksum.
        let source_port = 0xc000 | (self.ports[CLIENT] ^ self.ports[SERVER]);
        let header = UdpHeader { source_port, destination_port: VXLAN_PORT, length: length as u16, checksum: 0 };
        frame.extend(header.to_bytes());
        frame.extend((0x0800_0000_u64 << 32 | u64::from(network) << 8).to_be_bytes());
    }
}

fn ethernet(frame: &mut Vec<u8>, from: usize, ether_type: EtherType) {
    let machine = |side: usize| [2, 0, 0, 0, 0, side as u8];
    let header = Ethernet2Header { source: machine(from), destination: machine(1 - from), ether_type };
    frame.extend(header.to_bytes());
}

fn ipv4(frame: &mut Vec<u8>, source: [u8; 4], destination: [u8; 4], protocol: IpNumber, length: usize) {
    let header = Ipv4Header::new(length as u16, HOPS, protocol, source, destination);
    let mut header = header.expect("a packet is short");
    header.header_checksum = header.calc_header_checksum();
    frame.extend(header.to_bytes());
}
