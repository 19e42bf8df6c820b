//! Asking the memory for bytes before they are read.
//!
//! Each record of a capture says where the next one begins, so a plain walk waits for the memory once a record. The
//! processor's own prefetching does not help, for the steps differ in length. Asking for every line some way ahead
//! makes the walk run at the speed of the memory bus.

/// How far ahead of the walk: far enough for the slowest memory, near enough to stay in the first cache.
const AHEAD: usize = 4096;
const LINE: usize = 64;

/// Asks for what lies [`AHEAD`] of the bytes `from..to` of `input`, over which the walk has just stepped.
#[inline(always)]
pub(super) fn prefetch_ahead(input: &[u8], from: usize, to: usize) {
    // A long step leaves a gap that nobody can fill in time; only what lies before the walk again is worth asking for.
    let from = from.max(to.saturating_sub(AHEAD));
    let mut line = (from + AHEAD).next_multiple_of(LINE);
    while line < to + AHEAD {
        prefetch(input.as_ptr().wrapping_add(line));
        line += LINE;
    }
}

#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn prefetch(address: *const u8) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    // SAFETY: a prefetch is a hint; it never faults, whatever the address, and changes nothing a program can see.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) }
}

#[cfg(target_arch = "aarch64")]
#[inline(always)]
fn prefetch(address: *const u8) {
    // SAFETY: a prefetch is a hint; it never faults, whatever the address, and changes nothing a program can see.
    unsafe { std::arch::asm!("prfm pldl1keep, [{0}]", in(reg) address, options(nostack, preserves_flags, readonly)) }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn prefetch(_: *const u8) {}
