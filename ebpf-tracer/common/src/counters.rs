//! What the programs count.

/// Places in the map `COUNTERS`, which has one number per place and processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Counter {
    /// Messages handed on: all their records.
    Messages = 0,
    /// Messages of which a record found no room in the ring.
    Lost = 1,
    /// Bytes of these messages.
    LostBytes = 2,
    /// Other events (of sockets and processes) that found no room.
    LostEvents = 3,
    /// Messages left out by a filter.
    Filtered = 4,
    /// Messages whose bytes could not be read from the process's memory.
    Unreadable = 5,
    /// Calls whose beginning is not known.
    Unpaired = 6,
}

impl Counter {
    /// How many places there are.
    pub const COUNT: u32 = 7;
}
