//! System calls that are looked at.

/// What a system call does, and which arguments it has. The programs' constant `CALLS` has one at each number; which number is which
/// differs from machine to machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Call {
    /// Nothing of interest.
    Other = 0,
    /// `read`
    Read = 1,
    /// `readv`, `preadv2`
    Readv = 2,
    /// `recvfrom`
    Recvfrom = 3,
    /// `recvmsg`
    Recvmsg = 4,
    /// `recvmmsg`
    Recvmmsg = 5,
    /// `accept`, `accept4`
    Accept = 6,
    /// `shutdown`
    Shutdown = 7,
    /// `socketpair`
    Socketpair = 8,
    /// `io_uring_setup`, `io_uring_enter`
    IoUring = 9,
    /// `write`
    Write = 10,
    /// `writev`, `pwritev2`
    Writev = 11,
    /// `sendto`
    Sendto = 12,
    /// `sendmsg`
    Sendmsg = 13,
    /// `sendmmsg`
    Sendmmsg = 14,
    /// `sendfile`
    Sendfile = 15,
    /// `splice`
    Splice = 16,
    /// `connect`
    Connect = 17,
    /// `close`
    Close = 18,
}

impl Call {
    /// How many numbers are looked at; there is nothing of interest behind them.
    pub const NUMBERS: usize = 512;

    /// Whether something is done when the call begins.
    #[must_use]
    pub const fn enters(number: u8) -> bool {
        number >= Self::Write as u8
    }
}
