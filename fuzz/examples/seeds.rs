//! Writes the seeds that are made of test data as files: `cargo run -p fuzz --example seeds -- FOLDER`.
#![allow(clippy::unwrap_used, reason = "a tool of developers")]

use std::fs;
use std::path::PathBuf;

fn main() {
    let folder = PathBuf::from(std::env::args().nth(1).unwrap());
    for (name, _) in fuzz::TARGETS.iter().chain(fuzz::PARSERS) {
        fs::create_dir_all(folder.join(name)).unwrap();
        for (number, seed) in fuzz::made_seeds(name).iter().enumerate() {
            fs::write(folder.join(name).join(format!("seed-{number}")), seed).unwrap();
        }
    }
}
