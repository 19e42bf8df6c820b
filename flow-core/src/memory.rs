//! Asking the memory for what will be needed soon: the only place of this crate with `unsafe`.
#![allow(unsafe_code, reason = "a hint to the processor has no safe form")]

/// A value that will be looked at soon, all of its cache lines. Changes nothing but the time that takes.
#[inline(always)]
pub(crate) fn prefetch<T>(value: &T) {
    let begin = std::ptr::from_ref(value).cast::<u8>();
    let mut line = 0;
    while line < size_of::<T>() {
        prefetch_line(begin.wrapping_add(line));
        line += LINE;
    }
    if size_of::<T>() > align_of::<T>() {
        // It may begin within a line and end in another.
        prefetch_line(begin.wrapping_add(size_of::<T>() - 1));
    }
}

/// What is perhaps there and lies beside `value`, which was looked at already. Without a branch that nobody can foresee: where nothing
/// is, the value itself is asked for once more.
#[inline(always)]
pub(crate) fn prefetch_beside<T, U>(value: &T, beside: Option<&U>) {
    let here = std::ptr::from_ref(value).cast::<u8>();
    let begin = beside.map_or(here, |beside| std::ptr::from_ref(beside).cast());
    prefetch_line(begin);
    prefetch_line(begin.wrapping_add(size_of::<U>() - 1));
}

const LINE: usize = 64;

#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn prefetch_line(address: *const u8) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    // SAFETY: a prefetch is a hint; it never faults, whatever the address, and changes nothing a program can see.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) }
}

#[cfg(target_arch = "aarch64")]
#[inline(always)]
fn prefetch_line(address: *const u8) {
    // SAFETY: a prefetch is a hint; it never faults, whatever the address, and changes nothing a program can see.
    unsafe { std::arch::asm!("prfm pldl1keep, [{0}]", in(reg) address, options(nostack, preserves_flags, readonly)) }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn prefetch_line(_: *const u8) {}
