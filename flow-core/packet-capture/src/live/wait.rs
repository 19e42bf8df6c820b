//! Waiting for several rings at once.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::ring::Ring;
use super::socket::check;

/// Tells threads that wait for packets to stop. Its clones are one and the same; once stopped it stays so.
#[derive(Clone, Debug)]
pub struct Stop {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    stopped: AtomicBool,
    /// An eventfd that can be read from as soon as `stopped` is set. Nobody reads it, so it wakes every waiting thread.
    event: OwnedFd,
}

/// Why [`wait`] came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// At least one ring has packets, or an error to report.
    Ready,
    /// The time has passed, or a signal was handled.
    TimedOut,
    /// [`Stop::stop`] was called.
    Stopped,
}

impl Stop {
    /// A new one, not stopped.
    ///
    /// # Errors
    /// When the process has no file descriptor left.
    pub fn new() -> io::Result<Self> {
        // SAFETY: no memory is passed.
        let descriptor = check(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) })?;
        // SAFETY: the descriptor is new and nobody else's.
        let event = unsafe { OwnedFd::from_raw_fd(descriptor) };
        Ok(Self { shared: Arc::new(Shared { stopped: AtomicBool::new(false), event }) })
    }

    /// Wakes every thread that waits, now and from now on. May be called in a signal handler.
    pub fn stop(&self) {
        self.shared.stopped.store(true, Ordering::Release);
        let one = 1_u64.to_ne_bytes();
        // It can only fail when the counter is full, that is when it has been stopped already.
        // SAFETY: the kernel reads eight bytes from `one`, which has as many.
        let _ = unsafe { libc::write(self.shared.event.as_raw_fd(), one.as_ptr().cast(), one.len()) };
    }

    /// Whether [`stop`](Self::stop) has been called.
    pub fn is_stopped(&self) -> bool {
        self.shared.stopped.load(Ordering::Acquire)
    }
}

/// Waits until one of the rings has packets, until the time has passed (to the next millisecond) or until told to stop.
/// With no ring it waits for the other two.
///
/// A ring shows its packets when one of its blocks is full or [`block_timeout`](crate::RingOptions::block_timeout)
/// after the block's first packet.
///
/// # Errors
/// What the kernel says; none is known to happen.
pub fn wait(rings: &[Ring], stop: &Stop, timeout: Duration) -> io::Result<Wake> {
    if stop.is_stopped() {
        return Ok(Wake::Stopped);
    }
    if rings.iter().any(Ring::holds_packets) {
        return Ok(Wake::Ready);
    }
    let entry = |fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    let mut entries = vec![entry(stop.shared.event.as_raw_fd())];
    entries.extend(rings.iter().map(|ring| entry(ring.as_raw_fd())));
    let milliseconds = i32::try_from(timeout.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX);
    // SAFETY: the kernel reads and writes as many entries as the vector has.
    match check(unsafe { libc::poll(entries.as_mut_ptr(), entries.len() as libc::nfds_t, milliseconds) }) {
        Ok(0) => Ok(Wake::TimedOut),
        Ok(_) if entries[0].revents != 0 => Ok(Wake::Stopped),
        Ok(_) => Ok(Wake::Ready),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(Wake::TimedOut),
        Err(error) => Err(error),
    }
}
