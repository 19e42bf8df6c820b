//! What `/proc` says: who runs, and which connections are open.

mod sockets;
mod unix;

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use rustix::time::{ClockId, Timespec, clock_gettime};

use crate::clock::Clock;
use crate::container::container_id;
use crate::processes::Snapshot;

pub use sockets::{Connection, ConnectionState};

/// A file of `/proc` about one process is read up to so many bytes.
const LONGEST: u64 = 1 << 16;
/// Nanoseconds of a tick: Linux counts hundredths of a second here, whatever the kernel's own tick is (`USER_HZ`).
const TICK_NS: u64 = 10_000_000;

/// The file system `/proc`, or what stands for it. Reads what the kernel has at that moment: a process may end meanwhile.
#[derive(Clone, Debug)]
pub struct Proc {
    root: PathBuf,
}

impl Default for Proc {
    fn default() -> Self {
        Self::at("/proc")
    }
}

impl Proc {
    /// Mounted here: as `/host/proc` in a container that looks after its host.
    #[must_use]
    pub fn at(root: impl AsRef<Path>) -> Self {
        Self { root: root.as_ref().to_owned() }
    }

    /// What is said of a process.
    ///
    /// # Errors
    /// There is none of this number (any more), or its `stat` is none. What may not be read beyond that is left out.
    pub fn process(&self, pid: u32) -> io::Result<Snapshot> {
        let folder = self.root.join(pid.to_string());
        let stat = read(&folder.join("stat"))?;
        let (name, parent, start) = parse_stat(&stat).ok_or(io::ErrorKind::InvalidData)?;
        let command_line = read(&folder.join("cmdline")).ok().map(|bytes| command_line(&bytes));
        let executable = fs::read_link(folder.join("exe")).ok();
        let executable = executable.map(|path| path.to_string_lossy().trim_end_matches(" (deleted)").to_owned());
        let cgroup = read(&folder.join("cgroup")).ok();
        Ok(Snapshot {
            pid,
            start_ns: start.saturating_mul(TICK_NS),
            parent,
            name,
            command_line: command_line.filter(|line| !line.is_empty()),
            executable,
            cgroup: cgroup.and_then(|bytes| cgroup_path(&String::from_utf8_lossy(&bytes)).map(str::to_owned)),
        })
    }

    /// Numbers of all processes.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn pids(&self) -> io::Result<impl Iterator<Item = u32>> {
        let entries = fs::read_dir(&self.root)?;
        Ok(entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()))
    }

    /// What is said of all processes, but for those that end meanwhile.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn processes(&self) -> io::Result<impl Iterator<Item = Snapshot>> {
        Ok(self.pids()?.filter_map(|pid| self.process(pid).ok()))
    }

    /// Number of the inode of a process's network namespace.
    ///
    /// # Errors
    /// There is no such process, or it may not be asked.
    pub fn network_namespace(&self, pid: u32) -> io::Result<u32> {
        let link = fs::read_link(self.root.join(pid.to_string()).join("ns/net"))?;
        let number = link.to_str().and_then(|name| name.strip_prefix("net:[")?.strip_suffix(']')?.parse().ok());
        number.ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    /// TCP connections and listening sockets of a process's network namespace.
    ///
    /// # Errors
    /// There is no such process. A kernel without IPv6 has none of it.
    pub fn connections(&self, pid: u32) -> io::Result<Vec<Connection>> {
        let folder = self.root.join(pid.to_string()).join("net");
        let mut connections = sockets::read(File::open(folder.join("tcp"))?)?;
        if let Ok(file) = File::open(folder.join("tcp6")) {
            connections.append(&mut sockets::read(file)?);
        }
        Ok(connections)
    }

    /// Unix sockets of a process's network namespace that are bound, by the numbers of their inodes: their paths; of abstract ones `@` and the
    /// name. A socket that was accepted has the path of the one that listens.
    ///
    /// # Errors
    /// There is no such process.
    pub fn unix_paths(&self, pid: u32) -> io::Result<Vec<(u64, String)>> {
        unix::read(File::open(self.root.join(pid.to_string()).join("net/unix"))?)
    }
}

impl Clock {
    /// Compares the kernel's clocks: what they differ by now.
    #[must_use]
    pub fn measure() -> Self {
        let realtime = nanos(clock_gettime(ClockId::Realtime));
        let monotonic = nanos(clock_gettime(ClockId::Monotonic));
        let boottime = nanos(clock_gettime(ClockId::Boottime));
        Self { monotonic_ns: realtime - monotonic, boottime_ns: realtime - boottime }
    }
}

/// 292 years of them fit.
fn nanos(time: Timespec) -> i64 {
    time.tv_sec.saturating_mul(1_000_000_000).saturating_add(time.tv_nsec)
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(LONGEST).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Name, parent, start in ticks (`proc_pid_stat(5)`). The name stands in parentheses and may have such.
fn parse_stat(stat: &[u8]) -> Option<(String, u32, u64)> {
    let stat = String::from_utf8_lossy(stat);
    let (front, back) = stat.rsplit_once(')')?;
    let (_, name) = front.split_once('(')?;
    let mut fields = back.split_ascii_whitespace();
    // The first of them is the third of all; the parent is the fourth, the start the 22nd.
    let parent = fields.nth(1)?.parse().ok()?;
    let start = fields.nth(17)?.parse().ok()?;
    Some((name.to_owned(), parent, start))
}

/// Arguments end with a zero each.
fn command_line(bytes: &[u8]) -> String {
    let bytes = bytes.strip_suffix(b"\0").unwrap_or(bytes);
    String::from_utf8_lossy(bytes).replace('\0', " ")
}

/// The path that tells most: of a container, else of version 2 (whose line begins with `0::`), else any (`cgroups(7)`).
fn cgroup_path(text: &str) -> Option<&str> {
    let paths = || text.lines().filter_map(|line| line.splitn(3, ':').nth(2));
    let unified = || text.lines().find_map(|line| line.strip_prefix("0::"));
    paths().find(|path| container_id(path).is_some()).or_else(unified).or_else(|| paths().next())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_is_read() {
        let stat = b"42 (a) (b c) S 7 42 42 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 12345 1000 2 18446744073709551615";
        assert_eq!(parse_stat(stat), Some(("a) (b c".to_owned(), 7, 12_345)));
        assert_eq!(parse_stat(b"42 (a) S 7"), None);
        assert_eq!(parse_stat(b""), None);
    }

    #[test]
    fn the_control_group_that_names_a_container_is_preferred() {
        let id = "7".repeat(64);
        let text = format!("12:pids:/docker/{id}\n1:name=systemd:/x\n0::/y\n");
        assert_eq!(cgroup_path(&text), Some(format!("/docker/{id}").as_str()));
        assert_eq!(cgroup_path("12:pids:/x\n0::/user.slice/a:b\n"), Some("/user.slice/a:b"));
        assert_eq!(cgroup_path("12:pids:/x\n"), Some("/x"));
        assert_eq!(cgroup_path(""), None);
    }

    #[test]
    fn this_process_is_found_as_it_is() {
        let proc = Proc::default();
        let pid = std::process::id();
        let this = proc.process(pid).unwrap();
        assert_eq!(this.executable.as_deref(), std::env::current_exe().unwrap().to_str());
        assert!(this.command_line.unwrap().starts_with(&std::env::args().next().unwrap()));
        assert!(this.start_ns > 0 && this.cgroup.is_some());
        assert!(proc.processes().unwrap().any(|other| other.pid == pid));
        assert!(proc.network_namespace(pid).unwrap() > 0);
        assert!(proc.process(u32::MAX).is_err());
    }

    #[test]
    fn this_process_has_the_connections_that_it_has() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let stream = std::net::TcpStream::connect(address).unwrap();
        let connections = Proc::default().connections(std::process::id()).unwrap();
        let of = |state| connections.iter().filter(move |connection| connection.state == state);
        assert!(of(ConnectionState::Listen).any(|connection| connection.local == address && connection.inode != 0));
        let local = stream.local_addr().unwrap();
        assert!(of(ConnectionState::Established).any(|found| (found.local, found.remote) == (local, address)));
    }
}
