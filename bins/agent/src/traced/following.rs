//! From what the kernel told to records: streams, engine, sink.

use std::collections::{HashMap, HashSet};

use ebpf_tracer::events::ProcessEvent;
use ebpf_tracer::{Clock, Event, Limits, OpaqueTls, Proc, Tracer};
use flow_core::{Conversation, FlowEngine, Input, Options, Output, Sides, StreamEvent, StreamOpening};
use protocol_parsers::Timestamp;

use super::PLACES;
use super::happened::Happened;
use super::heads::Heads;
use super::paths::Paths;
use super::place::{self, Seen};
use crate::sink::{End, EngineTotals, Sink};
use crate::uplink::Exclusions;

/// Processes of which it is remembered that they were told of; beyond that all are told of anew.
const MOST_TOLD: usize = 65_536;

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
    /// Connections that are not to be observed, and the streams that they are.
    exclusions: Exclusions,
    left_out: HashSet<u64>,
    heads: Heads,
    /// Processes that were told to stay encrypted, and when they began.
    told: HashMap<u32, Option<Timestamp>>,
    /// Texts of events that were cut.
    pub(super) texts_cut: u64,
}

impl<S: Sink> Following<S> {
    /// Paths are looked up in `proc`, if there is one.
    pub(super) fn new(
        engine: &Options,
        clock: Clock,
        sink: S,
        lives: bool,
        proc: Option<Proc>,
        exclusions: Exclusions,
        heads: Heads,
    ) -> Self {
        let tracer = Tracer::new(Limits::default(), clock, PLACES);
        let (engine, paths, happened) = (FlowEngine::new(engine.clone()), Paths::default(), Vec::new());
        let (left_out, told, texts_cut) = (HashSet::new(), HashMap::new(), 0);
        Self { tracer, clock, engine, sink, paths, proc, happened, lives, exclusions, left_out, heads, told, texts_cut }
    }

    /// Takes in a record of the ring; gives the event, if it is one.
    pub(super) fn take<'r>(&mut self, record: &'r [u8]) -> Option<Event<'r>> {
        // What is no event is counted.
        _ = self.tracer.record(record);
        let event = Event::parse(record).ok()?;
        self.happened.extend(Happened::of(&event, self.lives));
        if let Event::Process(ProcessEvent { header, change: ProcessEvent::EXECUTED, .. }, _) = event {
            self.told.remove(&header.tgid);
        }
        Some(event)
    }

    /// Hands on what came of it.
    pub(super) fn hand_on(&mut self) -> Result<(), End> {
        while let Some(input) = self.tracer.poll() {
            if let StreamEvent::Open(StreamOpening { client, server, .. }) = input.event {
                if self.exclusions.leave_out(client, server) {
                    self.left_out.insert(input.stream);
                }
                if let Some(proc) = &self.proc {
                    self.paths.look_up(proc, std::process::id(), Sides { client, server });
                }
            }
            if self.left_out.contains(&input.stream) {
                if matches!(input.event, StreamEvent::Close { .. }) {
                    self.left_out.remove(&input.stream);
                }
                continue;
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
        let Self { happened, tracer, sink, clock, texts_cut, .. } = self;
        happened.drain(..).try_for_each(|happened| {
            let (happened, cut) = happened.bounded();
            *texts_cut += cut;
            happened.tell(clock, tracer, sink)
        })
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
        self.take_records()
    }

    /// Keeps nothing back.
    pub(super) fn flush(&mut self) -> Result<(), End> {
        self.sink.flush()
    }

    /// A TLS connection that stays encrypted, the first of its process since that executed a program.
    pub(super) fn poll_opaque(&mut self) -> Option<OpaqueTls> {
        loop {
            let connection = self.tracer.poll_opaque()?;
            let time = self.clock.from_monotonic(connection.time_ns);
            let start = self.tracer.process(connection.pid, time).map(|process| process.start);
            if self.told.len() >= MOST_TOLD {
                self.told.clear();
            }
            if self.told.insert(connection.pid, start) != Some(start) {
                return Some(connection);
            }
        }
    }

    pub(super) fn totals(&self) -> EngineTotals {
        EngineTotals { engine: self.engine.stats(), parsers: self.engine.parser_stats() }
    }

    fn take_records(&mut self) -> Result<(), End> {
        let Self { engine, tracer, sink, paths, proc, heads, .. } = self;
        while let Some(output) = engine.poll() {
            match &output {
                Output::Call(record) => {
                    if let (Some(stream), Some(head)) = (record.stream, heads.less(record.call.protocol())) {
                        tracer.limit_head(stream, head);
                    }
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
