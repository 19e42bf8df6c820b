#![doc = include_str!("../README.md")]
#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(feature = "zerocopy", allow(unnameable_types, reason = "zerocopy derives them"))]

mod calls;
mod counters;
mod offsets;
mod process;
mod settings;
mod socket;
mod tls;

pub use calls::Call;
pub use counters::Counter;
pub use offsets::{Machine, Offsets, Types};
pub use process::ProcessEvent;
pub use settings::{Ladder, Policy, Settings};
pub use socket::{Flags, Operation, SocketEvent, Source};
pub use tls::TlsFunction;

/// Changes with the layout of what is shared.
pub const VERSION: u32 = 1;

/// Bytes of payload in one record of the ring at most. A message of which more is wanted comes in several.
pub const CHUNK: usize = 4096;

/// What a record of the ring is about; the first number in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Kind {
    /// A [`SocketEvent`], followed by its payload.
    Socket = 1,
    /// A [`ProcessEvent`], followed by the path of the program where one was executed.
    Process = 2,
}

impl Kind {
    /// The one of this number.
    #[must_use]
    pub const fn of(number: u32) -> Option<Self> {
        match number {
            1 => Some(Self::Socket),
            2 => Some(Self::Process),
            _ => None,
        }
    }
}

/// What every record of the ring begins with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(
    feature = "zerocopy",
    derive(zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable, zerocopy::KnownLayout)
)]
#[repr(C)]
pub struct Header {
    /// A [`Kind`].
    pub kind: u32,
    /// Bytes behind the fixed part.
    pub payload: u32,
    /// When it happened, or was over: nanoseconds of `CLOCK_MONOTONIC`.
    pub time_ns: u64,
    /// The process, as the first process namespace numbers it.
    pub tgid: u32,
    /// The thread.
    pub tid: u32,
}
