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
    /// A [`Policy`] about the processes in the map `PROCESSES`. What a process forks is in it with it.
    pub processes: u32,
    /// A [`Policy`] about the control groups in the map `CGROUPS`.
    pub cgroups: u32,
    /// A [`Policy`] about the ports in the map `PORTS`, which has a bit per port: one of the two is in it.
    pub ports: u32,
    /// Bits by transport: 1 TCP, 2 UDP, 4 Unix.
    pub transports: u32,
    /// The ring's reader is woken each time that a processor wrote so many bytes more: a power of two.
    pub wake_bytes: u32,
    /// Another one each time that a process or control group is named or no longer named: threads are judged anew.
    pub generation: u32,
}

/// What is meant by what a map names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Policy {
    /// Everything is followed; the map is not asked.
    All = 0,
    /// Only what it names is followed.
    Only = 1,
    /// What it names is left out.
    Except = 2,
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
