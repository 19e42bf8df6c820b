//! System calls: one program where they begin and one where they return.

use core::ffi::c_void;

use aya_ebpf::helpers::generated::bpf_loop;
use aya_ebpf::macros::btf_tracepoint;
use aya_ebpf::programs::BtfTracePointContext;
use metaflow_ebpf_common::{Call, Counter, Flags, Operation, Settings};

use crate::maps::{self, register};
use crate::memory::{typed, user};
use crate::message::Message;
use crate::socket::{Socket, name_peer};
use crate::task::{self, State, Thread, Who};

const MSG_PEEK: u64 = 0x2;
const MSG_TRUNC: u64 = 0x20;
const MSG_ERRQUEUE: u64 = 0x2000;
const EINPROGRESS: i64 = 115;
/// As many messages as one call can send (`UIO_MAXIOV`).
const MESSAGES: u32 = 1024;

#[btf_tracepoint(function = "sys_enter")]
fn sys_enter(context: BtfTracePointContext) -> i32 {
    let number: u64 = context.arg(1);
    if Call::enters(maps::call(number)) {
        enter(number, context.arg(0));
    }
    0
}

#[inline(always)]
fn enter(number: u64, registers: *const u8) -> Option<()> {
    let settings = maps::settings()?;
    let who = Who::current();
    let thread = who.followed(settings)?;
    if maps::call(number) == Call::Close as u8 {
        // The file is gone when the call returns.
        let seen = Seen { settings, who, task: task::task(), registers, number, call: Call::Close as u8, result: 0 };
        let mut message = Message::new(settings, &mut thread.work);
        return seen.plain(&mut message, Operation::Close, argument(registers, 0) as u32);
    }
    thread.state.enter_ns = task::now();
    thread.state.number = number as u32;
    Some(())
}

#[btf_tracepoint(function = "sys_exit")]
fn sys_exit(context: BtfTracePointContext) -> i32 {
    let registers: *const u8 = context.arg(0);
    // SAFETY: the first argument of this tracepoint is a `pt_regs`.
    let number = u64::from(unsafe { typed::<u32>(registers, register!(number)) });
    let call = maps::call(number);
    if call != Call::Other as u8 && call != Call::Close as u8 {
        let result: i64 = context.arg(1);
        exit(number, call, registers, result);
    }
    0
}

#[inline(always)]
fn exit(number: u64, call: u8, registers: *const u8, result: i64) -> Option<()> {
    let settings = maps::settings()?;
    let who = Who::current();
    let thread = who.followed(settings)?;
    let seen = Seen { settings, who, task: task::task(), registers, number, call, result };
    // SAFETY: the running thread's.
    if unsafe { task::narrow(seen.task) } {
        return None;
    }
    let Thread { state: thread, work } = thread;
    let mut message = Message::new(settings, work);
    if call == Call::Connect as u8 {
        return seen.connect(&mut message, thread);
    }
    if result < 0 {
        return None;
    }
    match call {
        CALL_ACCEPT => seen.plain(&mut message, Operation::Accept, result as u32),
        CALL_SHUTDOWN => seen.shutdown(&mut message),
        CALL_SOCKETPAIR => seen.socketpair(&mut message),
        CALL_IO_URING => seen.io_uring(&mut message, thread),
        _ if result > 0 => seen.data(&mut message, thread),
        _ => None,
    }
}

const CALL_READ: u8 = Call::Read as u8;
const CALL_RECVFROM: u8 = Call::Recvfrom as u8;
const CALL_RECVMSG: u8 = Call::Recvmsg as u8;
const CALL_RECVMMSG: u8 = Call::Recvmmsg as u8;
const CALL_WRITE: u8 = Call::Write as u8;
const CALL_SENDTO: u8 = Call::Sendto as u8;
const CALL_SENDMSG: u8 = Call::Sendmsg as u8;
const CALL_SENDMMSG: u8 = Call::Sendmmsg as u8;
const CALL_SPLICE: u8 = Call::Splice as u8;
const CALL_READV: u8 = Call::Readv as u8;
const CALL_ACCEPT: u8 = Call::Accept as u8;
const CALL_SHUTDOWN: u8 = Call::Shutdown as u8;
const CALL_SOCKETPAIR: u8 = Call::Socketpair as u8;
const CALL_IO_URING: u8 = Call::IoUring as u8;
const CALL_WRITEV: u8 = Call::Writev as u8;

/// A system call that has returned.
struct Seen {
    settings: &'static Settings,
    who: Who,
    task: *const u8,
    registers: *const u8,
    number: u64,
    call: u8,
    result: i64,
}

impl Seen {
    /// When it began; 0 if that was not seen.
    #[inline(always)]
    fn began(&self, thread: &mut State) -> u64 {
        if u64::from(thread.number) != self.number || thread.enter_ns == 0 {
            maps::count(Counter::Unpaired, 1);
            return 0;
        }
        core::mem::replace(&mut thread.enter_ns, 0)
    }

    #[inline(always)]
    fn describe(&self, message: &mut Message, fd: u32) -> Option<Socket> {
        let socket = Socket::open(self.task, fd)?;
        message.event.fd = fd as i32;
        self.who.describe(&mut message.event, self.task);
        socket.describe(message, self.settings.transports).then_some(socket)
    }

    /// Something happened on a socket that needs no more words.
    #[inline(always)]
    fn plain(&self, message: &mut Message, operation: Operation, fd: u32) -> Option<()> {
        self.describe(message, fd)?;
        message.hand_on_event(operation);
        Some(())
    }

    #[inline(always)]
    fn shutdown(&self, message: &mut Message) -> Option<()> {
        const SHUT_RD: u64 = 0;
        if argument(self.registers, 1) == SHUT_RD {
            return None;
        }
        self.plain(message, Operation::Shutdown, argument(self.registers, 0) as u32)
    }

    #[inline(always)]
    fn connect(&self, message: &mut Message, thread: &mut State) -> Option<()> {
        message.event.enter_ns = self.began(thread);
        self.describe(message, argument(self.registers, 0) as u32)?;
        message.event.total = if self.result == -EINPROGRESS { 0 } else { self.result.wrapping_neg() as u32 };
        name_peer(&mut message.event, argument(self.registers, 1));
        message.hand_on_event(Operation::Connect);
        Some(())
    }

    #[inline(always)]
    fn socketpair(&self, message: &mut Message) -> Option<()> {
        let fds: [u32; 2] = user(argument(self.registers, 3))?;
        self.plain(message, Operation::Pair, fds[0])?;
        self.plain(message, Operation::Pair, fds[1])
    }

    #[inline(always)]
    fn io_uring(&self, message: &mut Message, thread: &mut State) -> Option<()> {
        if thread.io_uring != 0 {
            return None;
        }
        thread.io_uring = 1;
        message.event.fd = -1;
        self.who.describe(&mut message.event, self.task);
        message.hand_on_event(Operation::IoUring);
        Some(())
    }

    /// Bytes were sent or received.
    #[inline(always)]
    fn data(&self, message: &mut Message, thread: &mut State) -> Option<()> {
        let mut sends = Call::enters(self.call);
        let mut fd = argument(self.registers, 0) as u32;
        if sends {
            message.event.enter_ns = self.began(thread);
        }
        let socket = match self.describe(message, fd) {
            Some(socket) => {
                // From a socket.
                sends &= self.call != CALL_SPLICE;
                socket
            }
            None if self.call == CALL_SPLICE => {
                // To one, if any.
                fd = argument(self.registers, 2) as u32;
                self.describe(message, fd)?
            }
            None => return None,
        };
        let total = self.result as u32;
        let flags = match self.call {
            CALL_RECVMSG => argument(self.registers, 2),
            CALL_RECVFROM | CALL_RECVMMSG => argument(self.registers, 3),
            _ => 0,
        };
        if flags & MSG_ERRQUEUE != 0 {
            return None;
        }
        if flags & MSG_PEEK != 0 {
            message.event.flags |= Flags::PEEK;
        }
        if thread.tls != 0 {
            message.event.flags |= Flags::ENCRYPTED;
        }
        message.event.operation = if sends { Operation::Send as u8 } else { Operation::Receive as u8 };
        if matches!(self.call, CALL_SENDMMSG | CALL_RECVMMSG) {
            // Of those the call returns how many there were, not how long they are.
            message.work.next = argument(self.registers, 1);
            message.socket_flags = u32::from(message.event.remote_port != 0);
            let count = if total > MESSAGES { MESSAGES } else { total };
            // SAFETY: the callback takes what it is given; it lives until it returns.
            unsafe { bpf_loop(count, one_of_several as *mut c_void, (&raw mut *message).cast(), 0) };
            return Some(());
        }
        if sends {
            socket.sent(message, total);
        } else {
            socket.received(message, total);
        }
        match self.call {
            CALL_READ | CALL_WRITE => message.work.piece = [argument(self.registers, 1), total.into()],
            // The bytes were dropped, not handed over (`tcp(7)`).
            CALL_RECVFROM | CALL_RECVMSG if flags & MSG_TRUNC != 0 && message.event.flags & Flags::POSITION != 0 => {}
            CALL_SENDTO | CALL_RECVFROM => {
                // A datagram may have been longer than the room for it, if the process wants to know.
                message.work.piece = [argument(self.registers, 1), argument(self.registers, 2)];
                name_peer(&mut message.event, argument(self.registers, 4));
            }
            CALL_READV | CALL_WRITEV => message.scattered(argument(self.registers, 1), argument(self.registers, 2)),
            CALL_SENDMSG | CALL_RECVMSG => header(message, argument(self.registers, 1)),
            _ => message.event.flags |= Flags::FILE,
        }
        message.hand_on(total);
        Some(())
    }
}

/// A `msghdr`: peer, pieces.
#[inline(always)]
fn header(message: &mut Message, address: u64) {
    let Some(header) = user::<[u64; 4]>(address) else { return };
    name_peer(&mut message.event, header[0]);
    message.scattered(header[2], header[3]);
}

/// One round: the next message of `sendmmsg` or `recvmmsg`.
unsafe extern "C" fn one_of_several(_round: u64, message: *mut c_void) -> i64 {
    const MMSGHDR: u64 = 64;
    const MSG_LEN: u64 = 56;
    // SAFETY: the one from `data`.
    let message = unsafe { &mut *message.cast::<Message>() };
    let Some(total) = user::<u32>(message.work.next + MSG_LEN) else { return 1 };
    let connected = message.socket_flags != 0;
    if !connected {
        message.event.remote_port = 0;
    }
    header(message, message.work.next);
    message.hand_on(total);
    message.work.next += MMSGHDR;
    0
}

/// An argument of a system call, of which `registers` are.
#[inline(always)]
fn argument(registers: *const u8, number: usize) -> u64 {
    // SAFETY: the first argument of both tracepoints is a `pt_regs`.
    unsafe { typed(registers, register!(arguments[number])) }
}
