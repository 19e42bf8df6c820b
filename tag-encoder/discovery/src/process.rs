//! What is known of a process.

use std::fs;
use std::path::Path;

/// A process at one moment. Process ids are used again; with its start a process is told from the one before it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Process {
    /// Process id, in the namespace of the reader.
    pub pid: u32,
    /// When it started, in nanoseconds since the Unix epoch, as exact as the kernel's clock tick of 10 ms.
    pub start_ns: u64,
    /// Its name: the first 15 bytes of the executable's, unless the process chose another.
    pub name: String,
}

/// Clock ticks per second in `/proc/PID/stat`: the same on every Linux architecture (`USER_HZ`).
const TICKS: u64 = 100;

impl Process {
    /// Reads one process from below `proc`; none if it has ended.
    #[must_use]
    pub fn read(proc: &Path, pid: u32, boot_seconds: u64) -> Option<Self> {
        let stat = fs::read_to_string(proc.join(pid.to_string()).join("stat")).ok()?;
        Self::parse(pid, &stat, boot_seconds)
    }

    /// `PID (NAME) STATE …`; the name may hold blanks and parentheses, so its end is the last parenthesis. The start is field 22.
    fn parse(pid: u32, stat: &str, boot_seconds: u64) -> Option<Self> {
        let name = stat.get(stat.find('(')? + 1..stat.rfind(')')?)?;
        let ticks: u64 = stat.get(stat.rfind(')')? + 1..)?.split_whitespace().nth(19)?.parse().ok()?;
        let start_ns =
            boot_seconds.saturating_mul(1_000_000_000).saturating_add(ticks.saturating_mul(1_000_000_000 / TICKS));
        Some(Self { pid, start_ns, name: name.to_owned() })
    }
}

/// When the system started, in seconds since the Unix epoch.
pub(crate) fn boot_seconds(proc: &Path) -> u64 {
    let text = fs::read_to_string(proc.join("stat")).unwrap_or_default();
    text.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_blanks_and_parentheses() {
        let stat = "7 (a (b) c) S 1 7 7 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 250 9 9";
        let process = Process::parse(7, stat, 1_000).expect("a process");
        assert_eq!(process, Process { pid: 7, start_ns: 1_002_500_000_000, name: "a (b) c".to_owned() });
        assert_eq!(Process::parse(7, "7 (cut", 0), None);
    }
}
