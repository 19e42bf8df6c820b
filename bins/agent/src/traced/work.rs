//! What the thread that observes processes does.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::time::{Duration, Instant};

use ebpf_tracer::events::{Counter, Ladder};
use ebpf_tracer::{Budget, Capture, Clock, Entry, Kernel, Proc, RecordingWriter};
use flow_core::Options;
use metaflow_packet_capture::Stop;
use protocol_parsers::Timestamp;
use rustix::io::Errno;
use rustix::time::{ClockId, clock_gettime};

use super::following::Following;
use super::happened::Happened;
use super::surroundings::Surroundings;
use super::whom::Groups;
use super::{TraceOptions, TracedTotals, TracedWatch};
use crate::command::Watched;
use crate::failure::Failure;
use crate::sink::{End, Sink};

/// How long events may lie in the ring.
const TURN: Duration = Duration::from_millis(10);
/// How often time is told to the engine, clocks are compared and totals published.
const TICK: Duration = Duration::from_secs(1);
/// Records that are read before what they gave is handed on.
const BATCH: usize = 4096;

/// What there is to work with.
pub(super) struct Work<S> {
    kernel: Kernel,
    capture: Capture,
    following: Following<S>,
    surroundings: Surroundings,
    recorder: Recorder,
    budget: Budget,
    /// At the last tick.
    lost: u64,
    used: Duration,
    command: Option<Watched>,
    groups: Option<Groups>,
    totals: TracedWatch,
}

/// Writes down what the tracer is told, if it is to be.
pub(super) struct Recorder {
    file: Option<RecordingWriter<BufWriter<File>>>,
    failed: Option<std::io::Error>,
}

impl Recorder {
    pub(super) fn new(file: Option<RecordingWriter<BufWriter<File>>>) -> Self {
        Self { file, failed: None }
    }

    /// What went wrong is told by [`check`](Self::check).
    pub(super) fn write(&mut self, entry: &Entry<'_>) {
        if let Some(file) = &mut self.file
            && let Err(error) = file.write(entry)
        {
            self.failed.get_or_insert(error);
        }
    }

    fn check(&mut self) -> Result<(), End> {
        let failed = |error| End::Failed(Failure::from_io("cannot write the recording", &error));
        self.failed.take().map_or(Ok(()), |error| Err(failed(error)))
    }

    fn finish(&mut self) -> Result<(), End> {
        let flushed = self.file.take().map_or(Ok(()), |file| file.into_inner().flush());
        self.failed = self.failed.take().or(flushed.err());
        self.check()
    }
}

impl<S: Sink> Work<S> {
    pub(super) fn new(
        kernel: Kernel,
        capture: Capture,
        surroundings: Surroundings,
        options: &TraceOptions,
        engine: &Options,
        sink: S,
        totals: TracedWatch,
    ) -> Result<Self, Failure> {
        let clock = Clock::measure();
        let mut recorder = Recorder::new(options.recording()?);
        recorder.write(&Entry::Clock(clock));
        Ok(Self {
            kernel,
            capture,
            following: Following::new(
                engine,
                clock,
                sink,
                options.lives,
                Some(Proc::default()),
                options.exclusions.clone(),
                options.heads.clone(),
            ),
            surroundings,
            recorder,
            budget: Budget::new(options.processor_share),
            lost: 0,
            used: Duration::ZERO,
            command: None,
            groups: None,
            totals,
        })
    }

    /// What is known of processes and connections before their first event.
    pub(super) fn look_around(&mut self) {
        let Self { surroundings, following, kernel, recorder, .. } = self;
        surroundings.look_around(&mut following.tracer, kernel, recorder);
    }

    /// Follows these control groups when they come again.
    pub(super) fn look_for(&mut self, groups: Option<Groups>) {
        self.groups = groups;
    }

    /// Everything ends with this command.
    pub(super) fn end_with(&mut self, command: Watched) {
        self.command = Some(command);
    }

    pub(super) fn run(&mut self, stop: &Stop) -> Result<(), End> {
        let mut last_tick = Instant::now();
        loop {
            let is_over = stop.is_stopped() || self.command.as_mut().is_some_and(Watched::has_ended);
            self.turn()?;
            if is_over {
                break;
            }
            let passed = last_tick.elapsed();
            if passed >= TICK {
                last_tick = Instant::now();
                self.tick(passed)?;
            }
            self.following.pause()?;
            match self.kernel.wait(TURN) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(Failure::from_io("cannot wait for events", &error.into()).into()),
            }
        }
        self.recorder.finish()?;
        let finished = self.following.finish();
        let told = self.tell();
        let finished = finished.and(told).and_then(|()| self.following.flush());
        self.publish();
        finished
    }

    /// Reads what lies in the ring.
    fn turn(&mut self) -> Result<(), End> {
        loop {
            let now = monotonic_ns();
            let Self { kernel, following, surroundings, recorder, .. } = self;
            let read = kernel.read(BATCH, |record| {
                recorder.write(&Entry::Record(record));
                if let Some(event) = following.take(record) {
                    surroundings.note(&event);
                }
            });
            if read < BATCH {
                // What was begun before this moment is in the ring, or has been read.
                following.tracer.advance(now);
                recorder.write(&Entry::Time(now));
            }
            surroundings.look_at_new(now, &mut following.tracer, kernel, recorder);
            following.hand_on()?;
            self.tell()?;
            let Self { recorder, .. } = self;
            recorder.check()?;
            if read < BATCH {
                return Ok(());
            }
        }
    }

    /// Hands on what happened to processes.
    fn tell(&mut self) -> Result<(), End> {
        let Self { kernel, following, surroundings, .. } = self;
        while let Some(connection) = following.poll_opaque() {
            let libraries = surroundings.why_unseen(connection.pid, kernel);
            following.happened.push(Happened::unseen(&connection, Some(libraries)));
        }
        following.tell()
    }

    fn tick(&mut self, passed: Duration) -> Result<(), End> {
        let clock = Clock::measure();
        self.following.set_clock(clock);
        self.recorder.write(&Entry::Clock(clock));
        let seen_until = realtime_ns().saturating_sub(TICK.as_nanos() as u64);
        self.following.tick(Timestamp::from_nanos(seen_until))?;
        if let Some(groups) = &mut self.groups {
            groups.look(&mut self.kernel);
        }
        self.keep_to_budget(passed);
        self.tell()?;
        self.publish();
        Ok(())
    }

    /// Captures less when there is too little time.
    fn keep_to_budget(&mut self, passed: Duration) {
        let (lost, used) = (self.counted(Counter::Lost), processor_time());
        let (lost_now, used_now) = (lost.saturating_sub(self.lost), used.saturating_sub(self.used));
        (self.lost, self.used) = (lost, used);
        if self.budget.measure(passed, used_now, lost_now) {
            let ladder = self.budget.ladder();
            // The kernel may refuse it once: it is told again with the next step.
            if self.kernel.capture(&Capture { ladder, ..self.capture }).is_ok() {
                let first_bytes = self.capture.head.min(Ladder::FIRST_BYTES);
                self.following.happened.push(Happened::step(monotonic_ns(), ladder, first_bytes));
            }
        }
    }

    /// By the programs in the kernel. Reading it does not fail for a map that is there.
    fn counted(&self, counter: Counter) -> u64 {
        self.kernel.counters().map_or(0, |counters| counters[counter as usize])
    }

    fn publish(&self) {
        let (engine, tracer) = (self.following.totals(), self.following.tracer.stats());
        let [messages, lost, events_lost] =
            [Counter::Messages, Counter::Lost, Counter::LostEvents].map(|counter| self.counted(counter));
        let texts_cut = self.following.texts_cut;
        self.totals.publish(TracedTotals { engine, tracer, messages, lost, events_lost, texts_cut });
    }
}

fn nanos(of: ClockId) -> u64 {
    let time = clock_gettime(of);
    u64::try_from(time.tv_sec.saturating_mul(1_000_000_000).saturating_add(time.tv_nsec)).unwrap_or_default()
}

fn monotonic_ns() -> u64 {
    nanos(ClockId::Monotonic)
}

fn realtime_ns() -> u64 {
    nanos(ClockId::Realtime)
}

/// Of this thread.
fn processor_time() -> Duration {
    Duration::from_nanos(nanos(ClockId::ThreadCPUTime))
}
