//! Files that are not what they should be.

use crate::frames::shop;
use crate::program::{file, run, run_with_input};

#[test]
fn a_last_packet_cut_short_is_a_warning() {
    let whole = shop().bytes();
    let ran = run_with_input(&["replay", "-"], &whole[..whole.len() - 5]);
    assert_eq!(ran.code, 0);
    assert!(ran.stderr.contains("warning") && ran.stderr.contains("cut short"), "{}", ran.stderr);
    let calls: Vec<_> = ran.records().into_iter().filter(|record| record["type"] == "call").collect();
    assert_eq!(calls.len(), 3);
    assert_eq!(
        calls.iter().filter(|call| call["kind"] == "request_only").count(),
        1,
        "the answer was in the last packet"
    );
}

#[test]
fn everything_before_a_damage_is_printed() {
    let folder = tempfile::tempdir().unwrap();
    let mut damaged = shop().bytes();
    let end = damaged.len();
    // A packet that says it has 2 GiB.
    damaged.extend([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x80, 0, 0, 0, 0x80]);
    damaged.extend([7; 1000]);
    let path = file(folder.path(), "damaged.pcap", &damaged);
    let ran = run(&["replay", &path]);
    assert_eq!((ran.code, ran.records().len()), (65, 6));
    assert_eq!(ran.stderr.lines().count(), 1, "{}", ran.stderr);
    assert!(ran.stderr.contains(&path) && ran.stderr.contains(&format!("byte {end}")), "{}", ran.stderr);

    let good = file(folder.path(), "good.pcap", &shop().bytes());
    let ran = run(&["replay", &path, &good]);
    assert_eq!((ran.code, ran.records().len()), (65, 12), "the other file is read all the same");
}

#[test]
fn what_is_no_capture_is_said_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let mut random = 1_u32;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (random >> 24) as u8
    })
    .take(5000)
    .collect();
    let path = |name, content: &[u8]| file(folder.path(), name, content);
    for (path, code, part) in [
        (path("empty.pcap", b""), 65, "is empty"),
        (path("noise.pcap", &noise), 65, "is no capture file"),
        (path("text\x1b[2J.pcap", b"hello, world, this is text"), 65, "(text)"),
        (path("short.pcap", &shop().bytes()[..10]), 65, "header"),
        (folder.path().join("none.pcap").to_str().unwrap().to_owned(), 2, "No such file"),
        (folder.path().to_str().unwrap().to_owned(), 2, "Is a directory"),
    ] {
        let ran = run(&["replay", &path]);
        assert_eq!((ran.code, ran.stdout.as_str()), (code, ""), "{path}: {}", ran.stderr);
        assert_eq!(ran.stderr.lines().count(), 1, "{}", ran.stderr);
        assert!(ran.stderr.contains(part) && !ran.stderr.contains('\x1b'), "{}", ran.stderr);
    }
}

#[test]
fn a_capture_cut_or_changed_anywhere_never_panics() {
    let whole = shop().bytes();
    for at in (0..whole.len()).step_by(97) {
        let cut = run_with_input(&["replay", "-"], &whole[..at]);
        assert!(matches!(cut.code, 0 | 1 | 65), "cut at {at}: {} {}", cut.code, cut.stderr);
        let mut changed = whole.clone();
        changed[at] ^= 0x80;
        let changed = run_with_input(&["replay", "-", "-o", "table"], &changed);
        assert!(matches!(changed.code, 0 | 1 | 65), "changed at {at}: {} {}", changed.code, changed.stderr);
    }
}
