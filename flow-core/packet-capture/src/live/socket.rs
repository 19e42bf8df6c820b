//! The system calls of a packet socket.

use std::ffi::c_int;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// A packet socket.
#[derive(Debug)]
pub(super) struct Socket(OwnedFd);

/// A value that a socket option can have: the kernel reads and writes it as plain bytes.
///
/// # Safety
/// Every pattern of bytes is a value of the type.
pub(super) unsafe trait Plain: Copy {}

// SAFETY: an integer.
unsafe impl Plain for c_int {}
// SAFETY: three integers.
unsafe impl Plain for libc::tpacket_stats_v3 {}

impl Socket {
    /// Opens a socket that receives nothing until it is bound. `kind` is `SOCK_RAW`, frames with their link-layer
    /// header, or `SOCK_DGRAM`, without.
    pub(super) fn open(kind: c_int) -> io::Result<Self> {
        // SAFETY: no memory is passed.
        let descriptor = check(unsafe { libc::socket(libc::AF_PACKET, kind | libc::SOCK_CLOEXEC, 0) })?;
        // SAFETY: the descriptor is new and nobody else's.
        Ok(Self::from(unsafe { OwnedFd::from_raw_fd(descriptor) }))
    }

    /// Sets an option to a value, which may be a structure that points to memory that lives during the call.
    pub(super) fn set<T: Copy>(&self, level: c_int, option: c_int, value: &T) -> io::Result<()> {
        let length = size_of::<T>() as libc::socklen_t;
        // SAFETY: the kernel reads `length` bytes from `value`, which is borrowed for the call and as long as that.
        check(unsafe { libc::setsockopt(self.as_raw_fd(), level, option, std::ptr::from_ref(value).cast(), length) })?;
        Ok(())
    }

    pub(super) fn get<T: Plain>(&self, level: c_int, option: c_int) -> io::Result<T> {
        let mut value = MaybeUninit::<T>::zeroed();
        let mut length = size_of::<T>() as libc::socklen_t;
        // SAFETY: the kernel writes at most `length` bytes to `value`, which is as long as that.
        check(unsafe {
            libc::getsockopt(self.as_raw_fd(), level, option, value.as_mut_ptr().cast(), &raw mut length)
        })?;
        // SAFETY: all bytes were zero or are the kernel's now, and every pattern of bytes is a value of `T`.
        Ok(unsafe { value.assume_init() })
    }

    /// Receives from now on what the interface sees, of every protocol.
    pub(super) fn bind(&self, interface: u32) -> io::Result<()> {
        // SAFETY: all zeros is a value of this structure of integers.
        let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
        address.sll_family = libc::AF_PACKET as u16;
        address.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
        address.sll_ifindex = interface as c_int;
        let length = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
        // SAFETY: the kernel reads `length` bytes from `address`, which is as long as that.
        check(unsafe { libc::bind(self.as_raw_fd(), (&raw const address).cast(), length) })?;
        Ok(())
    }
}

impl From<OwnedFd> for Socket {
    fn from(descriptor: OwnedFd) -> Self {
        Self(descriptor)
    }
}

impl AsRawFd for Socket {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// The error of a system call that returns -1 for one.
pub(super) fn check(result: c_int) -> io::Result<c_int> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
