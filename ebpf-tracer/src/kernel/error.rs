//! Why the programs cannot be loaded, and what helps.

use std::{fs, io};

use aya::EbpfError;
use aya::programs::ProgramError;

use super::BtfError;
use crate::probe::Rights;

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
    /// The kernel cannot show what goes through sockets.
    #[error(
        "the kernel cannot show what goes through sockets: it has no {missing}; it takes Linux 6.5, or looking at system calls"
    )]
    Hooks {
        /// A tracepoint or function.
        missing: &'static str,
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
    /// Control groups of version 2 are not mounted.
    #[error("there is no folder of control groups (version 2): {0}")]
    Groups(#[source] io::Error),
    /// There is nothing to wait with.
    #[error("cannot wait for events: {0}")]
    Poll(#[source] rustix::io::Errno),
}

/// What loading takes. CAP_SYS_ADMIN stands for both.
const LOADING: &[&str] = &["CAP_BPF", "CAP_PERFMON"];

pub(super) fn object(error: EbpfError) -> LoadError {
    if denied(&error) { permission("creating a map", LOADING) } else { LoadError::Maps(Box::new(error)) }
}

pub(super) fn map(error: aya::maps::MapError) -> LoadError {
    object(error.into())
}

pub(super) fn program(program: &'static str, source: ProgramError) -> LoadError {
    program_with(LOADING, program, source)
}

/// A program that takes these capabilities.
pub(super) fn program_with(needed: &[&str], program: &'static str, source: ProgramError) -> LoadError {
    if denied(&source) {
        return permission("loading a program", needed);
    }
    LoadError::Program { program, source: Box::new(source) }
}

/// Whether a missing permission is at the bottom of it.
pub(super) fn denied(error: &(dyn std::error::Error + 'static)) -> bool {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes
        .filter_map(|error| error.downcast_ref::<io::Error>())
        .any(|error| error.kind() == io::ErrorKind::PermissionDenied)
}

fn permission(doing: &'static str, needed: &[&str]) -> LoadError {
    let rights = Rights::of_this_process();
    let missing: Vec<_> = needed.iter().copied().filter(|name| !rights.has(name)).collect();
    let lockdown = fs::read_to_string("/sys/kernel/security/lockdown").unwrap_or_default();
    let advice = if !missing.is_empty() {
        let set = missing.join(",").to_lowercase();
        format!("{} missing; run as root, or give the program: setcap {set}+ep PROGRAM", missing.join(" and "))
    } else if lockdown.contains("[confidentiality]") {
        "the kernel is locked down (confidentiality); start it with lockdown=integrity or none".to_owned()
    } else {
        "the capabilities are there, so something else forbids it: a container's seccomp profile, or a security module"
            .to_owned()
    };
    LoadError::Permission { doing, advice }
}
