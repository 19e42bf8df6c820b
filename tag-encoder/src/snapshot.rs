use alloc::collections::BTreeMap;
use alloc::sync::Arc;

use crate::names::{NameId, Names};

/// What a dictionary held at one moment: ids to names, without locks.
#[derive(Debug, Default, Clone)]
pub struct Snapshot {
    pub(crate) domains: BTreeMap<Arc<str>, DomainSnapshot>,
}

impl Snapshot {
    /// The names of one domain.
    #[must_use]
    pub fn domain(&self, domain: &str) -> Option<&DomainSnapshot> {
        self.domains.get(domain)
    }

    /// All domains by name.
    pub fn domains(&self) -> impl Iterator<Item = (&str, &DomainSnapshot)> {
        self.domains.iter().map(|(name, domain)| (&**name, domain))
    }
}

/// The names of one domain at one moment.
#[derive(Debug, Default, Clone)]
pub struct DomainSnapshot {
    pub(crate) names: Names,
}

impl DomainSnapshot {
    /// The name of an id; none for [`NameId::OVERFLOW`] and for an id not given out yet.
    #[must_use]
    pub fn name(&self, id: NameId) -> Option<&str> {
        self.names.get(id)
    }

    /// Number of names, which is also the highest id.
    #[must_use]
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether the domain has no name yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.names.len() == 0
    }

    /// Every name with its id, in the order of the ids: for searches by pattern.
    pub fn iter(&self) -> impl Iterator<Item = (NameId, &str)> {
        self.names.iter()
    }
}
