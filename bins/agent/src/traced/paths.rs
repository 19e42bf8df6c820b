//! Paths of Unix sockets, by the numbers of their inodes.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use ebpf_tracer::Proc;
use flow_core::{Endpoint, Sides};

/// How often they are looked up at most.
const PAUSE: Duration = Duration::from_millis(100);
/// Sockets whose paths are remembered; beyond that all are forgotten.
const MOST: usize = 65_536;

/// What is known of them.
#[derive(Default)]
pub(super) struct Paths {
    known: HashMap<u64, Box<str>>,
    looked: Option<Instant>,
}

impl Paths {
    /// Looks these ends up in the namespace of a process, unless one of them is known, or it was looked up a moment ago.
    pub(super) fn look_up(&mut self, proc: &Proc, pid: u32, ends: Sides<Endpoint>) {
        let is_known = |end: Endpoint| matches!(end, Endpoint::Unix(inode) if self.known.contains_key(&inode));
        let is_unix = matches!(ends.client, Endpoint::Unix(_));
        if !is_unix || is_known(ends.client) || is_known(ends.server) {
            return;
        }
        if self.looked.is_some_and(|looked| looked.elapsed() < PAUSE) {
            return;
        }
        self.looked = Some(Instant::now());
        if self.known.len() >= MOST {
            self.known.clear();
        }
        // The process may be gone.
        let found = proc.unix_paths(pid).unwrap_or_default();
        self.known.extend(found.into_iter().take(MOST).map(|(inode, path)| (inode, path.into_boxed_str())));
    }

    pub(super) fn of(&self, end: Endpoint) -> Option<&str> {
        match end {
            Endpoint::Unix(inode) => self.known.get(&inode).map(|path| &**path),
            Endpoint::Ip(_) => None,
        }
    }
}
