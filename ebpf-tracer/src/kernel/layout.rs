//! What differs between kernels and machines, for the programs' constants.

use metaflow_ebpf_common::{Call, Machine, Offsets};
use zerocopy::FromBytes;

use super::{BtfError, KernelTypes, LoadError};

/// Where members of this kernel's structures are.
pub(super) fn offsets(types: &KernelTypes) -> Result<Offsets, LoadError> {
    let found = Offsets::PATHS.iter().map(|path| types.offset(path)).collect::<Result<Vec<_>, BtfError>>()?;
    let bytes: Vec<u8> = found.iter().flat_map(|offset| offset.to_ne_bytes()).collect();
    for (path, offset) in Offsets::PATHS.iter().zip(&found) {
        // The longest of them is an address of 16 bytes.
        if path.starts_with("sock.__sk_common.") && *offset as usize + 16 > Offsets::SK_WINDOW {
            return Err(LoadError::Layout(path));
        }
    }
    Offsets::read_from_bytes(&bytes).map_err(|_| LoadError::Object { missing: "OFFSETS" })
}

/// Registers of x86-64 (`struct pt_regs`; the System V calling convention, `syscall(2)`).
#[cfg(target_arch = "x86_64")]
pub(super) fn machine(types: &KernelTypes) -> Machine {
    const TS_COMPAT: u32 = 2;
    let [rcx, rdx, rsi, rdi, r8, r9, r10, rax, orig_rax] = [88, 96, 104, 112, 72, 64, 56, 80, 120];
    let status = types.offset("task_struct.thread_info.status").ok();
    Machine {
        number: orig_rax,
        arguments: [rdi, rsi, rdx, r10, r8, r9],
        parameters: [rdi, rsi, rdx, rcx],
        result: rax,
        narrow_at: status.unwrap_or(0),
        narrow_bit: status.map_or(0, |_| TS_COMPAT),
    }
}

/// Registers of aarch64 (`struct pt_regs`; the procedure call standard, `syscall(2)`). Not tried on such a machine.
#[cfg(target_arch = "aarch64")]
pub(super) fn machine(types: &KernelTypes) -> Machine {
    const TIF_32BIT: u32 = 1 << 22;
    let x = |number: u32| 8 * number;
    // The result of a call is where its first argument was, of which there is a copy.
    let first = types.offset("pt_regs.orig_x0").unwrap_or(272);
    let flags = types.offset("task_struct.thread_info.flags").ok();
    Machine {
        number: types.offset("pt_regs.syscallno").unwrap_or(280),
        arguments: [first, x(1), x(2), x(3), x(4), x(5)],
        parameters: [x(0), x(1), x(2), x(3)],
        result: x(0),
        narrow_at: flags.unwrap_or(0),
        narrow_bit: flags.map_or(0, |_| TIF_32BIT),
    }
}

/// A [`Call`] at each number.
pub(super) fn calls() -> [u8; Call::NUMBERS] {
    let list = [
        (libc::SYS_read, Call::Read),
        (libc::SYS_readv, Call::Readv),
        (libc::SYS_preadv2, Call::Readv),
        (libc::SYS_recvfrom, Call::Recvfrom),
        (libc::SYS_recvmsg, Call::Recvmsg),
        (libc::SYS_recvmmsg, Call::Recvmmsg),
        (libc::SYS_accept, Call::Accept),
        (libc::SYS_accept4, Call::Accept),
        (libc::SYS_shutdown, Call::Shutdown),
        (libc::SYS_socketpair, Call::Socketpair),
        (libc::SYS_io_uring_setup, Call::IoUring),
        (libc::SYS_io_uring_enter, Call::IoUring),
        (libc::SYS_write, Call::Write),
        (libc::SYS_writev, Call::Writev),
        (libc::SYS_pwritev2, Call::Writev),
        (libc::SYS_sendto, Call::Sendto),
        (libc::SYS_sendmsg, Call::Sendmsg),
        (libc::SYS_sendmmsg, Call::Sendmmsg),
        (libc::SYS_sendfile, Call::Sendfile),
        (libc::SYS_splice, Call::Splice),
        (libc::SYS_connect, Call::Connect),
        (libc::SYS_close, Call::Close),
    ];
    let mut calls = [Call::Other as u8; Call::NUMBERS];
    for (number, call) in list {
        if let Some(place) = usize::try_from(number).ok().and_then(|number| calls.get_mut(number)) {
            *place = call as u8;
        }
    }
    calls
}
