//! The texts of prepared statements, by the numbers under which executions ask for them.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;

use crate::Limits;

/// About what an entry costs beside its text.
const ENTRY: usize = 64;

/// What was prepared.
#[derive(Debug, Default)]
pub(super) struct Statements {
    texts: BTreeMap<u32, Statement>,
    /// Bytes of all texts.
    bytes: usize,
}

#[derive(Debug)]
pub(super) struct Statement {
    pub(super) sql: Box<str>,
    /// Whether it goes on beyond what was kept.
    pub(super) cut: bool,
}

impl Statements {
    /// Keeps a text. Returns how many others were dropped for it: servers count their numbers upwards, so the lowest is the oldest.
    pub(super) fn keep(&mut self, id: u32, sql: &str, limits: &Limits) -> u64 {
        self.close(id);
        let kept = sql.get(..sql.floor_char_boundary(limits.statement_bytes / 8)).unwrap_or_default();
        let mut dropped = 0;
        while self.texts.len() >= limits.statements || self.bytes + kept.len() > limits.statement_bytes {
            let Some((_, oldest)) = self.texts.pop_first() else { break };
            self.bytes -= oldest.sql.len();
            dropped += 1;
        }
        self.bytes += kept.len();
        self.texts.insert(id, Statement { sql: kept.into(), cut: kept.len() < sql.len() });
        dropped
    }

    pub(super) fn get(&self, id: u32) -> Option<&Statement> {
        self.texts.get(&id)
    }

    pub(super) fn close(&mut self, id: u32) {
        if let Some(closed) = self.texts.remove(&id) {
            self.bytes -= closed.sql.len();
        }
    }

    pub(super) fn memory(&self) -> usize {
        size_of::<Self>() + self.bytes + self.texts.len() * ENTRY
    }
}
