//! What the arguments of system calls say: where the bytes of a message are, and who the peer is.

use metaflow_ebpf_common::{Call, Flags};

use crate::maps::register;
use crate::memory::{typed, user};
use crate::message::Message;
use crate::socket::name_peer;

pub const MSG_PEEK: u64 = 0x2;
pub const MSG_TRUNC: u64 = 0x20;
pub const MSG_ERRQUEUE: u64 = 0x2000;
/// As many messages as one call can send (`UIO_MAXIOV`).
pub const MESSAGES: u32 = 1024;
/// From one message of such a call to the next: a `msghdr`, and how long the message was.
pub const MMSGHDR: u64 = 64;

/// Where the bytes of a message of this length are. `named` if the peer's name is there by now.
#[inline(always)]
pub fn place(message: &mut Message, call: u8, registers: *const u8, flags: u64, total: u32, named: bool) {
    match call {
        CALL_READ | CALL_WRITE => message.piece = [argument(registers, 1), total.into()],
        // The bytes were dropped, not handed over (`tcp(7)`).
        CALL_RECVFROM | CALL_RECVMSG if flags & MSG_TRUNC != 0 && message.event.flags & Flags::POSITION != 0 => {}
        CALL_SENDTO | CALL_RECVFROM => {
            // A datagram may have been longer than the room for it, if the process wants to know.
            message.piece = [argument(registers, 1), argument(registers, 2)];
            if named {
                name_peer(&mut message.event, argument(registers, 4));
            }
        }
        CALL_READV | CALL_WRITEV => message.scattered(argument(registers, 1), argument(registers, 2)),
        CALL_SENDMSG | CALL_RECVMSG => header(message, argument(registers, 1), named),
        _ => message.event.flags |= Flags::FILE,
    }
}

/// A `msghdr`: peer, pieces.
#[inline(always)]
pub fn header(message: &mut Message, address: u64, named: bool) {
    let Some(header) = user::<[u64; 4]>(address) else { return };
    if named {
        name_peer(&mut message.event, header[0]);
    }
    message.scattered(header[2], header[3]);
}

/// An argument of a system call, of which `registers` are.
#[inline(always)]
pub fn argument(registers: *const u8, number: usize) -> u64 {
    // SAFETY: the caller has them of the kernel.
    unsafe { typed(registers, register!(arguments[number])) }
}

// As patterns.
pub const CALL_READ: u8 = Call::Read as u8;
pub const CALL_RECVFROM: u8 = Call::Recvfrom as u8;
pub const CALL_RECVMSG: u8 = Call::Recvmsg as u8;
pub const CALL_RECVMMSG: u8 = Call::Recvmmsg as u8;
pub const CALL_WRITE: u8 = Call::Write as u8;
pub const CALL_SENDTO: u8 = Call::Sendto as u8;
pub const CALL_SENDMSG: u8 = Call::Sendmsg as u8;
pub const CALL_SENDMMSG: u8 = Call::Sendmmsg as u8;
pub const CALL_SPLICE: u8 = Call::Splice as u8;
pub const CALL_READV: u8 = Call::Readv as u8;
pub const CALL_ACCEPT: u8 = Call::Accept as u8;
pub const CALL_SHUTDOWN: u8 = Call::Shutdown as u8;
pub const CALL_SOCKETPAIR: u8 = Call::Socketpair as u8;
pub const CALL_IO_URING: u8 = Call::IoUring as u8;
pub const CALL_CONNECT: u8 = Call::Connect as u8;
pub const CALL_CLOSE: u8 = Call::Close as u8;
pub const CALL_WRITEV: u8 = Call::Writev as u8;
