/// Bounds of one dictionary. What lies beyond them becomes [`NameId::OVERFLOW`](crate::NameId::OVERFLOW) and is counted, never refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Domains (one per kind of name).
    pub domains: usize,
    /// Names in one domain, at most `u32::MAX - 1`.
    pub names_per_domain: usize,
    /// Bytes of one name. Longer texts are rarely repeated: they are cheaper as text.
    pub name_bytes: usize,
    /// Bytes of all names together.
    pub total_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { domains: 4096, names_per_domain: 16 << 20, name_bytes: 4096, total_bytes: 2 << 30 }
    }
}

impl Limits {
    /// The same limits with another number of domains.
    #[must_use]
    pub fn with_domains(mut self, domains: usize) -> Self {
        self.domains = domains;
        self
    }

    /// The same limits with another number of names per domain.
    #[must_use]
    pub fn with_names_per_domain(mut self, names: usize) -> Self {
        self.names_per_domain = names;
        self
    }

    /// The same limits with another longest name, in bytes.
    #[must_use]
    pub fn with_name_bytes(mut self, bytes: usize) -> Self {
        self.name_bytes = bytes;
        self
    }

    /// The same limits with another sum of all names' bytes.
    #[must_use]
    pub fn with_total_bytes(mut self, bytes: usize) -> Self {
        self.total_bytes = bytes;
        self
    }
}

/// What a dictionary holds and what its bounds kept out.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct DictionaryStats {
    /// Domains with at least one name.
    pub domains: usize,
    /// Names in all domains.
    pub names: usize,
    /// Bytes of all names.
    pub bytes: usize,
    /// Names that found no place because a limit was reached; one that comes again counts again.
    pub overflowed: u64,
}
