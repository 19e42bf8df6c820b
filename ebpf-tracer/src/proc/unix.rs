//! `/proc/PID/net/unix` (`proc_pid_net(5)`).

use std::io::{self, BufRead, BufReader, Read};

/// Numbers of inodes of Unix sockets, and the paths they are bound to: of abstract ones, `@` and the name. Those that are bound to nothing, and
/// lines that are none, are left out.
pub(super) fn read(table: impl Read) -> io::Result<Vec<(u64, String)>> {
    let mut paths = Vec::new();
    for line in BufReader::new(table).split(b'\n').skip(1) {
        paths.extend(parse(&String::from_utf8_lossy(&line?)));
    }
    Ok(paths)
}

/// `ffff8881: 00000003 00000000 00000000 0001 03 24093 /run/mysqld/mysqld.sock`: address, references, protocol, flags, type, state, inode,
/// path, which may have blanks.
fn parse(line: &str) -> Option<(u64, String)> {
    let mut rest = line;
    let mut inode = "";
    for _ in 0..7 {
        rest = rest.trim_start_matches(' ');
        (inode, rest) = rest.split_once(' ')?;
    }
    Some((inode.parse().ok()?, rest.to_owned())).filter(|(_, path)| !path.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_bound_has_a_path() {
        let table = b"Num       RefCount Protocol Flags    Type St Inode Path\n\
            ffff888101000000: 00000002 00000000 00010000 0001 01 24093 /run/a path/x.sock\n\
            ffff888101000440: 00000003 00000000 00000000 0001 03 24094\n\
            0000000000000000: 00000003 00000000 00000000 0001 03    95 @abstract\n\
            nonsense\n\xff\xff a b c d e 96 \xff";
        let expected = [(24093, "/run/a path/x.sock".to_owned()), (95, "@abstract".to_owned())];
        assert_eq!(read(&table[..]).unwrap()[..2], expected);
    }
}
