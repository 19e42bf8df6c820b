/// What a backend can do beyond what every backend must. Callers ask once and plan by it.
///
/// The default claims nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capabilities {
    /// The dialect that [`crate::Storage::query`] understands, if it does.
    pub sql: Option<SqlDialect>,
    /// `query` runs GROUP BY where the data lies, so that only groups travel.
    pub aggregates: bool,
    /// A scan with a time range does not read data that lies wholly outside of it.
    pub prunes_by_time: bool,
    /// What a successful append has survived.
    pub durability: Durability,
    /// Most rows of one batch, if bounded.
    pub batch_rows: Option<usize>,
    /// Most bytes of one batch in memory, if bounded.
    pub batch_bytes: Option<usize>,
    /// How many sequence numbers below the newest one of a sender are told apart, see [`crate::BatchWindow`].
    pub dedup_window: u64,
}

/// What an acknowledged batch survives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Durability {
    /// Nothing: it is gone with the process.
    #[default]
    Memory,
    /// The death of the process, not that of the machine.
    Os,
    /// The death of the machine: it has been written through to the disk.
    Disk,
}

/// Which SQL a backend speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SqlDialect {
    /// ClickHouse.
    ClickHouse,
    /// PostgreSQL and what follows it.
    PostgreSql,
}

/// How a backend treats a predicate in a scan.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Pushdown {
    /// Ignored: the scan hands out rows as if it were not there.
    #[default]
    Unsupported,
    /// Used to leave out some rows that do not match; others may still come.
    Inexact,
    /// Exactly the rows for which the predicate is true come.
    Exact,
}
