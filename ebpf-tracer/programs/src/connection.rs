//! What becomes of sockets and is no message, where system calls are not looked at.

use aya_ebpf::bindings::bpf_sock_addr;
use aya_ebpf::macros::{btf_tracepoint, cgroup_sock_addr};
use aya_ebpf::programs::{BtfTracePointContext, SockAddrContext};
use metaflow_ebpf_common::{Call, Operation};

use crate::arguments::*;
use crate::maps::{self, SCRATCH, Scratch};
use crate::socket::{AF_INET, AF_INET6, Socket};
use crate::task::{self, Peer, Who};

/// States of a TCP connection (`tcp_states.h`).
const ESTABLISHED: i32 = 1;
const SYN_SENT: i32 = 2;
const FIN_WAIT1: i32 = 4;
const CLOSE: i32 = 7;
const CLOSE_WAIT: i32 = 8;
const LAST_ACK: i32 = 9;

#[btf_tracepoint(function = "inet_sock_set_state")]
fn inet_sock_set_state(context: BtfTracePointContext) -> i32 {
    let (before, after): (i32, i32) = (context.arg(1), context.arg(2));
    let operation = match (before, after) {
        (CLOSE, SYN_SENT) => Operation::Connect,
        (ESTABLISHED | CLOSE_WAIT | SYN_SENT, FIN_WAIT1 | LAST_ACK | CLOSE) => Operation::Close,
        _ => return 0,
    };
    changed(context.arg(0), operation, after);
    0
}

/// The process connects a socket, or its side of a connection ends: by `shutdown`, or as the last descriptor is closed.
#[inline(always)]
fn changed(sk: *const u8, operation: Operation, state: i32) -> Option<()> {
    let settings = maps::settings()?;
    let task = task::task();
    // SAFETY: the running thread's.
    let who = unsafe { Who::of(task) };
    who.follows(settings)?;
    let socket = Socket::of(sk)?;
    if !socket.is_owned() {
        return None;
    }
    // SAFETY: the map's memory, which nobody else uses now.
    let message = unsafe { &mut (*SCRATCH.get_ptr_mut(Scratch::State as u32)?).message };
    message.clear();
    let registers = task::registers(task);
    let call = task::call(task, registers);
    let mut fd = argument(registers, 0) as u32;
    if call == Call::Other as u8 || !socket.is_at(task, fd) {
        fd = u32::MAX;
    }
    message.event.operation = if operation as u8 == Operation::Close as u8 && call == CALL_SHUTDOWN {
        Operation::Shutdown as u8
    } else {
        operation as u8
    };
    who.describe(&mut message.event, task, fd);
    if socket.describe(&mut message.event, settings.transports) {
        message.event.state = state as u8;
        message.hand_on(settings, 0);
    }
    Some(())
}

#[btf_tracepoint(function = "io_uring_create")]
fn io_uring_create(_: BtfTracePointContext) -> i32 {
    declare();
    0
}

/// The thread is going to use `io_uring`.
#[inline(always)]
fn declare() -> Option<()> {
    let settings = maps::settings()?;
    let task = task::task();
    // SAFETY: the running thread's.
    let who = unsafe { Who::of(task) };
    let thread = who.followed(settings)?;
    // Once is enough.
    if core::mem::replace(&mut thread.state.io_uring, 1) == 0 {
        thread.message.clear();
        thread.message.event.operation = Operation::IoUring as u8;
        who.describe(&mut thread.message.event, task, u32::MAX);
        thread.message.hand_on(settings, 0);
    }
    Some(())
}

/// Who sent the datagram that is being received: where that is seen to be received, the process does not have the address yet.
#[cgroup_sock_addr(recvmsg4)]
fn recvmsg4(context: SockAddrContext) -> i32 {
    // SAFETY: the kernel's.
    let address = unsafe { (*context.sock_addr).user_ip4 };
    remember(context.sock_addr, AF_INET, [address, 0, 0, 0]);
    1
}

#[cgroup_sock_addr(recvmsg6)]
fn recvmsg6(context: SockAddrContext) -> i32 {
    let words = unsafe { &raw const (*context.sock_addr).user_ip6 }.cast::<u32>();
    // SAFETY: the kernel's; it allows words of four bytes to be read.
    let address = core::array::from_fn(|word| unsafe { words.add(word).read_volatile() });
    remember(context.sock_addr, AF_INET6, address);
    1
}

#[inline(always)]
fn remember(address: *const bpf_sock_addr, family: u8, words: [u32; 4]) -> Option<()> {
    let settings = maps::settings()?;
    let thread = Who::current().followed(settings)?;
    // SAFETY: the kernel's.
    let port = unsafe { (*address).user_port } as u16;
    thread.state.peer = Peer { family: family.into(), port: u16::from_be(port).into(), address: words };
    Some(())
}
