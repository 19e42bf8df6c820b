//! Reading memory of the kernel and of processes.

use core::mem::MaybeUninit;

use aya_ebpf::helpers::generated::{bpf_probe_read_kernel, bpf_probe_read_user};

/// A member of a structure whose type the verifier knows: as cheap as any load. What cannot be read is zero.
///
/// # Safety
/// `base` is a pointer that the kernel handed out with its type, or was read from one.
#[inline(always)]
pub unsafe fn typed<T: Copy>(base: *const u8, offset: usize) -> T {
    // SAFETY: the verifier checks that a member of this size is there, and the kernel catches the fault if it is not.
    unsafe { base.add(offset).cast::<T>().read_volatile() }
}

/// Memory of the kernel at an address. What cannot be read is zero.
#[inline(always)]
pub fn kernel<T: Copy>(base: u64, offset: usize) -> T {
    let mut value = MaybeUninit::<T>::uninit();
    // SAFETY: the helper writes all of it in any case, and `T` is a number or an array of numbers.
    unsafe {
        bpf_probe_read_kernel(value.as_mut_ptr().cast(), size_of::<T>() as u32, (base + offset as u64) as *const _);
        value.assume_init()
    }
}

/// Memory of the process at an address.
#[inline(always)]
pub fn user<T: Copy>(address: u64) -> Option<T> {
    let mut value = MaybeUninit::<T>::uninit();
    // SAFETY: the helper writes all of it in any case, and `T` is a number or an array of numbers.
    unsafe {
        (bpf_probe_read_user(value.as_mut_ptr().cast(), size_of::<T>() as u32, address as *const _) == 0)
            .then(|| value.assume_init())
    }
}
