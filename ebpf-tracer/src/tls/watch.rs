//! Looks after the TLS libraries of processes that come and go.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{FileId, TlsLibraries, TlsLibrary};

/// Where the loader of programs finds libraries, by the conventions of distributions.
const FOLDERS: [&str; 6] = ["/usr/lib", "/usr/lib64", "/lib", "/lib64", "/usr/local/lib", "/usr/local/lib64"];
/// A program loads its libraries when it begins, or when it first needs them.
const LOOKS: [Duration; 4] =
    [Duration::from_millis(20), Duration::from_millis(200), Duration::from_secs(2), Duration::from_secs(20)];
/// A connection may be told of so long after its process ended, and longer than that.
const REMEMBERED: Duration = Duration::from_secs(10);
/// Processes that wait to be looked at; others are left out until the next look at all.
const MOST_WAITING: usize = 16_384;
/// Files, and processes with such files, that are remembered; beyond that all are looked at as if they were new.
const MOST_KNOWN: usize = 65_536;

/// A library of a process whose plaintext is not seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsUnseen {
    /// The library.
    pub library: TlsLibrary,
    /// Why its plaintext is not seen.
    pub why: String,
}

/// Which libraries are attached to, and which processes are to be looked at.
#[derive(Debug, Default)]
pub struct TlsWatch {
    libraries: TlsLibraries,
    attached: HashSet<FileId>,
    /// Those that could not be attached to, and why.
    failed: HashMap<FileId, String>,
    /// What processes have loaded that cannot be seen into.
    unseen: HashMap<u32, Vec<TlsUnseen>>,
    /// Processes that ended, and when.
    ended: VecDeque<(u64, u32)>,
    /// By when they are to be looked at, and which look it is.
    waiting: BTreeSet<(u64, u32, usize)>,
    /// Processes that were not looked at because too many waited.
    pub skipped: u64,
}

impl TlsWatch {
    /// A process became another program at this time, in nanoseconds of whatever clock.
    pub fn executed(&mut self, pid: u32, now_ns: u64) {
        self.unseen.remove(&pid);
        self.wait(pid, 0, now_ns);
    }

    /// A process ended at this time. What it had loaded is remembered a little longer.
    pub fn ended(&mut self, pid: u32, now_ns: u64) {
        if self.unseen.contains_key(&pid) {
            self.ended.push_back((now_ns, pid));
        }
        if self.ended.len() > MOST_KNOWN {
            self.forget_first();
        }
    }

    fn forget_first(&mut self) {
        if let Some((_, pid)) = self.ended.pop_front() {
            self.unseen.remove(&pid);
        }
    }

    fn wait(&mut self, pid: u32, look: usize, now_ns: u64) {
        let Some(delay) = LOOKS.get(look) else { return };
        if self.waiting.len() >= MOST_WAITING {
            self.skipped += 1;
            return;
        }
        self.waiting.insert((now_ns.saturating_add(delay.as_nanos() as u64), pid, look));
    }

    /// Looks at the processes whose time has come. `attach` attaches to a library, or says why it cannot.
    pub fn look_at_due(&mut self, proc: &Path, now_ns: u64, mut attach: impl FnMut(&TlsLibrary) -> Result<(), String>) {
        let is_over = |time: u64| time.saturating_add(REMEMBERED.as_nanos() as u64) <= now_ns;
        while self.ended.front().is_some_and(|(time, _)| is_over(*time)) {
            self.forget_first();
        }
        while let Some((_, pid, look)) = self.waiting.first().copied().filter(|(due, ..)| *due <= now_ns) {
            self.waiting.pop_first();
            // The process may be gone.
            if self.look_at(proc, pid, &mut attach).is_ok() {
                self.wait(pid, look + 1, now_ns);
            }
        }
    }

    /// Looks at a process now.
    ///
    /// # Errors
    /// When the process is gone, or may not be looked at.
    pub fn look_at(
        &mut self,
        proc: &Path,
        pid: u32,
        mut attach: impl FnMut(&TlsLibrary) -> Result<(), String>,
    ) -> std::io::Result<()> {
        let mut unseen = Vec::new();
        for library in self.libraries.of_process(proc, pid)? {
            if let Some(why) = self.attach(&library, &mut attach) {
                unseen.push(TlsUnseen { library, why });
            }
        }
        if unseen.is_empty() {
            self.unseen.remove(&pid);
            return Ok(());
        }
        if self.unseen.len() >= MOST_KNOWN {
            self.unseen.clear();
        }
        self.unseen.insert(pid, unseen);
        Ok(())
    }

    /// What a process has loaded that cannot be seen into, as far as it was looked at.
    #[must_use]
    pub fn unseen(&self, pid: u32) -> &[TlsUnseen] {
        self.unseen.get(&pid).map_or(&[], Vec::as_slice)
    }

    /// Why the plaintext of this library is not seen, if so.
    fn attach(
        &mut self,
        library: &TlsLibrary,
        attach: &mut impl FnMut(&TlsLibrary) -> Result<(), String>,
    ) -> Option<String> {
        if let Some(why) = library.contents.unseen {
            return Some(why.to_string());
        }
        if self.attached.contains(&library.file) {
            return None;
        }
        if let Some(why) = self.failed.get(&library.file) {
            return Some(why.clone());
        }
        match attach(library) {
            Ok(()) => {
                self.attached.insert(library.file);
                None
            }
            Err(why) => {
                if self.failed.len() >= MOST_KNOWN {
                    self.failed.clear();
                }
                self.failed.insert(library.file, why.clone());
                Some(why)
            }
        }
    }

    /// Attaches to the libraries that programs of this system will load, so that what they say first is seen, too. Gives why it could not.
    pub fn attach_to_installed(&mut self, mut attach: impl FnMut(&TlsLibrary) -> Result<(), String>) -> Vec<String> {
        let mut unseen = Vec::new();
        for path in installed() {
            if let Ok(Some(library)) = self.libraries.of_file(&path) {
                unseen.extend(self.attach(&library, &mut attach));
            }
        }
        unseen
    }

    /// Libraries that are attached to.
    #[must_use]
    pub fn attached(&self) -> usize {
        self.attached.len()
    }
}

/// The OpenSSL libraries in the usual folders, and one level below: `/usr/lib/x86_64-linux-gnu`.
fn installed() -> Vec<PathBuf> {
    let mut found = BTreeSet::new();
    let entries = |folder: &Path| std::fs::read_dir(folder).into_iter().flatten().flatten();
    let is_library = |path: &Path| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.starts_with("libssl.so.")
    };
    for folder in FOLDERS {
        for entry in entries(Path::new(folder)) {
            let path = entry.path();
            if is_library(&path) {
                found.extend(path.canonicalize());
            } else if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                let within = entries(&path).map(|entry| entry.path()).filter(|path| is_library(path));
                found.extend(within.filter_map(|path| path.canonicalize().ok()));
            }
        }
    }
    found.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::tests::python;

    #[test]
    fn a_library_loaded_late_is_found_by_a_later_look_and_attached_to_once() {
        let (mut watch, mut attached) = (TlsWatch::default(), Vec::new());
        let mut child = python("import ssl");
        let mut now = 0;
        watch.executed(child.id(), now);
        watch.look_at_due(Path::new("/proc"), now, |_| panic!("too early"));
        for _ in 0..LOOKS.len() {
            now += 60_000_000_000;
            watch.look_at_due(Path::new("/proc"), now, |library| {
                attached.push(library.path.clone());
                Ok(())
            });
            assert_eq!(watch.unseen(child.id()), []);
        }
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!((attached.len(), watch.attached(), watch.waiting.len()), (1, 1, 0), "{attached:?}");
    }

    #[test]
    fn what_cannot_be_attached_to_is_known_of_each_process_for_a_while() {
        let mut watch = TlsWatch::default();
        let mut children = [python("import ssl"), python("import ssl")];
        let mut tried = 0;
        for child in children.iter().chain(&children) {
            let attach = |_: &TlsLibrary| {
                tried += 1;
                Err("no right to".to_owned())
            };
            watch.look_at(Path::new("/proc"), child.id(), attach).unwrap();
        }
        assert_eq!(tried, 1);
        let pids = children.each_ref().map(std::process::Child::id);
        for child in &mut children {
            child.kill().unwrap();
            child.wait().unwrap();
            watch.ended(child.id(), 5);
        }
        let whys = |watch: &TlsWatch| {
            pids.map(|pid| watch.unseen(pid).iter().map(|unseen| unseen.why.clone()).collect::<Vec<_>>())
        };
        assert_eq!(whys(&watch), [vec!["no right to".to_owned()], vec!["no right to".to_owned()]]);
        watch.look_at_due(Path::new("/proc"), 5 + REMEMBERED.as_nanos() as u64, |_| Ok(()));
        assert_eq!(whys(&watch), [Vec::<String>::new(), Vec::new()]);
    }

    #[test]
    fn more_processes_than_can_wait_are_counted() {
        let mut watch = TlsWatch::default();
        (0..MOST_WAITING as u32 + 5).for_each(|pid| watch.executed(u32::MAX - pid, 0));
        assert_eq!((watch.waiting.len(), watch.skipped), (MOST_WAITING, 5));
        watch.look_at_due(Path::new("/proc"), u64::MAX, |_| Ok(()));
        assert_eq!(watch.waiting.len(), 0);
    }
}
