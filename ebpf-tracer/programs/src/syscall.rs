//! System calls: one program where they begin and one where they return.

use core::ffi::c_void;

use aya_ebpf::helpers::generated::bpf_loop;
use aya_ebpf::macros::btf_tracepoint;
use aya_ebpf::programs::BtfTracePointContext;
use metaflow_ebpf_common::{Call, Counter, Flags, Operation, Settings};

use crate::arguments::*;
use crate::maps::{self, register};
use crate::memory::{typed, user};
use crate::message::{Message, Round};
use crate::socket::{Socket, name_peer};
use crate::task::{self, Thread, Who};
use crate::tls;

const EINPROGRESS: i64 = 115;

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
    let task = task::task();
    // SAFETY: the running thread's.
    let who = unsafe { Who::of(task) };
    let Thread { state, message } = who.followed(settings)?;
    // SAFETY: as above.
    if unsafe { task::narrow(task) } {
        return None;
    }
    if maps::call(number) != CALL_CLOSE {
        state.enter_ns = task::now();
        state.number = number as u32;
        return Some(());
    }
    // The file is gone when the call returns.
    let fd = argument(registers, 0) as u32;
    let socket = Socket::open(task, fd)?;
    message.clear();
    message.event.operation = Operation::Close as u8;
    who.describe(&mut message.event, task, fd);
    if socket.describe(&mut message.event, settings.transports) {
        message.hand_on(settings, 0);
    }
    Some(())
}

#[btf_tracepoint(function = "sys_exit")]
fn sys_exit(context: BtfTracePointContext) -> i32 {
    let registers: *const u8 = context.arg(0);
    // SAFETY: the first argument of this tracepoint is a `pt_regs`.
    let number = unsafe { typed::<u32>(registers, register!(number)) };
    let call = maps::call(number.into());
    if call != Call::Other as u8 && call != CALL_CLOSE {
        exit(number, call, registers, context.arg(1));
    }
    0
}

#[inline(always)]
fn exit(number: u32, call: u8, registers: *const u8, result: i64) -> Option<()> {
    let settings = maps::settings()?;
    let task = task::task();
    // SAFETY: the running thread's.
    let who = unsafe { Who::of(task) };
    let Thread { state, message } = who.followed(settings)?;
    let happened = match call {
        CALL_CONNECT | CALL_SHUTDOWN | CALL_ACCEPT | CALL_SOCKETPAIR | CALL_IO_URING => {
            result >= 0 || call == CALL_CONNECT
        }
        _ => result > 0,
    };
    // SAFETY: as above.
    if !happened || unsafe { task::narrow(task) } {
        return None;
    }
    let mut fd = argument(registers, 0) as u32;
    let operation = match call {
        CALL_CONNECT => Operation::Connect,
        CALL_SHUTDOWN => {
            const SHUT_RD: u64 = 0;
            if argument(registers, 1) == SHUT_RD {
                return None;
            }
            Operation::Shutdown
        }
        CALL_ACCEPT => {
            fd = result as u32;
            Operation::Accept
        }
        CALL_SOCKETPAIR => {
            fd = user(argument(registers, 3))?;
            Operation::Pair
        }
        CALL_IO_URING => {
            // Once is enough.
            if state.io_uring != 0 {
                return None;
            }
            state.io_uring = 1;
            fd = u32::MAX;
            Operation::IoUring
        }
        _ if Call::enters(call) => Operation::Send,
        _ => Operation::Receive,
    };
    message.clear();
    message.event.operation = operation as u8;
    if call == CALL_IO_URING {
        who.describe(&mut message.event, task, fd);
        message.hand_on(settings, 0);
        return Some(());
    }
    let socket = match Socket::open(task, fd) {
        Some(socket) => {
            if call == CALL_SPLICE {
                // From a socket, to one, or neither.
                message.event.operation = Operation::Receive as u8;
            }
            socket
        }
        None if call == CALL_SPLICE => {
            fd = argument(registers, 2) as u32;
            Socket::open(task, fd)?
        }
        None => return None,
    };
    who.describe(&mut message.event, task, fd);
    if !socket.describe(&mut message.event, settings.transports) {
        return None;
    }
    if Call::enters(call) {
        if state.number == number && state.enter_ns != 0 {
            message.event.enter_ns = state.enter_ns;
            state.enter_ns = 0;
        } else {
            maps::count(Counter::Unpaired, 1);
        }
    }
    let mut total = result as u32;
    match operation {
        Operation::Send | Operation::Receive => {
            if state.tls.connection != 0 {
                message.event.flags |= Flags::ENCRYPTED;
                tls::uses(state.tls.connection, &message.event);
            }
            payload(message, settings, &socket, call, registers, total)?;
        }
        Operation::Connect => {
            name_peer(&mut message.event, argument(registers, 1));
            total = if result == -EINPROGRESS { 0 } else { result.wrapping_neg() as u32 };
        }
        _ => total = 0,
    }
    message.hand_on(settings, total);
    Some(())
}

/// Where the bytes of a message are, and which of its connection's they are. `None` if there is no message, or there are several and they
/// are handed on already.
#[inline(always)]
fn payload(
    message: &mut Message,
    settings: &Settings,
    socket: &Socket,
    call: u8,
    registers: *const u8,
    total: u32,
) -> Option<()> {
    let flags = match call {
        CALL_RECVMSG => argument(registers, 2),
        CALL_RECVFROM | CALL_RECVMMSG => argument(registers, 3),
        _ => 0,
    };
    if flags & MSG_ERRQUEUE != 0 {
        return None;
    }
    if flags & MSG_PEEK != 0 {
        message.event.flags |= Flags::PEEK;
    }
    if call == CALL_SENDMMSG || call == CALL_RECVMMSG {
        // Of those the call returns how many there were, not how long they are.
        message.next = argument(registers, 1);
        message.connected = u64::from(message.event.remote_port != 0);
        let count = if total > MESSAGES { MESSAGES } else { total };
        let mut round = Round { message, settings };
        // SAFETY: the callback takes what it is given; it lives until it returns.
        unsafe { bpf_loop(count, one_of_several as *mut c_void, (&raw mut round).cast(), 0) };
        return None;
    }
    if message.event.operation == Operation::Send as u8 {
        socket.sent(&mut message.event, total);
    } else {
        socket.received(&mut message.event, total);
    }
    place(message, call, registers, flags, total, true);
    Some(())
}

/// One round: the next message of `sendmmsg` or `recvmmsg`.
unsafe extern "C" fn one_of_several(_number: u64, round: *mut c_void) -> i64 {
    const MSG_LEN: u64 = 56;
    // SAFETY: the one from `payload`.
    let Round { message, settings } = unsafe { &mut *round.cast::<Round<'_>>() };
    let Some(total) = user::<u32>(message.next + MSG_LEN) else { return 1 };
    let connected = message.connected != 0;
    if !connected {
        message.event.remote_port = 0;
    }
    header(message, message.next, true);
    message.hand_on(settings, total);
    message.next += MMSGHDR;
    0
}
