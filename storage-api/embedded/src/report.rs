use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

/// What opening a store found and did. Nothing of it needs to be answered; a server logs it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RecoveryReport {
    /// Log segments that were read.
    pub segments: u64,
    /// Batches in them that are not in files yet.
    pub batches: u64,
    /// Their rows.
    pub rows: u64,
    /// Batches that stood in the log more than once, and count once.
    pub repeated: u64,
    /// Ends of segments that were cut off: writing them was interrupted, so nothing in them had been acknowledged (unless
    /// the disk changed its bytes; a copy is kept).
    pub truncated: Vec<Damage>,
    /// Damaged parts with good ones behind them. **Acknowledged rows may have been in them.**
    pub quarantined: Vec<Damage>,
    /// Files that should be there and are not. **Their rows are lost unless the files are brought back.**
    pub missing: Vec<PathBuf>,
    /// Files that a crash had left unfinished, now removed.
    pub leftovers: u64,
}

/// Bytes of a file that are not what was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Damage {
    /// The file.
    pub path: PathBuf,
    /// Where the bytes begin.
    pub offset: u64,
    /// How many they are.
    pub length: u64,
    /// Where a copy of them is kept; none if they are zeros or nothing.
    pub copy: Option<PathBuf>,
}

impl RecoveryReport {
    /// Whether everything that was acknowledged is there.
    pub fn is_complete(&self) -> bool {
        self.quarantined.is_empty() && self.missing.is_empty()
    }
}

impl fmt::Display for RecoveryReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} batches ({} rows) from {} log segments", self.batches, self.rows, self.segments)?;
        for damage in &self.truncated {
            write!(f, "; cut {damage}")?;
        }
        for damage in &self.quarantined {
            write!(f, "; damaged {damage}")?;
        }
        for path in &self.missing {
            write!(f, "; {} is missing", path.display())?;
        }
        Ok(())
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes at {} of {}", self.length, self.offset, self.path.display())?;
        self.copy.as_ref().map_or(Ok(()), |copy| write!(f, ", kept as {}", copy.display()))
    }
}
