use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use ahash::RandomState;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use crate::additions::{Additions, ApplyError, Block};
use crate::limits::{DictionaryStats, Limits};
use crate::names::{NameId, Names};
use crate::snapshot::{DomainSnapshot, Snapshot};

/// Names ↔ integers, one numbering per domain. Hashed with keys of this process: whoever chooses the names cannot make them collide.
#[derive(Debug)]
pub struct Dictionary {
    limits: Limits,
    hasher: RandomState,
    domains: BTreeMap<Arc<str>, Domain>,
    bytes: usize,
    overflowed: u64,
}

#[derive(Debug, Default)]
struct Domain {
    names: Names,
    /// Ids by the hash of their name; the text stands once, in `names`.
    index: HashTable<u32>,
}

impl Default for Dictionary {
    fn default() -> Self {
        Self::new(Limits::default())
    }
}

impl Dictionary {
    /// An empty dictionary.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { limits, hasher: RandomState::new(), domains: BTreeMap::new(), bytes: 0, overflowed: 0 }
    }

    /// The id of a name, if it has one.
    #[must_use]
    pub fn find(&self, domain: &str, name: &str) -> Option<NameId> {
        self.domains.get(domain)?.find(&self.hasher, name)
    }

    /// The name of an id; none for [`NameId::OVERFLOW`] and for an id not given out yet.
    #[must_use]
    pub fn name(&self, domain: &str, id: NameId) -> Option<&str> {
        self.domains.get(domain)?.names.get(id)
    }

    /// The ids of several names of one domain, in their order: none where a name has no id yet.
    pub fn find_all<'a>(&self, domain: &str, names: impl IntoIterator<Item = &'a str>) -> Vec<Option<NameId>> {
        let domain = self.domains.get(domain);
        names.into_iter().map(|name| domain.and_then(|domain| domain.find(&self.hasher, name))).collect()
    }

    /// What must be added so that every one of these (domain, name) pairs has an id. Changes nothing: write the additions down, then
    /// [`apply`](Self::apply) them. Names beyond a limit are left out and counted in [`Additions::overflowed`].
    #[must_use]
    pub fn plan<'a>(&self, wanted: impl IntoIterator<Item = (&'a str, &'a str)>) -> Additions {
        let mut additions = Additions::default();
        let mut fresh: BTreeMap<&str, (Vec<&str>, HashTable<usize>)> = BTreeMap::new();
        let (mut bytes, mut domains) = (self.bytes, self.domains.len());
        for (domain, name) in wanted {
            let known = self.domains.get(domain);
            if known.is_some_and(|known| known.find(&self.hasher, name).is_some()) {
                continue;
            }
            let new_domain = known.is_none() && !fresh.contains_key(domain);
            let used =
                known.map_or(0, |known| known.names.len()) + fresh.get(domain).map_or(0, |(names, _)| names.len());
            let repeated = fresh.get(domain).is_some_and(|(names, index)| {
                index.find(self.hasher.hash_one(name), |&place| names.get(place) == Some(&name)).is_some()
            });
            if repeated {
                continue;
            }
            let fits = name.len() <= self.limits.name_bytes
                && bytes.saturating_add(name.len()) <= self.limits.total_bytes
                && used < self.names_per_domain()
                && (!new_domain || domains < self.limits.domains);
            if !fits {
                additions.overflowed += 1;
                continue;
            }
            bytes += name.len();
            domains += usize::from(new_domain);
            let (names, index) = fresh.entry(domain).or_default();
            let place = names.len();
            index.insert_unique(self.hasher.hash_one(name), place, |&place| {
                self.hasher.hash_one(names.get(place).copied().unwrap_or(name))
            });
            names.push(name);
        }
        for (domain, (names, _)) in fresh {
            let first_id = self.domains.get(domain).map_or(1, Domain::next_id);
            let names = names.into_iter().map(String::from).collect();
            additions.blocks.push(Block { domain: domain.into(), first_id, names });
        }
        additions
    }

    /// Adds names under the ids they were given. Applying the same additions again changes nothing.
    ///
    /// # Errors
    /// When a block does not continue what is here; blocks before it are applied.
    pub fn apply(&mut self, additions: &Additions) -> Result<(), ApplyError> {
        for block in &additions.blocks {
            self.apply_block(block)?;
        }
        self.overflowed += additions.overflowed;
        Ok(())
    }

    /// Adds one block; see [`apply`](Self::apply). The bounds hold for what is planned: what was once written down is always read.
    ///
    /// # Errors
    /// When the block does not continue what is here; names before the fault are applied.
    pub fn apply_block(&mut self, block: &Block) -> Result<(), ApplyError> {
        let hasher = &self.hasher;
        let domain = self.domains.entry(Arc::from(&*block.domain)).or_default();
        if block.first_id == 0 || block.first_id > domain.next_id() {
            let (domain, expected) = (block.domain.clone(), domain.next_id());
            return Err(ApplyError::Gap { domain, expected, found: block.first_id });
        }
        let room = u32::MAX - block.first_id;
        if u32::try_from(block.names.len()).map_or(true, |count| count > room) {
            return Err(ApplyError::Full { domain: block.domain.clone() });
        }
        for (id, name) in (block.first_id..u32::MAX).zip(&block.names) {
            let known = id < domain.next_id();
            let agrees =
                if known { domain.names.get(NameId(id)) == Some(name) } else { domain.insert(hasher, name, id) };
            if !agrees {
                return Err(ApplyError::Conflict { domain: block.domain.clone(), id });
            }
            self.bytes += if known { 0 } else { name.len() };
        }
        Ok(())
    }

    /// The id of a name, given out now if it has none: for callers that keep no record of their names.
    pub fn intern(&mut self, domain: &str, name: &str) -> NameId {
        if let Some(id) = self.find(domain, name) {
            return id;
        }
        let additions = self.plan([(domain, name)]);
        // A plan made a moment ago on the same dictionary continues it.
        let _ = self.apply(&additions);
        self.find(domain, name).unwrap_or(NameId::OVERFLOW)
    }

    /// What is here now, for readers of their own.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let domains = self
            .domains
            .iter()
            .map(|(name, domain)| (Arc::clone(name), DomainSnapshot { names: domain.names.clone() }))
            .collect();
        Snapshot { domains }
    }

    /// Counts of what is here and of what the bounds kept out.
    #[must_use]
    pub fn stats(&self) -> DictionaryStats {
        let names = self.domains.values().map(|domain| domain.names.len()).sum();
        DictionaryStats { domains: self.domains.len(), names, bytes: self.bytes, overflowed: self.overflowed }
    }

    pub(crate) fn count_overflow(&mut self, names: u64) {
        self.overflowed += names;
    }

    fn names_per_domain(&self) -> usize {
        self.limits.names_per_domain.min(u32::MAX as usize - 1)
    }
}

impl Domain {
    fn find(&self, hasher: &RandomState, name: &str) -> Option<NameId> {
        let found = self.index.find(hasher.hash_one(name), |&id| self.names.get(NameId(id)) == Some(name));
        found.map(|&id| NameId(id))
    }

    fn next_id(&self) -> u32 {
        u32::try_from(self.names.len() + 1).unwrap_or(u32::MAX)
    }

    /// Whether the name was new.
    fn insert(&mut self, hasher: &RandomState, name: &str, id: u32) -> bool {
        let names = &self.names;
        let same = |&other: &u32| names.get(NameId(other)) == Some(name);
        let hash = |&other: &u32| hasher.hash_one(names.get(NameId(other)).unwrap_or_default());
        match self.index.entry(hasher.hash_one(name), same, hash) {
            Entry::Occupied(_) => return false,
            Entry::Vacant(place) => place.insert(id),
        };
        self.names.push(name);
        true
    }
}
