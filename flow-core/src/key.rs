//! Which packets belong together: both directions of one conversation have the same key.

use std::hash::{Hash, Hasher};

/// One of the two ends of a conversation as the key orders them: by address, then by port. Says nothing about roles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum End {
    Low,
    High,
}

impl End {
    pub(crate) const BOTH: [Self; 2] = [Self::Low, Self::High];

    #[inline(always)]
    pub(crate) const fn other(self) -> Self {
        Self::from_bit(matches!(self, Self::Low))
    }

    /// `Low` for false.
    #[inline(always)]
    pub(crate) const fn from_bit(high: bool) -> Self {
        if high { Self::High } else { Self::Low }
    }
}

impl<T> std::ops::Index<End> for [T; 2] {
    type Output = T;

    #[inline(always)]
    fn index(&self, end: End) -> &T {
        &self[end as usize]
    }
}

impl<T> std::ops::IndexMut<End> for [T; 2] {
    #[inline(always)]
    fn index_mut(&mut self, end: End) -> &mut T {
        &mut self[end as usize]
    }
}

/// The addresses of a conversation, in the order of its ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Hosts {
    V4([u32; 2]),
    V6([[u64; 2]; 2]),
}

/// What both directions of a conversation have in common, without where it was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tuple {
    pub(crate) hosts: Hosts,
    /// For ICMP the identifier of an echo, on both ends.
    pub(crate) ports: [u16; 2],
    /// IP protocol number. Both versions of ICMP count as [`Tuple::ICMP`].
    pub(crate) protocol: u8,
}

/// The addresses of one packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Route {
    V4 { from: u32, to: u32 },
    V6 { from: [u64; 2], to: [u64; 2] },
}

impl Route {
    /// Both addresses, the same for both directions.
    pub(crate) fn hosts(self) -> Hosts {
        match self {
            Self::V4 { from, to } => Hosts::V4([from.min(to), from.max(to)]),
            Self::V6 { from, to } => Hosts::V6([from.min(to), from.max(to)]),
        }
    }
}

impl Tuple {
    pub(crate) const ICMP: u8 = 1;
    pub(crate) const TCP: u8 = 6;
    pub(crate) const UDP: u8 = 17;

    /// The tuple of a packet, and which end sent it.
    #[inline(always)]
    pub(crate) fn of(route: Route, protocol: u8, from_port: u16, to_port: u16) -> (Self, End) {
        match route {
            Route::V4 { from, to } => {
                // Without a branch: nobody can foresee who sends next.
                let (from, to) = (end_v4(from, from_port), end_v4(to, to_port));
                let (low, high) = (from.min(to), from.max(to));
                let hosts = Hosts::V4([(low >> 16) as u32, (high >> 16) as u32]);
                (Self { hosts, ports: [low as u16, high as u16], protocol }, End::from_bit(from > to))
            }
            Route::V6 { from, to } => {
                let high = (from, from_port) > (to, to_port);
                let hosts = Hosts::V6(if high { [to, from] } else { [from, to] });
                (Self { hosts, ports: ordered(high, from_port, to_port), protocol }, End::from_bit(high))
            }
        }
    }
}

/// As few words as there are: hashing is done for every packet.
impl Hash for Tuple {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.hash_at(0, state);
    }
}

impl Tuple {
    /// Hashes it with where it was seen. Interfaces that differ only above the lower 16 bits have the same hash.
    #[inline(always)]
    pub(crate) fn hash_at(&self, interface: u32, state: &mut impl Hasher) {
        let [low, high] = self.ports;
        let around = [u64::from(interface) << 48, u64::from(self.protocol) << 48];
        let mut write = |[a, b]: [u64; 2]| state.write_u128(u128::from(a) << 64 | u128::from(b));
        match self.hosts {
            Hosts::V4([a, b]) => write([end_v4(a, low) | around[0], end_v4(b, high) | around[1]]),
            Hosts::V6(hosts) => {
                hosts.into_iter().for_each(&mut write);
                write([u64::from(low) | around[0], u64::from(high) | around[1]]);
            }
        }
    }
}

/// An address and a port in one word.
#[inline(always)]
fn end_v4(host: u32, port: u16) -> u64 {
    u64::from(host) << 16 | u64::from(port)
}

#[inline(always)]
fn ordered(swap: bool, first: u16, second: u16) -> [u16; 2] {
    if swap { [second, first] } else { [first, second] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_directions_have_the_same_tuple_and_opposite_ends() {
        let there = Tuple::of(Route::V4 { from: 1, to: 2 }, 6, 50_000, 80);
        let back = Tuple::of(Route::V4 { from: 2, to: 1 }, 6, 80, 50_000);
        assert_eq!((there.0, there.1), (back.0, back.1.other()));
        let there = Tuple::of(Route::V6 { from: [1, 1], to: [1, 1] }, 17, 2, 1);
        let back = Tuple::of(Route::V6 { from: [1, 1], to: [1, 1] }, 17, 1, 2);
        assert_eq!((there.0, there.1), (back.0, back.1.other()));
    }

    #[test]
    fn an_ipv4_address_is_not_its_image_in_ipv6() {
        let (four, _) = Tuple::of(Route::V4 { from: 0x0a00_0001, to: 0x0a00_0002 }, 6, 1, 2);
        let mapped = |host: u64| [0, 0xffff_0000_0000 | host];
        let (six, _) = Tuple::of(Route::V6 { from: mapped(0x0a00_0001), to: mapped(0x0a00_0002) }, 6, 1, 2);
        assert_ne!(four, six);
    }
}
