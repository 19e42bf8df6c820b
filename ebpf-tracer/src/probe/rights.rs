//! Rights of this process: capabilities(7).

use std::fs;

/// Capabilities that tracing has to do with, by their bits.
const NAMES: [(&str, u32); 8] = [
    ("CAP_DAC_READ_SEARCH", 2),
    ("CAP_NET_ADMIN", 12),
    ("CAP_NET_RAW", 13),
    ("CAP_SYS_PTRACE", 19),
    ("CAP_SYS_ADMIN", 21),
    ("CAP_SYS_RESOURCE", 24),
    ("CAP_PERFMON", 38),
    ("CAP_BPF", 39),
];

/// The effective capabilities of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rights(u64);

impl Rights {
    /// Those of this process; none if that cannot be told.
    #[must_use]
    pub fn of_this_process() -> Self {
        fs::read_to_string("/proc/self/status").ok().and_then(|status| Self::of_status(&status)).unwrap_or(Self(0))
    }

    /// From `/proc/PID/status`.
    fn of_status(status: &str) -> Option<Self> {
        let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
        u64::from_str_radix(line.trim(), 16).ok().map(Self)
    }

    /// Whether the capability of this name is among them. CAP_SYS_ADMIN stands for CAP_BPF and CAP_PERFMON.
    #[must_use]
    pub fn has(self, name: &str) -> bool {
        let has = |name: &str| NAMES.iter().any(|(known, bit)| *known == name && self.0 >> bit & 1 == 1);
        has(name) || matches!(name, "CAP_BPF" | "CAP_PERFMON") && has("CAP_SYS_ADMIN")
    }

    /// The names of those that tracing has to do with.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        NAMES.into_iter().filter(move |(_, bit)| self.0 >> bit & 1 == 1).map(|(name, _)| name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_are_read_from_the_status_of_a_process() {
        let rights = Rights::of_status("Name:\tx\nCapPrm:\tffffffffffffffff\nCapEff:\t000000c000002000\n").unwrap();
        assert_eq!(rights.names().collect::<Vec<_>>(), ["CAP_NET_RAW", "CAP_PERFMON", "CAP_BPF"]);
        assert!(rights.has("CAP_BPF") && !rights.has("CAP_SYS_ADMIN"));
        assert!(Rights(1 << 21).has("CAP_PERFMON"));
        assert_eq!(Rights::of_status("CapEff:\tzz"), None);
    }
}
