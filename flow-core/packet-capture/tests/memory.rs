//! Resident memory stays below 32 MiB whatever the file. One test, for the peak is that of the whole process.

#![allow(clippy::unwrap_used, reason = "a helper of a test may fail it")]

mod support;

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;

use metaflow_packet_capture::{CaptureFile, Limits, LinkType, PcapWriter};

/// The most memory that this process has had resident, in KiB; files mapped in count.
fn peak_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Touches every page of every packet; counts packets and bytes.
fn read(mut file: CaptureFile) -> (u64, u64) {
    let (mut packets, mut bytes) = (0, 0);
    while let Some(batch) = file.next_batch().unwrap() {
        for packet in batch {
            packets += 1;
            assert!(packet.captured.iter().step_by(512).all(|byte| *byte == 0));
            bytes += packet.captured.len() as u64;
        }
    }
    (packets, bytes)
}

#[test]
fn a_large_file_and_a_compressed_bomb_cost_no_memory() {
    const PACKETS: u64 = 1000;
    const LENGTH: usize = 200_000;
    let folder = tempfile::tempdir().unwrap();

    // 200 MB of holes, mapped.
    let path = folder.path().join("large.pcap");
    let file = File::create(&path).unwrap();
    let mut headers = PcapWriter::new(Vec::new(), LinkType::Ethernet).unwrap();
    headers.write(0, &[0; LENGTH], 0).unwrap();
    let bytes = headers.into_inner();
    file.write_all_at(&bytes[..24], 0).unwrap();
    for packet in 0..PACKETS {
        file.write_all_at(&bytes[24..40], 24 + packet * (16 + LENGTH as u64)).unwrap();
    }
    file.set_len(24 + PACKETS * (16 + LENGTH as u64)).unwrap();
    assert_eq!(read(CaptureFile::open(&path).unwrap()), (PACKETS, PACKETS * LENGTH as u64));

    // The same as a bomb.
    let packed = folder.path().join("bomb");
    let mut encoder = zstd::Encoder::new(File::create(&packed).unwrap(), 1).unwrap();
    io::copy(&mut File::open(&path).unwrap(), &mut encoder).unwrap();
    encoder.finish().unwrap().flush().unwrap();
    assert!(fs::metadata(&packed).unwrap().len() < 1 << 20);
    assert_eq!(read(CaptureFile::open(&packed).unwrap()), (PACKETS, PACKETS * LENGTH as u64));

    let mut encoder = flate2::write::GzEncoder::new(File::create(&packed).unwrap(), flate2::Compression::fast());
    let part = 24 + 50 * (16 + LENGTH as u64);
    io::copy(&mut File::open(&path).unwrap().take(part), &mut encoder).unwrap();
    encoder.finish().unwrap().flush().unwrap();
    assert_eq!(read(CaptureFile::open(&packed).unwrap()), (50, 50 * LENGTH as u64));

    // A block as long as may be, of bytes that do not end.
    let mut head = Vec::new();
    head.extend([0x0a0d_0d0a_u32, 28, 0x1a2b_3c4d, 1, u32::MAX, u32::MAX, 28].map(u32::to_le_bytes).concat());
    for _ in 0..4 {
        head.extend([0x4242_u32, 16 << 20].map(u32::to_le_bytes).concat());
    }
    let endless = io::Cursor::new(head).chain(io::repeat(7));
    let mut file = CaptureFile::from_reader("endless", endless, Limits::default()).unwrap();
    assert!(file.next_batch().is_err());
    drop(file);

    let peak = peak_kib();
    println!("{peak} KiB were resident at most");
    assert!(peak <= 32 << 10, "{peak} KiB were resident");
}
