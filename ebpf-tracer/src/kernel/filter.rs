//! What is followed.

use std::collections::BTreeSet;

use aya::maps::{HashMap, MapData};
use metaflow_ebpf_common::Policy;

use super::{Kernel, MapError};

/// Which of some things.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Names<T> {
    /// All of them.
    All,
    /// These.
    Only(BTreeSet<T>),
    /// All but these.
    Except(BTreeSet<T>),
}

impl<T: Ord + Copy> Names<T> {
    fn policy(&self) -> Policy {
        match self {
            Self::All => Policy::All,
            Self::Only(_) => Policy::Only,
            Self::Except(_) => Policy::Except,
        }
    }

    fn named(&self) -> impl Iterator<Item = T> + '_ {
        let (Self::Only(named) | Self::Except(named)) = self else { return None.into_iter().flatten() };
        Some(named.iter().copied()).into_iter().flatten()
    }

    fn has(&self, one: &T) -> bool {
        let (Self::Only(named) | Self::Except(named)) = self else { return false };
        named.contains(one)
    }
}

/// Who and what is followed: what every part of it allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// Processes by number. What they fork is named with them, and what they forked before is not.
    pub processes: Names<u32>,
    /// Control groups (version 2) by number.
    pub cgroups: Names<u64>,
    /// Ports: either end's. A socket without ports has port 0.
    pub ports: Names<u16>,
}

impl Default for Filter {
    fn default() -> Self {
        Self { processes: Names::All, cgroups: Names::All, ports: Names::All }
    }
}

impl Kernel {
    /// What is followed from now on, instead of what was before.
    ///
    /// # Errors
    /// When more is named than there is room for, or the kernel refuses.
    pub fn follow(&mut self, filter: &Filter) -> Result<(), MapError> {
        name(&mut self.processes, &filter.processes)?;
        name(&mut self.cgroups, &filter.cgroups)?;
        let mut ports = [0u64; 1024];
        for port in filter.ports.named() {
            ports[usize::from(port / 64)] |= 1 << (port % 64);
        }
        for (place, bits) in (0..).zip(ports) {
            self.ports.set(place, bits, 0).map_err(MapError)?;
        }
        self.now.processes = filter.processes.policy() as u32;
        self.now.cgroups = filter.cgroups.policy() as u32;
        self.now.ports = filter.ports.policy() as u32;
        self.judge_anew()
    }

    /// Names another process: with [`Names::Only`] it is followed, with [`Names::Except`] left out from now on.
    ///
    /// # Errors
    /// When there is no room for its name.
    pub fn name_process(&mut self, tgid: u32) -> Result<(), MapError> {
        self.processes.insert(tgid, 1, 0).map_err(MapError)?;
        self.judge_anew()
    }

    /// Takes the name of a process back. That it is not there is no error: the kernel takes it back when the process ends.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn unname_process(&mut self, tgid: u32) -> Result<(), MapError> {
        // Whether it was named is nobody's business: it may have ended a moment ago.
        let _ = self.processes.remove(&tgid);
        self.judge_anew()
    }

    fn judge_anew(&mut self) -> Result<(), MapError> {
        // 0 is what a thread has that was never judged.
        self.now.generation = self.now.generation.wrapping_add(1).max(1);
        self.publish()
    }
}

/// Makes a map name what it is to name.
fn name<T: aya::Pod + Ord>(map: &mut HashMap<MapData, T, u8>, names: &Names<T>) -> Result<(), MapError> {
    let old: Vec<T> = map.keys().filter_map(Result::ok).filter(|key| !names.has(key)).collect();
    for key in old {
        // The kernel may have been faster.
        let _ = map.remove(&key);
    }
    for key in names.named() {
        map.insert(key, 1, 0).map_err(MapError)?;
    }
    Ok(())
}
