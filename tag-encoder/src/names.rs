use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// What [`NameId::OVERFLOW`] reads as when nobody kept the text.
pub const OVERFLOW_NAME: &str = "<overflow>";

/// The number of a name within its domain: dense, from 1, never given to another name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NameId(pub u32);

impl NameId {
    /// Stands for every name that found no place; the caller keeps the text beside it.
    pub const OVERFLOW: Self = Self(0);
}

/// Names per piece: a snapshot copies at most one piece and shares the others.
pub(crate) const CHUNK: usize = 1024;

/// Up to [`CHUNK`] names in a row, back to back.
#[derive(Debug, Default, Clone)]
pub(crate) struct Chunk {
    text: String,
    /// Where each name ends in `text`; ascending.
    ends: Vec<usize>,
}

impl Chunk {
    fn push(&mut self, name: &str) {
        self.text.push_str(name);
        self.ends.push(self.text.len());
    }

    pub(crate) fn get(&self, index: usize) -> Option<&str> {
        let end = *self.ends.get(index)?;
        let start = match index.checked_sub(1) {
            Some(before) => *self.ends.get(before)?,
            None => 0,
        };
        self.text.get(start..end)
    }

    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }
}

/// All names of a domain in the order of their ids, append-only. The name of id `n` stands at place `n - 1`.
#[derive(Debug, Default, Clone)]
pub(crate) struct Names {
    /// Each holds exactly [`CHUNK`] names and never changes.
    full: Vec<Arc<Chunk>>,
    /// Fewer than [`CHUNK`] names.
    open: Chunk,
}

impl Names {
    pub(crate) fn push(&mut self, name: &str) {
        self.open.push(name);
        if self.open.len() == CHUNK {
            self.full.push(Arc::new(core::mem::take(&mut self.open)));
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.full.len() * CHUNK + self.open.len()
    }

    pub(crate) fn get(&self, id: NameId) -> Option<&str> {
        let place = usize::try_from(id.0).ok()?.checked_sub(1)?;
        self.full.get(place / CHUNK).map_or(&self.open, |chunk| chunk).get(place % CHUNK).filter(|_| place < self.len())
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (NameId, &str)> {
        (1..=self.len()).filter_map(|place| {
            let id = NameId(u32::try_from(place).ok()?);
            Some((id, self.get(id)?))
        })
    }
}
