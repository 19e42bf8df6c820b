//! What TLS libraries encrypt and decrypt.

use aya_ebpf::EbpfContext;
use aya_ebpf::helpers::generated::{bpf_get_attach_cookie, bpf_probe_read_kernel};
use aya_ebpf::macros::{map, uprobe, uretprobe};
use aya_ebpf::maps::LruHashMap;
use aya_ebpf::programs::{ProbeContext, RetProbeContext};
use metaflow_ebpf_common::{Counter, Flags, Operation, SocketEvent, Source, TlsFunction};

use crate::maps::{self, register};
use crate::memory::user;
use crate::task::{self, Thread, Who};

/// The call of a TLS library that a thread is in.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct TlsCall {
    /// The TLS connection, 0 if it is in none.
    pub connection: u64,
    /// Where its bytes are.
    buffer: u64,
    /// Where it says how many, if not by what it returns.
    length: u64,
    /// Bits of [`TlsFunction`].
    function: u64,
    /// Where the stack was when it began: what it calls has it lower.
    stack: u64,
    enter_ns: u64,
}

impl TlsCall {
    pub const NONE: Self = Self { connection: 0, buffer: 0, length: 0, function: 0, stack: 0, enter_ns: 0 };
}

#[derive(Clone, Copy)]
#[repr(C)]
struct Key {
    connection: u64,
    tgid: u64,
}

/// What is known of a TLS connection: the socket that was last used while working on it, and how many bytes there were.
#[derive(Clone, Copy)]
#[repr(C)]
struct Connection {
    inode: u64,
    peer_inode: u64,
    local: [u64; 2],
    remote: [u64; 2],
    netns: u32,
    fd: i32,
    ports: [u16; 2],
    kind: [u8; 4],
    sent: u32,
    received: u32,
}

/// By TLS connection and process; those that were not used for long give way.
#[map]
static CONNECTIONS: LruHashMap<Key, Connection> = LruHashMap::with_max_entries(16384, 0);

#[uprobe]
fn tls_begins(context: ProbeContext) -> u32 {
    begins(&context);
    0
}

#[inline(always)]
fn begins(context: &ProbeContext) -> Option<()> {
    let settings = maps::settings()?;
    let Thread { state, .. } = Who::current().followed(settings)?;
    let stack = read(context, register!(stack));
    if state.tls.connection != 0 && stack < state.tls.stack {
        // TLS within TLS: what is encrypted twice is of interest in plain only.
        return None;
    }
    // SAFETY: the context is that of a probe.
    let function = unsafe { bpf_get_attach_cookie(context.as_ptr()) };
    state.tls = TlsCall {
        connection: read(context, register!(parameters[0])),
        buffer: read(context, register!(parameters[1])),
        length: read(context, register!(parameters[3])),
        function,
        stack,
        enter_ns: task::now(),
    };
    Some(())
}

#[uretprobe]
fn tls_returns(context: RetProbeContext) -> u32 {
    returns(&context);
    0
}

#[inline(always)]
fn returns(context: &RetProbeContext) -> Option<()> {
    let settings = maps::settings()?;
    let task = task::task();
    // SAFETY: the running thread's.
    let who = unsafe { Who::of(task) };
    let Thread { state, message } = who.followed(settings)?;
    // The return address may have been taken from the stack meanwhile.
    if read(context, register!(stack)).wrapping_sub(state.tls.stack) > 8 {
        if state.tls.connection == 0 {
            maps::count(Counter::Unpaired, 1);
        }
        return None;
    }
    let call = core::mem::replace(&mut state.tls, TlsCall::NONE);
    let result = read(context, register!(result)) as i32;
    let total = match call.function & TlsFunction::EXTENDED {
        _ if result <= 0 => return None,
        0 => result as u32,
        _ => user::<u64>(call.length)? as u32,
    };
    if total == 0 {
        return None;
    }
    let receives = call.function & TlsFunction::RECEIVES != 0;
    let operation = if receives { Operation::Receive } else { Operation::Send };
    message.clear();
    message.event.operation = operation as u8;
    who.describe(&mut message.event, task, u32::MAX);
    message.event.source = Source::Openssl as u8;
    message.event.flags = Flags::POSITION;
    message.event.tls = call.connection;
    message.event.enter_ns = call.enter_ns;
    message.piece = [call.buffer, total.into()];
    let key = Key { connection: call.connection, tgid: who.tgid.into() };
    let known = match CONNECTIONS.get_ptr_mut(key) {
        Some(known) => known,
        None => {
            // No socket was used: the library may be handed what another part of the process read.
            // SAFETY: all of it are numbers.
            let nothing: Connection = unsafe { core::mem::zeroed() };
            let _ = CONNECTIONS.insert(key, nothing, 0);
            CONNECTIONS.get_ptr_mut(key)?
        }
    };
    // SAFETY: the map's memory. A TLS connection is used by one thread at a time.
    let known = unsafe { &mut *known };
    known.tell(&mut message.event);
    let count = if receives { &mut known.received } else { &mut known.sent };
    message.event.position = *count;
    *count = count.wrapping_add(total);
    message.hand_on(settings, total);
    Some(())
}

#[uprobe]
fn tls_freed(context: ProbeContext) -> u32 {
    let connection = read(&context, register!(parameters[0]));
    let _ = CONNECTIONS.remove(Key { connection, tgid: Who::current().tgid.into() });
    0
}

/// A socket was used in the course of a call of a TLS library.
#[inline(never)]
pub fn uses(connection: u64, event: &SocketEvent) {
    let key = Key { connection, tgid: event.header.tgid.into() };
    let (mut sent, mut received) = (0, 0);
    if let Some(known) = CONNECTIONS.get_ptr_mut(key) {
        // SAFETY: as above.
        let known = unsafe { &*known };
        if known.inode == event.inode {
            return;
        }
        if known.inode == 0 {
            (sent, received) = (known.sent, known.received);
        }
    }
    let known = Connection {
        inode: event.inode,
        peer_inode: event.peer_inode,
        local: words(event.local),
        remote: words(event.remote),
        netns: event.netns,
        fd: event.fd,
        ports: [event.local_port, event.remote_port],
        kind: [event.family, event.socket_type, event.protocol, event.state],
        sent,
        received,
    };
    let _ = CONNECTIONS.insert(key, known, 0);
}

impl Connection {
    /// Says in an event which socket it is.
    #[inline(always)]
    fn tell(&self, event: &mut SocketEvent) {
        event.inode = self.inode;
        event.peer_inode = self.peer_inode;
        event.local = bytes(self.local);
        event.remote = bytes(self.remote);
        event.netns = self.netns;
        if self.inode != 0 {
            event.fd = self.fd;
        }
        [event.local_port, event.remote_port] = self.ports;
        [event.family, event.socket_type, event.protocol, event.state] = self.kind;
    }
}

/// A register of the process.
#[inline(always)]
fn read(context: &impl EbpfContext, offset: usize) -> u64 {
    let mut value = 0u64;
    // SAFETY: the context of a probe is a `pt_regs`. Read directly, its places would have to be known when this is compiled.
    unsafe {
        let place = context.as_ptr().byte_add(offset);
        bpf_probe_read_kernel((&raw mut value).cast(), 8, place.cast_const().cast());
    }
    value
}

#[inline(always)]
fn words(bytes: [u8; 16]) -> [u64; 2] {
    // SAFETY: the same bytes.
    unsafe { core::mem::transmute(bytes) }
}

#[inline(always)]
fn bytes(words: [u64; 2]) -> [u8; 16] {
    // SAFETY: the same bytes.
    unsafe { core::mem::transmute(words) }
}
