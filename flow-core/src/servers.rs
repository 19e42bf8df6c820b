//! Which ends were seen to serve: they tell roles in conversations that are joined later and say nothing of them.

use crate::key::{End, Hosts, Tuple};

/// So many are remembered. A new one takes the place of whoever has it.
const REMEMBERED: usize = 4096;

/// Addresses and ports that answered handshakes, or requests of protocols that are read.
pub(crate) struct Servers {
    /// Hashes of them, each in the place that its lower bits say; 0 is nobody.
    seen: Box<[u64]>,
    random: ahash::RandomState,
}

impl Servers {
    pub(crate) fn new() -> Self {
        Self { seen: vec![0; REMEMBERED].into(), random: crate::hash::keyed() }
    }

    /// Remembers that this end serves.
    pub(crate) fn remember(&mut self, tuple: &Tuple, server: End) {
        let hash = self.hash(tuple, server);
        if let Some(place) = self.seen.get_mut(hash as usize % REMEMBERED) {
            *place = hash;
        }
    }

    /// The end that serves, if one is known to and the other is not.
    pub(crate) fn recall(&self, tuple: &Tuple) -> Option<End> {
        match End::BOTH.map(|end| self.serves(tuple, end)) {
            [true, false] => Some(End::Low),
            [false, true] => Some(End::High),
            _ => None,
        }
    }

    fn serves(&self, tuple: &Tuple, end: End) -> bool {
        let hash = self.hash(tuple, end);
        self.seen.get(hash as usize % REMEMBERED) == Some(&hash)
    }

    fn hash(&self, tuple: &Tuple, end: End) -> u64 {
        let host = match tuple.hosts {
            Hosts::V4(hosts) => [0, u64::from(hosts[end])],
            Hosts::V6(hosts) => hosts[end],
        };
        let is_v6 = matches!(tuple.hosts, Hosts::V6(_));
        self.random
            .hash_one((host, u64::from(tuple.ports[end]) << 16 | u64::from(tuple.protocol) << 8 | u64::from(is_v6)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::Route;

    #[test]
    fn one_who_serves_is_told_from_one_who_does_not() {
        let mut servers = Servers::new();
        let tuple = |from, to, protocol| Tuple::of(Route::V4 { from, to }, protocol, 40_000, 9_000);
        let (known, client) = tuple(1, 2, Tuple::TCP);
        assert_eq!(servers.recall(&known), None);
        servers.remember(&known, client.other());
        let (other, client) = tuple(9, 2, Tuple::TCP);
        assert_eq!(servers.recall(&other), Some(client.other()));
        assert_eq!(servers.recall(&tuple(9, 2, Tuple::UDP).0), None);
        let (both, client) = Tuple::of(Route::V4 { from: 7, to: 2 }, Tuple::TCP, 9_000, 9_000);
        servers.remember(&both, client);
        assert_eq!(servers.recall(&both), None, "both serve");
    }
}
