//! `/proc/PID/net/tcp` and `tcp6` (`proc_pid_net(5)`).

use std::io::{self, BufRead, BufReader, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// A TCP socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connection {
    /// Number of its inode; 0 when no process has it any more.
    pub inode: u64,
    /// Its address: IPv4 where it is that within IPv6.
    pub local: SocketAddr,
    /// The peer's.
    pub remote: SocketAddr,
    /// Its state.
    pub state: ConnectionState,
}

/// State of a TCP socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConnectionState {
    /// It is open.
    Established,
    /// It waits for connections.
    Listen,
    /// Another one: it opens or closes.
    Other,
}

/// Reads a table. Lines that are none are left out.
pub(super) fn read(table: impl Read) -> io::Result<Vec<Connection>> {
    let mut connections = Vec::new();
    for line in BufReader::new(table).lines().skip(1) {
        connections.extend(parse(&line?));
    }
    Ok(connections)
}

/// `sl local remote state queues timer retransmissions uid timeout inode …`
fn parse(line: &str) -> Option<Connection> {
    let mut fields = line.split_ascii_whitespace().skip(1);
    let local = address(fields.next()?)?;
    let remote = address(fields.next()?)?;
    let state = match fields.next()? {
        "01" => ConnectionState::Established,
        "0A" => ConnectionState::Listen,
        _ => ConnectionState::Other,
    };
    let inode = fields.nth(5)?.parse().ok()?;
    Some(Connection { inode, local, remote, state })
}

/// `0100007F:0050`: words as the machine has them in memory, and a port.
fn address(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| Some(u32::from_str_radix(address.get(at..at + 8)?, 16).ok()?.to_ne_bytes());
    let address = match address.len() {
        8 => IpAddr::V4(Ipv4Addr::from(word(0)?)),
        32 => {
            let mut bytes = [0; 16];
            for (number, bytes) in bytes.chunks_exact_mut(4).enumerate() {
                bytes.copy_from_slice(&word(number * 8)?);
            }
            Ipv6Addr::from(bytes).to_canonical()
        }
        _ => return None,
    };
    Some(SocketAddr::new(address, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_of_address_are_read_and_other_lines_left_out() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
            0: 0100007F:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0 100 0\n   \
            1: 0000000000000000FFFF00000100007F:0050 00000000000000000000000001000000:9C40 01 00000000:00000000 \
            00:00000000 00000000     0        0 4712 1\n   2: é00007F:0050 00000000:0000 0A\n";
        let connections = read(table.as_bytes()).unwrap();
        let listening = Connection {
            inode: 4711,
            local: "127.0.0.1:80".parse().unwrap(),
            remote: "0.0.0.0:0".parse().unwrap(),
            state: ConnectionState::Listen,
        };
        let open = Connection {
            inode: 4712,
            local: "127.0.0.1:80".parse().unwrap(),
            remote: "[::1]:40000".parse().unwrap(),
            state: ConnectionState::Established,
        };
        assert_eq!(connections, [listening, open]);
    }
}
