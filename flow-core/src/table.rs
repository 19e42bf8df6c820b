//! All conversations: found by key, looked at when their time has come.

use std::hash::{BuildHasher, Hash, Hasher};
use std::time::Duration;

use protocol_parsers::Timestamp;

use crate::flow::{Addresses, Flow};
use crate::index::Index;
use crate::key::Tuple;
use crate::marks::Marks;
use crate::memory::{prefetch, prefetch_beside};
use crate::opening::Opening;
use crate::slab::Slab;
use crate::wheel::Wheel;
use crate::{Layer, Limits, Options};

/// Place of a conversation in the table, for as long as it lives.
pub(crate) type Slot = u32;

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Flow(Slot),
    Opening(Slot),
}

/// How a conversation is looked for.
#[derive(Clone, Copy)]
pub(crate) struct Lookup {
    /// Of its key.
    pub(crate) hash: u64,
    /// Where it was by its hash alone, a moment ago.
    pub(crate) found: Option<Found>,
}

/// In the index, on the slots of those that are opening.
const OPENING: u32 = 1 << 31;

/// Why a conversation is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// It may be over.
    End,
    /// Its SYN stays unanswered.
    Opening,
    /// A request of it may have waited too long.
    Request,
    /// Its running piece is over.
    Piece,
}

/// Conversations by key and by deadline.
pub(crate) struct Table {
    flows: Slab<Flow>,
    openings: Slab<Opening>,
    pub(crate) addresses: Addresses,
    index: Index,
    random: ahash::RandomState,
    /// When they end if nothing more comes, or earlier: those that only one end takes part in, and the others.
    ends: Wheel,
    opening_ends: Wheel,
    requests: Wheel,
    pieces: Wheel,
    /// When the running pieces are over.
    piece_ends: Vec<Timestamp>,
    scope: Scope,
}

/// What tells conversations apart beside addresses and ports.
#[derive(Clone, Copy)]
struct Scope {
    vlans: bool,
    /// The bits of an interface that count: all or none.
    interface_mask: u32,
}

impl Scope {
    fn in_key(self, layers: &[Layer]) -> impl Iterator<Item = Layer> {
        layers.iter().filter_map(move |layer| layer.in_key(self.vlans))
    }

    /// Whether what was taken off distinguishes no conversations.
    fn are_alike(self, one: &[Layer], other: &[Layer]) -> bool {
        one == other || self.in_key(one).eq(self.in_key(other))
    }

    /// Whether this is the conversation with this key.
    #[inline(always)]
    fn is_it(self, flow: &Flow, tuple: &Tuple, interface: u32, layers: &[Layer], addresses: &Addresses) -> bool {
        let Flow { who, marks, side, .. } = flow;
        who.between.is(tuple, marks.is_v6(), addresses)
            && marks.transport().ip_protocol() == tuple.protocol
            && (who.between.interface ^ interface) & self.interface_mask == 0
            && (side.is_none() && layers.is_empty() || self.are_alike(flow.layers(), layers))
            && who.tag.id() != 0
    }
}

impl Table {
    pub(crate) fn new(options: &Options) -> Self {
        Self {
            flows: Slab::new(),
            openings: Slab::new(),
            addresses: Addresses::new(),
            index: Index::new(),
            random: crate::hash::keyed(),
            ends: Wheel::new(),
            opening_ends: Wheel::new(),
            requests: Wheel::new(),
            pieces: Wheel::new(),
            piece_ends: Vec::new(),
            scope: Scope {
                vlans: options.vlan_in_key,
                interface_mask: if options.interface_in_key { u32::MAX } else { 0 },
            },
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
    pub(crate) fn find(&self, hash: u64, tuple: &Tuple, interface: u32, layers: &[Layer]) -> Option<Found> {
        let found = self.index.find(hash, |slot| match found(slot) {
            Found::Flow(slot) => {
                let flow = self.flows.get(slot);
                flow.is_some_and(|flow| self.scope.is_it(flow, tuple, interface, layers, &self.addresses))
            }
            Found::Opening(slot) => self.openings.get(slot).is_some_and(|opening| {
                opening.between.is(tuple, opening.is_v6(), &self.addresses)
                    && tuple.protocol == Tuple::TCP
                    && (opening.between.interface ^ interface) & self.scope.interface_mask == 0
                    && self.scope.in_key(layers).next().is_none()
            }),
        });
        found.map(self::found)
    }

    /// The conversation there, if it has this key.
    #[inline(always)]
    pub(crate) fn get_at(&mut self, slot: Slot, tuple: &Tuple, interface: u32, layers: &[Layer]) -> Option<&mut Flow> {
        let Self { flows, addresses, scope, .. } = self;
        flows.get_mut(slot).filter(|flow| scope.is_it(flow, tuple, interface, layers, addresses))
    }

    /// A conversation with this hash will be looked for soon.
    #[inline(always)]
    pub(crate) fn ask_for_place(&self, hash: u64) {
        self.index.window(hash).into_iter().for_each(prefetch);
    }

    /// And after that it will be looked at.
    #[inline(always)]
    pub(crate) fn ask_for(&self, hash: u64) -> Option<Found> {
        let found = found(self.index.guess(hash)?);
        match found {
            Found::Flow(slot) => self.flows.get(slot).into_iter().for_each(prefetch),
            Found::Opening(slot) => self.openings.get(slot).into_iter().for_each(prefetch),
        }
        Some(found)
    }

    /// And what lies beside it.
    #[inline(always)]
    pub(crate) fn ask_for_rest(&self, found: Found) {
        let (between, is_v6) = match found {
            Found::Flow(slot) => {
                let Some(flow) = self.flows.get(slot) else { return };
                prefetch_beside(flow, flow.side.as_deref());
                flow.reading.as_deref().into_iter().for_each(prefetch);
                // It will be filed anew when it is over.
                if flow.marks.has(Marks::FIN * 3) {
                    self.ends.ask_for(slot);
                }
                (flow.who.between, flow.marks.is_v6())
            }
            Found::Opening(slot) => {
                let Some(opening) = self.openings.get(slot) else { return };
                self.opening_ends.ask_for(slot);
                (opening.between, opening.is_v6())
            }
        };
        if is_v6 {
            between.addresses(&self.addresses).into_iter().for_each(prefetch);
        }
    }

    /// And what was taken off its packets.
    #[inline(always)]
    pub(crate) fn ask_for_layers(&self, found: Found) {
        if let Found::Flow(slot) = found {
            self.flows.get(slot).and_then(|flow| flow.layers().first()).into_iter().for_each(prefetch);
        }
    }

    /// Puts in a conversation, by the hash of its key.
    pub(crate) fn insert(&mut self, hash: u64, make: impl FnOnce(&mut Addresses) -> Flow) -> Slot {
        let slot = self.flows.insert(make(&mut self.addresses));
        self.index.insert(hash, slot);
        slot
    }

    pub(crate) fn remove(&mut self, slot: Slot) -> Option<Flow> {
        let flow = self.flows.get(slot)?;
        let protocol = flow.marks.transport().ip_protocol();
        let tuple = flow.who.between.tuple(protocol, flow.marks.is_v6(), &self.addresses);
        self.index.remove(self.hash(&tuple, flow.who.between.interface, flow.layers()), slot);
        for wheel in [&mut self.ends, &mut self.requests, &mut self.pieces] {
            wheel.take_out(slot);
        }
        let flow = self.flows.remove(slot)?;
        for wheel in [&mut self.ends, &mut self.requests, &mut self.pieces] {
            wheel.shrink(self.flows.end());
        }
        Some(flow)
    }

    /// Puts in a connection that is opening, by the hash of its key. It is over at `deadline`.
    pub(crate) fn open(
        &mut self,
        hash: u64,
        deadline: Timestamp,
        make: impl FnOnce(&mut Addresses) -> Opening,
    ) -> Slot {
        let slot = self.openings.insert(make(&mut self.addresses));
        self.index.insert(hash, slot | OPENING);
        self.opening_ends.file(slot, 0, deadline);
        slot
    }

    /// The connection that is opening there, if one is.
    pub(crate) fn opening(&mut self, slot: Slot) -> Option<(&mut Opening, &Addresses)> {
        let is_there = self.opening_ends.is_filed(slot);
        self.openings.get_mut(slot).filter(|_| is_there).map(|opening| (opening, &self.addresses))
    }

    /// Takes out a connection that is opening, with the hash of its key.
    pub(crate) fn take_opening(&mut self, slot: Slot) -> Option<(u64, Opening)> {
        let opening = self.openings.get(slot)?;
        let between = opening.between;
        let hash = self.hash(&between.tuple(Tuple::TCP, opening.is_v6(), &self.addresses), between.interface, &[]);
        self.index.remove(hash, slot | OPENING);
        self.opening_ends.take_out(slot);
        let opening = self.openings.remove(slot)?;
        self.opening_ends.shrink(self.openings.end());
        Some((hash, opening))
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
        while self.soonest() < now {
            // The earliest of all, so that what happens does not depend on how often anybody asks.
            let [(_, reason), others @ ..] = self.by_time();
            let until = others.iter().fold(now, |until, (other, _)| until.min(*other + Duration::from_nanos(1)));
            let Self { flows, openings, ends, opening_ends, requests, pieces, piece_ends, .. } = self;
            let of_flow =
                |slot: Slot, deadline: &dyn Fn(&Flow) -> Timestamp| flows.get(slot).map_or(Timestamp::ZERO, deadline);
            let due = match reason {
                Reason::End => ends.due(until, |slot| of_flow(slot, &|flow| flow.idle_deadline(limits))),
                Reason::Opening => opening_ends.due(until, |slot| {
                    openings.get(slot).map_or(Timestamp::ZERO, |opening| opening.since() + limits.tcp_idle)
                }),
                Reason::Request => requests.due(until, |slot| of_flow(slot, &request_deadline)),
                Reason::Piece => pieces.due(until, |slot| piece_ends.get(slot as usize).copied().unwrap_or_default()),
            };
            if let Some(slot) = due {
                return Some((slot, reason));
            }
        }
        None
    }

    /// When one may want to be looked at.
    pub(crate) fn next_deadline(&self) -> Option<Timestamp> {
        [&self.ends, &self.opening_ends, &self.requests, &self.pieces].into_iter().filter_map(Wheel::next_time).min()
    }

    /// The one that makes room: that would end first, of those that only one end takes part in as long as there are any.
    pub(crate) fn victim(&mut self, limits: &Limits) -> Option<Found> {
        for class in [0, 1] {
            while let Some(slot) = self.ends.first(class) {
                let flow = self.flows.get(slot)?;
                // That both ends take part is noted late, too.
                if !flow.marks.has(Marks::FRESH) && usize::from(flow.is_mutual()) == class {
                    let end = flow.idle_deadline(limits);
                    let sooner = self.first_opening(limits).filter(|(opening_end, _)| class == 1 || *opening_end < end);
                    return Some(sooner.map_or(Found::Flow(slot), |(_, opening)| opening));
                }
                // Packets came since it was put there: each time is corrected once at most.
                self.file(slot, limits);
            }
        }
        self.first_opening(limits).map(|(_, opening)| opening)
    }

    fn first_opening(&self, limits: &Limits) -> Option<(Timestamp, Found)> {
        let slot = self.opening_ends.first(0)?;
        Some((self.openings.get(slot)?.since() + limits.tcp_idle, Found::Opening(slot)))
    }

    /// All of them: conversations in the order of their numbers, then those that are opening in the order of their SYNs.
    pub(crate) fn all(&self) -> Vec<Found> {
        let mut flows: Vec<_> =
            self.flows.iter().map(|(slot, flow)| (flow.who.tag.id(), slot)).filter(|(id, _)| *id != 0).collect();
        flows.sort_unstable();
        let openings = self.openings.iter().filter(|(slot, _)| self.opening_ends.is_filed(*slot));
        let mut openings: Vec<_> = openings.map(|(slot, opening)| (opening.since(), slot)).collect();
        openings.sort_unstable();
        let flows = flows.into_iter().map(|(_, slot)| Found::Flow(slot));
        flows.chain(openings.into_iter().map(|(_, slot)| Found::Opening(slot))).collect()
    }

    #[inline(always)]
    fn soonest(&self) -> Timestamp {
        let [ends, openings] = [self.ends.soonest(), self.opening_ends.soonest()];
        let [requests, pieces] = [self.requests.soonest(), self.pieces.soonest()];
        ends.min(openings).min(requests.min(pieces))
    }

    /// The wheels by when they may have one, the earliest first.
    fn by_time(&self) -> [(Timestamp, Reason); 4] {
        let mut all = [
            (self.ends.soonest(), Reason::End),
            (self.opening_ends.soonest(), Reason::Opening),
            (self.requests.soonest(), Reason::Request),
            (self.pieces.soonest(), Reason::Piece),
        ];
        for place in 1..all.len() {
            if all[place].0 < all[0].0 {
                all.swap(0, place);
            }
        }
        all
    }

    #[inline(always)]
    pub(crate) fn hash(&self, tuple: &Tuple, interface: u32, layers: &[Layer]) -> u64 {
        let mut hasher = self.random.build_hasher();
        tuple.hash_at(interface & self.scope.interface_mask, &mut hasher);
        if !layers.is_empty() {
            self.scope.in_key(layers).for_each(|layer| layer.hash(&mut hasher));
        }
        hasher.finish()
    }
}

/// What a slot of the index refers to.
#[inline(always)]
fn found(slot: u32) -> Found {
    if slot & OPENING == 0 { Found::Flow(slot) } else { Found::Opening(slot & !OPENING) }
}
