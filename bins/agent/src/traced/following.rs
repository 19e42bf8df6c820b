//! From what the kernel told to records: streams, engine, sink.

use ebpf_tracer::{Clock, Event, Limits, Proc, Tracer};
use flow_core::{Conversation, FlowEngine, Input, Options, Output, Sides, StreamEvent};
use protocol_parsers::Timestamp;

use super::PLACES;
use super::happened::Happened;
use super::paths::Paths;
use super::place::{self, Seen};
use crate::sink::{End, EngineTotals, Sink};

/// Makes records of events. It asks the kernel nothing but the paths of Unix sockets, and these only live.
pub(super) struct Following<S> {
    pub(super) tracer: Tracer,
    clock: Clock,
    engine: FlowEngine,
    sink: S,
    paths: Paths,
    proc: Option<Proc>,
    /// What is to be told of processes.
    pub(super) happened: Vec<Happened>,
    /// Whether the beginnings and ends of processes are.
    lives: bool,
}

impl<S: Sink> Following<S> {
    /// Paths are looked up in `proc`, if there is one.
    pub(super) fn new(engine: &Options, clock: Clock, sink: S, lives: bool, proc: Option<Proc>) -> Self {
        let tracer = Tracer::new(Limits::default(), clock, PLACES);
        let (engine, paths, happened) = (FlowEngine::new(engine.clone()), Paths::default(), Vec::new());
        Self { tracer, clock, engine, sink, paths, proc, happened, lives }
    }

    /// Takes in a record of the ring; gives the event, if it is one.
    pub(super) fn take<'r>(&mut self, record: &'r [u8]) -> Option<Event<'r>> {
        // What is no event is counted.
        _ = self.tracer.record(record);
        let event = Event::parse(record).ok()?;
        self.happened.extend(Happened::of(&event, self.lives));
        Some(event)
    }

    /// Hands on what came of it.
    pub(super) fn hand_on(&mut self) -> Result<(), End> {
        while let Some(input) = self.tracer.poll() {
            if let (StreamEvent::Open(opening), Some(proc)) = (input.event, &self.proc) {
                let (client, server) = (opening.client, opening.server);
                self.paths.look_up(proc, std::process::id(), Sides { client, server });
            }
            self.engine.handle(Input::Stream(input));
            self.take_records()?;
        }
        Ok(())
    }

    /// Nothing else was seen up to this time.
    pub(super) fn tick(&mut self, seen_until: Timestamp) -> Result<(), End> {
        self.engine.handle_timeout(seen_until);
        self.take_records()
    }

    /// The clocks were compared anew.
    pub(super) fn set_clock(&mut self, clock: Clock) {
        self.clock = clock;
        self.tracer.set_clock(clock);
    }

    /// Hands on what happened to processes.
    pub(super) fn tell(&mut self) -> Result<(), End> {
        let Self { happened, tracer, sink, clock, .. } = self;
        happened.drain(..).try_for_each(|happened| happened.tell(clock, tracer, sink))
    }

    /// Nothing more is at hand for the moment.
    pub(super) fn pause(&mut self) -> Result<(), End> {
        self.sink.pause()
    }

    /// Nothing more will come: hands on all there is.
    pub(super) fn finish(&mut self) -> Result<(), End> {
        self.tracer.finish();
        self.hand_on()?;
        self.engine.finish();
        self.take_records()?;
        self.sink.flush()
    }

    pub(super) fn totals(&self) -> EngineTotals {
        EngineTotals { engine: self.engine.stats(), parsers: self.engine.parser_stats() }
    }

    fn take_records(&mut self) -> Result<(), End> {
        let Self { engine, tracer, sink, paths, proc, .. } = self;
        while let Some(output) = engine.poll() {
            match &output {
                Output::Call(record) => {
                    let seen = Seen::of(record, tracer);
                    let Conversation { client, server, .. } = record.conversation;
                    if let (Some(proc), Some(pid)) = (&proc, seen.pid()) {
                        paths.look_up(proc, pid, Sides { client, server });
                    }
                    sink.take(&output, &seen.place(paths))?;
                }
                Output::Metric(metric) => sink.take(&output, &place::of_metric(&metric.key))?,
                _ => {}
            }
        }
        Ok(())
    }
}
