//! Rights that are needed no more are given up: capabilities(7). They are a thread's own.

use rustix::io;
use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities};
use tracing::warn;

/// What it takes to open rings of interfaces that come later.
pub(crate) const PACKETS: CapabilitySet = CapabilitySet::NET_RAW;
/// What it takes to look into processes of others: whose connections are whose, what they are called, which libraries they have loaded.
pub(crate) const PROCESSES: CapabilitySet = CapabilitySet::SYS_PTRACE.union(CapabilitySet::DAC_READ_SEARCH);
/// What it takes to attach to TLS libraries that are loaded later; on Linux before 5.19 also to change what is followed.
pub(crate) const TRACING: CapabilitySet =
    CapabilitySet::BPF.union(CapabilitySet::PERFMON).union(CapabilitySet::SYS_ADMIN).union(PROCESSES);
/// What it takes to end a command that became another user's.
pub(crate) const COMMAND: CapabilitySet = CapabilitySet::KILL;

/// Whether any thread keeps the capability of this name.
pub(crate) fn is_kept(name: &str) -> bool {
    let kept = CapabilitySet::from_name(name.trim_start_matches("CAP_"));
    kept.is_some_and(|right| (PACKETS | TRACING | COMMAND).contains(right))
}

/// Gives up all rights but these, in this thread and in those that it starts from now on.
pub(crate) fn keep(needed: CapabilitySet) {
    let give_up = || -> io::Result<()> {
        let permitted = capabilities(None)?.permitted & needed;
        let (effective, inheritable) = (permitted, CapabilitySet::empty());
        set_capabilities(None, CapabilitySets { effective, permitted, inheritable })
    };
    if let Err(error) = give_up() {
        warn!("rights that are needed no more could not be given up: {error}");
    }
}
