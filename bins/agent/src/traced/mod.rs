//! What processes send and receive, seen in the kernel by eBPF: ring of events → streams → engine → sink, on a thread of its own.

mod following;
mod happened;
mod heads;
mod paths;
mod place;
pub(crate) mod recorded;
mod surroundings;
mod whom;
mod work;

use std::fs::File;
use std::io::BufWriter;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use ebpf_tracer::{Capture, Hooks, Kernel, KernelLimits, LoadError, Names, Places, RecordingWriter};
use flow_core::Options;
use metaflow_packet_capture::Stop;

pub(crate) use self::heads::Heads;
pub(crate) use self::whom::{Who, Whom};

use self::surroundings::Surroundings;
use self::whom::Groups;
use self::work::Work;
use crate::args::TraceArgs;
use crate::failure::Failure;
use crate::rights;
use crate::sink::{End, EngineTotals, Sink};
use crate::uplink::Exclusions;

/// Numbers of the places at which streams are seen: no interface has them.
const PLACES: Places = Places { syscall: u32::MAX, tls: u32::MAX - 1 };

/// How processes are observed.
#[derive(Clone)]
pub(crate) struct TraceOptions {
    /// Bytes of each message that are captured.
    pub(crate) heads: Heads,
    /// Bytes of the ring in which events wait to be read.
    pub(crate) ring: u32,
    /// Where it is looked at.
    pub(crate) hooks: Hooks,
    /// Whether the beginnings and ends of processes are events.
    pub(crate) lives: bool,
    /// The share of one processor that it may take. Less is captured when it would be more.
    pub(crate) processor_share: f64,
    /// Where what the kernel tells is written down.
    pub(crate) record: Option<PathBuf>,
    /// Connections that are not observed.
    pub(crate) exclusions: Exclusions,
}

impl Default for TraceOptions {
    fn default() -> Self {
        Self {
            heads: Heads::default(),
            ring: KernelLimits::default().ring_bytes,
            hooks: Hooks::default(),
            lives: true,
            processor_share: 1.0,
            record: None,
            exclusions: Exclusions::default(),
        }
    }
}

impl TraceOptions {
    /// As the command line says it.
    pub(crate) fn new(options: &TraceArgs, exclusions: Exclusions) -> Self {
        Self {
            heads: Heads::new(&options.payload),
            ring: options.ring,
            hooks: options.hooks,
            exclusions,
            ..Self::default()
        }
    }

    fn recording(&self) -> Result<Option<RecordingWriter<BufWriter<File>>>, Failure> {
        let Some(path) = &self.record else { return Ok(None) };
        let created = File::create(path).map(BufWriter::new).and_then(RecordingWriter::new);
        let failed = |error| Failure::from_io(&format!("cannot write {}", path.display()), &error);
        created.map(Some).map_err(failed)
    }
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
    /// Messages that found room in the ring.
    pub(crate) messages: u64,
    /// Those that did not.
    pub(crate) lost: u64,
    /// Other events that did not.
    pub(crate) events_lost: u64,
    /// Texts of events that were cut because they were too long.
    pub(crate) texts_cut: u64,
}

/// Running totals of a thread that observes processes, for others to look at.
#[derive(Clone, Default)]
pub(crate) struct TracedWatch(Arc<Mutex<TracedTotals>>);

impl TracedWatch {
    /// Not older than a second.
    pub(crate) fn totals(&self) -> TracedTotals {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn publish(&self, totals: TracedTotals) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = totals;
    }
}

impl Traced {
    /// Loads the programs into the kernel, and begins. Tells all to stop when it can do no more, or has no more to do.
    pub(crate) fn start(
        whom: Whom,
        options: &TraceOptions,
        engine: &Options,
        sink: impl Sink,
        stop: &Stop,
    ) -> Result<Self, Failure> {
        let mut filter = whom.filter()?;
        let limits = KernelLimits { hooks: options.hooks, ..whom::limits(&filter, options.ring) };
        let mut kernel = Kernel::load(&limits).map_err(|error| not_loaded(&error))?;
        let has_numbers = whom::leave_out_itself(&mut kernel, &mut filter)?;
        let failed = |error| Failure::unavailable(format!("cannot tell the kernel whom to follow: {error}"));
        let capture = Capture { head: options.heads.most(), ..Capture::default() };
        kernel.capture(&capture).map_err(failed)?;
        kernel.follow(&filter).map_err(failed)?;
        let groups = Groups::new(&whom, &filter);
        if let Names::Only(named) = filter.processes {
            surroundings::follow_with_children(&mut kernel, named)?;
        }
        let totals = TracedWatch::default();
        let surroundings = Surroundings::new(has_numbers);
        let mut work = Work::new(kernel, capture, surroundings, options, engine, sink, totals.clone())?;
        work.look_for(groups);
        work.look_around();
        let mut rights = rights::TRACING;
        if let Who::Command(command) = whom.who {
            command.go()?;
            work.end_with(command);
            rights |= rights::COMMAND;
        }
        let stop = stop.clone();
        let run = move || {
            rights::keep(rights);
            let ended = work.run(&stop);
            stop.stop();
            ended
        };
        let failed = |error| Failure::from_io("cannot start a thread", &error);
        let thread = thread::Builder::new().name("metaflow-trace".to_owned()).spawn(run).map_err(failed)?;
        Ok(Self { thread, totals })
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

fn not_loaded(error: &LoadError) -> Failure {
    match error {
        LoadError::Permission { .. } => Failure::permission(error.to_string()),
        _ => Failure::unavailable(error.to_string()),
    }
}
