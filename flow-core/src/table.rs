//! All conversations: found by key, looked at when their time has come.

use std::hash::BuildHasher;
use std::time::Duration;

use protocol_parsers::Timestamp;

use crate::decode::Layers;
use crate::flow::{Addresses, Flow};
use crate::index::Index;
use crate::key::Tuple;
use crate::marks::Marks;
use crate::memory::prefetch;
use crate::slab::Slab;
use crate::wheel::Wheel;
use crate::{Layer, Limits, Options};

/// Place of a conversation in the table, for as long as it lives.
pub(crate) type Slot = u32;

/// Why a conversation is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// It may be over.
    End,
    /// A request of it may have waited too long.
    Request,
    /// Its running piece is over.
    Piece,
}

/// Conversations by key and by deadline.
pub(crate) struct Table {
    flows: Slab<Flow>,
    pub(crate) addresses: Addresses,
    index: Index,
    random: ahash::RandomState,
    /// When they end if nothing more comes, or earlier: those that only one end takes part in, and the others.
    ends: Wheel,
    requests: Wheel,
    pieces: Wheel,
    /// When the running pieces are over.
    piece_ends: Vec<Timestamp>,
    vlan_in_key: bool,
    interface_in_key: bool,
}

impl Table {
    pub(crate) fn new(options: &Options) -> Self {
        Self {
            flows: Slab::new(),
            addresses: Addresses::new(),
            index: Index::new(),
            random: crate::hash::keyed(),
            ends: Wheel::new(),
            requests: Wheel::new(),
            pieces: Wheel::new(),
            piece_ends: Vec::new(),
            vlan_in_key: options.vlan_in_key,
            interface_in_key: options.interface_in_key,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.index.len()
    }

    pub(crate) fn look(&self, slot: Slot) -> Option<&Flow> {
        self.flows.get(slot)
    }

    /// The conversation, and the addresses of all.
    #[inline]
    pub(crate) fn get_with_addresses(&mut self, slot: Slot) -> Option<(&mut Flow, &Addresses)> {
        Some((self.flows.get_mut(slot)?, &self.addresses))
    }

    #[inline]
    pub(crate) fn find(&self, hash: u64, tuple: &Tuple, interface: u32, layers: &Layers) -> Option<Slot> {
        self.index.find(hash, |slot| {
            self.flows.get(slot).is_some_and(|flow| {
                flow.who.is(tuple, flow.marks.is_v6(), &self.addresses)
                    && flow.marks.transport().ip_protocol() == tuple.protocol
                    && (!self.interface_in_key || flow.who.interface == interface)
                    && (flow.side.is_none() && layers.count() == 0
                        || self.in_key(flow.layers()).eq(self.in_key(layers.as_slice())))
            })
        })
    }

    /// A conversation with this hash will be looked for soon.
    #[inline(always)]
    pub(crate) fn ask_for_place(&self, hash: u64) {
        if let Some(bucket) = self.index.bucket(hash) {
            prefetch(bucket);
        }
    }

    /// And after that it will be looked at.
    #[inline(always)]
    pub(crate) fn ask_for(&self, hash: u64) {
        if let Some(flow) = self.index.guess(hash).and_then(|slot| self.flows.get(slot)) {
            prefetch(flow);
        }
    }

    /// Puts in a conversation that `make` makes, by the hash of its key. It wants to be looked at in time.
    pub(crate) fn insert(&mut self, hash: u64, make: impl FnOnce(&mut Addresses) -> Flow) -> Slot {
        let flow = make(&mut self.addresses);
        let slot = self.flows.insert(flow);
        self.index.insert(hash, slot);
        slot
    }

    pub(crate) fn remove(&mut self, slot: Slot) -> Option<Flow> {
        let flow = self.flows.get(slot)?;
        let is_v6 = flow.marks.is_v6();
        let hosts = flow.who.hosts(is_v6, &self.addresses);
        let tuple = Tuple { hosts, ports: flow.who.ports, protocol: flow.marks.transport().ip_protocol() };
        let hash = self.hash(&tuple, flow.who.interface, flow.layers());
        self.index.remove(hash, slot);
        for wheel in [&mut self.ends, &mut self.requests, &mut self.pieces] {
            wheel.take_out(slot);
        }
        self.flows.remove(slot)
    }

    /// Files a conversation by when it is over if nothing more comes.
    pub(crate) fn file(&mut self, slot: Slot, limits: &Limits) {
        let Some(flow) = self.flows.get_mut(slot) else { return };
        flow.marks.set(Marks::FRESH, false);
        self.ends.take_out(slot);
        self.ends.file(slot, usize::from(flow.is_mutual()), flow.idle_deadline(limits));
    }

    /// Files it by when a request will have waited too long, unless it is filed by an earlier one.
    pub(crate) fn file_request(&mut self, slot: Slot, deadline: Timestamp) {
        if !self.requests.is_filed(slot) {
            self.requests.file(slot, 0, deadline);
        }
    }

    /// Files it by when its running piece is over.
    pub(crate) fn file_piece(&mut self, slot: Slot, deadline: Timestamp) {
        if self.piece_ends.len() <= slot as usize {
            self.piece_ends.resize(slot as usize + 1, Timestamp::ZERO);
        }
        if let Some(end) = self.piece_ends.get_mut(slot as usize) {
            *end = deadline;
        }
        self.pieces.file(slot, 0, deadline);
    }

    /// The next one whose time has come, and why; it is filed for that no longer.
    #[inline]
    pub(crate) fn due(
        &mut self,
        now: Timestamp,
        limits: &Limits,
        request_deadline: impl Fn(&Flow) -> Timestamp,
    ) -> Option<(Slot, Reason)> {
        // Asked for every packet, and nearly never true.
        if [&self.ends, &self.requests, &self.pieces].iter().all(|wheel| !wheel.may_be_due(now)) {
            return None;
        }
        loop {
            let (time, reason) = self.next()?;
            if time >= now {
                return None;
            }
            // The earliest of all, so that what happens does not depend on how often anybody asks.
            let soon = time + Duration::from_nanos(1);
            let Self { flows, ends, requests, pieces, piece_ends, .. } = self;
            let of_flow =
                |slot: Slot, deadline: &dyn Fn(&Flow) -> Timestamp| flows.get(slot).map_or(Timestamp::ZERO, deadline);
            let due = match reason {
                Reason::End => ends.due(soon, |slot| of_flow(slot, &|flow| flow.idle_deadline(limits))),
                Reason::Request => requests.due(soon, |slot| of_flow(slot, &request_deadline)),
                Reason::Piece => pieces.due(soon, |slot| piece_ends.get(slot as usize).copied().unwrap_or_default()),
            };
            if let Some(slot) = due {
                return Some((slot, reason));
            }
        }
    }

    /// When one may want to be looked at.
    pub(crate) fn next_deadline(&self) -> Option<Timestamp> {
        self.next().map(|(deadline, _)| deadline)
    }

    /// The one that makes room: that would end first, of those that only one end takes part in as long as there are any.
    pub(crate) fn victim(&mut self, limits: &Limits) -> Option<Slot> {
        for class in [0, 1] {
            while let Some(slot) = self.ends.first(class) {
                if !self.flows.get(slot)?.marks.has(Marks::FRESH) {
                    return Some(slot);
                }
                // Packets came since it was put there: each time is corrected once at most.
                self.file(slot, limits);
            }
        }
        None
    }

    /// All of them, in the order in which they began.
    pub(crate) fn all(&self) -> Vec<Slot> {
        let mut all: Vec<(u64, Slot)> =
            self.flows.iter().map(|(slot, flow)| (flow.who.id, slot)).filter(|(id, _)| *id != 0).collect();
        all.sort_unstable();
        all.into_iter().map(|(_, slot)| slot).collect()
    }

    fn next(&self) -> Option<(Timestamp, Reason)> {
        let next = |wheel: &Wheel, reason| wheel.next_time().map(|time| (time, reason));
        let all =
            [next(&self.ends, Reason::End), next(&self.requests, Reason::Request), next(&self.pieces, Reason::Piece)];
        all.into_iter().flatten().min_by_key(|(time, _)| *time)
    }

    fn in_key(&self, layers: &[Layer]) -> impl Iterator<Item = Layer> {
        let vlans = self.vlan_in_key;
        layers.iter().filter_map(move |layer| layer.in_key(vlans))
    }

    #[inline]
    pub(crate) fn hash(&self, tuple: &Tuple, interface: u32, layers: &[Layer]) -> u64 {
        use std::hash::{Hash, Hasher};
        let mut hasher = self.random.build_hasher();
        tuple.hash(&mut hasher);
        if self.interface_in_key {
            hasher.write_u32(interface);
        }
        if !layers.is_empty() {
            self.in_key(layers).for_each(|layer| layer.hash(&mut hasher));
        }
        hasher.finish()
    }
}
