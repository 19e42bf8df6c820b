//! Who is running, and whether it is followed.

use aya_ebpf::helpers::generated::{bpf_get_current_task_btf, bpf_ktime_get_ns, bpf_task_pt_regs};
use metaflow_ebpf_common::{Call, Counter, Kind, Policy, Settings, SocketEvent};

use crate::maps::{self, CGROUPS, PROCESSES, THREADS, VERDICTS, VERDICTS_LENGTH, offset, register};
use crate::memory::typed;
use crate::message::Message;
use crate::tls::TlsCall;

/// In what is written down of a thread: it is followed.
const FOLLOWED: u64 = 1;
/// Something is known of it.
const KNOWN: u64 = 2;
const VERDICT: u64 = FOLLOWED | KNOWN;
/// The thread is coming to its end (`PF_EXITING`).
const PF_EXITING: u32 = 4;
/// It is in no system call: the kernel's own, or one that works for `io_uring` or for a virtual machine (`PF_IO_WORKER`, `PF_USER_WORKER`,
/// `PF_KTHREAD`).
const PF_NO_CALL: u32 = 0x10 | 0x4000 | 0x20_0000;

/// What is known of a thread that is followed.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Thread {
    pub state: State,
    pub message: Message,
}

#[derive(Clone, Copy)]
#[repr(C)]
pub struct State {
    /// When its system call began, if that is one whose beginning is looked at.
    pub enter_ns: u64,
    /// The number of this call.
    pub number: u32,
    /// 1 after it was seen using io_uring.
    pub io_uring: u32,
    /// The messages that a call is about to handle, if there may be several: their address, and how many were handled.
    pub several: [u64; 2],
    /// Who sent the datagram that it is receiving, as far as that is known: family, port, and address.
    pub peer: Peer,
    /// What it sends and receives while it is in such a call is encrypted.
    pub tls: TlsCall,
}

/// The other end of a datagram: `family` is 0 if it is not known.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Peer {
    pub family: u32,
    /// In host byte order.
    pub port: u32,
    pub address: [u32; 4],
}

impl Peer {
    pub const NONE: Self = Self { family: 0, port: 0, address: [0; 4] };
}

/// The running thread.
#[derive(Clone, Copy)]
pub struct Who {
    pub tgid: u32,
    pub tid: u32,
}

impl Who {
    #[inline(always)]
    pub fn current() -> Self {
        // SAFETY: the running thread's.
        unsafe { Self::of(task()) }
    }

    /// # Safety
    /// `task` is a `task_struct` whose type the verifier knows.
    #[inline(always)]
    pub unsafe fn of(task: *const u8) -> Self {
        // SAFETY: the caller's.
        unsafe { Self { tgid: typed(task, offset!(task_tgid)), tid: typed(task, offset!(task_pid)) } }
    }

    /// Writes down who does what the event is about, and when that is over.
    #[inline(always)]
    pub fn describe(self, event: &mut SocketEvent, task: *const u8, fd: u32) {
        event.header.kind = Kind::Socket as u32;
        event.header.time_ns = now();
        event.header.tgid = self.tgid;
        event.header.tid = self.tid;
        event.fd = fd as i32;
        event.cgroup = cgroup(task);
        // SAFETY: the running thread's.
        event.comm = unsafe { name(task) };
    }

    /// What is known of it, if it is followed; from now on something is.
    #[inline(always)]
    pub fn followed(self, settings: &Settings) -> Option<&'static mut Thread> {
        self.follows(settings)?;
        match self.known() {
            Some(thread) => Some(thread),
            None => self.begin(),
        }
    }

    /// What is known of it.
    #[inline(always)]
    pub fn known(self) -> Option<&'static mut Thread> {
        // SAFETY: only this thread uses what the map has at its number.
        THREADS.get_ptr_mut(self.tid).map(|thread| unsafe { &mut *thread })
    }

    /// Whether it is followed; then, whether anything is known of it.
    #[inline(always)]
    pub fn follows(self, settings: &Settings) -> Option<bool> {
        let verdict = VERDICTS.get_ptr_mut(self.tid % VERDICTS_LENGTH)?;
        // SAFETY: each is one word, so whatever else reads or writes it does so as a whole.
        let known = unsafe { verdict.read_volatile() };
        let judged = if known & !VERDICT == self.judged(settings) {
            known
        } else {
            // It will not come to an end a second time, so nothing may be written down of it any more.
            // SAFETY: the running thread's.
            if unsafe { typed::<u32>(task(), offset!(task_flags)) } & PF_EXITING != 0 {
                return None;
            }
            let mut judged = self.judged(settings);
            if follows(self.tgid, settings) {
                judged |= FOLLOWED;
                if THREADS.get_ptr(self.tid).is_some() {
                    judged |= KNOWN;
                }
            }
            // SAFETY: as above.
            unsafe { verdict.write_volatile(judged) };
            judged
        };
        (judged & FOLLOWED != 0).then_some(judged & KNOWN != 0)
    }

    /// How it is written down that this thread was judged.
    #[inline(always)]
    fn judged(self, settings: &Settings) -> u64 {
        u64::from(self.tid) << 32 | u64::from(settings.generation << 2)
    }

    #[inline(never)]
    fn begin(self) -> Option<&'static mut Thread> {
        let state =
            State { enter_ns: 0, number: 0, io_uring: 0, several: [0; 2], peer: Peer::NONE, tls: TlsCall::NONE };
        let thread = Thread { state, message: Message::NONE };
        if THREADS.insert(self.tid, thread, 0).is_err() {
            maps::count(Counter::Crowded, 1);
            return None;
        }
        if let Some(verdict) = VERDICTS.get_ptr_mut(self.tid % VERDICTS_LENGTH) {
            // SAFETY: as above.
            unsafe {
                let known = verdict.read_volatile();
                if (known >> 32) as u32 == self.tid {
                    verdict.write_volatile(known | KNOWN);
                }
            }
        }
        self.known()
    }

    /// Forgets what is known of it, and whether it is followed.
    #[inline(always)]
    pub fn forget(self) {
        if let Some(verdict) = VERDICTS.get_ptr_mut(self.tid % VERDICTS_LENGTH) {
            // SAFETY: as above.
            unsafe {
                if (verdict.read_volatile() >> 32) as u32 == self.tid {
                    verdict.write_volatile(0);
                }
            }
        }
        let _ = THREADS.remove(self.tid);
    }
}

/// Whether what this process, which is running, does is to be seen.
#[inline(always)]
pub fn follows(tgid: u32, settings: &Settings) -> bool {
    if tgid == maps::reader() {
        return false;
    }
    let process = settings.processes == Policy::All as u32
        || PROCESSES.get_ptr(tgid).is_some() == (settings.processes == Policy::Only as u32);
    let cgroup = settings.cgroups == Policy::All as u32
        || CGROUPS.get_ptr(cgroup(task())).is_some() == (settings.cgroups == Policy::Only as u32);
    process && cgroup
}

/// Number of the running thread's control group.
#[inline(always)]
pub fn cgroup(task: *const u8) -> u64 {
    // SAFETY: the running thread's, and what it points to.
    unsafe {
        let groups: *const u8 = typed(task, offset!(task_cgroups));
        let group: *const u8 = typed(groups, offset!(cgroups_default));
        let node: *const u8 = typed(group, offset!(cgroup_node));
        typed(node, offset!(node_id))
    }
}

#[inline(always)]
pub fn now() -> u64 {
    // SAFETY: has no arguments.
    unsafe { bpf_ktime_get_ns() }
}

/// The running `task_struct`.
#[inline(always)]
pub fn task() -> *const u8 {
    // SAFETY: has no arguments.
    unsafe { bpf_get_current_task_btf() }.cast::<u8>().cast_const()
}

/// The registers with which the running thread called the system.
#[inline(always)]
pub fn registers(task: *const u8) -> *const u8 {
    // SAFETY: `task` is the running thread's.
    unsafe { bpf_task_pt_regs(task.cast_mut().cast()) as *const u8 }
}

/// What the running thread's system call does: a [`Call`].
#[inline(always)]
pub fn call(task: *const u8, registers: *const u8) -> u8 {
    // SAFETY: of the kernel, and the running thread's.
    let (number, flags) =
        unsafe { (typed::<u32>(registers, register!(number)), typed::<u32>(task, offset!(task_flags))) };
    // SAFETY: the running thread's.
    if flags & PF_NO_CALL != 0 || unsafe { narrow(task) } { Call::Other as u8 } else { maps::call(number.into()) }
}

/// Whether the running thread may have asked for what is done now by `io_uring`, whatever its system call is.
#[inline(always)]
pub fn uses_io_uring(task: *const u8) -> bool {
    let offset = offset!(task_io_uring);
    // SAFETY: the running thread's.
    offset != 0 && unsafe { typed::<u64>(task, offset) } != 0
}

/// Name of a thread.
///
/// # Safety
/// `task` is a `task_struct` whose type the verifier knows.
#[inline(always)]
pub unsafe fn name(task: *const u8) -> [u8; 16] {
    let mut name = [0u64; 2];
    // SAFETY: the caller's.
    unsafe {
        name[0] = typed(task, offset!(task_comm));
        name[1] = typed(task, offset!(task_comm) + 8);
        core::mem::transmute(name)
    }
}

/// Whether the running system call is one of a narrower machine: its numbers mean other calls.
///
/// # Safety
/// `task` is a `task_struct` whose type the verifier knows.
#[inline(always)]
pub unsafe fn narrow(task: *const u8) -> bool {
    let bit = register!(narrow_bit) as u32;
    // SAFETY: the caller's.
    bit != 0 && unsafe { typed::<u32>(task, register!(narrow_at)) } & bit != 0
}
