//! The capture filter: a classic BPF program that the kernel runs on every packet of a socket before it copies it.
//!
//! The program lets everything through but given TCP connections, so that a program that sends what it captured does
//! not capture its own sending. It looks at the outermost IP header, behind up to two VLAN tags; what is in a tunnel
//! passes. So do fragments but the first and IPv6 packets with extension headers, neither of which TCP's own packets
//! have in practice. What is too short to be looked at passes too, for a load beyond the end would drop the packet.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Weak};

use libc::{
    BPF_ABS, BPF_ADD, BPF_ALU, BPF_AND, BPF_B, BPF_H, BPF_IMM, BPF_IND, BPF_JEQ, BPF_JGE, BPF_JMP, BPF_JSET, BPF_K,
    BPF_LD, BPF_LDX, BPF_LEN, BPF_LSH, BPF_MEM, BPF_MISC, BPF_RET, BPF_ST, BPF_STX, BPF_SUB, BPF_TAX, BPF_W, BPF_X,
    sock_filter,
};

use super::error::FilterError;
use super::ring::RingOptions;
use super::socket::Socket;
use crate::link::LinkType;

/// A TCP connection, seen from either end: its packets of both directions are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Connection {
    /// One end. The unspecified address (0.0.0.0 or ::) stands for any: a port can be left out as soon as it is bound,
    /// before the connection is made.
    pub local: SocketAddr,
    /// The other end.
    pub remote: SocketAddr,
}

/// Changes the filter of a [`Ring`](crate::Ring) from another thread. Does nothing once the ring is closed.
#[derive(Clone, Debug)]
pub struct RingFilter {
    socket: Weak<Socket>,
    link: LinkType,
    snap_len: u32,
}

impl RingFilter {
    pub(super) fn new(socket: &Arc<Socket>, link: LinkType, snap_len: u32) -> Self {
        Self { socket: Arc::downgrade(socket), link, snap_len }
    }

    /// As [`Ring::exclude`](crate::Ring::exclude).
    ///
    /// # Errors
    /// As [`Ring::exclude`](crate::Ring::exclude).
    pub fn exclude(&self, connections: &[Connection]) -> Result<(), FilterError> {
        self.socket.upgrade().map_or(Ok(()), |socket| attach(&socket, self.link, self.snap_len, connections))
    }
}

/// Attaches the filter; the kernel puts it in the place of the old one in one step.
pub(super) fn attach(
    socket: &Socket,
    link: LinkType,
    snap_len: u32,
    excluded: &[Connection],
) -> Result<(), FilterError> {
    let limit = RingOptions::MAX_EXCLUDED;
    if excluded.len() > limit {
        return Err(FilterError::TooMany { count: excluded.len(), limit });
    }
    let mut program = program(link, snap_len, excluded);
    let filter = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    Ok(socket.set(libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &filter)?)
}

/// The program that drops these connections and keeps `snap_len` bytes of everything else.
fn program(link: LinkType, snap_len: u32, excluded: &[Connection]) -> Vec<sock_filter> {
    let mut program = Program { code: Vec::new(), snap_len };
    if excluded.is_empty() {
        program.pass();
        return program.code;
    }
    let excluded = excluded.iter().filter_map(Ends::new);
    let (v4, v6): (Vec<_>, Vec<_>) = excluded.partition(|ends| ends.local.len() == 1);
    program.find_network_header(link);
    for (ether_type, section) in [(libc::ETH_P_IP, program.ipv4(&v4)), (libc::ETH_P_IPV6, program.ipv6(&v6))] {
        // A jump on a condition reaches 255 instructions, an unconditional one any number.
        program.jump(BPF_JEQ, ether_type as u32, 1, 0);
        program.push(BPF_JMP, section.len() as u32);
        program.code.extend(section);
    }
    program.pass();
    program.code
}

/// A connection as the filter compares it, addresses as the words they have in a packet: one of IPv4, four of IPv6.
struct Ends {
    local: Vec<u32>,
    remote: Vec<u32>,
    local_port: u16,
    remote_port: u16,
}

impl Ends {
    /// Nothing for ends of different families, which no packet has.
    fn new(connection: &Connection) -> Option<Self> {
        let words = |address: IpAddr| match address.to_canonical() {
            IpAddr::V4(address) => vec![address.to_bits()],
            IpAddr::V6(address) => {
                let bits = address.to_bits();
                [96, 64, 32, 0].map(|shift| (bits >> shift) as u32).to_vec()
            }
        };
        let remote = words(connection.remote.ip());
        let local = match connection.local.ip() {
            // Any address, whatever family the other end has.
            address if address.is_unspecified() => vec![0; remote.len()],
            address => words(address),
        };
        let (local_port, remote_port) = (connection.local.port(), connection.remote.port());
        (local.len() == remote.len()).then_some(Self { local, remote, local_port, remote_port })
    }
}

/// The instructions so far. `A` is the accumulator, `X` the index register, `M[n]` the scratch memory.
struct Program {
    code: Vec<sock_filter>,
    snap_len: u32,
}

/// Scratch memory, by what it holds; an address takes up to four words.
const NETWORK: u32 = 0;
const ROOM: u32 = 1;
const PORTS: u32 = 2;
const SOURCE: u32 = 3;
const DESTINATION: u32 = 7;

impl Program {
    fn push(&mut self, code: u32, k: u32) {
        self.code.push(sock_filter { code: code as u16, jt: 0, jf: 0, k });
    }

    /// Compares A; skips `yes` or `no` instructions.
    fn jump(&mut self, test: u32, k: u32, yes: u8, no: u8) {
        self.code.push(sock_filter { code: (BPF_JMP | test) as u16, jt: yes, jf: no, k });
    }

    fn pass(&mut self) {
        self.push(BPF_RET | BPF_K, self.snap_len);
    }

    /// Goes on if the comparison holds, lets the packet through otherwise.
    fn require(&mut self, test: u32, k: u32) {
        self.jump(test, k, 1, 0);
        self.pass();
    }

    /// X becomes where the network header begins, A the EtherType.
    fn find_network_header(&mut self, link: LinkType) {
        if link != LinkType::Ethernet {
            self.push(BPF_LDX | BPF_IMM, 0);
            self.push(BPF_LD | BPF_H | BPF_ABS, (libc::SKF_AD_OFF + libc::SKF_AD_PROTOCOL) as u32);
            return;
        }
        self.push(BPF_LD | BPF_W | BPF_LEN, 0);
        // Room for the two tags at once: frames that end before are none of TCP.
        self.require(BPF_JGE, 22);
        for (place, tagged) in [(12, true), (16, true), (20, false)] {
            self.push(BPF_LDX | BPF_IMM, place + 2);
            self.push(BPF_LD | BPF_H | BPF_ABS, place);
            if tagged {
                // To the next place if this is a tag, else over the places left, of 4 and 2 instructions.
                let rest = if place == 12 { 6 } else { 2 };
                self.jump(BPF_JEQ, libc::ETH_P_8021Q as u32, 1, 0);
                self.jump(BPF_JEQ, libc::ETH_P_8021AD as u32, 0, rest);
            }
        }
    }

    /// What is done with an IPv4 packet (RFC 791 section 3.1), X being where it begins.
    fn ipv4(&self, excluded: &[Ends]) -> Vec<sock_filter> {
        let mut program = self.section();
        program.push(BPF_LD | BPF_W | BPF_LEN, 0);
        program.push(BPF_ALU | BPF_SUB | BPF_X, 0);
        program.require(BPF_JGE, 20);
        program.push(BPF_ST, ROOM);
        program.push(BPF_LD | BPF_B | BPF_IND, 9);
        program.require(BPF_JEQ, libc::IPPROTO_TCP as u32);
        program.push(BPF_LD | BPF_H | BPF_IND, 6);
        // No ports but in the first fragment.
        program.jump(BPF_JSET, 0x1fff, 0, 1);
        program.pass();
        program.keep(12, SOURCE, 1);
        program.keep(16, DESTINATION, 1);
        // X becomes the header's length with the ports, to see whether they are there.
        program.push(BPF_STX, NETWORK);
        program.push(BPF_LD | BPF_B | BPF_IND, 0);
        program.push(BPF_ALU | BPF_AND | BPF_K, 0xf);
        program.push(BPF_ALU | BPF_LSH | BPF_K, 2);
        program.push(BPF_ALU | BPF_ADD | BPF_K, 4);
        program.push(BPF_MISC | BPF_TAX, 0);
        program.push(BPF_LD | BPF_MEM, ROOM);
        program.jump(BPF_JGE | BPF_X, 0, 1, 0);
        program.pass();
        // X becomes where the ports are.
        program.push(BPF_LD | BPF_MEM, NETWORK);
        program.push(BPF_ALU | BPF_ADD | BPF_X, 0);
        program.push(BPF_ALU | BPF_SUB | BPF_K, 4);
        program.push(BPF_MISC | BPF_TAX, 0);
        program.keep(0, PORTS, 1);
        program.drop(excluded);
        program.code
    }

    /// What is done with an IPv6 packet (RFC 8200 section 3), X being where it begins.
    fn ipv6(&self, excluded: &[Ends]) -> Vec<sock_filter> {
        let mut program = self.section();
        program.push(BPF_LD | BPF_W | BPF_LEN, 0);
        program.push(BPF_ALU | BPF_SUB | BPF_X, 0);
        program.require(BPF_JGE, 44);
        program.push(BPF_LD | BPF_B | BPF_IND, 6);
        program.require(BPF_JEQ, libc::IPPROTO_TCP as u32);
        program.keep(8, SOURCE, 4);
        program.keep(24, DESTINATION, 4);
        program.keep(40, PORTS, 1);
        program.drop(excluded);
        program.code
    }

    fn section(&self) -> Self {
        Self { code: Vec::new(), snap_len: self.snap_len }
    }

    /// Keeps words of the packet, from an offset to X, in scratch memory. The last one stays in A.
    fn keep(&mut self, offset: u32, place: u32, words: u32) {
        for word in 0..words {
            self.push(BPF_LD | BPF_W | BPF_IND, offset + 4 * word);
            self.push(BPF_ST, place + word);
        }
    }

    /// Drops packets of the connections, lets the others through. A has both ports, the source in its upper half.
    fn drop(&mut self, excluded: &[Ends]) {
        for ends in excluded {
            let ports = |from: u16, to: u16| u32::from(from) << 16 | u32::from(to);
            let outgoing = (ports(ends.local_port, ends.remote_port), SOURCE, DESTINATION);
            let incoming = (ports(ends.remote_port, ends.local_port), DESTINATION, SOURCE);
            for (ports, local, remote) in [outgoing, incoming] {
                let any = ends.local.iter().all(|word| *word == 0);
                let local = (local..).zip(&ends.local).filter(|_| !any);
                let words: Vec<_> = local.chain((remote..).zip(&ends.remote)).collect();
                // Two instructions a word, one to drop, one to have the ports in A again.
                let length = 2 * words.len() as u8 + 2;
                self.jump(BPF_JEQ, ports, 0, length);
                for (index, (place, word)) in (1..).zip(words) {
                    self.push(BPF_LD | BPF_MEM, place);
                    // From behind the comparison to where the ports are loaded again.
                    self.jump(BPF_JEQ, *word, 0, length - 2 * index - 1);
                }
                self.push(BPF_RET | BPF_K, 0);
                self.push(BPF_LD | BPF_MEM, PORTS);
            }
        }
        self.pass();
    }
}

#[cfg(test)]
mod tests {
    //! The kernel itself runs the program: on a pair of datagram sockets, which need no privilege and whose datagrams
    //! stand for frames.

    use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
    use std::os::unix::net::UnixDatagram;

    use proptest::prelude::*;

    use super::{Connection, attach};
    use crate::link::LinkType;
    use crate::live::error::FilterError;
    use crate::live::ring::RingOptions;
    use crate::live::socket::Socket;

    struct Kernel {
        sender: UnixDatagram,
        receiver: UnixDatagram,
    }

    impl Kernel {
        fn new(excluded: &[Connection], snap_len: u32) -> Self {
            let (sender, receiver) = UnixDatagram::pair().unwrap();
            receiver.set_nonblocking(true).unwrap();
            let kernel = Self { sender, receiver };
            kernel.attach(excluded, snap_len).unwrap();
            kernel
        }

        fn attach(&self, excluded: &[Connection], snap_len: u32) -> Result<(), FilterError> {
            let socket = Socket::from(std::os::fd::OwnedFd::from(self.receiver.try_clone().unwrap()));
            attach(&socket, LinkType::Ethernet, snap_len, excluded)
        }

        /// Bytes that the filter lets through of a frame, `None` when it drops it.
        fn filter(&self, frame: &[u8]) -> Option<usize> {
            self.sender.send(frame).unwrap();
            self.receiver.recv(&mut [0; 70_000]).ok()
        }
    }

    /// A segment from one end to the other, behind VLAN tags and with IPv4 options.
    #[derive(Clone, Debug)]
    struct Segment {
        source: SocketAddr,
        destination: SocketAddr,
        tags: Vec<u16>,
        option_words: u8,
        fragment: u16,
        protocol: u8,
    }

    impl Segment {
        fn new(source: SocketAddr, destination: SocketAddr) -> Self {
            Self { source, destination, tags: Vec::new(), option_words: 0, fragment: 0, protocol: 6 }
        }

        fn frame(&self) -> Vec<u8> {
            let mut frame = vec![2; 12];
            for tag in &self.tags {
                frame.extend(tag.to_be_bytes());
                frame.extend([0, 5]);
            }
            match (self.source, self.destination) {
                (SocketAddr::V4(source), SocketAddr::V4(destination)) => {
                    frame.extend([8, 0, 0x45 + self.option_words, 0, 0, 60, 0, 1]);
                    frame.extend(self.fragment.to_be_bytes());
                    frame.extend([64, self.protocol, 0, 0]);
                    frame.extend(source.ip().octets());
                    frame.extend(destination.ip().octets());
                    frame.extend(vec![1; usize::from(self.option_words) * 4]);
                }
                (SocketAddr::V6(source), SocketAddr::V6(destination)) => {
                    frame.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, 20, self.protocol, 64]);
                    frame.extend(source.ip().octets());
                    frame.extend(destination.ip().octets());
                }
                _ => unreachable!("both ends are of one family"),
            }
            frame.extend(self.source.port().to_be_bytes());
            frame.extend(self.destination.port().to_be_bytes());
            frame.extend([0; 16]);
            frame
        }

        /// What the documentation of the filter promises.
        fn is_of(&self, connection: &Connection) -> bool {
            let ends = |local: SocketAddr, remote: SocketAddr| {
                let any = connection.local.ip().is_unspecified();
                (any || local.ip() == connection.local.ip().to_canonical())
                    && local.port() == connection.local.port()
                    && remote.ip() == connection.remote.ip().to_canonical()
                    && remote.port() == connection.remote.port()
            };
            let looked_at = self.protocol == 6 && self.fragment & 0x1fff == 0 && self.tags.len() <= 2;
            looked_at && (ends(self.source, self.destination) || ends(self.destination, self.source))
        }
    }

    /// Few addresses and ports, so that near misses are common.
    fn end(v6: bool) -> impl Strategy<Value = SocketAddr> {
        (0..3_u8, 0..3_u16).prop_map(move |(host, port)| {
            let port = [443, 444, 50_000][usize::from(port)];
            match v6 {
                false => SocketAddr::from((Ipv4Addr::new(10, 0, 0, host), port)),
                true => SocketAddr::from((Ipv6Addr::new(0xfd00, 0, u16::from(host), 0, 0, 0, 0, 7), port)),
            }
        })
    }

    fn connection() -> impl Strategy<Value = Connection> {
        (any::<bool>(), any::<bool>(), any::<bool>())
            .prop_flat_map(|(v6, mapped, unspecified)| (end(v6), end(v6), Just((mapped, unspecified))))
            .prop_map(|(mut local, mut remote, (mapped, unspecified))| {
                if mapped && let (SocketAddr::V4(one), SocketAddr::V4(other)) = (local, remote) {
                    local = SocketAddr::from((one.ip().to_ipv6_mapped(), one.port()));
                    remote = SocketAddr::from((other.ip().to_ipv6_mapped(), other.port()));
                }
                if unspecified {
                    local.set_ip(Ipv4Addr::UNSPECIFIED.into());
                }
                Connection { local, remote }
            })
    }

    fn segment() -> impl Strategy<Value = Segment> {
        let tags = proptest::collection::vec(proptest::sample::select(vec![0x8100_u16, 0x88a8]), 0..=3);
        let fragment = proptest::sample::select(vec![0_u16, 0x4000, 0x2000, 1, 0x1fff]);
        let protocol = proptest::sample::select(vec![6_u8, 6, 6, 17]);
        (any::<bool>().prop_flat_map(|v6| (end(v6), end(v6))), tags, 0..=10_u8, fragment, protocol).prop_map(
            |((source, destination), tags, option_words, fragment, protocol)| {
                let v4 = source.is_ipv4();
                let fragment = if v4 { fragment } else { 0 };
                Segment { source, destination, tags, option_words, fragment, protocol }
            },
        )
    }

    proptest! {
        #[test]
        fn the_kernel_drops_exactly_what_was_named(
            excluded in proptest::collection::vec(connection(), 0..8),
            segments in proptest::collection::vec(segment(), 1..40),
        ) {
            let kernel = Kernel::new(&excluded, 65_535);
            for segment in segments {
                let frame = segment.frame();
                let dropped = excluded.iter().any(|connection| segment.is_of(connection));
                let expected = (!dropped).then_some(frame.len());
                prop_assert_eq!(kernel.filter(&frame), expected, "{:?} of {:?}", segment, excluded);
            }
        }

        #[test]
        fn frames_too_short_to_judge_pass(segment in segment(), cut in any::<proptest::sample::Index>()) {
            let connection = Connection { local: segment.source, remote: segment.destination };
            let kernel = Kernel::new(&[connection], 65_535);
            let frame = segment.frame();
            // The ports lie before the last 16 bytes.
            let cut = cut.index(frame.len() - 16 - 1) + 1;
            prop_assume!(cut < frame.len() - 16);
            prop_assert_eq!(kernel.filter(&frame[..cut]), Some(cut));
        }
    }

    #[test]
    fn the_snap_length_cuts_with_and_without_connections() {
        let ends = (SocketAddr::from(([10, 0, 0, 1], 1)), SocketAddr::from(([10, 0, 0, 2], 2)));
        let kernel = Kernel::new(&[], 64);
        assert_eq!(kernel.filter(&[0; 1000]), Some(64));
        kernel.attach(&[Connection { local: ends.0, remote: ends.1 }], 100).unwrap();
        assert_eq!(kernel.filter(&[0; 1000]), Some(100));
        assert_eq!(kernel.filter(&Segment::new(ends.0, ends.1).frame()), None);
        assert_eq!(kernel.filter(&Segment::new(ends.1, ends.0).frame()), None);
    }

    #[test]
    fn as_many_connections_as_promised_fit_and_one_more_changes_nothing() {
        let connection = |number: u16| Connection {
            local: SocketAddr::from((Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, number), number)),
            remote: SocketAddr::from((Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 1, number), 443)),
        };
        let most = RingOptions::MAX_EXCLUDED as u16;
        let all: Vec<_> = (1..=most).map(connection).collect();
        let kernel = Kernel::new(&all, 65_535);
        let passes = |number| {
            let Connection { local, remote } = connection(number);
            kernel.filter(&Segment::new(local, remote).frame()).is_some()
        };
        assert!((1..=most).all(|number| !passes(number)));
        assert!(passes(most + 1));
        let more: Vec<_> = (2..=most + 2).map(connection).collect();
        let refused = kernel.attach(&more, 65_535);
        assert!(matches!(refused, Err(FilterError::TooMany { count: 17, limit: 16 })));
        assert!(!passes(1) && passes(most + 1));
        kernel.attach(&all[1..], 65_535).unwrap();
        assert!(passes(1) && !passes(2));
    }
}
