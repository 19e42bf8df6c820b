//! Writing events and the bytes of messages into the ring.

use core::ffi::c_void;

use aya_ebpf::helpers::generated::{bpf_loop, bpf_probe_read_user};
use metaflow_ebpf_common::{CHUNK, Counter, Flags, Ladder, Operation, Policy, Settings, SocketEvent};

use crate::maps::{self, EVENTS};
use crate::memory::user;

/// As many pieces as a call can have (`UIO_MAXIOV`).
const PIECES: u64 = 1024;
/// As many bytes of a message as can be asked for: so many rounds a program makes at most.
const LONGEST: u64 = 16 << 20;

/// An event on its way into the ring, a record after the other if it is a message. It is kept with the thread, in a map: of what is on
/// its stack the verifier follows every value that could be there, and with so much of it would not come to an end.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Message {
    /// The piece of it that is being read: address and length.
    pub piece: [u64; 2],
    /// Address of the next piece's address and length (an `iovec`), if there are several.
    pub pieces: u64,
    /// How many.
    pub count: u64,
    /// Address of the next message, if a call handles several.
    pub next: u64,
    /// 1 if the socket itself says who the peer is, and not each message.
    pub connected: u64,
    /// Bytes to capture, from 0 on.
    wanted: u64,
    /// Captured so far.
    done: u64,
    state: u64,
    /// What every record begins with.
    pub event: SocketEvent,
}

const GOING: u64 = 0;
const ENDED: u64 = 1;
const LOST: u64 = 2;

/// What a round of a loop is given, on the stack as the kernel demands.
pub struct Round<'a> {
    pub message: &'a mut Message,
    pub settings: &'a Settings,
}

impl Message {
    /// About nobody's socket yet.
    // SAFETY: all of it are numbers.
    pub const NONE: Self = unsafe { core::mem::zeroed() };

    /// About nobody's socket any more. The compiler would write it byte by byte, which takes longer than all the rest.
    #[inline(always)]
    pub fn clear(&mut self) {
        let words: *mut u64 = (&raw mut *self).cast();
        for word in 0..size_of::<Self>() / 8 {
            // SAFETY: within the message, all of which are numbers.
            unsafe { words.add(word).write_volatile(0) };
        }
    }

    /// The bytes are in these pieces of memory.
    #[inline(always)]
    pub fn scattered(&mut self, pieces: u64, count: u64) {
        self.piece = [0; 2];
        self.pieces = pieces;
        self.count = if count > PIECES { PIECES } else { count };
    }

    /// Hands it on; a message has `total` bytes.
    #[inline(never)]
    pub fn hand_on(&mut self, settings: &Settings, total: u32) {
        let is_message = self.event.operation <= Operation::Receive as u8;
        if left_out(settings, &self.event) {
            maps::count(Counter::Filtered, u64::from(is_message));
            return;
        }
        self.event.total = total;
        self.event.flags &= !(Flags::LAST | Flags::UNREADABLE);
        self.event.lost = maps::counted(Counter::Lost) as u32;
        self.done = 0;
        self.state = GOING;
        let wanted = if is_message { wanted(settings, self.event.flags) } else { 0 };
        self.wanted = if wanted < u64::from(total) { wanted } else { u64::from(total) };
        let rounds = self.wanted / CHUNK as u64 + 2 * self.count + 1;
        let mut round = Round { message: self, settings };
        if rounds == 1 {
            // Most messages are one piece.
            // SAFETY: it takes what it is given.
            unsafe { piece(0, (&raw mut round).cast()) };
        } else {
            // SAFETY: the callback takes what it is given; both live until it returns.
            unsafe { bpf_loop(rounds as u32, piece as *mut c_void, (&raw mut round).cast(), 0) };
        }
        let Round { message: this, settings } = round;
        if this.state == GOING {
            // Nothing was wanted, or there was less than the call said.
            this.event.flags |= Flags::LAST;
            this.event.at = this.done as u32;
            if !output(&this.event, 0, 0, settings.wake_bytes) {
                this.state = LOST;
            }
        }
        if this.state != LOST {
            maps::count(Counter::Messages, u64::from(is_message));
        } else if is_message {
            maps::count(Counter::Lost, 1);
            maps::count(Counter::LostBytes, u64::from(total));
        } else {
            maps::count(Counter::LostEvents, 1);
        }
    }
}

/// A message with room for its bytes behind the event, so that it goes into the ring at once: for programs that nothing of this kind comes
/// in between of.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Draft {
    pub message: Message,
    /// Wherever a piece begins, there is room for a whole record.
    payload: [u8; 2 * CHUNK],
}

impl Draft {
    /// Hands it on; a message has `total` bytes.
    #[inline(always)]
    pub fn hand_on(&mut self, settings: &Settings, total: u32) {
        let message = &mut self.message;
        let mut wanted = wanted(settings, message.event.flags);
        if wanted > u64::from(total) {
            wanted = u64::from(total);
        }
        if wanted > CHUNK as u64 {
            return message.hand_on(settings, total);
        }
        if left_out(settings, &message.event) {
            return maps::count(Counter::Filtered, 1);
        }
        let Some(counters) = maps::counters() else { return };
        message.event.total = total;
        message.event.flags |= Flags::LAST;
        message.event.lost = counters[Counter::Lost as usize] as u32;
        let mut length = if wanted < message.piece[1] { wanted } else { message.piece[1] };
        if message.count != 0 && wanted != 0 {
            message.wanted = wanted;
            let pieces = message.count as u32;
            let mut draft = &mut *self;
            // SAFETY: the callback takes what it is given, on the stack as the kernel demands; it lives until it returns.
            unsafe { bpf_loop(pieces, gather as *mut c_void, (&raw mut draft).cast(), 0) };
            length = draft.message.done;
        } else if length != 0 && length <= CHUNK as u64 && !read(&mut self.payload, 0, self.message.piece[0], length) {
            self.message.event.flags |= Flags::UNREADABLE;
            length = 0;
        }
        if length > CHUNK as u64 {
            return;
        }
        let event = &raw mut self.message.event;
        // SAFETY: the payload is behind the event, and longer than this.
        let record = unsafe {
            (*event).header.payload = length as u32;
            core::slice::from_raw_parts(event.cast::<u8>(), size_of::<SocketEvent>() + length as usize)
        };
        let before = counters[Counter::Bytes as usize];
        counters[Counter::Bytes as usize] = before + record.len() as u64;
        if EVENTS.output::<[u8]>(record, wake_up_between(before, record.len(), settings.wake_bytes)).is_ok() {
            counters[Counter::Messages as usize] += 1;
        } else {
            counters[Counter::Lost as usize] += 1;
            counters[Counter::LostBytes as usize] += u64::from(total);
        }
    }
}

/// One round: the next piece of a message that goes into one record.
unsafe extern "C" fn gather(_number: u64, draft: *mut c_void) -> i64 {
    // SAFETY: the one from `hand_on`.
    let Draft { message, payload } = unsafe { &mut **draft.cast::<&mut Draft>() };
    let Some([source, mut length]) = user::<[u64; 2]>(message.pieces) else {
        message.event.flags |= Flags::UNREADABLE;
        return 1;
    };
    message.pieces += 16;
    let done = message.done;
    if length > message.wanted - done {
        length = message.wanted - done;
    }
    if done > CHUNK as u64 || length > CHUNK as u64 {
        return 1;
    }
    if length != 0 && !read(payload, done, source, length) {
        message.event.flags |= Flags::UNREADABLE;
        return 1;
    }
    message.done = done + length;
    i64::from(message.done >= message.wanted)
}

/// Reads so many bytes of the process: a record's at most.
#[inline(always)]
fn read(payload: &mut [u8; 2 * CHUNK], at: u64, source: u64, length: u64) -> bool {
    // SAFETY: there is room for a record at a place that is not behind one.
    let done = unsafe {
        let place = payload.as_mut_ptr().add(at as usize);
        bpf_probe_read_user(place.cast(), length as u32, source as *const _) == 0
    };
    if !done {
        maps::count(Counter::Unreadable, 1);
    }
    done
}

/// How many bytes of each message are captured.
#[inline(always)]
fn wanted(settings: &Settings, flags: u16) -> u64 {
    if flags & (Flags::FILE | Flags::ENCRYPTED) != 0 || settings.ladder >= Ladder::Counts as u32 {
        return 0;
    }
    let head = u64::from(settings.head);
    if settings.ladder == Ladder::FirstBytes as u32 && head > u64::from(Ladder::FIRST_BYTES) {
        return u64::from(Ladder::FIRST_BYTES);
    }
    if head > LONGEST { LONGEST } else { head }
}

/// Whether a filter leaves out what happens on this socket.
#[inline(always)]
fn left_out(settings: &Settings, event: &SocketEvent) -> bool {
    settings.ports != Policy::All as u32
        && (maps::port_is_named(event.local_port) || maps::port_is_named(event.remote_port))
            != (settings.ports == Policy::Only as u32)
}

/// One round: the next record of a message, or the next piece of it.
unsafe extern "C" fn piece(_number: u64, round: *mut c_void) -> i64 {
    // SAFETY: the one from `hand_on`.
    let Round { message, settings } = unsafe { &mut *round.cast::<Round<'_>>() };
    if message.wanted == 0 {
        return 1;
    }
    if message.piece[1] == 0 {
        if message.count == 0 {
            return 1;
        }
        message.count -= 1;
        match user::<[u64; 2]>(message.pieces) {
            Some(piece) => message.piece = piece,
            None => message.event.flags |= Flags::UNREADABLE,
        }
        message.pieces += 16;
        return 0;
    }
    let mut length = message.wanted - message.done;
    if length > message.piece[1] {
        length = message.piece[1];
    }
    if length > CHUNK as u64 {
        length = CHUNK as u64;
    }
    let last = message.done + length >= message.wanted;
    if last {
        message.event.flags |= Flags::LAST;
    }
    message.event.at = message.done as u32;
    if !output(&message.event, message.piece[0], length, settings.wake_bytes) {
        message.state = LOST;
        return 1;
    }
    message.done += length;
    message.piece[0] += length;
    message.piece[1] -= length;
    if last {
        message.state = ENDED;
    }
    i64::from(last)
}

#[repr(C)]
struct Record<const N: usize> {
    event: SocketEvent,
    payload: [u8; N],
}

/// Writes a record: the event and bytes of the process. They are read into the ring's own memory, of which the kernel gives out pieces
/// of sizes that the program knows beforehand only. `false` if there was no room.
#[inline(always)]
fn output(event: &SocketEvent, source: u64, length: u64, wake: u32) -> bool {
    if length == 0 {
        sized::<0>(event, source, length, wake)
    } else if length <= 64 {
        sized::<64>(event, source, length, wake)
    } else if length <= 192 {
        sized::<192>(event, source, length, wake)
    } else if length <= 512 {
        sized::<512>(event, source, length, wake)
    } else if length <= 1536 {
        sized::<1536>(event, source, length, wake)
    } else if length <= CHUNK as u64 {
        sized::<CHUNK>(event, source, length, wake)
    } else {
        false
    }
}

#[inline(always)]
fn sized<const N: usize>(event: &SocketEvent, source: u64, length: u64, wake: u32) -> bool {
    let Some(mut entry) = EVENTS.reserve::<Record<N>>(0) else { return false };
    let record = entry.as_mut_ptr();
    // SAFETY: `entry` is as long as a record, and `length` not longer than its payload.
    unsafe {
        (&raw mut (*record).event).write(*event);
        (*record).event.header.payload = length as u32;
        if length != 0
            && bpf_probe_read_user((&raw mut (*record).payload).cast(), length as u32, source as *const _) != 0
        {
            (*record).event.header.payload = 0;
            (*record).event.flags |= Flags::UNREADABLE;
            maps::count(Counter::Unreadable, 1);
        }
    }
    entry.submit(wake_up(size_of::<Record<N>>(), wake));
    true
}

/// How to submit a record of so many bytes: the reader is woken each time that a processor wrote another `wake` bytes, a power of two.
#[inline(always)]
pub fn wake_up(length: usize, wake: u32) -> u64 {
    wake_up_between(maps::wrote(length as u64), length, wake)
}

/// The same, if there were so many bytes before.
#[inline(always)]
fn wake_up_between(before: u64, length: usize, wake: u32) -> u64 {
    const NO_WAKE_UP: u64 = 1;
    const WAKE_UP: u64 = 2;
    if before ^ (before + length as u64) >= u64::from(wake) { WAKE_UP } else { NO_WAKE_UP }
}
