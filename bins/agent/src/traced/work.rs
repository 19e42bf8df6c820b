//! What the thread does.

use std::time::{Duration, Instant};

use ebpf_tracer::events::{Counter, Ladder};
use ebpf_tracer::{Budget, Capture, Clock, Event, Kernel, Limits, Places, Tracer};
use flow_core::{Conversation, FlowEngine, Input, Options, Output, StreamEvent};
use metaflow_packet_capture::Stop;
use protocol_parsers::Timestamp;
use rustix::io::Errno;
use rustix::time::{ClockId, clock_gettime};

use super::happened::Happened;
use super::place::{self, Seen};
use super::surroundings::Surroundings;
use super::{TraceOptions, TracedTotals, TracedWatch};
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
pub(super) const PLACES: Places = Places { syscall: u32::MAX, tls: u32::MAX - 1 };

/// What there is to work with.
pub(super) struct Work<S> {
    kernel: Kernel,
    capture: Capture,
    options: TraceOptions,
    tracer: Tracer,
    engine: FlowEngine,
    sink: S,
    surroundings: Surroundings,
    /// What is to be told of processes.
    happened: Vec<Happened>,
    budget: Budget,
    /// At the last tick.
    lost: u64,
    used: Duration,
    command: Option<Watched>,
    totals: TracedWatch,
}

impl<S: Sink> Work<S> {
    pub(super) fn new(
        kernel: Kernel,
        capture: Capture,
        options: TraceOptions,
        engine: &Options,
        sink: S,
        totals: TracedWatch,
    ) -> Self {
        Self {
            kernel,
            capture,
            options,
            tracer: Tracer::new(Limits::default(), Clock::measure(), PLACES),
            engine: FlowEngine::new(engine.clone()),
            sink,
            surroundings: Surroundings::default(),
            happened: Vec::new(),
            budget: Budget::new(options.processor_share),
            lost: 0,
            used: Duration::ZERO,
            command: None,
            totals,
        }
    }

    /// What is known of processes and connections before their first event.
    pub(super) fn look_around(&mut self) {
        let Self { surroundings, tracer, kernel, happened, .. } = self;
        surroundings.look_around(tracer, kernel, happened);
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
            self.sink.pause()?;
            match self.kernel.wait(TURN) {
                Ok(_) | Err(Errno::INTR) => {}
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

    /// Reads what lies in the ring.
    fn turn(&mut self) -> Result<(), End> {
        loop {
            let now = monotonic_ns();
            let Self { kernel, tracer, surroundings, happened, options, .. } = self;
            let read = kernel.read(BATCH, |record| {
                if let Ok(event) = Event::parse(record) {
                    happened.extend(Happened::of(&event, options.lives));
                    surroundings.note(&event);
                }
                // What is no event is counted.
                _ = tracer.record(record);
            });
            if read < BATCH {
                // What was begun before this moment is in the ring, or has been read.
                tracer.advance(now);
            }
            surroundings.look_at_new(now, tracer, kernel, happened);
            self.hand_on()?;
            self.tell()?;
            if read < BATCH {
                return Ok(());
            }
        }
    }

    fn tick(&mut self, passed: Duration) -> Result<(), End> {
        self.tracer.set_clock(Clock::measure());
        let seen_until = realtime_ns().saturating_sub(TICK.as_nanos() as u64);
        self.engine.handle_timeout(Timestamp::from_nanos(seen_until));
        self.take_records()?;
        self.keep_to_budget(passed);
        self.tell()?;
        self.publish();
        Ok(())
    }

    /// Captures less when there is too little time.
    fn keep_to_budget(&mut self, passed: Duration) {
        let (lost, used) = (self.messages_lost(), processor_time());
        let (lost_now, used_now) = (lost.saturating_sub(self.lost), used.saturating_sub(self.used));
        (self.lost, self.used) = (lost, used);
        if self.budget.measure(passed, used_now, lost_now) {
            let ladder = self.budget.ladder();
            // The kernel may refuse it once: it is told again with the next step.
            let told = self.kernel.capture(&Capture { ladder, ..self.capture });
            if told.is_ok() {
                self.happened.push(Happened::step(monotonic_ns(), ladder, self.capture.head.min(Ladder::FIRST_BYTES)));
            }
        }
    }

    fn messages_lost(&self) -> u64 {
        self.kernel.counters().map_or(self.lost, |counters| counters[Counter::Lost as usize])
    }

    fn publish(&self) {
        let engine = EngineTotals { engine: self.engine.stats(), parsers: self.engine.parser_stats() };
        self.totals.publish(TracedTotals { engine, tracer: self.tracer.stats(), lost: self.messages_lost() });
    }

    fn hand_on(&mut self) -> Result<(), End> {
        while let Some(input) = self.tracer.poll() {
            if let StreamEvent::Open(opening) = input.event {
                self.surroundings.look_up_paths(None, opening.client, opening.server);
            }
            self.engine.handle(Input::Stream(input));
            self.take_records()?;
        }
        Ok(())
    }

    fn take_records(&mut self) -> Result<(), End> {
        let Self { engine, tracer, sink, surroundings, .. } = self;
        while let Some(output) = engine.poll() {
            match &output {
                Output::Call(record) => {
                    let seen = Seen::of(record, tracer);
                    let Conversation { client, server, .. } = record.conversation;
                    surroundings.look_up_paths(seen.pid(), client, server);
                    sink.take(&output, &seen.place(&surroundings.paths))?;
                }
                Output::Metric(metric) => sink.take(&output, &place::of_metric(&metric.key))?,
                _ => {}
            }
        }
        Ok(())
    }

    /// Hands on what happened to processes.
    fn tell(&mut self) -> Result<(), End> {
        let clock = Clock::measure();
        for happened in self.happened.drain(..) {
            happened.tell(&clock, &self.tracer, &mut self.sink)?;
        }
        Ok(())
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
