//! What the loader and the programs share.

use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, HashMap, PerCpuArray, RingBuf};
use metaflow_ebpf_common::{Call, Counter, Machine, Settings};

use crate::message::Draft;
use crate::task::Thread;

/// Where registers are.
// SAFETY: all of it are numbers; no other symbol has this name.
#[unsafe(no_mangle)]
static MACHINE: Machine = unsafe { core::mem::zeroed() };

/// A [`Call`] by number.
#[unsafe(no_mangle)]
static CALLS: [u8; Call::NUMBERS] = [0; Call::NUMBERS];

/// The process that reads the ring: it is never followed.
#[unsafe(no_mangle)]
static READER: u32 = 0;

/// Events for the reader.
#[map]
pub static EVENTS: RingBuf = RingBuf::with_byte_size(8 << 20, 0);

/// A [`Settings`].
#[map]
static SETTINGS: Array<Settings> = Array::with_max_entries(1, 0);

/// Processes that are named, by number.
#[map]
pub static PROCESSES: HashMap<u32, u8> = HashMap::with_max_entries(16384, 0);

/// Control groups that are named, by number.
#[map]
pub static CGROUPS: HashMap<u64, u8> = HashMap::with_max_entries(1024, 0);

/// Ports that are named: a bit each.
#[map]
static PORTS: Array<u64> = Array::with_max_entries(1024, 0);

/// Whether a thread is followed, at the rest of its number: the number, the [`Settings::generation`] of the verdict, and two bits: that it
/// is, and that `THREADS` has it. Two threads at one place only cost each other time.
#[map]
pub static VERDICTS: Array<u64> = Array::with_max_entries(VERDICTS_LENGTH, 0);
pub const VERDICTS_LENGTH: u32 = 1 << 16;

/// What is known of threads that are followed, by number.
#[map]
pub static THREADS: HashMap<u32, Thread> = HashMap::with_max_entries(16384, 0);

/// Where programs that need no more of a thread put events together: one place for each of them, as none of them comes in between of
/// itself on a processor.
#[map]
pub static SCRATCH: PerCpuArray<Draft> = PerCpuArray::with_max_entries(Scratch::COUNT, 0);

/// Whose place in `SCRATCH`.
pub enum Scratch {
    Sent = 0,
    Received = 1,
    State = 2,
}

impl Scratch {
    const COUNT: u32 = 3;
}

/// Numbers by [`Counter`].
#[map]
static COUNTERS: PerCpuArray<[u64; Counter::COUNT as usize]> = PerCpuArray::with_max_entries(1, 0);

/// The constants are read as if they could change: the compiler only knows them as zeros. The verifier knows what the loader wrote.
#[inline(always)]
fn constant<T: Copy>(place: *const T) -> T {
    // SAFETY: `place` points to a static.
    unsafe { place.read_volatile() }
}

/// A number that the loader puts in place of this one.
#[inline(always)]
pub fn linked<const PLACE: u32>() -> u64 {
    let number: u64;
    // SAFETY: it only loads a number.
    unsafe { core::arch::asm!("{0} = {1}", out(reg) number, const PLACE, options(nomem, preserves_flags, nostack)) };
    number
}

/// What stands for a field of a structure whose values the loader puts into the code.
macro_rules! place_of {
    ($type:ident, $name:ident) => {{ metaflow_ebpf_common::$type::PLACEHOLDER + core::mem::offset_of!(metaflow_ebpf_common::$type, $name) as u32 }};
}
pub(crate) use place_of;

/// One of the [`Offsets`](metaflow_ebpf_common::Offsets).
macro_rules! offset {
    ($name:ident) => {
        $crate::maps::linked::<{ $crate::maps::place_of!(Offsets, $name) }>() as usize
    };
}
pub(crate) use offset;

/// One of the [`Types`](metaflow_ebpf_common::Types).
macro_rules! kind {
    ($name:ident) => {
        $crate::maps::linked::<{ $crate::maps::place_of!(Types, $name) }>() as u32
    };
}
pub(crate) use kind;

/// One of the [`Machine`]'s numbers.
macro_rules! register {
    ($name:ident) => {
        $crate::maps::register_at(core::mem::offset_of!(metaflow_ebpf_common::Machine, $name))
    };
    ($name:ident[$number:expr]) => {
        $crate::maps::register_at(core::mem::offset_of!(metaflow_ebpf_common::Machine, $name) + 4 * $number)
    };
}
pub(crate) use register;

#[inline(always)]
pub fn register_at(at: usize) -> usize {
    // SAFETY: `at` is the place of a field, and all fields are numbers of four bytes.
    constant(unsafe { (&raw const MACHINE).cast::<u8>().add(at).cast::<u32>() }) as usize
}

/// What the system call of this number does: a [`Call`].
#[inline(always)]
pub fn call(number: u64) -> u8 {
    if number >= Call::NUMBERS as u64 {
        return Call::Other as u8;
    }
    // SAFETY: less than its length.
    constant(unsafe { (&raw const CALLS).cast::<u8>().add(number as usize) })
}

#[inline(always)]
pub fn reader() -> u32 {
    constant(&raw const READER)
}

#[inline(always)]
pub fn settings() -> Option<&'static Settings> {
    SETTINGS.get(0)
}

#[inline(always)]
pub fn port_is_named(port: u16) -> bool {
    PORTS.get(u32::from(port) / 64).is_some_and(|bits| bits >> (port % 64) & 1 == 1)
}

/// The counters of this processor: for programs that no other one that counts comes in between of.
#[inline(always)]
pub fn counters() -> Option<&'static mut [u64; Counter::COUNT as usize]> {
    // SAFETY: the map's memory.
    COUNTERS.get_ptr_mut(0).map(|counters| unsafe { &mut *counters })
}

/// Adds to a counter of this processor.
#[inline(always)]
pub fn count(counter: Counter, number: u64) {
    if let Some(counters) = counters() {
        let place = &raw mut counters[counter as usize];
        // SAFETY: the map's memory. Another program may come in between on this processor, so this is one instruction; the compiler
        // has none for it on this target.
        unsafe { core::arch::asm!("lock *(u64 *)({0} + 0) += {1}", in(reg) place, in(reg) number) };
    }
}

/// Adds to the bytes that this processor wrote into the ring; gives how many there were before. Nobody needs it to be exact.
#[inline(always)]
pub fn wrote(bytes: u64) -> u64 {
    let Some(counters) = counters() else { return 0 };
    let place = &raw mut counters[Counter::Bytes as usize];
    // SAFETY: the map's memory.
    unsafe {
        let before = place.read_volatile();
        place.write_volatile(before + bytes);
        before
    }
}

/// A counter of this processor.
#[inline(always)]
pub fn counted(counter: Counter) -> u64 {
    counters().map_or(0, |counters| counters[counter as usize])
}
