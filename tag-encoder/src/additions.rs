use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

/// Names that are about to enter a dictionary, with the ids they will have. Written down first, applied after: a reader of stored
/// rows never meets an id whose name was lost.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Additions {
    /// One per domain.
    pub blocks: Vec<Block>,
    /// Names that found no place because a limit was reached.
    pub overflowed: u64,
}

impl Additions {
    /// Whether nothing is to be added.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }
}

/// New names of one domain, with ids in a row: the name at place `n` gets the id `first_id + n`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// Kind of name, e.g. `endpoint`.
    pub domain: Box<str>,
    /// Id of the first name, at least 1.
    pub first_id: u32,
    /// The names in the order of their ids.
    pub names: Vec<String>,
}

/// A block does not follow from what the dictionary holds: two writers shared one number, or the record of names is damaged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    /// Ids between the last known one and the block's first are missing.
    #[error("names of {domain} from id {expected} to {found} are missing")]
    Gap {
        /// Kind of name.
        domain: Box<str>,
        /// The next free id.
        expected: u32,
        /// The block's first id.
        found: u32,
    },
    /// An id already has another name, or a name already has another id.
    #[error("id {id} of {domain} is given to two names")]
    Conflict {
        /// Kind of name.
        domain: Box<str>,
        /// The id in question.
        id: u32,
    },
    /// The block has more names than a domain can hold.
    #[error("domain {domain} is over its bound")]
    Full {
        /// Kind of name.
        domain: Box<str>,
    },
}
