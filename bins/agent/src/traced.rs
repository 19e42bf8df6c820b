//! What processes send and receive, seen in the kernel by eBPF: ring of events → streams → engine → sink, on a thread of its own.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use ebpf_tracer::{
    Capture, Clock, ConnectionState, Counter, Evidence, Filter, Kernel, KernelLimits, Limits, LoadError, Names, Places,
    Proc, Tracer,
};
use flow_core::{FlowEngine, Input, Options, Output, Sides};
use metaflow_packet_capture::Stop;
use metaflow_protocol::build::{Place, Process};
use protocol_parsers::Timestamp;
use rustix::time::{ClockId, clock_gettime};

use crate::command::Watched;
use crate::failure::Failure;
use crate::sink::{End, EngineTotals, Sink};

/// How long events may lie in the ring.
const TURN: Duration = Duration::from_millis(10);
/// How often time is told to the engine, clocks are compared and totals published.
const TICK: Duration = Duration::from_secs(1);
/// Records that are read before what they gave is handed on.
const BATCH: usize = 4096;
/// Numbers of the places at which streams are seen: no interface has them.
const PLACES: Places = Places { syscall: u32::MAX, tls: u32::MAX - 1 };

/// Who is observed.
pub(crate) enum Whom {
    /// Every process of this machine.
    All,
    /// These, and those they start.
    Only(BTreeSet<u32>),
    /// A command that waits to begin, and those it starts. Everything ends with it.
    Command(Watched),
}

/// A thread that observes processes.
pub(crate) struct Traced {
    thread: JoinHandle<Result<(), End>>,
    totals: TracedWatch,
}

/// Running totals of it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct TracedTotals {
    pub(crate) engine: EngineTotals,
    pub(crate) tracer: ebpf_tracer::Stats,
    /// Messages that found no room in the ring.
    pub(crate) lost: u64,
}

impl Traced {
    /// Loads the programs into the kernel, and begins. Tells all to stop when it can do no more, or has no more to do.
    pub(crate) fn start<S: Sink>(
        whom: Whom,
        payload: u32,
        options: &Options,
        sink: S,
        stop: &Stop,
    ) -> Result<Self, Failure> {
        let mut kernel = Kernel::load(&KernelLimits::default()).map_err(|error| not_loaded(&error))?;
        let (processes, command) = match whom {
            Whom::All => (Names::All, None),
            Whom::Only(processes) => (Names::Only(processes), None),
            Whom::Command(command) => (Names::Only(BTreeSet::from([command.pid()])), Some(command)),
        };
        let failed = |error| Failure::unavailable(format!("cannot tell the kernel whom to follow: {error}"));
        kernel.capture(&Capture { head: payload, ..Capture::default() }).map_err(failed)?;
        kernel.follow(&Filter { processes, ..Filter::default() }).map_err(failed)?;
        let tracer = Tracer::new(Limits::default(), Clock::measure(), PLACES);
        let totals = Arc::new(Mutex::new(TracedTotals::default()));
        let mut work = Work {
            kernel,
            tracer,
            engine: FlowEngine::new(options.clone()),
            sink,
            proc: Proc::default(),
            command,
            totals: Arc::clone(&totals),
        };
        work.look_around();
        if let Some(command) = &work.command {
            command.go()?;
        }
        let stop = stop.clone();
        let run = move || {
            let ended = work.run(&stop);
            stop.stop();
            ended
        };
        let failed = |error| Failure::from_io("cannot start a thread", &error);
        let thread = thread::Builder::new().name("metaflow-trace".to_owned()).spawn(run).map_err(failed)?;
        Ok(Self { thread, totals: TracedWatch(totals) })
    }

    /// Its running totals, for others to look at.
    pub(crate) fn watch(&self) -> TracedWatch {
        self.totals.clone()
    }

    /// Waits until it has handed on all it had. It must have been told to stop, or stop by itself.
    pub(crate) fn finish(self) -> (TracedTotals, Result<(), End>) {
        let broken = |_| Err(End::Failed(Failure::unavailable("the thread that observes processes broke down")));
        let result = self.thread.join().unwrap_or_else(broken);
        (self.totals.totals(), result)
    }
}

/// Running totals of a thread that observes processes.
#[derive(Clone)]
pub(crate) struct TracedWatch(Arc<Mutex<TracedTotals>>);

impl TracedWatch {
    /// Not older than a second.
    pub(crate) fn totals(&self) -> TracedTotals {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Work<S> {
    kernel: Kernel,
    tracer: Tracer,
    engine: FlowEngine,
    sink: S,
    proc: Proc,
    command: Option<Watched>,
    totals: Arc<Mutex<TracedTotals>>,
}

impl<S: Sink> Work<S> {
    fn run(&mut self, stop: &Stop) -> Result<(), End> {
        let mut next_tick = Instant::now() + TICK;
        loop {
            let is_over = stop.is_stopped() || self.command.as_mut().is_some_and(Watched::has_ended);
            self.turn()?;
            if is_over {
                break;
            }
            if Instant::now() >= next_tick {
                next_tick = Instant::now() + TICK;
                self.tick()?;
            }
            self.sink.pause()?;
            match self.kernel.wait(TURN) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(Failure::from_io("cannot wait for events", &error.into()).into()),
            }
        }
        self.tracer.finish();
        self.hand_on()?;
        self.engine.finish();
        self.take_records()?;
        self.publish();
        self.sink.flush()
    }

    /// What is known of processes and connections before their first event.
    fn look_around(&mut self) {
        let Self { proc, tracer, .. } = self;
        proc.processes().into_iter().flatten().for_each(|process| tracer.insert(process));
        let mut namespaces = BTreeSet::new();
        for pid in proc.pids().into_iter().flatten() {
            let Some(netns) = proc.network_namespace(pid).ok().filter(|netns| namespaces.insert(*netns)) else {
                continue;
            };
            let connections = proc.connections(pid).unwrap_or_default();
            let listening = connections.iter().filter(|connection| connection.state == ConnectionState::Listen);
            listening.for_each(|connection| tracer.listening(netns, connection.local.port(), true));
        }
    }

    /// What `/proc` says of processes that became others.
    fn look_at_new(&mut self) {
        while let Some(pid) = self.tracer.unread() {
            // It may have ended.
            if let Ok(process) = self.proc.process(pid) {
                self.tracer.insert(process);
            }
        }
    }

    /// Reads what lies in the ring.
    fn turn(&mut self) -> Result<(), End> {
        loop {
            let now = monotonic_ns();
            let Self { kernel, tracer, .. } = self;
            let read = kernel.read(BATCH, |record| {
                // What is no event is counted.
                _ = tracer.record(record);
            });
            if read < BATCH {
                // What was begun before this moment is in the ring, or has been read.
                tracer.advance(now);
            }
            self.look_at_new();
            self.hand_on()?;
            if read < BATCH {
                return Ok(());
            }
        }
    }

    fn tick(&mut self) -> Result<(), End> {
        self.tracer.set_clock(Clock::measure());
        let seen_until = realtime_ns().saturating_sub(TICK.as_nanos() as u64);
        self.engine.handle_timeout(Timestamp::from_nanos(seen_until));
        self.take_records()?;
        self.publish();
        Ok(())
    }

    fn publish(&self) {
        let engine = EngineTotals { engine: self.engine.stats(), parsers: self.engine.parser_stats() };
        let lost = self.kernel.counters().map_or(0, |counters| counters[Counter::Lost as usize]);
        let totals = TracedTotals { engine, tracer: self.tracer.stats(), lost };
        *self.totals.lock().unwrap_or_else(PoisonError::into_inner) = totals;
    }

    fn hand_on(&mut self) -> Result<(), End> {
        while let Some(input) = self.tracer.poll() {
            self.engine.handle(Input::Stream(input));
            self.take_records()?;
        }
        Ok(())
    }

    fn take_records(&mut self) -> Result<(), End> {
        let Self { engine, tracer, sink, .. } = self;
        while let Some(output) = engine.poll() {
            match &output {
                Output::Call(record) => {
                    let evidence = match record.stream {
                        Some(stream) => tracer.evidence(stream, &record.call),
                        None => Evidence::default(),
                    };
                    let thread = evidence.first().map(|mark| text(&mark.comm));
                    let process = evidence.first().and_then(|mark| tracer.process_of(mark)).map(|process| Process {
                        pid: process.pid,
                        start_ns: process.start.as_nanos(),
                        name: &process.name,
                        thread: thread.as_deref(),
                        container: process.container.as_deref(),
                    });
                    let observation_point = match evidence.is_client() {
                        Some(true) => "client_process",
                        Some(false) => "server_process",
                        None => "unknown",
                    };
                    let capture = capture(record.conversation.interface);
                    let evidence = metaflow_protocol::build::Evidence {
                        syscall_trace_id_request: evidence.syscall_trace_id_request(),
                        syscall_trace_id_response: evidence.syscall_trace_id_response(),
                        thread_id: evidence.first().map(|mark| mark.tid),
                    };
                    let place = Place {
                        observation_point,
                        capture,
                        process,
                        paths: Sides::default(),
                        evidence: Some(evidence),
                    };
                    sink.take(&output, &place)?;
                }
                Output::Metric(metric) => {
                    let capture = capture(metric.key.interface);
                    let (process, paths, evidence) = (None, Sides::default(), None);
                    let place = Place { observation_point: "unknown", capture, process, paths, evidence };
                    sink.take(&output, &place)?;
                }
                _ => {}
            }
        }
        Ok(())
    }
}

fn capture(place: u32) -> Option<&'static str> {
    Some(if place == PLACES.tls { "tls" } else { "syscall" })
}

/// Bytes up to a zero, as text.
fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    bytes.get(..end).map(|bytes| String::from_utf8_lossy(bytes).into_owned()).unwrap_or_default()
}

fn nanos(of: ClockId) -> i64 {
    let time = clock_gettime(of);
    time.tv_sec.saturating_mul(1_000_000_000).saturating_add(time.tv_nsec)
}

fn monotonic_ns() -> u64 {
    u64::try_from(nanos(ClockId::Monotonic)).unwrap_or_default()
}

fn realtime_ns() -> u64 {
    u64::try_from(nanos(ClockId::Realtime)).unwrap_or_default()
}

fn not_loaded(error: &LoadError) -> Failure {
    match error {
        LoadError::Permission { .. } => Failure::permission(error.to_string()),
        _ => Failure::unavailable(error.to_string()),
    }
}
