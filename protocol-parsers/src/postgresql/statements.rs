//! The texts of prepared statements, by the names under which executions ask for them.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;

use crate::Limits;

/// A name that is longer is not kept.
const NAME: usize = 64;
/// Numbers of statements have 24 bits.
const NUMBERS: u32 = 0xff_ffff;
/// About what an entry costs beside its name and text.
const ENTRY: usize = 96;

/// What was prepared and bound.
#[derive(Debug, Default)]
pub(super) struct Statements {
    prepared: BTreeMap<Box<[u8]>, Statement>,
    portals: BTreeMap<Box<[u8]>, Bound>,
    /// Bytes of the texts of all statements.
    bytes: usize,
    /// Rises with every statement and every use of one.
    last: u32,
}

#[derive(Debug)]
struct Statement {
    text: Text,
    /// What was not used for longest makes room.
    used: u32,
}

/// The text of a statement.
#[derive(Clone, Debug)]
pub(super) struct Text {
    pub(super) sql: Arc<str>,
    /// Whether it goes on beyond what was kept.
    pub(super) cut: bool,
    /// Number of the statement.
    pub(super) statement: u32,
}

/// What a portal was made of.
#[derive(Clone, Debug)]
pub(super) enum Bound {
    /// A statement with this text.
    Known(Text),
    /// A statement that was not seen, of this name.
    Unknown(Box<[u8]>),
}

impl Bound {
    fn bytes(&self) -> usize {
        match self {
            Self::Known(text) => text.sql.len(),
            Self::Unknown(name) => name.len(),
        }
    }
}

impl Statements {
    /// A statement is prepared. Returns the number under which it can be forgotten, and how many others were dropped for it.
    pub(super) fn prepare(&mut self, name: &[u8], sql: &str, cut: bool, limits: &Limits) -> (u32, u64) {
        self.last = self.last.wrapping_add(1);
        let number = self.last & NUMBERS;
        self.close_statement(name);
        if name.len() > NAME {
            return (number, 1);
        }
        let kept = sql.get(..sql.floor_char_boundary(limits.statement_bytes / 8)).unwrap_or_default();
        let mut dropped = 0;
        while self.prepared.len() >= limits.statements || self.bytes + kept.len() > limits.statement_bytes {
            let age = |statement: &Statement| self.last.wrapping_sub(statement.used);
            let oldest = self.prepared.iter().max_by_key(|(_, statement)| age(statement)).map(|(name, _)| name.clone());
            let Some(oldest) = oldest else { break };
            self.close_statement(&oldest);
            dropped += 1;
        }
        let text = Text { sql: kept.into(), cut: cut || kept.len() < sql.len(), statement: number };
        self.bytes += kept.len();
        self.prepared.insert(name.into(), Statement { text, used: self.last });
        (number, dropped)
    }

    /// The statement was not prepared after all.
    pub(super) fn forget(&mut self, number: u32) {
        let numbered = |(_, statement): &(_, &Statement)| statement.text.statement == number;
        let name = self.prepared.iter().find(numbered).map(|(name, _)| name.clone());
        if let Some(name) = name {
            self.close_statement(&name);
        }
    }

    /// A portal is made of a statement. Returns how many others were dropped for it.
    pub(super) fn bind(&mut self, portal: &[u8], statement: &[u8], limits: &Limits) -> u64 {
        self.last = self.last.wrapping_add(1);
        let bound = match self.prepared.get_mut(statement) {
            Some(known) => {
                known.used = self.last;
                Bound::Known(known.text.clone())
            }
            None => Bound::Unknown(statement.get(..NAME).unwrap_or(statement).into()),
        };
        if portal.len() > NAME {
            return 1;
        }
        match self.portals.get_mut(portal) {
            Some(known) => *known = bound,
            None => {
                self.portals.insert(portal.into(), bound);
            }
        }
        let mut dropped = 0;
        // Portals live as long as their transaction: which named one goes matters little; the unnamed one is the first and stays.
        // A text may outlive its statement in them, so they have bytes of their own.
        let bytes = limits.statement_bytes / 2;
        while self.portals.len() > 1
            && (self.portals.len() > limits.portals || self.portals.values().map(Bound::bytes).sum::<usize>() > bytes)
        {
            self.portals.pop_last();
            dropped += 1;
        }
        dropped
    }

    /// What a portal was made of.
    pub(super) fn bound(&self, portal: &[u8]) -> Option<&Bound> {
        self.portals.get(portal)
    }

    pub(super) fn close_statement(&mut self, name: &[u8]) {
        if let Some(statement) = self.prepared.remove(name) {
            self.bytes -= statement.text.sql.len();
        }
    }

    pub(super) fn close_portal(&mut self, name: &[u8]) {
        self.portals.remove(name);
    }

    /// Messages of the client were lost: what has no name of its own may be something else by now.
    pub(super) fn lose(&mut self) {
        self.close_statement(&[]);
        self.portals.clear();
    }

    pub(super) fn memory(&self) -> usize {
        let names = self.prepared.keys().chain(self.portals.keys()).map(|name| name.len() + ENTRY);
        size_of::<Self>() + self.bytes + names.sum::<usize>() + self.portals.values().map(Bound::bytes).sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;
    use std::string::String;

    fn text(statements: &Statements, portal: &str) -> Option<String> {
        match statements.bound(portal.as_bytes())? {
            Bound::Known(text) => Some(String::from(&*text.sql)),
            Bound::Unknown(name) => Some(format!("unknown {}", name.escape_ascii())),
        }
    }

    #[test]
    fn a_portal_keeps_its_text_when_the_statement_changes() {
        let mut statements = Statements::default();
        statements.prepare(b"", "SELECT 1", false, &Limits::default());
        statements.bind(b"c", b"", &Limits::default());
        statements.prepare(b"", "SELECT 2", false, &Limits::default());
        statements.bind(b"", b"", &Limits::default());
        statements.bind(b"d", b"other", &Limits::default());
        assert_eq!(text(&statements, "c").as_deref(), Some("SELECT 1"));
        assert_eq!(text(&statements, "").as_deref(), Some("SELECT 2"));
        assert_eq!(text(&statements, "d").as_deref(), Some("unknown other"));
        assert_eq!(text(&statements, "e"), None);
    }

    #[test]
    fn what_is_used_outlives_a_flood_of_names() {
        let mut statements = Statements::default();
        statements.prepare(b"kept", "SELECT 1", false, &Limits::default());
        let mut dropped = 0;
        for number in 0..1_000 {
            dropped += statements.prepare(format!("s{number}").as_bytes(), "SELECT 2", false, &Limits::default()).1;
            dropped += statements.bind(format!("p{number}").as_bytes(), b"kept", &Limits::default());
        }
        assert_eq!(text(&statements, "p0").as_deref(), Some("SELECT 1"));
        assert_eq!(
            (statements.prepared.len(), statements.portals.len()),
            (Limits::default().statements, Limits::default().portals)
        );
        assert_eq!(dropped, (1_001 - Limits::default().statements + 1_000 - Limits::default().portals) as u64);
        assert_eq!(statements.prepare(&[b'n'; 65], "SELECT 3", false, &Limits::default()).1, 1);
    }

    #[test]
    fn long_texts_are_cut_and_make_room_for_each_other() {
        let mut statements = Statements::default();
        for number in 0..100 {
            statements.prepare(format!("s{number}").as_bytes(), &"x".repeat(10_000), false, &Limits::default());
            statements.bind(format!("p{number}").as_bytes(), format!("s{number}").as_bytes(), &Limits::default());
        }
        assert!(statements.memory() < 100 << 10, "{}", statements.memory());
        statements.bind(b"", b"s99", &Limits::default());
        let Some(Bound::Known(text)) = statements.bound(b"") else { panic!("not bound") };
        assert_eq!((text.sql.len(), text.cut), (Limits::default().statement_bytes / 8, true));
    }

    #[test]
    fn a_statement_that_failed_is_forgotten() {
        let mut statements = Statements::default();
        let (number, _) = statements.prepare(b"a", "SELECT 1", false, &Limits::default());
        statements.forget(number);
        statements.bind(b"", b"a", &Limits::default());
        assert_eq!(text(&statements, "").as_deref(), Some("unknown a"));
        assert_eq!(statements.bytes, 0);
    }
}
