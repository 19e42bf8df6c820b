//! Every target over its seeds and over mutations of them.
#![allow(clippy::expect_used, clippy::print_stdout, reason = "tests")]

use std::fs;
use std::path::Path;

use fuzz::{Mutator, PARSERS, TARGETS, Target, made_seeds};

/// Mutations per target in every test run, and in a long one.
const QUICK: u64 = 40_000;
const FULL: u64 = 2_000_000;
/// Bytes of stack: little, so that recursion without a bound is found by inputs of some hundred bytes.
const STACK: usize = 256 << 10;

/// Those made of test data, and those that runs have found.
fn seeds(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(target);
    let entries = fs::read_dir(&folder).into_iter().flatten();
    let mut files: Vec<_> = entries.map(|entry| entry.expect("readable").path()).collect();
    files.sort();
    made_seeds(target).into_iter().chain(files.iter().map(|file| fs::read(file).expect("readable"))).collect()
}

/// Runs a target on its seeds and on so many mutations of them.
fn hold((name, target): &Target, seeds: &[Vec<u8>], mutations: u64) {
    assert!(!seeds.is_empty(), "{name} has no seeds");
    seeds.iter().for_each(|seed| target(seed));
    let mut mutator = Mutator::new(0x9e37_79b9_7f4a_7c15);
    for number in 0..mutations {
        let seed = &seeds[number as usize % seeds.len()];
        let other = &seeds[mutator.number() as usize % seeds.len()];
        let input = mutator.mutate(seed, other);
        if let Err(panic) = std::panic::catch_unwind(|| target(&input)) {
            println!("{name} fails on {}", input.escape_ascii());
            std::panic::resume_unwind(panic);
        }
    }
}

#[test]
fn every_target_holds_on_its_seeds_and_their_mutations() {
    let full = std::env::var("METAFLOW_FULL").is_ok_and(|value| value == "1");
    let mutations = if full { FULL } else { QUICK };
    std::thread::scope(|scope| {
        let start = |task: Box<dyn FnOnce() + Send>| {
            std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, task).expect("room for a thread");
        };
        for target in TARGETS {
            // Each of its inputs is long.
            let mutations = if target.0 == "work" { mutations / 1_000 } else { mutations };
            start(Box::new(move || hold(target, &seeds(target.0), mutations)));
        }
        // One after the other: together they are as much work as two of the others.
        start(Box::new(move || {
            for target in PARSERS {
                hold(target, &seeds(target.0), mutations / 20);
            }
        }));
    });
}
