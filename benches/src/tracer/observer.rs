//! Observes processes as the agent does, but that nothing is printed.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Result, anyhow, ensure};
use ebpf_tracer::events::Counter;
use ebpf_tracer::{Clock, Filter, Kernel, KernelLimits, Limits, Places, TlsLibrary, TlsWatch, Tracer};
use flow_core::{FlowEngine, Input, Options};
use rustix::thread::{CpuSet, sched_setaffinity};

use crate::cpu_time;

/// A thread that observes.
pub(super) struct Observer {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Observed>,
}

/// What it has seen.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Observed {
    pub(super) messages: u64,
    pub(super) lost: u64,
    pub(super) calls: u64,
    /// Processor time of the thread.
    pub(super) cpu: Duration,
}

impl Observer {
    /// Observes the processes of this filter from here on.
    pub(super) fn start(filter: &Filter) -> Result<Self> {
        let mut kernel = Kernel::load(&KernelLimits::default())?;
        let hook = |library: &TlsLibrary| {
            kernel.attach_tls(&library.reachable, None).map(drop).map_err(|error| error.to_string())
        };
        let refused = TlsWatch::default().attach_to_installed(hook);
        ensure!(refused.is_empty(), "{refused:?}");
        kernel.follow(filter)?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || observe(kernel, &stopped));
        Ok(Self { stop, thread })
    }

    /// Takes everything out of the kernel.
    pub(super) fn stop(self) -> Result<Observed> {
        self.stop.store(true, Ordering::Release);
        self.thread.join().map_err(|_| anyhow!("the observer broke down"))
    }
}

fn observe(mut kernel: Kernel, stop: &AtomicBool) -> Observed {
    let mut tracer = Tracer::new(Limits::default(), Clock::measure(), Places::default());
    let mut engine = FlowEngine::new(Options::default());
    // Beside the clients, so that the server's core is the server's alone. Where there is but one core, so be it.
    let mut second = CpuSet::new();
    second.set(1);
    let _ = sched_setaffinity(None, &second);
    let begin = cpu_time();
    loop {
        let is_last = stop.load(Ordering::Acquire);
        let monotonic_ns = monotonic_ns();
        while kernel.read(4096, |record| _ = tracer.record(record)) > 0 {
            hand_on(&mut tracer, &mut engine);
        }
        tracer.advance(monotonic_ns);
        if is_last {
            tracer.finish();
        }
        hand_on(&mut tracer, &mut engine);
        if is_last {
            break;
        }
        let _ = kernel.wait(Duration::from_millis(10));
    }
    let lost = kernel.counters().map_or(u64::MAX, |counters| counters[Counter::Lost as usize]);
    Observed {
        messages: tracer.stats().messages,
        lost,
        calls: engine.parser_stats().calls,
        cpu: cpu_time().saturating_sub(begin),
    }
}

pub(super) fn hand_on(tracer: &mut Tracer, engine: &mut FlowEngine) {
    while let Some(input) = tracer.poll() {
        engine.handle(Input::Stream(input));
        while let Some(output) = engine.poll() {
            black_box(output);
        }
    }
}

pub(super) fn monotonic_ns() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
