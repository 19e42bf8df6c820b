//! Reading memory of the kernel and of processes.

use core::arch::asm;
use core::mem::MaybeUninit;

use aya_ebpf::helpers::generated::{bpf_probe_read_kernel, bpf_probe_read_user};
use metaflow_ebpf_common::Types;

use crate::maps;

/// A member of a structure whose type the verifier knows: as cheap as any load. What cannot be read is zero.
///
/// # Safety
/// `base` is a pointer that the kernel handed out with its type, or was read from one.
#[inline(always)]
pub unsafe fn typed<T: Copy>(base: *const u8, offset: usize) -> T {
    // SAFETY: the verifier checks that a member of this size is there, and the kernel catches the fault if it is not.
    unsafe { base.add(offset).cast::<T>().read_volatile() }
}

/// Something in the kernel's memory at an address, of a type that the verifier could not know.
#[derive(Clone, Copy)]
pub struct Place(*const u8);

impl Place {
    /// What is at `address` is of the structure of this number among [`Types`](metaflow_ebpf_common::Types).
    #[inline(always)]
    pub fn new(address: u64, kind: u32) -> Self {
        if kind == 0 {
            return Self(address as *const u8);
        }
        let place: *const u8;
        // SAFETY: the kernel's function only changes what the verifier knows; it follows the calling convention of BPF.
        unsafe {
            asm!(
                ".byte 0x85, 0x20, 0, 0", // call of a function of the kernel
                ".long {function}",
                function = const Types::CAST_PLACEHOLDER,
                inlateout("r1") address => _,
                inlateout("r2") u64::from(kind) => _,
                lateout("r0") place,
                lateout("r3") _,
                lateout("r4") _,
                lateout("r5") _,
            );
        }
        Self(place)
    }

    /// The verifier, if it knows the type of anything, knows that of what this points to.
    #[inline(always)]
    pub fn typed(pointer: *const u8) -> Self {
        Self(pointer)
    }

    /// A member of it. What cannot be read is zero.
    #[inline(always)]
    pub fn read<T: Copy>(self, offset: usize) -> T {
        if maps::kind!(sock) != 0 {
            // SAFETY: it got its type from the kernel's function.
            return unsafe { typed(self.0, offset) };
        }
        let mut value = MaybeUninit::<T>::uninit();
        // SAFETY: the helper writes all of it in any case, and `T` is a number or an array of numbers.
        unsafe {
            bpf_probe_read_kernel(value.as_mut_ptr().cast(), size_of::<T>() as u32, self.0.wrapping_add(offset).cast());
            value.assume_init()
        }
    }

    /// An address of 16 bytes in it.
    #[inline(always)]
    pub fn address(self, offset: usize) -> [u8; 16] {
        let words: [u32; 4] = core::array::from_fn(|word| self.read(offset + 4 * word));
        // SAFETY: the same bytes.
        unsafe { core::mem::transmute(words) }
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
