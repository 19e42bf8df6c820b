//! Who opened a connection.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use metaflow_ebpf_common::{Flags, SocketEvent};
use protocol_parsers::Side;

use super::piece::Way;
use crate::hash::keyed;

pub(super) const AF_UNIX: u8 = 1;
pub(super) const AF_INET: u8 = 2;
pub(super) const AF_INET6: u8 = 10;
pub(super) const IPPROTO_TCP: u8 = 6;

/// Ports that are known to be listened to, by network namespace.
#[derive(Debug)]
pub(super) struct Listening(HashSet<(u32, u16), ahash::RandomState>);

impl Listening {
    pub(super) fn new() -> Self {
        Self(HashSet::with_hasher(keyed()))
    }

    /// Remembers a port, if there is room for it.
    pub(super) fn insert(&mut self, netns: u32, port: u16, limit: usize, dropped: &mut u64) {
        if self.0.len() < limit || self.0.contains(&(netns, port)) {
            self.0.insert((netns, port));
        } else {
            *dropped += 1;
        }
    }

    pub(super) fn remove(&mut self, netns: u32, port: u16) {
        self.0.remove(&(netns, port));
    }

    /// The side of the process on a TCP connection whose beginning was not seen, and whether that is sure.
    pub(super) fn side(&self, netns: u32, local: SocketAddr, remote: SocketAddr) -> (Side, bool) {
        let is_local = self.0.contains(&(netns, local.port()));
        // Of ports elsewhere nothing is known.
        let is_here = remote.ip().is_loopback() || remote.ip() == local.ip();
        let is_remote = is_here && self.0.contains(&(netns, remote.port()));
        match (is_local, is_remote) {
            (true, false) => (Side::Server, true),
            (false, true) => (Side::Client, true),
            // Systems give the higher ports to clients.
            _ if local.port() < remote.port() => (Side::Server, false),
            _ => (Side::Client, false),
        }
    }
}

/// The side of the process where the first message tells it.
pub(super) fn side_of_first(way: Way) -> Side {
    match way {
        Way::Sent => Side::Client,
        Way::Received => Side::Server,
    }
}

/// The side of the process on a connection of Unix sockets: servers have a name, and clients hardly ever do.
pub(super) fn side_of_name(event: &SocketEvent) -> Option<Side> {
    match event.flags & (Flags::SERVER | Flags::CLIENT) {
        Flags::SERVER => Some(Side::Server),
        Flags::CLIENT => Some(Side::Client),
        _ => None,
    }
}

/// Addresses of a socket: its own and the peer's.
pub(super) fn addresses(event: &SocketEvent) -> (SocketAddr, SocketAddr) {
    let address = |bytes: [u8; 16]| match event.family {
        AF_INET => IpAddr::V4(Ipv4Addr::new(bytes[0], bytes[1], bytes[2], bytes[3])),
        // IPv4 on a socket of IPv6 is what the packets have: IPv4.
        AF_INET6 => Ipv6Addr::from(bytes).to_canonical(),
        _ => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
    };
    let (mut local, remote) = (address(event.local), address(event.remote));
    if local == IpAddr::V6(Ipv6Addr::UNSPECIFIED) && remote.is_ipv4() {
        local = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    }
    (SocketAddr::new(local, event.local_port), SocketAddr::new(remote, event.remote_port))
}
