//! What the kernel knows of a socket, read anew for each event.

use metaflow_ebpf_common::{Flags, Offsets, SocketEvent};

use crate::maps::offset;
use crate::memory::{kernel, typed, user};
use crate::message::Message;

pub const AF_UNIX: u8 = 1;
pub const AF_INET: u8 = 2;
pub const AF_INET6: u8 = 10;
const TCP: u8 = 6;
const UDP: u8 = 17;
/// Format bits of an inode's mode, and those of a socket (`stat.h`).
const S_IFMT: u16 = 0o170_000;
const S_IFSOCK: u16 = 0o140_000;
/// The peer's end arrived (`enum sock_flags`).
const SOCK_DONE: u32 = 1 << 1;

/// A socket that a process has open.
#[derive(Clone, Copy)]
pub struct Socket {
    /// Address of its `struct sock`.
    sk: u64,
    inode: u64,
}

impl Socket {
    /// The one behind a descriptor of the running thread, if it is one.
    #[inline(always)]
    pub fn open(task: *const u8, fd: u32) -> Option<Self> {
        // SAFETY: `task` is the running thread's.
        let files = unsafe {
            let files: *const u8 = typed(task, offset!(task_files));
            let table: *const u8 = typed(files, offset!(files_fdt));
            if fd >= typed::<u32>(table, offset!(fdt_max)) {
                return None;
            }
            typed::<u64>(table, offset!(fdt_fd))
        };
        let file: u64 = kernel(files, fd as usize * 8);
        let (inode, socket) = members(file, offset!(file_inode), offset!(file_private));
        // A socket and its inode are one piece of memory. Files of most other kinds end here.
        if inode == 0 || inode != socket + offset!(socket_inode) as u64 {
            return None;
        }
        let mode: u16 = kernel(inode, offset!(inode_mode));
        if mode & S_IFMT != S_IFSOCK {
            return None;
        }
        Some(Self { sk: kernel(socket, offset!(socket_sk)), inode: kernel(inode, offset!(inode_number)) })
    }

    /// Writes down what is known of it. `false` if it is of a kind that is not followed.
    #[inline(never)]
    pub fn describe(self, message: &mut Message, transports: u32) -> bool {
        let event = &mut message.event;
        let window: Window = kernel(self.sk, 0);
        let family = window.at::<u16>(offset!(sk_family)) as u8;
        let (kind, protocol) = members16(self.sk, offset!(sk_type), offset!(sk_protocol));
        event.inode = self.inode;
        event.family = family;
        event.socket_type = kind as u8;
        event.protocol = protocol as u8;
        event.state = window.at::<u8>(offset!(sk_state));
        event.netns = kernel(window.at::<u64>(offset!(sk_net)), offset!(net_inum));
        let transport = match family {
            AF_INET | AF_INET6 => {
                event.local_port = window.at(offset!(sk_local_port));
                event.remote_port = u16::from_be(window.at(offset!(sk_remote_port)));
                if family == AF_INET {
                    event.local = v4(window.at(offset!(sk_local)));
                    event.remote = v4(window.at(offset!(sk_remote)));
                } else {
                    event.local = window.at(offset!(sk_local_v6));
                    event.remote = window.at(offset!(sk_remote_v6));
                }
                match event.protocol {
                    TCP => 1,
                    UDP => 2,
                    _ => 0,
                }
            }
            AF_UNIX => {
                event.peer_inode = self.peer();
                4
            }
            _ => 0,
        };
        message.socket_flags = window.at(offset!(sk_flags));
        transports & transport != 0
    }

    /// Inode of a Unix socket's other end.
    #[inline(always)]
    fn peer(self) -> u64 {
        let peer: u64 = kernel(self.sk, offset!(unix_peer));
        let socket: u64 = if peer == 0 { 0 } else { kernel(peer, offset!(sk_socket)) };
        if socket == 0 { 0 } else { kernel(socket, offset!(socket_inode) + offset!(inode_number)) }
    }

    /// Sequence number of the first of `length` bytes that were just sent.
    #[inline(always)]
    pub fn sent(self, message: &mut Message, length: u32) {
        let event = &mut message.event;
        if event.protocol == TCP && event.family != AF_UNIX {
            event.position = kernel::<u32>(self.sk, offset!(tcp_write_seq)).wrapping_sub(length);
            event.flags |= Flags::POSITION;
        }
    }

    /// Sequence number of the first of `length` bytes that were just received.
    #[inline(always)]
    pub fn received(self, message: &mut Message, length: u32) {
        let event = &mut message.event;
        if event.protocol == TCP && event.family != AF_UNIX {
            let read: u32 = kernel(self.sk, offset!(tcp_copied_seq));
            let taken = if event.flags & Flags::PEEK == 0 { length } else { 0 };
            // The peer's end counts as a byte, and is taken together with the last one if that is already there.
            let end = message.socket_flags & SOCK_DONE != 0 && read == kernel::<u32>(self.sk, offset!(tcp_rcv_nxt));
            event.position = read.wrapping_sub(taken + u32::from(end));
            event.flags |= Flags::POSITION;
        }
    }
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

/// The beginning of a `struct sock`.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
struct Window([u64; Offsets::SK_WINDOW / 8]);

impl Window {
    #[inline(always)]
    fn at<T: Copy>(&self, offset: usize) -> T {
        // SAFETY: the loader makes sure that what is asked for lies within, and the verifier sees it.
        unsafe { (&raw const self.0).cast::<u8>().add(offset).cast::<T>().read_unaligned() }
    }
}

/// Two pointers within a structure, which mostly are neighbours.
#[inline(always)]
fn members(base: u64, first: usize, second: usize) -> (u64, u64) {
    if second + 8 == first {
        let both: [u64; 2] = kernel(base, second);
        (both[1], both[0])
    } else {
        (kernel(base, first), kernel(base, second))
    }
}

/// Two short numbers within a structure, the same.
#[inline(always)]
fn members16(base: u64, first: usize, second: usize) -> (u16, u16) {
    if second + 2 == first {
        let both: [u16; 2] = kernel(base, second);
        (both[1], both[0])
    } else {
        (kernel(base, first), kernel(base, second))
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
