//! What the kernel knows of a socket, read anew for each event.

use metaflow_ebpf_common::{Flags, Operation, SocketEvent};

use crate::maps::{kind, offset};
use crate::memory::{Place, typed, user};
use crate::task::Peer;

pub const AF_UNIX: u8 = 1;
pub const AF_INET: u8 = 2;
pub const AF_INET6: u8 = 10;
const TCP: u8 = 6;
const UDP: u8 = 17;
const SOCK_STREAM: u16 = 1;
/// Format bits of an inode's mode, and those of a socket (`stat.h`).
const S_IFMT: u16 = 0o170_000;
const S_IFSOCK: u16 = 0o140_000;
/// The peer's end arrived (`enum sock_flags`).
const SOCK_DONE: u32 = 1 << 1;

/// A socket that a process has open.
pub struct Socket {
    /// Its `struct sock`, and where that is.
    sock: Place,
    sk: u64,
    inode: u64,
    /// Address of its file.
    file: u64,
}

impl Socket {
    /// The one of a `struct sock` that a process has open. The kernel's own have no file.
    #[inline(always)]
    pub fn of(sk: *const u8) -> Option<Self> {
        let sock = Place::typed(sk);
        let address: u64 = sock.read(offset!(sk_socket));
        if address == 0 {
            return None;
        }
        let socket = Place::new(address, kind!(socket_alloc));
        let file = socket.read(offset!(socket_file));
        if file == 0 {
            return None;
        }
        Some(Self { sock, sk: sk as u64, inode: socket.read(offset!(socket_number)), file })
    }

    /// Whether it is behind this descriptor of the running thread.
    #[inline(always)]
    pub fn is_at(&self, task: *const u8, fd: u32) -> bool {
        open_file(task, fd) == Some(self.file)
    }

    /// The one behind a descriptor of the running thread, if it is one.
    #[inline(always)]
    pub fn open(task: *const u8, fd: u32) -> Option<Self> {
        let address = open_file(task, fd)?;
        let file = Place::new(address, kind!(file));
        let (inode, private): (u64, u64) = (file.read(offset!(file_inode)), file.read(offset!(file_private)));
        // A socket and its inode are one piece of memory. Files of most other kinds end here.
        if inode == 0 || inode != private + offset!(socket_inode) as u64 {
            return None;
        }
        let socket = Place::new(private, kind!(socket_alloc));
        if socket.read::<u16>(offset!(socket_mode)) & S_IFMT != S_IFSOCK {
            return None;
        }
        let sk = socket.read(offset!(socket_sk));
        Some(Self { sock: Place::new(sk, kind!(sock)), sk, inode: socket.read(offset!(socket_number)), file: address })
    }

    /// Writes down what is known of it. `false` if it is of a kind that is not followed.
    #[inline(never)]
    pub fn describe(&self, event: &mut SocketEvent, transports: u32) -> bool {
        self.describe_here(event, transports)
    }

    /// The same, for programs in which every call counts.
    #[inline(always)]
    pub fn describe_here(&self, event: &mut SocketEvent, transports: u32) -> bool {
        let sk = self.sock;
        event.inode = self.inode;
        event.family = sk.read::<u16>(offset!(sk_family)) as u8;
        event.socket_type = sk.read::<u16>(offset!(sk_type)) as u8;
        event.protocol = sk.read::<u16>(offset!(sk_protocol)) as u8;
        event.state = sk.read(offset!(sk_state));
        // The verifier knows what this points to.
        let network: *const u8 = sk.read(offset!(sk_net));
        event.netns = Place::typed(network).read(offset!(net_inum));
        let transport = match event.family {
            AF_INET | AF_INET6 => {
                event.local_port = sk.read(offset!(sk_local_port));
                event.remote_port = u16::from_be(sk.read(offset!(sk_remote_port)));
                if event.family == AF_INET {
                    event.local = v4(sk.read(offset!(sk_local)));
                    event.remote = v4(sk.read(offset!(sk_remote)));
                } else {
                    event.local = sk.address(offset!(sk_local_v6));
                    event.remote = sk.address(offset!(sk_remote_v6));
                }
                match event.protocol {
                    TCP => 1,
                    UDP => 2,
                    _ => 0,
                }
            }
            AF_UNIX => {
                self.describe_unix(event);
                4
            }
            _ => 0,
        };
        transports & transport != 0
    }

    /// The other end of a Unix socket, and which of the two has a name.
    #[inline(always)]
    fn describe_unix(&self, event: &mut SocketEvent) {
        let unix = Place::new(self.sk, kind!(unix_sock));
        let peer: u64 = unix.read(offset!(unix_peer));
        if peer == 0 {
            return;
        }
        let is_named: u64 = unix.read(offset!(unix_name));
        let peer_is_named: u64 = Place::new(peer, kind!(unix_sock)).read(offset!(unix_name));
        event.flags |= match (is_named != 0, peer_is_named != 0) {
            (false, false) => Flags::PAIR,
            (true, false) => Flags::SERVER,
            (false, true) => Flags::CLIENT,
            (true, true) => 0,
        };
        let socket: u64 = Place::new(peer, kind!(sock)).read(offset!(sk_socket));
        if socket != 0 {
            event.peer_inode = Place::new(socket, kind!(socket_alloc)).read(offset!(socket_number));
        }
    }

    /// Sequence number of the first of `length` bytes that were just sent.
    #[inline(always)]
    pub fn sent(&self, event: &mut SocketEvent, length: u32) {
        if event.protocol == TCP && event.family != AF_UNIX {
            let tcp = Place::new(self.sk, kind!(tcp_sock));
            event.position = tcp.read::<u32>(offset!(tcp_write_seq)).wrapping_sub(length);
            event.flags |= Flags::POSITION;
        }
    }

    /// When the first of `length` bytes that were just sent were on the wire; 0 if that is not known.
    #[inline(always)]
    pub fn sent_ns(&self, event: &SocketEvent) -> u64 {
        if event.flags & Flags::POSITION == 0 {
            return 0;
        }
        let tcp = Place::new(self.sk, kind!(tcp_sock));
        let is_on_wire = (tcp.read::<u32>(offset!(tcp_snd_nxt)).wrapping_sub(event.position) as i32) > 0;
        let time: u64 = tcp.read(offset!(tcp_wire_ns));
        // With pacing it may be a time to come.
        if is_on_wire && time <= event.header.time_ns { time } else { 0 }
    }

    /// Whether a connection that was accepted begins with this message of `length` bytes.
    #[inline(always)]
    pub fn begins(&self, event: &SocketEvent, length: u32) -> bool {
        let is_accepted = self.sock.read::<u32>(offset!(sk_backlog)) != 0;
        if event.flags & Flags::POSITION == 0 || !is_accepted {
            return false;
        }
        let tcp = Place::new(self.sk, kind!(tcp_sock));
        let unread = tcp.read::<u32>(offset!(tcp_rcv_nxt)).wrapping_sub(tcp.read(offset!(tcp_copied_seq)));
        let received = tcp.read::<u64>(offset!(tcp_received)).wrapping_sub(unread.into());
        let unacknowledged = tcp.read::<u32>(offset!(tcp_write_seq)).wrapping_sub(tcp.read(offset!(tcp_snd_una)));
        let sent = tcp.read::<u64>(offset!(tcp_acked)).wrapping_add(unacknowledged.into());
        let length = u64::from(length);
        if event.operation == Operation::Send as u8 {
            sent == length && received == 0
        } else {
            // The peer's end counts as a byte, too.
            sent == 0 && received.wrapping_sub(length) <= 1
        }
    }

    /// Whether the kernel uses it for itself, such as for a disk that is elsewhere: then a process may have written to that.
    #[inline(always)]
    pub fn is_of_kernel(&self) -> bool {
        let offset = offset!(sk_task_frag);
        offset != 0 && self.sock.read::<u8>(offset) == 0
    }

    /// Whether neither end sends any more.
    #[inline(always)]
    pub fn is_over(&self) -> bool {
        const SHUTDOWN_MASK: u8 = 3;
        let sk = self.sock;
        sk.read::<u8>(offset!(sk_shutdown)) == SHUTDOWN_MASK && sk.read::<u16>(offset!(sk_type)) == SOCK_STREAM
    }

    /// Whether a process works on it. Packets that arrive do so in the context of whoever is running.
    #[inline(always)]
    pub fn is_owned(&self) -> bool {
        self.sock.read::<u32>(offset!(sk_owned)) != 0
    }

    /// Sequence number of the first of `length` bytes that were just received.
    #[inline(always)]
    pub fn received(&self, event: &mut SocketEvent, length: u32) {
        if event.protocol == TCP && event.family != AF_UNIX {
            let tcp = Place::new(self.sk, kind!(tcp_sock));
            let read: u32 = tcp.read(offset!(tcp_copied_seq));
            let taken = if event.flags & Flags::PEEK == 0 { length } else { 0 };
            // The peer's end counts as a byte, and is taken together with the last one if that is already there.
            let flags: u32 = self.sock.read(offset!(sk_flags));
            let end = flags & SOCK_DONE != 0 && read == tcp.read::<u32>(offset!(tcp_rcv_nxt));
            event.position = read.wrapping_sub(taken + u32::from(end));
            event.flags |= Flags::POSITION;
        }
    }
}

/// Address of the file behind a descriptor of the running thread.
#[inline(always)]
fn open_file(task: *const u8, fd: u32) -> Option<u64> {
    // SAFETY: `task` is the running thread's.
    let files = unsafe {
        let files: *const u8 = typed(task, offset!(task_files));
        let table: *const u8 = typed(files, offset!(files_fdt));
        if fd >= typed::<u32>(table, offset!(fdt_max)) {
            return None;
        }
        typed::<u64>(table, offset!(fdt_fd))
    };
    Some(Place::new(files + u64::from(fd) * 8, kind!(list_head)).read(0))
}

/// Puts the address of the peer that a call names (a `sockaddr`) into the event of a socket that is not connected.
#[inline(always)]
pub fn name_peer(event: &mut SocketEvent, address: u64) {
    if address == 0 || event.remote_port != 0 {
        return;
    }
    let Some(family) = user::<u16>(address) else { return };
    if u32::from(family) == u32::from(AF_INET)
        && let Some(bytes) = user::<[u32; 2]>(address)
    {
        event.remote_port = u16::from_be((bytes[0] >> 16) as u16);
        event.remote = if event.family == AF_INET { v4(bytes[1]) } else { v4_in_v6(bytes[1]) };
    } else if u32::from(family) == u32::from(AF_INET6)
        && let Some(bytes) = user::<[u32; 6]>(address)
    {
        event.remote_port = u16::from_be((bytes[0] >> 16) as u16);
        event.remote = words([bytes[2], bytes[3], bytes[4], bytes[5]]);
    }
}

/// Puts the peer of a datagram into the event of a socket that is not connected.
#[inline(always)]
pub fn tell_peer(event: &mut SocketEvent, peer: &Peer) {
    if peer.family != 0 && event.remote_port == 0 {
        event.remote_port = peer.port as u16;
        event.remote = words(peer.address);
    }
}

#[inline(always)]
fn v4(address: u32) -> [u8; 16] {
    words([address, 0, 0, 0])
}

/// An IPv4 peer of an IPv6 socket (RFC 4291 section 2.5.5.2).
#[inline(always)]
fn v4_in_v6(address: u32) -> [u8; 16] {
    words([0, 0, 0xffff_u32.to_be(), address])
}

#[inline(always)]
fn words(words: [u32; 4]) -> [u8; 16] {
    // SAFETY: the same bytes.
    unsafe { core::mem::transmute(words) }
}
