//! Which process waits for requests on which address.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use crate::process::{Process, boot_seconds};

/// Sockets looked at: a host with more of them keeps the first ones.
const MOST_SOCKETS: usize = 65_536;

/// How requests reach a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// A socket that waits for requests. An unspecified address stands for all of this host's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Socket {
    /// How requests reach it.
    pub transport: Transport,
    /// Where.
    pub address: SocketAddr,
}

/// The waiting sockets of this network namespace with their processes, as they were when they were read.
#[derive(Clone, Debug, Default)]
pub struct Listeners {
    owners: HashMap<Socket, Arc<Process>>,
    unknown: usize,
}

impl Listeners {
    /// Reads them from below `proc`, which is `/proc` on a living system.
    ///
    /// # Errors
    /// When the kernel's table of TCP sockets cannot be read.
    pub fn read(proc: &Path) -> io::Result<Self> {
        let mut sockets = HashMap::new();
        let tables = [
            ("net/tcp", Transport::Tcp, LISTEN),
            ("net/tcp6", Transport::Tcp, LISTEN),
            ("net/udp", Transport::Udp, UNCONNECTED),
            ("net/udp6", Transport::Udp, UNCONNECTED),
        ];
        for (number, (file, transport, state)) in tables.into_iter().enumerate() {
            match fs::read_to_string(proc.join(file)) {
                Ok(text) => collect(&text, transport, state, &mut sockets),
                Err(error) if number == 0 => return Err(error),
                // No IPv6, no table of it.
                Err(_) => {}
            }
        }
        Ok(Self::with_owners(proc, sockets))
    }

    fn with_owners(proc: &Path, sockets: HashMap<u64, Vec<Socket>>) -> Self {
        let boot = boot_seconds(proc);
        let mut found = Self::default();
        let mut left = sockets;
        for entry in fs::read_dir(proc).into_iter().flatten().flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
            if left.is_empty() {
                break;
            }
            let mut process = None;
            for file in fs::read_dir(entry.path().join("fd")).into_iter().flatten().flatten() {
                let Some(sockets) = inode(&file.path()).and_then(|inode| left.remove(&inode)) else { continue };
                if process.is_none() {
                    process = Process::read(proc, pid, boot).map(Arc::new);
                }
                if let Some(process) = &process {
                    found.owners.extend(sockets.into_iter().map(|socket| (socket, Arc::clone(process))));
                }
            }
        }
        found.unknown = left.values().map(Vec::len).sum();
        found
    }

    /// The process that answers at an address of this host.
    #[must_use]
    pub fn find(&self, transport: Transport, address: SocketAddr) -> Option<&Arc<Process>> {
        let ip = address.ip().to_canonical();
        let any = match ip {
            IpAddr::V4(_) => [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)],
            IpAddr::V6(_) => [IpAddr::V6(Ipv6Addr::UNSPECIFIED); 2],
        };
        let at = |ip: IpAddr| self.owners.get(&Socket { transport, address: SocketAddr::new(ip, address.port()) });
        at(ip).or_else(|| any.into_iter().find_map(at))
    }

    /// Every socket whose process is known.
    pub fn iter(&self) -> impl Iterator<Item = (&Socket, &Arc<Process>)> {
        self.owners.iter()
    }

    /// Sockets whose process is not known, for want of privilege or because it has ended.
    #[must_use]
    pub fn unknown(&self) -> usize {
        self.unknown
    }
}

/// States as `/proc/net` writes them: TCP_LISTEN, and TCP_CLOSE, which an unconnected UDP socket is in.
const LISTEN: &str = "0A";
const UNCONNECTED: &str = "07";

/// Adds the sockets of one table that are in `state`, by their inode.
fn collect(text: &str, transport: Transport, state: &str, sockets: &mut HashMap<u64, Vec<Socket>>) {
    for line in text.lines().skip(1) {
        let mut words = line.split_whitespace();
        let (Some(local), Some(_), Some(found)) = (words.nth(1), words.next(), words.next()) else { continue };
        let (Some(address), Some(inode)) = (address(local), words.nth(5).and_then(|inode| inode.parse().ok())) else {
            continue;
        };
        if found == state && sockets.len() < MOST_SOCKETS {
            sockets.entry(inode).or_default().push(Socket { transport, address });
        }
    }
}

/// `ADDRESS:PORT` in hexadecimal digits; the address in words of 32 bits, each in the order of this machine.
fn address(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| u32::from_str_radix(address.get(at * 8..at * 8 + 8)?, 16).ok().map(u32::to_ne_bytes);
    let ip = match address.len() {
        8 => IpAddr::from(word(0)?),
        32 => {
            let mut bytes = [0; 16];
            for (at, part) in bytes.chunks_exact_mut(4).enumerate() {
                part.copy_from_slice(&word(at)?);
            }
            IpAddr::from(bytes).to_canonical()
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

/// The inode in a link `socket:[INODE]`.
fn inode(link: &Path) -> Option<u64> {
    let target = fs::read_link(link).ok()?;
    target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, UdpSocket};

    #[test]
    fn lines_of_the_tables() {
        let text = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
                    0: 0100007F:1538 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0 100 0 0 10 0\n   \
                    1: 0100007F:1539 0100007F:0050 01 00000000:00000000 00:00000000 00000000     0        0 4712 1 0 100 0 0 10 0\nshort\n";
        let mut sockets = HashMap::new();
        collect(text, Transport::Tcp, LISTEN, &mut sockets);
        let address = SocketAddr::from(([127, 0, 0, 1], 0x1538));
        assert_eq!(sockets, HashMap::from([(4711, vec![Socket { transport: Transport::Tcp, address }])]));
    }

    #[test]
    fn sockets_of_this_very_process() {
        let tcp = TcpListener::bind("127.0.0.1:0").expect("a port");
        let udp = UdpSocket::bind("[::]:0").expect("a port");
        let listeners = Listeners::read(Path::new("/proc")).expect("tables");
        let tcp = listeners.find(Transport::Tcp, tcp.local_addr().expect("an address")).expect("an owner");
        assert_eq!(tcp.pid, std::process::id());
        let port = udp.local_addr().expect("an address").port();
        let udp = listeners.find(Transport::Udp, SocketAddr::from(([127, 0, 0, 1], port)));
        assert_eq!(udp.map(|process| process.pid), Some(std::process::id()));
        assert!(tcp.start_ns > 1_500_000_000_000_000_000);
    }
}
