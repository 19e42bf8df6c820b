//! Numbers of control groups, by what people call them.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::container::container_id;

/// Control groups that are looked through.
const MOST: usize = 65_536;
/// Digits of the number of a container that tell it from others, as programs print them.
const DIGITS: usize = 12;

/// Why a control group cannot be named.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ControlGroupError {
    /// Only version 2 has the numbers that the kernel compares.
    #[error("no control groups of version 2 are mounted (mount -t cgroup2 none /sys/fs/cgroup)")]
    NotMounted,
    /// There is no such path, and no container with such a number.
    #[error("there is no control group and no container {name}")]
    Unknown {
        /// What was asked for.
        name: String,
    },
    /// They cannot be read.
    #[error("cannot look through the control groups: {0}")]
    Io(#[from] io::Error),
}

/// Numbers of a control group (version 2) and of those below it that there are now, as [`Filter::cgroups`](crate::Filter::cgroups) takes
/// them. The name is a path, from where they are mounted or as `/proc/PID/cgroup` has it, or the number of a container, of which the first
/// twelve digits do. `proc` is where the proc file system is mounted.
///
/// # Errors
/// See [`ControlGroupError`].
pub fn control_groups(proc: &Path, name: &str) -> Result<BTreeSet<u64>, ControlGroupError> {
    let mounts = fs::read_to_string(proc.join("self/mountinfo"))?;
    let root = mounted(&mounts).ok_or(ControlGroupError::NotMounted)?;
    let mut found = BTreeSet::new();
    if name.starts_with('/') {
        let path = Path::new(name);
        let path = if path.starts_with(&root) { path.to_owned() } else { root.join(name.trim_start_matches('/')) };
        if path.is_dir() {
            walk(&path, &mut |_, number| _ = found.insert(number))?;
        }
    } else if name.len() >= DIGITS {
        walk(&root, &mut |path, number| {
            let id = path.strip_prefix(&root).ok().and_then(Path::to_str).and_then(container_id);
            if id.is_some_and(|id| id.starts_with(name)) {
                found.insert(number);
            }
        })?;
    }
    if found.is_empty() { Err(ControlGroupError::Unknown { name: name.to_owned() }) } else { Ok(found) }
}

/// Where version 2 is mounted (`proc_pid_mountinfo(5)`).
fn mounted(mounts: &str) -> Option<PathBuf> {
    let of_line = |line: &str| {
        let (mount, file_system) = line.split_once(" - ")?;
        let point = mount.split(' ').nth(4)?;
        file_system.starts_with("cgroup2 ").then(|| PathBuf::from(point))
    };
    mounts.lines().find_map(of_line)
}

/// A folder and all below it. Those that go away meanwhile are left out.
fn walk(folder: &Path, each: &mut impl FnMut(&Path, u64)) -> io::Result<()> {
    let mut waiting = vec![(folder.to_owned(), fs::metadata(folder)?.ino())];
    let mut seen = 0;
    while let Some((path, number)) = waiting.pop() {
        each(&path, number);
        seen += 1;
        for entry in fs::read_dir(&path).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir())
                && seen + waiting.len() < MOST
                && let Ok(metadata) = entry.metadata()
            {
                waiting.push((entry.path(), metadata.ino()));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Folders that stand for control groups, and a proc file system that says where.
    fn lab(folders: &[&str]) -> PathBuf {
        let number = std::collections::hash_map::RandomState::new();
        let number = std::hash::BuildHasher::hash_one(&number, 0);
        let base = std::env::temp_dir().join(format!("control-groups-{number:x}"));
        for folder in folders {
            fs::create_dir_all(base.join("groups").join(folder)).unwrap();
        }
        fs::create_dir_all(base.join("self")).unwrap();
        let mounts = format!(
            "24 1 0:22 / /proc rw - proc proc rw\n41 31 0:38 / {}/groups rw,relatime - cgroup2 cgroup2 rw\n",
            base.display()
        );
        fs::write(base.join("self/mountinfo"), mounts).unwrap();
        base
    }

    #[test]
    fn a_control_group_is_found_by_its_paths_and_by_its_container() {
        let id = "7be0d3f3b39c0a0c0e1e1b6d4e1a8a1c5a9d1f2b3c4d5e6f708192a3b4c5d6e7";
        let scope = format!("system.slice/docker-{id}.scope");
        let base = lab(&[&format!("{scope}/child"), "system.slice/other.service"]);
        let number = |path: &str| fs::metadata(base.join("groups").join(path)).unwrap().ino();
        let expected: BTreeSet<_> = [number(&scope), number(&format!("{scope}/child"))].into();
        let mounted = base.join("groups").join(&scope);
        for name in [&format!("/{scope}"), mounted.to_str().unwrap(), id, &id[..12]] {
            assert_eq!(control_groups(&base, name).unwrap(), expected, "{name}");
        }
        assert_eq!(control_groups(&base, "/system.slice").unwrap().len(), 4);
        for name in ["/no/such", "7be0", "ffffffffffff"] {
            assert!(matches!(control_groups(&base, name), Err(ControlGroupError::Unknown { .. })), "{name}");
        }
        fs::write(base.join("self/mountinfo"), "24 1 0:22 / /proc rw - proc proc rw\n").unwrap();
        assert!(matches!(control_groups(&base, "/"), Err(ControlGroupError::NotMounted)));
        fs::remove_dir_all(base).unwrap();
    }
}
