//! A network namespace for one test, and interfaces in it whose other end is the test.

use std::ffi::{CString, c_int};
use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::process::Command;
use std::thread;

/// Runs a test in a new network namespace with `lo` up, or says why it cannot. The namespace ends with the test's threads and files.
pub(crate) fn in_namespace(test: impl FnOnce() + Send + 'static) {
    let thread = thread::spawn(|| {
        // SAFETY: no memory is passed; only this thread changes its namespace.
        if unsafe { libc::unshare(libc::CLONE_NEWNET) } != 0 {
            println!("skipped: cannot make a network namespace: {}", io::Error::last_os_error());
            return;
        }
        if !ip("link set lo up") {
            println!("skipped: there is no `ip` program (package iproute2)");
            return;
        }
        test();
    });
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

/// Runs `ip` in the namespace of this thread. `false` when there is no such program.
pub(crate) fn ip(arguments: &str) -> bool {
    match Command::new("ip").args(arguments.split(' ')).output() {
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "ip {arguments}: {said}");
            true
        }
        Err(error) if error.kind() == ErrorKind::NotFound => false,
        Err(error) => panic!("ip {arguments}: {error}"),
    }
}

/// An interface the other end of which is this file. Reading does not wait.
#[allow(dead_code, reason = "each test binary uses a part")]
pub(crate) struct Tun(pub(crate) File);

#[allow(dead_code, reason = "each test binary uses a part")]
impl Tun {
    /// `kind` is `IFF_TUN`, without link-layer headers, or `IFF_TAP`, Ethernet. `None` where the kernel has no such interfaces.
    pub(crate) fn new(name: &str, kind: c_int) -> Option<Self> {
        let mut options = File::options();
        let file = options.read(true).write(true).custom_flags(libc::O_NONBLOCK).open("/dev/net/tun").ok()?;
        // SAFETY: all zeros is a value of this structure of integers.
        let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
        for (to, from) in request.ifr_name.iter_mut().zip(CString::new(name).unwrap().as_bytes()) {
            *to = *from as _;
        }
        request.ifr_ifru.ifru_flags = (kind | libc::IFF_NO_PI) as _;
        // SAFETY: this request reads and writes a structure of the type that it is given.
        let done = unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF as _, &raw mut request) };
        assert_eq!(done, 0, "{}", io::Error::last_os_error());
        Some(Self(file))
    }
}
