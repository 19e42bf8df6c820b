//! Who is running, and whether it is followed.

use aya_ebpf::helpers::generated::{bpf_get_current_task_btf, bpf_ktime_get_ns};
use metaflow_ebpf_common::{Counter, Kind, Policy, Settings, SocketEvent};

use crate::maps::{self, CGROUPS, PROCESSES, THREADS, VERDICTS, VERDICTS_LENGTH, offset, register};
use crate::memory::typed;
use crate::message::Message;
use crate::tls::TlsCall;

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
    /// What it sends and receives while it is in such a call is encrypted.
    pub tls: TlsCall,
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
        event.cgroup = cgroup();
        // SAFETY: the running thread's.
        event.comm = unsafe { name(task) };
    }

    /// What is known of it, if it is followed.
    #[inline(always)]
    pub fn followed(self, settings: &Settings) -> Option<&'static mut Thread> {
        let verdict = VERDICTS.get_ptr_mut(self.tid % VERDICTS_LENGTH)?;
        // SAFETY: each is one word, so whatever else reads or writes it does so as a whole.
        let known = unsafe { verdict.read_volatile() };
        let yes = self.verdict(settings, true);
        if known != yes {
            if known == self.verdict(settings, false) {
                return None;
            }
            let followed = follows(self.tgid, settings);
            // SAFETY: as above.
            unsafe { verdict.write_volatile(self.verdict(settings, followed)) };
            if !followed {
                return None;
            }
        }
        let thread = match THREADS.get_ptr_mut(self.tid) {
            Some(thread) => thread,
            None => self.begin()?,
        };
        // SAFETY: only this thread uses what the map has at its number.
        Some(unsafe { &mut *thread })
    }

    /// How it is written down whether this thread is followed.
    #[inline(always)]
    fn verdict(self, settings: &Settings, followed: bool) -> u64 {
        u64::from(self.tid) << 32 | u64::from(settings.generation << 1) | u64::from(followed)
    }

    #[inline(never)]
    fn begin(self) -> Option<*mut Thread> {
        let state = State { enter_ns: 0, number: 0, io_uring: 0, tls: TlsCall::NONE };
        let thread = Thread { state, message: Message::NONE };
        if THREADS.insert(self.tid, thread, 0).is_err() {
            maps::count(Counter::Crowded, 1);
            return None;
        }
        THREADS.get_ptr_mut(self.tid)
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
        || CGROUPS.get_ptr(cgroup()).is_some() == (settings.cgroups == Policy::Only as u32);
    process && cgroup
}

/// Number of the running thread's control group.
#[inline(always)]
pub fn cgroup() -> u64 {
    // SAFETY: the running thread's, and what it points to.
    unsafe {
        let groups: *const u8 = typed(task(), offset!(task_cgroups));
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
