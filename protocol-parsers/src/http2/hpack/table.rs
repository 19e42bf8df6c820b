//! The tables that header blocks refer to (RFC 7541, 2.3).

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::http2::name::Name;

/// The static table (RFC 7541, Appendix A); its first entry has index 1.
pub(super) const STATIC: [(&str, &str, Name); 61] = [
    (":authority", "", Name::Authority),
    (":method", "GET", Name::Method),
    (":method", "POST", Name::Method),
    (":path", "/", Name::Path),
    (":path", "/index.html", Name::Path),
    (":scheme", "http", Name::Scheme),
    (":scheme", "https", Name::Scheme),
    (":status", "200", Name::Status),
    (":status", "204", Name::Status),
    (":status", "206", Name::Status),
    (":status", "304", Name::Status),
    (":status", "400", Name::Status),
    (":status", "404", Name::Status),
    (":status", "500", Name::Status),
    ("accept-charset", "", Name::Other),
    ("accept-encoding", "gzip, deflate", Name::Other),
    ("accept-language", "", Name::Other),
    ("accept-ranges", "", Name::Other),
    ("accept", "", Name::Other),
    ("access-control-allow-origin", "", Name::Other),
    ("age", "", Name::Other),
    ("allow", "", Name::Other),
    ("authorization", "", Name::Other),
    ("cache-control", "", Name::Other),
    ("content-disposition", "", Name::Other),
    ("content-encoding", "", Name::Other),
    ("content-language", "", Name::Other),
    ("content-length", "", Name::Other),
    ("content-location", "", Name::Other),
    ("content-range", "", Name::Other),
    ("content-type", "", Name::ContentType),
    ("cookie", "", Name::Other),
    ("date", "", Name::Other),
    ("etag", "", Name::Other),
    ("expect", "", Name::Other),
    ("expires", "", Name::Other),
    ("from", "", Name::Other),
    ("host", "", Name::Host),
    ("if-match", "", Name::Other),
    ("if-modified-since", "", Name::Other),
    ("if-none-match", "", Name::Other),
    ("if-range", "", Name::Other),
    ("if-unmodified-since", "", Name::Other),
    ("last-modified", "", Name::Other),
    ("link", "", Name::Other),
    ("location", "", Name::Other),
    ("max-forwards", "", Name::Other),
    ("proxy-authenticate", "", Name::Other),
    ("proxy-authorization", "", Name::Other),
    ("range", "", Name::Other),
    ("referer", "", Name::Other),
    ("refresh", "", Name::Other),
    ("retry-after", "", Name::Other),
    ("server", "", Name::Other),
    ("set-cookie", "", Name::Other),
    ("strict-transport-security", "", Name::Other),
    ("transfer-encoding", "", Name::Other),
    ("user-agent", "", Name::UserAgent),
    ("vary", "", Name::Other),
    ("via", "", Name::Other),
    ("www-authenticate", "", Name::Other),
];

/// What every entry counts on top of its texts (RFC 7541, 4.1).
const OVERHEAD: usize = 32;
/// The size of a dynamic table of which nobody said anything.
const USUAL: usize = 4096;
/// Longer names are kept cut: none that is looked for is as long.
const LONGEST_NAME: usize = 64;
/// Bytes of dropped entries that may lie before those in use.
const DEAD: usize = 256;

/// The dynamic table of one direction, its newest entries at least.
///
/// A passive observer may have missed the table's beginning, and it does not let a sender decide how much is kept. Both come to the same:
/// indices count from the newest entry, so the newest ones are right, and those older than what is kept are unknown.
#[derive(Debug)]
pub(super) struct Table {
    /// From the newest to the oldest.
    entries: VecDeque<Entry>,
    /// The texts of the entries, the oldest first, some dropped ones before it.
    text: Vec<u8>,
    /// Where `text` begins in all texts that were ever kept.
    base: u32,
    /// As the sender counts.
    size: usize,
    /// What the sender said is the most.
    most: usize,
    /// What we keep at most.
    limit: usize,
    /// Entries that the sender may still refer to, dropped for the limit.
    dropped: u64,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    start: u32,
    name_length: u32,
    value_length: u32,
    size: u32,
    name: Name,
}

/// A name for a new entry.
#[derive(Clone, Copy, Debug)]
pub(super) enum Label<'a> {
    /// That of the entry with this index.
    Indexed(usize),
    /// This text.
    Text(&'a [u8]),
}

/// An entry of either table: name, its text, value.
pub(super) type View<'a> = (Name, &'a [u8], &'a [u8]);

impl Table {
    pub(super) fn new(limit: usize) -> Self {
        let most = USUAL;
        Self { entries: VecDeque::new(), text: Vec::new(), base: 0, size: 0, most, limit, dropped: 0 }
    }

    /// Entries with these indices; `None` for one that nobody saw.
    #[inline]
    pub(super) fn get(&self, index: usize) -> Option<View<'_>> {
        let Some(own) = index.checked_sub(STATIC.len() + 1) else {
            let (name, value, known) = STATIC.get(index.checked_sub(1)?)?;
            return Some((*known, name.as_bytes(), value.as_bytes()));
        };
        let entry = self.entries.get(own)?;
        let start = entry.start.wrapping_sub(self.base) as usize;
        let length = (entry.name_length + entry.value_length) as usize;
        let (name, value) = self.text.get(start..start + length)?.split_at_checked(entry.name_length as usize)?;
        Some((entry.name, name, value))
    }

    /// Adds an entry. Its name counts as unknown if it is that of an entry nobody saw.
    pub(super) fn insert(&mut self, label: Label<'_>, value: &[u8]) {
        self.compact();
        let start = self.text.len();
        let (name, length) = match label {
            Label::Text(text) => {
                self.text.extend_from_slice(text.get(..LONGEST_NAME).unwrap_or(text));
                (Name::of(text), text.len())
            }
            Label::Indexed(index) => match self.get(index) {
                None => (Name::Unknown, 0),
                Some((name, text, _)) => {
                    // The entry may be one of those that the new one drives out: its name is copied before.
                    let mut copy = [0; LONGEST_NAME];
                    let length = text.len().min(LONGEST_NAME);
                    if let (Some(to), Some(from)) = (copy.get_mut(..length), text.get(..length)) {
                        to.copy_from_slice(from);
                        self.text.extend_from_slice(to);
                    }
                    (name, length)
                }
            },
        };
        let size = length + value.len() + OVERHEAD;
        let name_length = self.text.len() - start;
        if size > self.limit {
            // It would not be kept, and nothing of what is older either.
            self.text.truncate(start);
            self.dropped += u64::from(size <= self.most) * (1 + self.entries.len() as u64);
            self.clear();
            return;
        }
        self.text.extend_from_slice(value);
        self.entries.push_front(Entry {
            start: self.base.wrapping_add(start as u32),
            name_length: name_length as u32,
            value_length: value.len() as u32,
            size: size as u32,
            name,
        });
        self.size += size;
        self.evict();
    }

    /// The sender changes how much it keeps.
    pub(super) fn resize(&mut self, most: usize) {
        self.most = most;
        self.evict();
    }

    /// Nothing is known of the entries any more.
    pub(super) fn clear(&mut self) {
        self.entries.clear();
        self.text.clear();
        self.size = 0;
    }

    /// How many entries the limit has driven out since this was last asked.
    pub(super) fn take_dropped(&mut self) -> u64 {
        core::mem::take(&mut self.dropped)
    }

    pub(super) fn memory(&self) -> usize {
        self.text.capacity() + self.entries.capacity() * size_of::<Entry>()
    }

    fn evict(&mut self) {
        while self.size > self.most.min(self.limit) {
            let Some(entry) = self.entries.pop_back() else { break };
            self.dropped += u64::from(self.size <= self.most);
            self.size -= entry.size as usize;
        }
    }

    /// Gives up the texts of dropped entries, once they are a good part of all.
    fn compact(&mut self) {
        let first = self.entries.back().map_or(self.text.len(), |entry| entry.start.wrapping_sub(self.base) as usize);
        if first > DEAD + self.text.len() / 2 || first == self.text.len() {
            self.text.drain(..first);
            self.base = self.base.wrapping_add(first as u32);
        }
    }
}
