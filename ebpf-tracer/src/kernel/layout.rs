//! What differs between kernels and machines, for the programs' constants.

use metaflow_ebpf_common::{Call, Machine, Offsets, Types};
use zerocopy::{FromBytes, IntoBytes};

use super::{BtfError, KernelTypes};

/// Where members of this kernel's structures are.
pub(super) fn offsets(types: &KernelTypes) -> Result<Offsets, BtfError> {
    let mut found = Offsets::default();
    for (place, path) in words(&mut found).zip(Offsets::PATHS) {
        let offset = match path.strip_prefix('?') {
            Some(path) => types.offset(path).unwrap_or(0),
            None => types.offset(path)?,
        };
        place.copy_from_slice(&offset.to_ne_bytes());
    }
    Ok(found)
}

/// Numbers of its structures, and of the function that takes them; 0 if it has no such function.
pub(super) fn numbers(types: &KernelTypes) -> Result<(Types, u32), BtfError> {
    let mut found = Types::default();
    let Some(cast) = types.function(Types::CAST) else { return Ok((found, 0)) };
    for (place, name) in words(&mut found).zip(Types::NAMES) {
        place.copy_from_slice(&types.structure(name)?.to_ne_bytes());
    }
    Ok((found, cast))
}

fn words(value: &mut (impl FromBytes + IntoBytes)) -> impl Iterator<Item = &mut [u8]> {
    value.as_mut_bytes().chunks_exact_mut(4)
}

/// The object, with numbers of this kernel in place of what stands for them: of its function that takes a type, of types, and offsets.
pub(super) fn link(object: &[u8], offsets: &Offsets, types: &Types, cast: u32) -> Vec<u64> {
    /// Call of a function of the kernel (`BPF_CALL`, `BPF_PSEUDO_KFUNC_CALL`).
    const CALL: [u8; 4] = [0x85, 0x20, 0, 0];
    /// A number into a register (`BPF_ALU64 | BPF_MOV | BPF_K`).
    const MOVE: u8 = 0xb7;
    let mut linked = vec![0u64; object.len().div_ceil(8)];
    let bytes = linked.as_mut_bytes();
    bytes[..object.len()].copy_from_slice(object);
    let tables = [(Offsets::PLACEHOLDER, offsets.as_bytes()), (Types::PLACEHOLDER, types.as_bytes())];
    for instruction in bytes.chunks_exact_mut(8) {
        let (code, number) = instruction.split_at_mut(4);
        if code == CALL && number == Types::CAST_PLACEHOLDER.to_le_bytes() {
            number.copy_from_slice(&cast.to_le_bytes());
        } else if code[0] == MOVE {
            let word = word_at(number, 0);
            let values = tables.iter().filter_map(|(first, table)| Some((word.checked_sub(*first)?, table)));
            if let Some(value) = values.into_iter().find_map(|(at, table)| table.get(at as usize..at as usize + 4)) {
                number.copy_from_slice(value);
            }
        }
    }
    linked
}

fn word_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(|bytes| bytes.first_chunk()).map_or(0, |word| u32::from_le_bytes(*word))
}

/// Registers of x86-64 (`struct pt_regs`; the System V calling convention, `syscall(2)`).
#[cfg(target_arch = "x86_64")]
pub(super) fn machine(types: &KernelTypes) -> Machine {
    const TS_COMPAT: u32 = 2;
    let [rcx, rdx, rsi, rdi, r8, r9, r10, rax, orig_rax, rsp] = [88, 96, 104, 112, 72, 64, 56, 80, 120, 152];
    let status = types.offset("task_struct.thread_info.status").ok();
    Machine {
        number: orig_rax,
        arguments: [rdi, rsi, rdx, r10, r8, r9],
        parameters: [rdi, rsi, rdx, rcx],
        result: rax,
        stack: rsp,
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
        stack: x(31),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_object_has_what_stands_for_numbers_and_nothing_else_changes() {
        let (mut offsets, mut types) = (Offsets::default(), Types::default());
        for (number, word) in (1000_u32..).zip(words(&mut offsets).chain(words(&mut types))) {
            word.copy_from_slice(&number.to_le_bytes());
        }
        let linked = link(super::super::OBJECT, &offsets, &types, 77);
        let (before, after) = (super::super::OBJECT.chunks(4), linked.as_bytes().chunks(4));
        let changed = before.zip(after).filter(|(before, after)| before != &&after[..before.len()]);
        let mut seen = std::collections::BTreeSet::new();
        for (before, after) in changed {
            let (before, after) = (word_at(before, 0), word_at(after, 0));
            let expected = match before {
                Types::CAST_PLACEHOLDER => 77,
                before if before < Types::PLACEHOLDER => 1000 + (before - Offsets::PLACEHOLDER) / 4,
                before => 1000 + Offsets::PATHS.len() as u32 + (before - Types::PLACEHOLDER) / 4,
            };
            assert_eq!(after, expected);
            seen.insert(after);
        }
        let all = Offsets::PATHS.len() + Types::NAMES.len() + 1;
        assert_eq!(seen.len(), all, "each is used");
    }

    #[test]
    fn numbers_of_calls_are_those_of_this_machine() {
        let calls = calls();
        assert_eq!(calls[libc::SYS_sendmsg as usize], Call::Sendmsg as u8);
        assert_eq!(calls.iter().filter(|call| **call != Call::Other as u8).count(), 22);
    }
}
