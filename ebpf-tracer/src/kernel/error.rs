//! Why the programs cannot be loaded, and what helps.

use std::{fs, io};

use aya::EbpfError;
use aya::programs::ProgramError;

use super::BtfError;

/// The kernel refused to read or change a map.
#[derive(Debug, thiserror::Error)]
#[error("the kernel refused to change what the programs are told, or to tell what they counted: {0}")]
pub struct MapError(#[source] pub(super) aya::maps::MapError);

/// The programs are not in the kernel.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The kernel does not describe its structures.
    #[error(transparent)]
    Btf(#[from] BtfError),
    /// They are described, but cannot be used.
    #[error("the kernel's description of its structures cannot be used: {0}")]
    Types(#[source] aya::BtfError),
    /// The process may not do this.
    #[error("the kernel does not permit it ({doing}): {advice}")]
    Permission {
        /// What was refused.
        doing: &'static str,
        /// What is missing.
        advice: String,
    },
    /// The kernel cannot do what the programs ask for.
    #[error("the kernel refuses program {program}; it takes Linux 5.17 or newer: {source}")]
    Program {
        /// Its name.
        program: &'static str,
        /// What the kernel says.
        source: Box<ProgramError>,
    },
    /// The maps could not be made.
    #[error("the kernel refuses what the programs share with their reader: {0}")]
    Maps(#[source] Box<EbpfError>),
    /// The object of the programs is not the one that belongs to this version.
    #[error("the object of the programs has no {missing}")]
    Object {
        /// A program or a map.
        missing: &'static str,
    },
    /// There is nothing to wait with.
    #[error("cannot wait for events: {0}")]
    Poll(#[source] rustix::io::Errno),
}

pub(super) fn object(error: EbpfError) -> LoadError {
    if denied(&error) {
        return LoadError::Permission { doing: "creating a map", advice: advice() };
    }
    LoadError::Maps(Box::new(error))
}

pub(super) fn map(error: aya::maps::MapError) -> LoadError {
    object(error.into())
}

pub(super) fn program(program: &'static str, source: ProgramError) -> LoadError {
    if denied(&source) {
        return LoadError::Permission { doing: "loading a program", advice: advice() };
    }
    LoadError::Program { program, source: Box::new(source) }
}

/// Whether a missing permission is at the bottom of it.
fn denied(error: &(dyn std::error::Error + 'static)) -> bool {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes
        .filter_map(|error| error.downcast_ref::<io::Error>())
        .any(|error| error.kind() == io::ErrorKind::PermissionDenied)
}

/// What is missing to be permitted.
fn advice() -> String {
    /// Places of the bits (`linux/capability.h`).
    const NEEDED: [(&str, u32); 2] = [("CAP_BPF", 39), ("CAP_PERFMON", 38)];
    const CAP_SYS_ADMIN: u32 = 21;
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok())
        .unwrap_or(0);
    let has = |bit: u32| effective >> bit & 1 == 1;
    let missing: Vec<_> = NEEDED.iter().filter(|(_, bit)| !has(*bit)).map(|(name, _)| *name).collect();
    if !missing.is_empty() && !has(CAP_SYS_ADMIN) {
        return format!(
            "{} missing; run as root, or give the program: setcap cap_bpf,cap_perfmon+ep PROGRAM",
            missing.join(" and ")
        );
    }
    let lockdown = fs::read_to_string("/sys/kernel/security/lockdown").unwrap_or_default();
    if lockdown.contains("[confidentiality]") {
        return "the kernel is locked down (confidentiality); start it with lockdown=integrity or none".to_owned();
    }
    "the capabilities are there, so something else forbids it: a container's seccomp profile, a security module, or a kernel without CONFIG_BPF_EVENTS"
        .to_owned()
}
