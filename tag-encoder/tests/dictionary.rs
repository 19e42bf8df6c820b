//! The dictionary as its users see it.
#![allow(clippy::unwrap_used, reason = "tests end by it")]

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use tag_encoder::{
    Additions, ApplyError, Block, Dictionary, LOG_HEADER, Limits, LogError, LogReader, NameId, SharedDictionary,
    Writers, encode_block,
};

fn block(domain: &str, first_id: u32, names: &[&str]) -> Block {
    Block { domain: domain.into(), first_id, names: names.iter().map(|&name| name.into()).collect() }
}

fn log_of(blocks: &[Block]) -> Vec<u8> {
    let mut log = LOG_HEADER.to_vec();
    for block in blocks {
        encode_block(block, &mut log).unwrap();
    }
    log
}

#[test]
fn a_name_keeps_its_number_and_domains_count_apart() {
    let mut dictionary = Dictionary::default();
    assert_eq!(dictionary.intern("endpoint", "/cart"), NameId(1));
    assert_eq!(dictionary.intern("endpoint", "/pay"), NameId(2));
    assert_eq!(dictionary.intern("protocol", "/pay"), NameId(1));
    assert_eq!(dictionary.intern("endpoint", "/cart"), NameId(1));
    assert_eq!(dictionary.name("endpoint", NameId(2)), Some("/pay"));
    assert_eq!(dictionary.name("endpoint", NameId(3)), None);
    assert_eq!(dictionary.name("endpoint", NameId::OVERFLOW), None);
    assert_eq!(dictionary.find("endpoint", "/nowhere"), None);
    assert_eq!(dictionary.find("nowhere", "/pay"), None);
}

#[test]
fn planning_changes_nothing_and_repeats_count_once() {
    let mut dictionary = Dictionary::default();
    dictionary.intern("endpoint", "/old");
    let wanted = [("endpoint", "/a"), ("endpoint", "/old"), ("endpoint", "/a"), ("host", "h"), ("endpoint", "/b")];
    let additions = dictionary.plan(wanted);
    assert_eq!(additions.blocks, [block("endpoint", 2, &["/a", "/b"]), block("host", 1, &["h"])]);
    assert_eq!(dictionary.find("endpoint", "/a"), None);
    dictionary.apply(&additions).unwrap();
    dictionary.apply(&additions).unwrap();
    assert_eq!(dictionary.find("endpoint", "/b"), Some(NameId(3)));
    assert_eq!(dictionary.stats().names, 4);
    assert!(dictionary.plan(wanted).is_empty());
}

#[test]
fn each_limit_leads_to_overflow_and_is_counted() {
    let limits = Limits::default().with_domains(2).with_names_per_domain(2).with_name_bytes(4).with_total_bytes(9);
    let mut dictionary = Dictionary::new(limits);
    assert_eq!(dictionary.intern("a", "toolong"), NameId::OVERFLOW);
    assert_eq!(dictionary.stats().overflowed, 1);
    assert_eq!(dictionary.intern("a", "1"), NameId(1));
    assert_eq!(dictionary.intern("a", "2"), NameId(2));
    assert_eq!(dictionary.intern("a", "3"), NameId::OVERFLOW);
    assert_eq!(dictionary.stats().overflowed, 2);
    assert_eq!(dictionary.intern("b", "1234"), NameId(1));
    assert_eq!(dictionary.intern("c", "1"), NameId::OVERFLOW);
    assert_eq!(dictionary.stats().overflowed, 3);
    assert_eq!(dictionary.intern("b", "5678"), NameId::OVERFLOW, "the sum of all bytes would be 10");
    assert_eq!(dictionary.intern("b", "567"), NameId(2));
    assert_eq!(dictionary.intern("b", "567"), NameId(2));
    let stats = dictionary.stats();
    assert_eq!((stats.domains, stats.names, stats.bytes, stats.overflowed), (2, 4, 9, 4));
}

#[test]
fn a_block_that_does_not_continue_is_refused() {
    let mut dictionary = Dictionary::default();
    dictionary.apply_block(&block("d", 1, &["a", "b"])).unwrap();
    let gap = ApplyError::Gap { domain: "d".into(), expected: 3, found: 4 };
    assert_eq!(dictionary.apply_block(&block("d", 4, &["x"])), Err(gap));
    let conflict = |id| ApplyError::Conflict { domain: "d".into(), id };
    assert_eq!(dictionary.apply_block(&block("d", 2, &["c"])), Err(conflict(2)), "the id has another name");
    assert_eq!(dictionary.apply_block(&block("d", 3, &["a"])), Err(conflict(3)), "the name has another id");
    assert!(dictionary.apply_block(&block("d", 0, &["z"])).is_err(), "0 stands for overflow");
    dictionary.apply_block(&block("d", 2, &["b", "c"])).unwrap();
    assert_eq!(dictionary.name("d", NameId(3)), Some("c"));
}

#[test]
fn a_snapshot_keeps_what_it_saw() {
    let shared = SharedDictionary::default();
    shared.apply(&shared.plan([("d", "a")])).unwrap();
    let before = shared.snapshot();
    assert!(Arc::ptr_eq(&before, &shared.snapshot()));
    shared.apply(&shared.plan([("d", "b")])).unwrap();
    assert_eq!(before.domain("d").unwrap().len(), 1);
    let after = shared.snapshot();
    let names: Vec<_> = after.domain("d").unwrap().iter().collect();
    assert_eq!(names, [(NameId(1), "a"), (NameId(2), "b")]);
}

#[test]
fn one_name_has_a_key_per_writer() {
    let first = Arc::new(SharedDictionary::default());
    let second = Arc::new(SharedDictionary::default());
    first.apply(&first.plan([("d", "x"), ("d", "y")])).unwrap();
    second.apply(&second.plan([("d", "y")])).unwrap();
    let writers = Writers::new([(1, first), (7, second)]);
    assert_eq!(writers.find("d", "y"), [(1, NameId(2)), (7, NameId(1))]);
    assert_eq!(writers.find("d", "x"), [(1, NameId(1))]);
    assert_eq!(writers.find("d", "z"), []);
    let snapshot = writers.snapshot();
    assert_eq!(snapshot.writer(7).unwrap().domain("d").unwrap().name(NameId(1)), Some("y"));
}

#[test]
fn threads_that_read_while_names_are_added_see_whole_names() {
    let shared = Arc::new(SharedDictionary::default());
    std::thread::scope(|scope| {
        let writer = Arc::clone(&shared);
        scope.spawn(move || {
            for number in 0..5000 {
                let name = format!("name-{number}");
                writer.apply(&writer.plan([("d", name.as_str())])).unwrap();
            }
        });
        scope.spawn(|| {
            loop {
                let snapshot = shared.snapshot();
                let Some(domain) = snapshot.domain("d") else { continue };
                for (id, name) in domain.iter() {
                    assert_eq!(name, format!("name-{}", id.0 - 1));
                }
                if domain.len() == 5000 {
                    break;
                }
            }
        });
    });
}

/// Why: logs written by version 1 must be read for ever.
#[test]
fn the_log_of_version_1_is_read_and_written_as_ever() {
    let blocks = [
        block("endpoint", 1, &["/cart", "/pay/{id}"]),
        block("protocol", 1, &["http1"]),
        block("endpoint", 3, &["", "ü"]),
    ];
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/v1/names.log");
    if std::env::var_os("METAFLOW_BLESS").is_some() {
        std::fs::write(golden, log_of(&blocks)).unwrap();
    }
    let bytes = std::fs::read(golden).unwrap();
    assert_eq!(bytes, log_of(&blocks));
    let read: Vec<_> = LogReader::new(&bytes).unwrap().map(Result::unwrap).collect();
    assert_eq!(read, blocks);
}

#[test]
fn a_log_cut_anywhere_gives_the_whole_frames_before_the_cut() {
    let blocks = [block("a", 1, &["one", "two"]), block("b", 1, &["three"])];
    let log = log_of(&blocks);
    let ends = [LOG_HEADER.len(), log_of(&blocks[..1]).len(), log.len()];
    for cut in 0..log.len() {
        let Ok(reader) = LogReader::new(&log[..cut]) else {
            assert!(cut < LOG_HEADER.len());
            continue;
        };
        let results: Vec<_> = reader.collect();
        let whole = results.iter().filter(|result| result.is_ok()).count();
        assert_eq!(whole, ends.iter().filter(|end| **end <= cut).count() - 1);
        if !ends.contains(&cut) {
            assert_eq!(results.last(), Some(&Err(LogError::CutShort { offset: ends[whole] })));
        }
    }
}

fn names() -> impl Strategy<Value = Vec<(u8, String)>> {
    prop::collection::vec((0u8..3, "[a-c]{0,3}"), 0..200)
}

proptest! {
    #[test]
    fn ids_are_dense_unique_and_come_back_as_their_names(names in names(), cut in 0usize..200) {
        let domain = |number: &u8| ["x", "y", "z"][usize::from(*number)];
        let mut dictionary = Dictionary::default();
        let mut written = Vec::new();
        // In two batches, as a server would.
        let (head, tail) = names.split_at(cut.min(names.len()));
        for batch in [head, tail] {
            let additions = dictionary.plan(batch.iter().map(|(number, name)| (domain(number), name.as_str())));
            written.extend(additions.blocks.clone());
            dictionary.apply(&additions).unwrap();
        }
        let mut seen: BTreeMap<&str, BTreeMap<u32, &str>> = BTreeMap::new();
        for (number, name) in &names {
            let id = dictionary.find(domain(number), name).unwrap();
            prop_assert_eq!(dictionary.name(domain(number), id), Some(name.as_str()));
            let before = seen.entry(domain(number)).or_default().insert(id.0, name);
            prop_assert!(before.is_none_or(|before| before == name));
        }
        for ids in seen.values() {
            prop_assert_eq!(ids.keys().copied().collect::<Vec<_>>(), (1..=ids.len() as u32).collect::<Vec<_>>());
        }
        // The log gives the same dictionary again.
        let mut again = Dictionary::default();
        for block in LogReader::new(&log_of(&written)).unwrap() {
            again.apply_block(&block.unwrap()).unwrap();
        }
        prop_assert_eq!(again.stats(), dictionary.stats());
        for (number, name) in &names {
            prop_assert_eq!(again.find(domain(number), name), dictionary.find(domain(number), name));
        }
    }

    #[test]
    fn no_bytes_make_the_reader_panic_or_ask_for_much_memory(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut log = LOG_HEADER.to_vec();
        log.extend(bytes);
        for block in LogReader::new(&log).unwrap() {
            let _ = Dictionary::default().apply(&Additions { blocks: block.into_iter().collect(), overflowed: 0 });
        }
    }

    #[test]
    fn a_changed_byte_is_noticed(at in 0usize..60, value in any::<u8>()) {
        let blocks = [block("endpoint", 1, &["/cart", "/pay"]), block("b", 1, &["three"])];
        let mut log = log_of(&blocks);
        let at = LOG_HEADER.len() + at % (log.len() - LOG_HEADER.len());
        prop_assume!(log[at] != value);
        log[at] = value;
        let results: Vec<_> = LogReader::new(&log).unwrap().collect();
        prop_assert!(results.iter().any(Result::is_err));
    }
}
