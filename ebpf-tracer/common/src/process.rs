//! What happens to processes.

use crate::Header;

/// A process that began, became another program, or ended. `header` has its own numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(
    feature = "zerocopy",
    derive(zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable, zerocopy::KnownLayout)
)]
#[repr(C)]
pub struct ProcessEvent {
    /// When it happened.
    pub header: Header,
    /// When the process began: nanoseconds of `CLOCK_BOOTTIME`, as in `/proc/PID/stat`.
    pub start_ns: u64,
    /// Number of its control group (version 2).
    pub cgroup: u64,
    /// The process it was forked from.
    pub parent: u32,
    /// 1 forked, 2 executed a program, 3 ended.
    pub change: u32,
    /// As `wait` gives it, where it ended.
    pub exit_code: u32,
    /// Number of its network namespace's inode.
    pub netns: u32,
    /// Its name, up to a zero.
    pub comm: [u8; 16],
}

impl ProcessEvent {
    /// Another process forked it.
    pub const FORKED: u32 = 1;
    /// It executed a program, whose path follows.
    pub const EXECUTED: u32 = 2;
    /// Its last thread ended.
    pub const ENDED: u32 = 3;
}
