//! Holds the invariants of ARCHITECTURE.md that a machine can hold.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand};

/// Who may depend on whom. A crate that is not listed here does not belong into the workspace.
const ARROWS: &[(&str, &[&str])] = &[
    ("protocol-parsers", &[]),
    ("metaflow-plugin-sdk", &[]),
    ("metaflow-ebpf-common", &[]),
    ("metaflow-packet-capture", &[]),
    ("tag-encoder", &[]),
    ("metaflow-storage-api", &[]),
    ("metaflow-trace-assembly", &[]),
    ("flow-core", &["protocol-parsers"]),
    ("metaflow-plugin-host", &["protocol-parsers", "metaflow-plugin-sdk"]),
    ("ebpf-tracer", &["flow-core", "protocol-parsers", "metaflow-ebpf-common"]),
    ("metaflow-discovery", &["tag-encoder"]),
    ("metaflow-storage-embedded", &["metaflow-storage-api"]),
    ("metaflow-storage-clickhouse", &["metaflow-storage-api"]),
    ("metaflow-query", &["metaflow-storage-api", "tag-encoder", "metaflow-trace-assembly"]),
    ("metaflow-protocol", &["flow-core", "metaflow-storage-api"]),
    (
        "metaflow-agent",
        &[
            "flow-core",
            "metaflow-packet-capture",
            "protocol-parsers",
            "metaflow-plugin-host",
            "ebpf-tracer",
            "metaflow-discovery",
            "tag-encoder",
            "metaflow-trace-assembly",
            "metaflow-storage-api",
            "metaflow-protocol",
        ],
    ),
    (
        "metaflow-server",
        &[
            "metaflow-protocol",
            "metaflow-storage-api",
            "metaflow-storage-embedded",
            "metaflow-storage-clickhouse",
            "metaflow-query",
            "metaflow-trace-assembly",
            "metaflow-discovery",
            "tag-encoder",
        ],
    ),
];
/// Unpublished crates, free in what they use of ours.
const FREE: &[&str] = &["xtask", "benches", "fuzz"];
/// May contain `unsafe`.
const UNSAFE: &[&str] = &["metaflow-packet-capture", "ebpf-tracer", "metaflow-ebpf-common", "metaflow-plugin-host"];
/// May read a clock: programs, and what asks the kernel about what is observed.
const CLOCKS: &[&str] =
    &["metaflow-packet-capture", "ebpf-tracer", "metaflow-discovery", "metaflow-agent", "metaflow-server", "xtask"];
/// Crates that never touch these, however indirectly.
const FORBIDDEN: &[(&str, &[&str])] = &[
    ("metaflow-agent", &["datafusion", "parquet"]),
    ("flow-core", &["tokio", "arrow-array", "libc"]),
    ("protocol-parsers", &["tokio", "arrow-array", "libc", "std"]),
    ("metaflow-storage-api", &["datafusion", "parquet"]),
    ("metaflow-storage-clickhouse", &["datafusion", "parquet"]),
    ("metaflow-protocol", &["datafusion", "parquet"]),
];
/// Runtime dependencies of the parsers: others embed them, so the list is short and closed.
const PARSER_DEPENDENCIES: &[&str] = &["memchr", "httparse", "bytes", "thiserror"];
const LONGEST_FILE: usize = 500;

fn metadata() -> Metadata {
    MetadataCommand::new()
        .manifest_path(root().join("Cargo.toml"))
        .other_options(["--locked".to_owned()])
        .exec()
        .unwrap()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// Every member with its folder and the names it depends on at run time.
fn members(metadata: &Metadata) -> BTreeMap<String, (PathBuf, BTreeSet<String>)> {
    metadata
        .workspace_packages()
        .into_iter()
        .map(|package| {
            let dependencies = package
                .dependencies
                .iter()
                .filter(|dependency| dependency.kind == DependencyKind::Normal)
                .map(|dependency| dependency.name.clone())
                .collect();
            let folder = package.manifest_path.parent().unwrap().as_std_path().to_owned();
            (package.name.to_string(), (folder, dependencies))
        })
        .collect()
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(place) = open.pop() {
        for entry in fs::read_dir(&place).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.is_dir() {
                open.push(entry);
            } else if entry.extension().is_some_and(|extension| extension == "rs") {
                found.push(entry);
            }
        }
    }
    found
}

/// The lines of a source file before its tests, without comments.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .take_while(|(_, line)| !line.trim_start().starts_with("#[cfg(test)]"))
        .map(|(number, line)| (number + 1, line.split("//").next().unwrap_or("")))
}

#[test]
fn arrows_are_those_of_the_plan() {
    let metadata = metadata();
    let members = members(&metadata);
    for (name, (_, dependencies)) in &members {
        if FREE.contains(&name.as_str()) {
            continue;
        }
        let (_, allowed) = ARROWS
            .iter()
            .find(|(crate_name, _)| crate_name == name)
            .unwrap_or_else(|| panic!("{name} has no place in the plan"));
        for dependency in dependencies.iter().filter(|dependency| members.contains_key(*dependency)) {
            assert!(allowed.contains(&dependency.as_str()), "{name} → {dependency} is no arrow of the plan");
        }
    }
}

#[test]
fn light_crates_stay_light() {
    for (name, forbidden) in FORBIDDEN {
        // Asked for each crate alone: in the workspace as a whole, others switch on features of what it depends on.
        let tree = Command::new(env!("CARGO"))
            .args([
                "tree",
                "--locked",
                "--offline",
                "--edges",
                "normal",
                "--prefix",
                "none",
                "--format",
                "{p}",
                "--package",
                name,
            ])
            .current_dir(root())
            .output()
            .unwrap();
        assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
        let tree = String::from_utf8(tree.stdout).unwrap();
        let reached: BTreeSet<_> = tree.lines().filter_map(|line| line.split(' ').next()).collect();
        assert!(reached.contains(name), "{tree}");
        for other in *forbidden {
            assert!(!reached.contains(other), "{name} reaches {other}");
        }
    }
    let metadata = metadata();
    let (_, dependencies) = &members(&metadata)["protocol-parsers"];
    for dependency in dependencies {
        assert!(PARSER_DEPENDENCIES.contains(&dependency.as_str()), "protocol-parsers → {dependency}");
    }
}

#[test]
fn no_dependency_comes_from_git() {
    for package in metadata().packages {
        if let Some(source) = package.source {
            assert!(source.is_crates_io(), "{} comes from {source}", package.name);
        }
    }
}

#[test]
fn every_crate_has_its_papers() {
    for package in metadata().workspace_packages() {
        let folder = package.manifest_path.parent().unwrap();
        if package.publish.as_ref().is_some_and(Vec::is_empty) {
            continue;
        }
        for paper in ["README.md", "CHANGELOG.md"] {
            assert!(folder.join(paper).exists(), "{} has no {paper}", package.name);
        }
        assert!(package.description.is_some(), "{} has no description", package.name);
        assert_eq!(package.license.as_deref(), Some("MIT OR Apache-2.0"), "{}", package.name);
        let lib = fs::read_to_string(folder.join("src/lib.rs")).unwrap();
        assert!(
            lib.contains("include_str!(\"../README.md\")"),
            "the README of {} is not its documentation",
            package.name
        );
    }
}

#[test]
fn unsafe_stays_where_the_kernel_is() {
    for (name, (folder, _)) in members(&metadata()) {
        if UNSAFE.contains(&name.as_str()) || name == "fuzz" || name == "benches" {
            continue;
        }
        if name == "flow-core" {
            for file in sources(&folder.join("src")).into_iter().filter(|file| !file.ends_with("memory.rs")) {
                assert!(!fs::read_to_string(&file).unwrap().contains("unsafe {"), "{} has unsafe code", file.display());
            }
            continue;
        }
        let entry =
            ["src/lib.rs", "src/main.rs"].into_iter().map(|file| folder.join(file)).find(|file| file.exists()).unwrap();
        assert!(
            fs::read_to_string(entry).unwrap().contains("#![forbid(unsafe_code)]"),
            "{name} does not forbid unsafe code"
        );
    }
}

#[test]
fn libraries_read_no_clock_and_do_not_panic() {
    let clocks = ["Instant::now", "SystemTime::now"];
    let panics = [".unwrap()", "todo!(", "unimplemented!(", "panic!(", "dbg!("];
    for (name, (folder, _)) in members(&metadata()) {
        if FREE.contains(&name.as_str()) {
            continue;
        }
        for file in sources(&folder.join("src")) {
            let text = fs::read_to_string(&file).unwrap();
            for (number, line) in code(&text) {
                if !CLOCKS.contains(&name.as_str()) {
                    assert!(
                        !clocks.iter().any(|word| line.contains(word)),
                        "{}:{number} reads a clock",
                        file.display()
                    );
                }
                let allowed = line.contains("assert") || line.trim_start().starts_with("reason");
                assert!(
                    allowed || !panics.iter().any(|word| line.contains(word)),
                    "{}:{number} can panic: {}",
                    file.display(),
                    line.trim()
                );
            }
        }
    }
}

#[test]
fn files_are_short_and_lib_rs_is_a_table_of_contents() {
    for (_, (folder, _)) in members(&metadata()) {
        for file in sources(&folder) {
            if file
                .components()
                .any(|part| ["tests", "target", "generated"].iter().any(|name| part.as_os_str() == *name))
            {
                continue;
            }
            let text = fs::read_to_string(&file).unwrap();
            let length = text.lines().take_while(|line| !line.trim_start().starts_with("#[cfg(test)]")).count();
            assert!(
                length <= LONGEST_FILE,
                "{} has {length} lines: does one line still say what it is for?",
                file.display()
            );
            if file.ends_with("src/lib.rs") && !folder.starts_with(root().join("bins")) {
                assert!(length <= 120, "{} is no table of contents", file.display());
            }
        }
    }
}
