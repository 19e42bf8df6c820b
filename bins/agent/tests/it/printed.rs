//! What is printed, in every format.

use std::path::PathBuf;

use crate::frames::{Capture, shop};
use crate::program::{Ran, file, run, run_with_input};

/// Compares with a golden file, whose first line says why it exists.
pub(crate) fn golden(name: &str, why: &str, actual: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    let whole = format!("# why: {why}\n{actual}");
    if std::env::var_os("METAFLOW_BLESS").is_some() {
        std::fs::write(&path, &whole).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap();
    for (number, (kept, now)) in kept.lines().zip(whole.lines()).enumerate() {
        assert_eq!(now, kept, "{name}, line {}", number + 1);
    }
    assert_eq!(whole.lines().count(), kept.lines().count(), "lines of {name}");
}

fn replay(arguments: &[&str]) -> Ran {
    let folder = tempfile::tempdir().unwrap();
    let capture = file(folder.path(), "shop.pcap", &shop().bytes());
    let ran = run(&[&["replay", &capture], arguments].concat());
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    ran
}

#[test]
fn json_lines_have_these_names_and_meanings() {
    let printed = replay(&[]).stdout;
    golden("shop.jsonl", "programs depend on the names and meanings of these fields", &printed);
    assert_eq!(printed, replay(&["-o", "jsonl", "--kind", "all"]).stdout, "what is printed to a pipe");
}

#[test]
fn csv_has_the_same_columns_as_json() {
    let printed = replay(&["-o", "csv"]).stdout;
    golden("shop.csv", "programs depend on the names of these columns", &printed.replace("\r\n", "\n"));
    let mut reader = csv::Reader::from_reader(printed.as_bytes());
    let headers = reader.headers().unwrap().clone();
    let rows: Vec<_> = reader.records().map(Result::unwrap).collect();
    let records = replay(&[]).records();
    assert_eq!(rows.len(), records.len());
    for (row, record) in rows.iter().zip(&records) {
        for (name, value) in record.as_object().unwrap() {
            let place = headers.iter().position(|header| header == name).unwrap();
            let expected = match value {
                serde_json::Value::Null => String::new(),
                serde_json::Value::String(text) => text.clone(),
                serde_json::Value::Array(list) if list.is_empty() => String::new(),
                other => other.to_string(),
            };
            if name != "attributes" {
                assert_eq!(&row[place], expected, "{name}");
            }
        }
    }
    for kind in ["calls", "flows"] {
        let printed = replay(&["-o", "csv", "--kind", kind]).stdout;
        let record = replay(&["--kind", kind]).records().swap_remove(0);
        let names: Vec<_> = record.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(printed.lines().next().unwrap(), names.join(","));
        assert_eq!(printed.lines().count(), 4);
    }
}

#[test]
fn a_table_is_for_the_eye() {
    let printed = replay(&["-o", "table"]).stdout;
    golden("shop.txt", "people read it", &printed);
    let kinds = |kind| replay(&["--kind", kind]).records().len();
    assert_eq!((kinds("calls"), kinds("flows"), kinds("events"), kinds("all")), (3, 3, 0, 6));
}

#[test]
fn nothing_printed_steers_a_terminal() {
    for format in ["table", "jsonl", "csv"] {
        let printed = replay(&["-o", format, "--no-redact"]).stdout;
        let lines = printed.replace("\r\n", "\n");
        let unseen = |character: char| character.is_control() || character == '\u{202e}';
        assert!(!lines.chars().any(|character| character != '\n' && unseen(character)), "{format}: {lines:?}");
    }
}

#[test]
fn secrets_are_left_out_unless_asked_for() {
    assert!(!replay(&[]).stdout.contains("hunter2"));
    assert!(replay(&["--no-redact"]).stdout.contains("SET k1 hunter2"));
}

#[test]
fn standard_input_is_a_file_too() {
    let ran = run_with_input(&["replay", "-", "--kind", "calls"], &shop().bytes());
    assert_eq!((ran.code, ran.records().len()), (0, 3));
    assert_eq!(ran.records()[0]["capture"], "-");
}

#[test]
fn records_of_several_files_have_different_numbers() {
    let folder = tempfile::tempdir().unwrap();
    let capture = file(folder.path(), "shop.pcap", &shop().bytes());
    let records = run(&["replay", &capture, &capture]).records();
    let mut ids: Vec<_> =
        records.iter().filter(|record| record["type"] == "call").map(|record| &record["id"]).collect();
    ids.sort_by_key(ToString::to_string);
    ids.dedup();
    assert_eq!((records.len(), ids.len()), (12, 6));
}

#[test]
fn a_capture_without_conversations_says_so() {
    let mut capture = Capture::new();
    // An ARP request.
    capture.frame(&[&[0xff; 6][..], &[2, 0, 0, 0, 0, 1, 8, 6], &[0; 28]].concat());
    let ran = run_with_input(&["replay", "-"], &capture.bytes());
    assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.lines().count()), (1, "", 1));
    assert!(ran.stderr.contains("nothing found"), "{}", ran.stderr);
}

#[test]
fn a_reader_that_has_enough_ends_it_quietly() {
    use std::io::Read;
    use std::process::{Command, Stdio};
    let folder = tempfile::tempdir().unwrap();
    let mut many = Capture::new();
    for port in 10_000..14_000 {
        many = many.tcp(&format!("10.0.0.1:{port}"), "10.0.0.2:80", &[]);
    }
    let capture = file(folder.path(), "many.pcap", &many.bytes());
    let mut child = Command::new(crate::program::PROGRAM)
        .args(["replay", &capture])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdout.take().unwrap().read_exact(&mut [0; 100]).unwrap();
    let ended = child.wait_with_output().unwrap();
    assert_eq!((ended.status.code(), String::from_utf8_lossy(&ended.stderr).as_ref()), (Some(0), ""));
}
