use std::fmt;
use std::ops::BitOr;

/// What a server may be able to do: each is tried when a store is opened, none is concluded from a version.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Features(u16);

const NAMES: [&str; 11] = [
    "DateTime64",
    "Bool",
    "IPv6",
    "codecs",
    "bloom filters",
    "minmax indexes",
    "deduplication tokens",
    "writing through",
    "light deletes",
    "ON CLUSTER",
    "replication",
];

impl Features {
    /// Nothing beyond what is always needed: ArrowStream both ways, `Map`, comments of tables.
    pub const NONE: Self = Self(0);
    /// Times as `DateTime64(9, 'UTC')`; otherwise as `Int64`.
    pub const DATE_TIME_64: Self = Self(1);
    /// `Bool`; otherwise `UInt8`.
    pub const BOOL: Self = Self(1 << 1);
    /// Addresses as `IPv6`; otherwise as `FixedString(16)`.
    pub const IPV6: Self = Self(1 << 2);
    /// Columns are compressed by `CODEC(…)`; otherwise as the server does it.
    pub const CODECS: Self = Self(1 << 3);
    /// Binary ids have bloom filters.
    pub const BLOOM_FILTERS: Self = Self(1 << 4);
    /// Times have indexes of smallest and largest value.
    pub const MIN_MAX: Self = Self(1 << 5);
    /// An insert that is sent twice within [`crate::Limits::insert_window`] is stored once by the server itself.
    pub const TOKENS: Self = Self(1 << 6);
    /// Batches are written through to the disk before they are acknowledged.
    pub const FSYNC: Self = Self(1 << 7);
    /// `DELETE FROM`; otherwise `ALTER TABLE … DELETE`.
    pub const LIGHT_DELETES: Self = Self(1 << 8);
    /// Changes of tables are told to all of the cluster by the server; otherwise to each host of the address.
    pub const ON_CLUSTER: Self = Self(1 << 9);
    /// Tables of a cluster are `ReplicatedMergeTree`; otherwise each shard has its rows once.
    pub const REPLICATION: Self = Self(1 << 10);
    /// All of them.
    pub const ALL: Self = Self((1 << NAMES.len()) - 1);

    /// Whether it has all of these.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Those of both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Those that say which types columns have, without codecs and indexes.
    pub(crate) const fn of_types(self) -> Self {
        self.and(Self(Self::DATE_TIME_64.0 | Self::BOOL.0 | Self::IPV6.0))
    }

    /// Without these.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

impl BitOr for Features {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl fmt::Display for Features {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let there: Vec<&str> = (0..NAMES.len()).filter(|bit| self.0 & (1 << bit) != 0).map(|bit| NAMES[bit]).collect();
        f.write_str(if there.is_empty() { "nothing" } else { "" })?;
        f.write_str(&there.join(", "))
    }
}

impl fmt::Debug for Features {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Features({self})")
    }
}
