//! Who this agent is.

use std::fs;

use metaflow_protocol::{LONGEST_AGENT_NAME, Sender};
use sha2::{Digest, Sha256};

/// This agent in a new life.
pub(super) fn sender() -> Sender {
    let name = host_name();
    Sender::new(agent_id(&name), &name, epoch())
}

/// Drawn at random, so that every life of an agent counts its batches from zero.
pub(super) fn epoch() -> u64 {
    // Without a source of randomness the process id is what differs.
    getrandom::u64().unwrap_or_else(|_| u64::from(std::process::id()))
}

/// The same at every start on this machine. The machine's own id is confidential (machine-id(5)): only a hash of it leaves.
fn agent_id(name: &str) -> u128 {
    let machine = fs::read_to_string("/etc/machine-id").unwrap_or_default();
    let hash =
        Sha256::new().chain_update("metaflow-agent\0").chain_update(machine.trim()).chain_update(name).finalize();
    hash.iter().take(16).fold(0, |id, byte| id << 8 | u128::from(*byte))
}

fn host_name() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    name.get(..name.floor_char_boundary(LONGEST_AGENT_NAME)).unwrap_or_default().to_owned()
}
