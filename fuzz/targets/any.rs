//! Any target under libFuzzer: the one that `METAFLOW_FUZZ` names. One program, since each takes minutes to link.
#![no_main]

use std::sync::LazyLock;

/// The function that is meant.
static TARGET: LazyLock<fn(&[u8])> = LazyLock::new(|| {
    let name = std::env::var("METAFLOW_FUZZ").unwrap_or_default();
    let known = fuzz::TARGETS.iter().chain(fuzz::PARSERS).find(|(known, _)| *known == name);
    known.unwrap_or_else(|| panic!("METAFLOW_FUZZ={name} names no target")).1
});

libfuzzer_sys::fuzz_target!(|data: &[u8]| TARGET(data));
