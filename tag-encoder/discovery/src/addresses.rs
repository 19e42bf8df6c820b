//! The addresses of this host.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

/// The addresses that packets for this host carry, in this network namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LocalAddresses(HashSet<IpAddr>);

impl LocalAddresses {
    /// Reads them from below `proc`, which is `/proc` on a living system.
    ///
    /// # Errors
    /// When the kernel's table of IPv4 routes cannot be read. A kernel without IPv6 has no IPv6 addresses.
    pub fn read(proc: &Path) -> io::Result<Self> {
        let v4 = fs::read_to_string(proc.join("net/fib_trie"))?;
        let v6 = fs::read_to_string(proc.join("net/if_inet6")).unwrap_or_default();
        Ok(Self(local_v4(&v4).map(IpAddr::V4).chain(local_v6(&v6).map(IpAddr::V6)).collect()))
    }

    /// Whether an address belongs to this host. All of 127.0.0.0/8 does.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_loopback() || self.0.contains(&address)
    }
}

/// Leaves of the routing trie marked as addresses of this host: a line `|-- ADDRESS`, and below it `/32 host LOCAL`.
fn local_v4(text: &str) -> impl Iterator<Item = Ipv4Addr> {
    let mut leaf = None;
    text.lines().filter_map(move |line| {
        let line = line.trim_start();
        if let Some(address) = line.strip_prefix("|-- ") {
            leaf = address.trim().parse().ok();
        }
        (line.trim_end() == "/32 host LOCAL").then_some(leaf)?
    })
}

/// A line per address: 32 hexadecimal digits first.
fn local_v6(text: &str) -> impl Iterator<Item = Ipv6Addr> {
    text.lines().filter_map(|line| u128::from_str_radix(line.get(..32)?, 16).ok()).map(Ipv6Addr::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaves_of_the_trie_that_are_local() {
        let text = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 0.0.0.0\n        /0 universe UNICAST\nLocal:\n  +-- 10.0.0.0/24 2 0 2\n     \
                    |-- 10.0.0.5\n        /32 host LOCAL\n     |-- 10.0.0.255\n        /32 link BROADCAST\n";
        assert_eq!(local_v4(text).collect::<Vec<_>>(), [Ipv4Addr::new(10, 0, 0, 5)]);
    }

    #[test]
    fn lines_of_v6_addresses() {
        let text = "00000000000000000000000000000001 01 80 10 80       lo\nfe800000000000000000000000000001 02 40 20 80     eth0\nnonsense\n";
        let expected = ["::1", "fe80::1"].map(|text| text.parse::<Ipv6Addr>().expect("an address"));
        assert_eq!(local_v6(text).collect::<Vec<_>>(), expected);
    }
}
