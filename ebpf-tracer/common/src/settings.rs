//! What the loader tells the programs while they run.

/// The value of the map `SETTINGS`, at 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "zerocopy",
    derive(zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable, zerocopy::KnownLayout)
)]
#[repr(C)]
pub struct Settings {
    /// Bytes of each message that are captured at most.
    pub head: u32,
    /// A [`Ladder`] step.
    pub ladder: u32,
    /// A [`Policy`] for processes that the map `PROCESSES` does not name.
    pub processes: u32,
    /// The same for control groups and the map `CGROUPS`.
    pub cgroups: u32,
    /// The same for ports and the map `PORTS`, which has a bit per port: that of the server, or either where that is not known.
    pub ports: u32,
    /// Bits by transport: 1 TCP, 2 UDP, 4 Unix.
    pub transports: u32,
    /// Bytes in the ring from which on its reader is woken at once.
    pub wake_bytes: u32,
    /// 0.
    pub reserved: u32,
}

/// What happens to what no map names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Policy {
    /// It is followed; what is named is left out.
    Follow = 0,
    /// It is left out; what is named is followed.
    Leave = 1,
}

/// How much is captured: less when there is too little processor time for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u32)]
pub enum Ladder {
    /// The heads of all messages.
    Heads = 0,
    /// The first 64 bytes of each message.
    FirstBytes = 1,
    /// No payload.
    Counts = 2,
}

impl Ladder {
    /// Bytes captured of each message at [`Self::FirstBytes`].
    pub const FIRST_BYTES: u32 = 64;
}
