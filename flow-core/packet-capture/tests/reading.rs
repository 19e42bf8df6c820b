//! Every file of `testdata` is read as `reading.golden` says, and whatever is written is read back.

#![allow(clippy::unwrap_used, reason = "a helper of a test may fail it")]

mod support;

use std::ffi::CString;
use std::fmt::Write as _;
use std::fs;
use std::io::Cursor;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::ptr::null;
use std::thread;

use metaflow_packet_capture::{CaptureFile, Limits, LinkType, OpenError, PcapWriter};
use proptest::prelude::*;

use support::{Kind, Owned, Packing, Pieces, Variant, read_all, write};

const WHY: &str = "# why: what the reader makes of every file of this folder; README.md says why each file exists.";

fn testdata() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata")
}

fn files() -> Vec<PathBuf> {
    let entries = fs::read_dir(testdata()).unwrap().map(|entry| entry.unwrap().path());
    let capture = |path: &PathBuf| path.extension().is_some_and(|kind| kind == "pcap" || kind == "pcapng");
    let mut files: Vec<_> = entries.filter(capture).collect();
    files.sort();
    files
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

/// What a reader says of a file, in lines.
fn describe(name: &str, opened: Result<CaptureFile, OpenError>) -> String {
    let mut text = format!("\n{name}\n");
    let file = match opened {
        Ok(file) => file,
        Err(error) => {
            writeln!(text, "  cannot be opened: {error}").unwrap();
            return text;
        }
    };
    let packing = file.compression().map(|kind| format!(", {kind}")).unwrap_or_default();
    writeln!(text, "  {:?}{packing}", file.format()).unwrap();
    let (packets, end) = read_all(file);
    for Owned { time_ns, link, interface, captured, original_len } in packets {
        let first: String = captured.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
        let length = captured.len();
        writeln!(text, "  {time_ns} {link}, interface {interface}: {length} of {original_len} bytes, {first}…")
            .unwrap();
    }
    if !end.is_empty() {
        writeln!(text, "  {end}").unwrap();
    }
    text
}

#[test]
fn every_file_is_read_as_the_golden_says() {
    let mut text = format!("{WHY}\n");
    for path in files() {
        let relative = name(&path);
        // Names within messages must not depend on where the repository lies.
        let opened = describe(&relative, CaptureFile::open(&path)).replace(&path.display().to_string(), &relative);
        let bytes = fs::read(&path).unwrap();
        let streamed = CaptureFile::from_reader(&*relative, Cursor::new(bytes), Limits::default());
        assert_eq!(opened, describe(&relative, streamed), "mapped and streamed differ");
        text += &opened;
    }
    let golden = testdata().join("reading.golden");
    if std::env::var_os("METAFLOW_BLESS").is_some() {
        fs::write(&golden, &text).unwrap();
    }
    assert_eq!(text, fs::read_to_string(golden).unwrap());
}

#[test]
fn every_prefix_of_every_file_gives_the_packets_before_the_cut() {
    for path in files() {
        let bytes = fs::read(&path).unwrap();
        let read = |cut: usize| {
            let file = CaptureFile::from_reader("cut", Cursor::new(bytes[..cut].to_vec()), Limits::default());
            file.map(|file| read_all(file).0).unwrap_or_default()
        };
        let readings: Vec<_> = (0..=bytes.len()).map(read).collect();
        let most = readings.iter().max_by_key(|packets| packets.len()).unwrap();
        for (cut, packets) in readings.iter().enumerate() {
            assert!(most.starts_with(packets), "{} cut at {cut}", path.display());
        }
    }
}

#[test]
fn what_the_writer_writes_comes_back() {
    let mut writer = PcapWriter::new(Vec::new(), LinkType::LinuxCooked2).unwrap();
    writer.write(1_700_000_000_123_456_789, b"frame", 1500).unwrap();
    writer.write(0, b"", 0).unwrap();
    let longest = vec![7; 256 << 10];
    writer.write(u64::from(u32::MAX) * 1_000_000_000, &longest, 1).unwrap();
    assert!(writer.write(0, &[0; (256 << 10) + 1], 0).is_err());
    assert!(writer.write((u64::from(u32::MAX) + 1) * 1_000_000_000, b"", 0).is_err());
    let file = CaptureFile::from_reader("written", Cursor::new(writer.into_inner()), Limits::default()).unwrap();
    let (packets, end) = read_all(file);
    let owned = |time_ns, captured: &[u8], original_len| Owned {
        time_ns,
        link: LinkType::LinuxCooked2,
        interface: 0,
        captured: captured.to_vec(),
        original_len,
    };
    let expected = [
        owned(1_700_000_000_123_456_789, b"frame", 1500),
        owned(0, b"", 0),
        owned(4_294_967_295_000_000_000, &longest, 256 << 10),
    ];
    assert_eq!((packets, end), (expected.to_vec(), String::new()));
}

#[test]
fn standard_input_may_be_a_file_that_was_read_from_before() {
    // Opening goes on where the descriptor stands, and does not map then.
    let bytes = fs::read(testdata().join("little-endian-microseconds.pcap")).unwrap();
    let mut file = tempfile::tempfile().unwrap();
    std::io::Write::write_all(&mut file, &[b"before".as_slice(), &bytes].concat()).unwrap();
    std::io::Seek::seek(&mut file, std::io::SeekFrom::Start(6)).unwrap();
    let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&file));
    // Through /proc the file is opened anew, at its start.
    assert!(matches!(CaptureFile::open(path), Err(OpenError::NotACapture { .. })));
    let reader = CaptureFile::from_reader("rest", file, Limits::default()).unwrap();
    assert_eq!(read_all(reader).0.len(), 2);
}

#[test]
fn a_mapped_file_that_becomes_shorter_ends_there() {
    let mut writer = PcapWriter::new(Vec::new(), LinkType::Ethernet).unwrap();
    for number in 0..5000 {
        writer.write(number, &[7; 1000], 1000).unwrap();
    }
    let path = tempfile::NamedTempFile::new().unwrap();
    fs::write(path.path(), writer.into_inner()).unwrap();
    let mut file = CaptureFile::open(path.path()).unwrap();
    let first = file.next_batch().unwrap().unwrap().len();
    assert!(first < 1000);
    path.as_file().set_len(24 + 2000 * 1016 + 500).unwrap();
    let (rest, end) = read_all(file);
    assert_eq!(first + rest.len(), 2000);
    let shown = path.path().display();
    assert_eq!(end, format!("{shown} is cut short: of the record at byte 2032024 there are 500 bytes"));
}

#[test]
fn a_mapped_page_that_cannot_be_brought_in_does_not_end_the_process() {
    // A file of holes on a full file system in memory: mapping a hole needs a page, of which there are none left, and
    // touching it ends the process; reading it gives zeros.
    let folder = tempfile::tempdir().unwrap();
    let place = CString::new(folder.path().as_os_str().as_bytes()).unwrap();
    let length = 3 << 20;
    let thread = thread::spawn(move || {
        // SAFETY: every pointer is to a string that ends with zero or null; only this thread changes its namespace.
        let mounted = unsafe {
            libc::unshare(libc::CLONE_NEWNS) == 0
                && libc::mount(null(), c"/".as_ptr(), null(), libc::MS_REC | libc::MS_PRIVATE, null()) == 0
                && libc::mount(c"full".as_ptr(), place.as_ptr(), c"tmpfs".as_ptr(), 0, c"size=1m".as_ptr().cast()) == 0
        };
        if !mounted {
            println!("skipped: cannot mount a file system: {}", std::io::Error::last_os_error());
            return;
        }
        let path = folder.path().join("holes.pcap");
        let header = PcapWriter::new(Vec::new(), LinkType::Ethernet).unwrap().into_inner();
        fs::write(&path, header).unwrap();
        fs::File::options().write(true).open(&path).unwrap().set_len(24 + length).unwrap();
        // Zeros are packets of no bytes.
        let (packets, end) = read_all(CaptureFile::open(&path).unwrap());
        assert_eq!((packets.len() as u64, end), (length / 16, String::new()));
    });
    thread.join().unwrap();
}

fn packets() -> impl Strategy<Value = Vec<Owned>> {
    let lengths = prop_oneof![200 => 0_usize..200, 20 => 200..3000_usize, 1 => 30_000..70_000_usize];
    let packet = (any::<u32>(), 0..1_000_000_000_u64, lengths, any::<u8>(), 0..2000_u32);
    proptest::collection::vec(packet, 0..400).prop_map(|packets| {
        let owned = |(seconds, fraction, length, fill, more)| Owned {
            time_ns: u64::from(seconds) * 1_000_000_000 + fraction,
            link: LinkType::Ethernet,
            interface: 0,
            captured: vec![fill; length],
            original_len: length as u32 + more,
        };
        packets.into_iter().map(owned).collect()
    })
}

fn variants() -> impl Strategy<Value = Variant> {
    let kind = proptest::sample::select(Kind::ALL.as_slice());
    let packing = proptest::sample::select(Packing::ALL.as_slice());
    (kind, any::<bool>(), packing).prop_map(|(kind, big_endian, packing)| Variant { kind, big_endian, packing })
}

/// Sizes of the pieces in which a pipe gives its bytes; not all of them tiny, or a large file takes for ever.
fn sizes() -> impl Strategy<Value = Vec<usize>> {
    (proptest::collection::vec(1..50_usize, 0..8), 1..300_000_usize).prop_map(|(mut sizes, large)| {
        sizes.push(large);
        sizes
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn a_written_file_reads_back_in_every_variant(packets in packets(), variant in variants(), sizes in sizes()) {
        let bytes = write(variant, &packets);
        let mut expected = packets;
        for packet in &mut expected {
            packet.time_ns = variant.kind.representable(packet.time_ns);
        }
        let path = tempfile::NamedTempFile::new().unwrap();
        fs::write(path.path(), &bytes).unwrap();
        let file = CaptureFile::open(path.path()).unwrap();
        prop_assert_eq!(file.progress().total, Some(bytes.len() as u64));
        let (read, end) = read_all(file);
        prop_assert!(read == expected && end.is_empty(), "mapped: {} of {}, {end}", read.len(), expected.len());
        let file = CaptureFile::from_reader("pieces", Pieces::new(bytes, &sizes), Limits::default()).unwrap();
        let (read, end) = read_all(file);
        prop_assert!(read == expected && end.is_empty(), "pieces: {} of {}, {end}", read.len(), expected.len());
    }

    #[test]
    fn progress_ends_at_the_whole(packets in packets(), variant in variants()) {
        let bytes = write(variant, &packets);
        let mut file = CaptureFile::from_reader("all", Cursor::new(bytes.clone()), Limits::default()).unwrap();
        let mut before = 0;
        while file.next_batch().unwrap().is_some() {
            let now = file.progress().read;
            prop_assert!(before <= now && now <= bytes.len() as u64);
            before = now;
        }
        prop_assert_eq!(file.progress().read, bytes.len() as u64);
    }
}
