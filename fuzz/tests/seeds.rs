//! Every target over its seeds and over mutations of them.
#![allow(clippy::expect_used, clippy::print_stdout, reason = "tests")]

use std::fs;
use std::path::Path;

use fuzz::{Mutator, PARSERS, TARGETS, Target, parser_seeds};

/// Mutations per target in every test run, and in a long one.
const QUICK: u64 = 100_000;
const FULL: u64 = 2_000_000;

fn seeds(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(target);
    let mut files: Vec<_> =
        fs::read_dir(&folder).expect("the target has seeds").map(|entry| entry.expect("readable").path()).collect();
    files.sort();
    files.iter().map(|file| fs::read(file).expect("readable")).collect()
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
        for target in TARGETS {
            scope.spawn(move || hold(target, &seeds(target.0), mutations));
        }
        // One after the other: together they are as much work as two of the others.
        scope.spawn(move || {
            for target in PARSERS {
                hold(target, &parser_seeds(target.0), mutations / 5);
            }
        });
    });
}
