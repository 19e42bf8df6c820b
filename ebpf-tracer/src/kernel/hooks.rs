//! What the programs are attached to.

use std::fs::{self, File};

use aya::Btf;
use aya::programs::{BtfTracePoint, CgroupAttachMode, CgroupSockAddr, Program, ProgramError};

use super::{Kernel, KernelTypes, LoadError, error};

/// Where what processes do on sockets is seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Hooks {
    /// At the sockets where the kernel can, else at the system calls.
    #[default]
    Auto,
    /// Where data goes through sockets: Linux 6.5. Other system calls cost nothing, and `io_uring` is seen, though without payload.
    Sockets,
    /// Where system calls begin and return: Linux 5.17. It costs on every system call of the machine.
    SystemCalls,
}

/// What [`Hooks::Sockets`] takes. Data from files goes the same way since Linux 6.5, which has this function.
const NEEDED: [&str; 3] = ["sock_send_length", "sock_recv_length", "inet_sock_set_state"];
const FILES_TOO: &str = "splice_to_socket";
/// There if the kernel has `io_uring`.
const IO_URING: &str = "io_uring_create";
const SYSTEM_CALLS: [&str; 2] = ["sys_enter", "sys_exit"];
/// Which program is attached to which of the kernel's tracepoints, whatever else is.
const PROCESSES: [(&str, &str); 3] =
    [("forked", "sched_process_fork"), ("executed", "sched_process_exec"), ("exited", "sched_process_exit")];
/// Programs that see who sent a datagram.
const PEERS: [&str; 2] = ["recvmsg4", "recvmsg6"];

impl Hooks {
    /// What the running kernel lacks of [`Self::Sockets`]; `None` also if that cannot be found out.
    pub(crate) fn missing() -> Option<&'static str> {
        KernelTypes::of_this_kernel().ok().and_then(|types| missing(&types))
    }

    /// Those that this kernel can have: never [`Self::Auto`].
    pub(super) fn on(self, types: &KernelTypes) -> Result<Self, LoadError> {
        match (self, missing(types)) {
            (Self::SystemCalls, _) | (Self::Auto, Some(_)) => Ok(Self::SystemCalls),
            (Self::Sockets | Self::Auto, None) => Ok(Self::Sockets),
            (Self::Sockets, Some(missing)) => Err(LoadError::Hooks { missing }),
        }
    }
}

fn missing(types: &KernelTypes) -> Option<&'static str> {
    let tracepoint = NEEDED.into_iter().find(|name| !types.has_tracepoint(name));
    tracepoint.or_else(|| types.function(FILES_TOO).is_none().then_some(FILES_TOO))
}

impl Kernel {
    /// What is hooked into: [`Hooks::Sockets`] or [`Hooks::SystemCalls`].
    #[must_use]
    pub fn hooks(&self) -> Hooks {
        self.hooks
    }

    /// Whether it is known who sent a datagram to a socket that is not connected. With [`Hooks::Sockets`] that takes the capability
    /// `CAP_NET_ADMIN`, and control groups of version 2 that are mounted.
    ///
    /// # Errors
    /// Why it is not known.
    pub fn knows_peers(&self) -> Result<(), &LoadError> {
        self.without_peers.as_ref().map_or(Ok(()), Err)
    }

    pub(super) fn attach(&mut self, types: &KernelTypes, btf: &Btf) -> Result<(), LoadError> {
        for (name, tracepoint) in PROCESSES {
            self.attach_to(name, tracepoint, btf)?;
        }
        if self.hooks == Hooks::SystemCalls {
            return SYSTEM_CALLS.into_iter().try_for_each(|name| self.attach_to(name, name, btf));
        }
        let io_uring = Some(IO_URING).filter(|name| types.has_tracepoint(name));
        NEEDED.into_iter().chain(io_uring).try_for_each(|name| self.attach_to(name, name, btf))?;
        self.without_peers = PEERS.into_iter().try_for_each(|name| self.attach_to_root_group(name)).err();
        Ok(())
    }

    fn attach_to(&mut self, name: &'static str, tracepoint: &'static str, btf: &Btf) -> Result<(), LoadError> {
        let program: &mut BtfTracePoint = self
            .programs
            .program_mut(name)
            .and_then(|program: &mut Program| program.try_into().ok())
            .ok_or(LoadError::Object { missing: name })?;
        program.load(tracepoint, btf).map_err(|source| error::program(name, source))?;
        program.attach().map_err(|source| error::program(name, source))?;
        Ok(())
    }

    /// Attaches a program to all control groups, next to those of others.
    fn attach_to_root_group(&mut self, name: &'static str) -> Result<(), LoadError> {
        let program: &mut CgroupSockAddr = self
            .programs
            .program_mut(name)
            .and_then(|program: &mut Program| program.try_into().ok())
            .ok_or(LoadError::Object { missing: name })?;
        let refused = |source: ProgramError| error::program_with(&["CAP_NET_ADMIN"], name, source);
        program.load().map_err(refused)?;
        let group = root_group()?;
        // A link leaves those of others alone in any case, and takes no other mode.
        program.attach(group, CgroupAttachMode::Single).map_err(refused)?;
        Ok(())
    }
}

/// The folder of all control groups of version 2.
fn root_group() -> Result<File, LoadError> {
    let mounts = fs::read_to_string("/proc/self/mounts").map_err(LoadError::Groups)?;
    let place = mounts.lines().find_map(|line| {
        let mut words = line.split(' ').skip(1);
        let place = words.next()?;
        (words.next() == Some("cgroup2")).then_some(place)
    });
    File::open(place.unwrap_or("/sys/fs/cgroup/cgroup.controllers")).map_err(LoadError::Groups)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_without_tracepoints_at_sockets() {
        let types = KernelTypes::parse([0x1_eb9f_u32, 24, 0, 0, 0, 0].map(u32::to_ne_bytes).concat()).unwrap();
        assert_eq!(Hooks::Auto.on(&types).unwrap(), Hooks::SystemCalls);
        assert_eq!(Hooks::SystemCalls.on(&types).unwrap(), Hooks::SystemCalls);
        let error = Hooks::Sockets.on(&types).unwrap_err();
        assert!(matches!(error, LoadError::Hooks { missing: "sock_send_length" }), "{error}");
    }
}
