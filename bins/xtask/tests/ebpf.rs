//! The programs for the kernel are checked in as an object: it has to be the one that the sources give.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::process::Command;

use xtask::ebpf::{Manifest, object_now, sources_now};

#[test]
fn the_checked_in_object_is_made_of_the_checked_in_sources() {
    let manifest = Manifest::read().unwrap();
    assert_eq!(sources_now().unwrap(), manifest.sources, "a source was edited since: run `cargo xtask ebpf`");
    assert_eq!(
        object_now().unwrap(),
        manifest.object,
        "the object was changed by something else: run `cargo xtask ebpf`"
    );
}

#[test]
fn building_it_again_gives_the_same_bytes() {
    if std::env::var("METAFLOW_FULL").as_deref() != Ok("1") {
        println!("skipped: building the kernel programs takes a minute and other tools (METAFLOW_FULL=1 asks for it)");
        return;
    }
    let status = Command::new(env!("CARGO_BIN_EXE_xtask")).args(["ebpf", "--check"]).status().unwrap();
    assert!(status.success());
}
