//! What goes through sockets: one program where something was sent and one where something was received. Other system calls cost nothing.

use aya_ebpf::macros::btf_tracepoint;
use aya_ebpf::programs::BtfTracePointContext;
use metaflow_ebpf_common::{Call, Flags, Operation};

use crate::arguments::*;
use crate::maps::{self, SCRATCH, Scratch};
use crate::socket::{Socket, tell_peer};
use crate::task::{self, Peer, State, Thread, Who};
use crate::tls;

#[btf_tracepoint(function = "sock_send_length")]
fn sock_send_length(context: BtfTracePointContext) -> i32 {
    moved(context.arg(0), context.arg(1), 0, Operation::Send);
    0
}

#[btf_tracepoint(function = "sock_recv_length")]
fn sock_recv_length(context: BtfTracePointContext) -> i32 {
    moved(context.arg(0), context.arg(1), context.arg(2), Operation::Receive);
    0
}

/// So many bytes went through a socket, or it was an error.
#[inline(always)]
fn moved(sk: *const u8, result: i32, flags: i32, operation: Operation) -> Option<()> {
    let settings = maps::settings()?;
    let task = task::task();
    // SAFETY: the running thread's.
    let who = unsafe { Who::of(task) };
    let mut state = if who.follows(settings)? { who.known().map(|Thread { state, .. }| state) } else { None };
    let peer = match &mut state {
        Some(state) => core::mem::replace(&mut state.peer, Peer::NONE),
        None => Peer::NONE,
    };
    if result < 0 {
        if let Some(state) = state {
            state.several = [0; 2];
        }
        return None;
    }
    let flags = flags as u64;
    if flags & MSG_ERRQUEUE != 0 {
        return None;
    }
    let is_received = operation as u8 == Operation::Receive as u8;
    let socket = Socket::of(sk)?;
    let is_over = result == 0;
    if is_over && !(is_received && socket.is_over()) {
        return None;
    }
    let scratch = if is_received { Scratch::Received } else { Scratch::Sent };
    // SAFETY: the map's memory, which nobody else uses now.
    let draft = unsafe { &mut *SCRATCH.get_ptr_mut(scratch as u32)? };
    let message = &mut draft.message;
    message.clear();
    let registers = task::registers(task);
    let mut call = task::call(task, registers);
    let mut fd = argument(registers, if call == CALL_SPLICE { 2 } else { 0 }) as u32;
    // What `io_uring` does may be done in the course of another call, and what the kernel does for itself, too.
    let may_be_other = task::uses_io_uring(task) || socket.is_of_kernel();
    if call == Call::Other as u8 || may_be_other && !socket.is_at(task, fd) {
        (call, fd) = (Call::Other as u8, u32::MAX);
    }
    message.event.operation = operation as u8;
    who.describe(&mut message.event, task, fd);
    if !socket.describe_here(&mut message.event, settings.transports) {
        return None;
    }
    if is_over {
        // What closes a socket that is no TCP connection has no tracepoint.
        message.event.operation = Operation::Close as u8;
        message.event.fd = -1;
        message.hand_on(settings, 0);
        return Some(());
    }
    let total = result as u32;
    if flags & MSG_PEEK != 0 {
        message.event.flags |= Flags::PEEK;
    }
    if is_received {
        socket.received(&mut message.event, total);
        tell_peer(&mut message.event, &peer);
    } else {
        socket.sent(&mut message.event, total);
        message.event.enter_ns = socket.sent_ns(&message.event);
    }
    if socket.begins(&message.event, total) {
        let event = message.event;
        message.event.operation = Operation::Accept as u8;
        if event.enter_ns != 0 {
            message.event.header.time_ns = event.enter_ns;
        }
        message.hand_on(settings, 0);
        message.event = event;
    }
    if let Some(state) = &mut state
        && state.tls.connection != 0
    {
        message.event.flags |= Flags::ENCRYPTED;
        tls::uses(state.tls.connection, &message.event);
    }
    if call == CALL_SENDMMSG || call == CALL_RECVMMSG {
        let state = match state {
            Some(state) => state,
            None => &mut who.followed(settings)?.state,
        };
        header(message, next_of_several(state, registers), !is_received);
    } else if call != Call::Other as u8 {
        place(message, call, registers, flags, total, !is_received);
    }
    draft.hand_on(settings, total);
    Some(())
}

/// Where the message is that was just handled by a call that may handle several.
#[inline(always)]
fn next_of_several(state: &mut State, registers: *const u8) -> u64 {
    let (first, count) = (argument(registers, 1), argument(registers, 2) as u32);
    let count = if count > MESSAGES { MESSAGES } else { count };
    let index = if state.several[0] == first { state.several[1] } else { 0 };
    let is_last = index + 1 >= u64::from(count);
    state.several = if is_last { [0; 2] } else { [first, index + 1] };
    first + index * MMSGHDR
}
