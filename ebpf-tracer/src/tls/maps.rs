//! `/proc/PID/maps`: proc_pid_maps(5).

use std::collections::HashSet;
use std::fs::Metadata;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

/// Which file, whatever it is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileId {
    /// Major and minor number of its device.
    pub device: (u32, u32),
    /// Number of its inode.
    pub inode: u64,
}

impl FileId {
    /// Of a file that can be opened.
    pub(super) fn of(metadata: &Metadata) -> Self {
        // As the C library makes them (makedev(3)).
        let device = metadata.dev();
        let major = (device >> 8 & 0xfff) | (device >> 32 & 0xffff_f000);
        let minor = (device & 0xff) | (device >> 12 & 0xffff_ff00);
        Self { device: (major as u32, minor as u32), inode: metadata.ino() }
    }
}

/// A file of which a part is mapped.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mapped {
    pub(super) path: PathBuf,
    pub(super) file: FileId,
}

/// The files that a process has mapped to execute them, each once. Lines that are no such thing are left out.
pub(super) fn executable_files(maps: &[u8]) -> Vec<Mapped> {
    let mut seen = HashSet::new();
    maps.split(|byte| *byte == b'\n').filter_map(executable_file).filter(|mapped| seen.insert(mapped.file)).collect()
}

/// `55d0c8a2f000-55d0c8a50000 r-xp 00001000 08:01 1835147   /usr/bin/python3.11`
fn executable_file(line: &[u8]) -> Option<Mapped> {
    let mut rest = line;
    let mut field = || {
        let start = rest.iter().position(|byte| *byte != b' ')?;
        let (_, begun) = rest.split_at(start);
        let end = begun.iter().position(|byte| *byte == b' ').unwrap_or(begun.len());
        let (field, behind) = begun.split_at(end);
        rest = behind;
        std::str::from_utf8(field).ok()
    };
    let (_addresses, rights, _offset) = (field()?, field()?, field()?);
    let (device, inode) = (field()?, field()?.parse().ok()?);
    let (major, minor) = device.split_once(':')?;
    let number = |digits: &str| u32::from_str_radix(digits, 16).ok();
    let file = FileId { device: (number(major)?, number(minor)?), inode };
    let path = rest.trim_ascii_start();
    let path = path.strip_suffix(b" (deleted)").unwrap_or(path);
    let is_file = inode != 0 && path.first() == Some(&b'/');
    let path = PathBuf::from(std::ffi::OsStr::from_bytes(path));
    (rights.contains('x') && is_file).then_some(Mapped { path, file })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_told_from_what_else_is_mapped() {
        let maps = b"55d0c8a00000-55d0c8a2f000 r--p 00000000 08:01 11  /usr/bin/python3.11\n\
            55d0c8a2f000-55d0c8a50000 r-xp 00001000 08:01 11        /usr/bin/python3.11\n\
            7f0000000000-7f0000001000 r-xp 00000000 00:2f 12 /a path/with blanks\n\
            7f0000001000-7f0000002000 r-xp 00000000 fd:00 13 /tmp/libssl.so.3 (deleted)\n\
            7f0000002000-7f0000003000 r-xp 00000000 fd:00 13 /tmp/libssl.so.3 (deleted)\n\
            7ffd00000000-7ffd00002000 r-xp 00000000 00:00 0  [vdso]\n\
            garbage\n\n7f-8f r-xp 0 zz:01 4 /x\n\xff\xff r-xp 0 1:1 4 /x";
        let file = |path: &str, device, inode| Mapped { path: path.into(), file: FileId { device, inode } };
        let expected = [
            file("/usr/bin/python3.11", (8, 1), 11),
            file("/a path/with blanks", (0, 0x2f), 12),
            file("/tmp/libssl.so.3", (0xfd, 0), 13),
        ];
        assert_eq!(executable_files(maps), expected);
    }
}
