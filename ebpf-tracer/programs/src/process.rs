//! Processes that begin, become another program, and end.

use aya_ebpf::helpers::generated::bpf_probe_read_kernel_str;
use aya_ebpf::macros::btf_tracepoint;
use aya_ebpf::programs::BtfTracePointContext;
use metaflow_ebpf_common::{Counter, Kind, ProcessEvent};

use crate::maps::{self, EVENTS, PROCESSES, offset};
use crate::memory::typed;
use crate::message::wake_up;
use crate::task::{self, Who};

/// Bytes of a path at most.
const PATH: usize = 256;

#[btf_tracepoint(function = "sched_process_fork")]
fn forked(context: BtfTracePointContext) -> i32 {
    let child: *const u8 = context.arg(1);
    // SAFETY: the second argument of this tracepoint is a `task_struct`.
    let (tgid, tid): (u32, u32) = unsafe { (typed(child, offset!(task_tgid)), typed(child, offset!(task_pid))) };
    if tgid != tid {
        return 0;
    }
    let parent = Who::current().tgid;
    let Some(settings) = maps::settings() else { return 0 };
    // What is named is named with its children.
    if PROCESSES.get_ptr(parent).is_some() && PROCESSES.insert(tgid, 1, 0).is_err() {
        maps::count(Counter::Crowded, 1);
    }
    if task::follows(parent, settings) {
        hand_on(child, ProcessEvent::FORKED, None, settings.wake_bytes);
    }
    0
}

#[btf_tracepoint(function = "sched_process_exec")]
fn executed(context: BtfTracePointContext) -> i32 {
    let who = Who::current();
    // Whoever started it may have moved it to another control group meanwhile.
    who.forget();
    let Some(settings) = maps::settings() else { return 0 };
    if task::follows(who.tgid, settings) {
        let program: *const u8 = context.arg(2);
        // SAFETY: the third argument of this tracepoint is a `linux_binprm`.
        let path: u64 = unsafe { typed(program, offset!(binprm_filename)) };
        hand_on(context.arg(0), ProcessEvent::EXECUTED, Some(path), settings.wake_bytes);
    }
    0
}

#[btf_tracepoint(function = "sched_process_exit")]
fn exited(context: BtfTracePointContext) -> i32 {
    let who = Who::current();
    who.forget();
    let task: *const u8 = context.arg(0);
    // SAFETY: the first argument of this tracepoint is a `task_struct`.
    let live: u32 = unsafe { typed(typed(task, offset!(task_signal)), offset!(signal_live)) };
    if live != 0 {
        return 0;
    }
    let Some(settings) = maps::settings() else { return 0 };
    if task::follows(who.tgid, settings) {
        hand_on(task, ProcessEvent::ENDED, None, settings.wake_bytes);
    }
    let _ = PROCESSES.remove(who.tgid);
    0
}

#[repr(C)]
struct Record<const N: usize> {
    event: ProcessEvent,
    path: [u8; N],
}

#[inline(always)]
fn hand_on(task: *const u8, change: u32, path: Option<u64>, wake: u32) {
    let done = match path {
        Some(path) => sized::<PATH>(task, change, path, wake),
        None => sized::<0>(task, change, 0, wake),
    };
    if !done {
        maps::count(Counter::LostEvents, 1);
    }
}

#[inline(always)]
fn sized<const N: usize>(task: *const u8, change: u32, path: u64, wake: u32) -> bool {
    let Some(mut entry) = EVENTS.reserve::<Record<N>>(0) else { return false };
    let record = entry.as_mut_ptr();
    // SAFETY: `entry` is as long as a record; `task` is a `task_struct` whose type the verifier knows.
    unsafe {
        let event = &mut (*record).event;
        event.header.kind = Kind::Process as u32;
        event.header.payload = 0;
        event.header.time_ns = task::now();
        event.header.tgid = typed(task, offset!(task_tgid));
        event.header.tid = typed(task, offset!(task_pid));
        event.start_ns = typed(task, offset!(task_start_boottime));
        event.cgroup = task::cgroup(task::task());
        event.parent = typed(typed(task, offset!(task_real_parent)), offset!(task_tgid));
        event.change = change;
        event.exit_code = typed(task, offset!(task_exit_code));
        let network = typed(typed(task, offset!(task_nsproxy)), offset!(nsproxy_net));
        event.netns = typed(network, offset!(net_inum));
        event.comm = task::name(task);
        if N != 0 {
            let length = bpf_probe_read_kernel_str((&raw mut (*record).path).cast(), N as u32, path as *const _);
            // With the zero behind it.
            (*record).event.header.payload = if length > 0 { length as u32 - 1 } else { 0 };
        }
    }
    entry.submit(wake_up(size_of::<Record<N>>(), wake));
    true
}
