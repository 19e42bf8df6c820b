//! Files that lie: nothing panics, every packet before the damage comes, and nothing is allocated on a length's word.

#![allow(clippy::unwrap_used, reason = "a helper of a test may fail it")]

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::Cursor;

use metaflow_packet_capture::{CaptureFile, Limits, LinkType};
use proptest::prelude::*;

use support::{Kind, Owned, Packing, Pieces, Variant, read_all, write};

/// Knows the most bytes that this thread has had at once.
struct Counting;

thread_local! {
    static NOW: Cell<isize> = const { Cell::new(0) };
    static MOST: Cell<isize> = const { Cell::new(0) };
}

fn count(change: isize) {
    // The thread may be ending; then nobody asks any more.
    let _ = NOW.try_with(|now| {
        now.set(now.get() + change);
        let _ = MOST.try_with(|most| most.set(most.get().max(now.get())));
    });
}

// SAFETY: every call goes on to the system's allocator as it is; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Reads to the end, and how many bytes that needed at most at once.
fn read(bytes: Vec<u8>, sizes: &[usize]) -> (usize, isize) {
    NOW.set(0);
    MOST.set(0);
    let mut packets = 0;
    if let Ok(mut file) = CaptureFile::from_reader("hostile", Pieces::new(bytes, sizes), Limits::default()) {
        while let Ok(Some(batch)) = file.next_batch() {
            packets += batch.len();
            for packet in batch {
                assert!(packet.original_len as usize >= packet.captured.len());
            }
        }
    }
    (packets, MOST.get())
}

fn sample(kind: Kind, big_endian: bool, packing: Packing, seed: u8) -> Vec<u8> {
    let packet = |number: u8| Owned {
        time_ns: u64::from(number) * 1_000_000_007,
        link: LinkType::Ethernet,
        interface: 0,
        captured: vec![number; 40 + usize::from(number) * 3],
        original_len: 1500,
    };
    let packets: Vec<_> = (0..20).map(|number| packet(number ^ seed)).collect();
    write(Variant { kind, big_endian, packing }, &packets)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_are_survived(
        magic in proptest::sample::select(vec![0xa1b2_c3d4_u32, 0xa1b2_3c4d, 0xa1b2_cd34, 0x0a0d_0d0a, 0xfd2f_b528, 0x0008_8b1f, 0]),
        swap: bool,
        mut bytes in proptest::collection::vec(any::<u8>(), 0..2000),
        size in 1..3000_usize,
    ) {
        let magic = if swap { magic.to_be_bytes() } else { magic.to_le_bytes() };
        bytes.splice(0..0, magic);
        let length = bytes.len();
        let (_, most) = read(bytes, &[size]);
        // The buffer, a decompressor's state, an error's text.
        prop_assert!(most <= (512 << 10) + 64 * length as isize, "{most} bytes for {length}");
    }

    #[test]
    fn flipped_bytes_are_survived(
        kind in proptest::sample::select(Kind::ALL.as_slice()),
        packing in proptest::sample::select(Packing::ALL.as_slice()),
        big_endian: bool,
        flips in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..6),
        cut in proptest::option::of(any::<proptest::sample::Index>()),
    ) {
        let mut bytes = sample(kind, big_endian, packing, 3);
        for (place, value) in flips {
            let place = place.index(bytes.len());
            bytes[place] = value;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        let (_, most) = read(bytes, &[100, 1, 5000]);
        prop_assert!(most <= 1 << 20, "{most} bytes");
    }

    #[test]
    fn packets_before_the_damage_all_come(
        kind in proptest::sample::select(Kind::ALL.as_slice()),
        big_endian: bool,
        place in any::<proptest::sample::Index>(),
    ) {
        let good = sample(kind, big_endian, Packing::Plain, 0);
        let (packets, end) = read_all(CaptureFile::from_reader("good", Cursor::new(good.clone()), Limits::default()).unwrap());
        prop_assert_eq!(end, "");
        // Lengths of 4 GiB from some record on: the records before it must be the same, and none may come after.
        let place = place.index(good.len() - 100) + 100;
        let mut bad = good[..place].to_vec();
        bad.extend([0xff; 4096]);
        let file = CaptureFile::from_reader("bad", Cursor::new(bad), Limits::default()).unwrap();
        let (before, end) = read_all(file);
        prop_assert!(!end.is_empty());
        // The record that the damage begins in may be whole by its lengths, with other bytes.
        let same = before.len().saturating_sub(1);
        prop_assert_eq!(&before[..same], &packets[..same]);
    }
}

#[test]
fn a_block_is_buffered_as_its_bytes_come_and_not_by_its_length() {
    let header = |length: u32| {
        let mut bytes = sample(Kind::Decimal(6), false, Packing::Plain, 0);
        bytes.extend(0x4242_u32.to_le_bytes());
        bytes.extend(length.to_le_bytes());
        bytes
    };
    let longest = 16 << 20;
    let (packets, most) = read(header(longest), &[4096]);
    assert_eq!(packets, 20);
    assert!(most <= 512 << 10, "{most} bytes for a block that is announced only");

    let mut whole = header(longest);
    whole.resize(whole.len() + longest as usize - 12, 0);
    whole.extend(longest.to_le_bytes());
    whole.extend(&sample(Kind::Decimal(6), true, Packing::Plain, 0));
    let (packets, most) = read(whole, &[1 << 20]);
    assert_eq!(packets, 40);
    assert!(most <= 25 << 20, "{most} bytes for a block of 16 MiB");

    let mut long = header(longest + 4);
    long.extend([0; 4]);
    let file = CaptureFile::from_reader("long", Cursor::new(long), Limits::default()).unwrap();
    let (_, end) = read_all(file);
    assert!(end.contains("a block of 16777220 bytes, more than the 16777216 that are allowed"), "{end}");
}

#[test]
fn interface_descriptions_have_a_bound() {
    let mut bytes = sample(Kind::Decimal(6), false, Packing::Plain, 0);
    let description = &[1, 0, 0, 0, 20, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 20, 0, 0, 0];
    // The sample has described one.
    let described = (1 << 16) - 1;
    bytes.extend(description.repeat(described));
    let file = CaptureFile::from_reader("many", Cursor::new(bytes.clone()), Limits::default()).unwrap();
    assert_eq!(read_all(file).1, "");
    bytes.extend(description);
    let file = CaptureFile::from_reader("too many", Cursor::new(bytes.clone()), Limits::default()).unwrap();
    let (packets, end) = read_all(file);
    assert_eq!(packets.len(), 20);
    assert!(end.ends_with("more than 65536 interfaces in one section"), "{end}");
}
