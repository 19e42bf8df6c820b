//! What the programs count.

/// Places in the value of the map `COUNTERS`, of which each processor has one.
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
    /// Messages left out by port or transport. What filtered-out processes do is not counted.
    Filtered = 4,
    /// Messages whose bytes could not be read from the process's memory.
    Unreadable = 5,
    /// Sends whose beginning is not known.
    Unpaired = 6,
    /// Calls of threads that are followed, for which the map `THREADS` has no room: they are not seen.
    Crowded = 7,
    /// Bytes written into the ring, about.
    Bytes = 8,
}

impl Counter {
    /// How many places there are.
    pub const COUNT: u32 = 9;
}
