//! The engines of an observation: one on this thread, or several beside it.

use std::sync::Arc;

use flow_core::Options;
use metaflow_packet_capture::{Batch, Stop};
use protocol_parsers::Timestamp;

use crate::failure::Failure;
use crate::packets::as_input;
use crate::pipeline::Pipeline;
use crate::place::Places;
use crate::sink::{End, EngineTotals, Outlet, Sink};
use crate::workers::{Finished, Workers};

/// As many engines as there shall be threads for them.
pub(crate) enum Engines<S> {
    /// Works while it is called.
    Here(Box<Pipeline<S>>),
    /// Is only handed packets while it is called.
    Beside(Box<Workers>),
}

impl<S: Sink> Engines<S> {
    /// The sinks are the outlet's. `stop` is stopped when an engine on another thread can do no more.
    pub(crate) fn start(
        threads: u8,
        options: &Options,
        places: &Arc<Places>,
        outlet: &impl Outlet<Sink = S>,
        stop: &Stop,
    ) -> Result<Self, Failure> {
        if threads > 1 {
            return Workers::start(threads, options, places, outlet, stop)
                .map(|workers| Self::Beside(Box::new(workers)));
        }
        Ok(Self::Here(Box::new(Pipeline::new(options.clone(), Arc::clone(places), outlet.sink()))))
    }

    /// These are the places of what comes from now on.
    pub(crate) fn move_to(&mut self, places: &Arc<Places>) {
        match self {
            Self::Here(pipeline) => pipeline.move_to(Arc::clone(places)),
            Self::Beside(workers) => workers.move_to(Arc::clone(places)),
        }
    }

    pub(crate) fn feed(&mut self, batch: Batch<'_>) -> Result<(), End> {
        let packets = batch.iter().map(as_input);
        match self {
            Self::Here(pipeline) => pipeline.feed(packets),
            Self::Beside(workers) => {
                workers.feed(packets);
                Ok(())
            }
        }
    }

    /// Nothing more is at hand for the moment.
    pub(crate) fn pause(&mut self) -> Result<(), End> {
        match self {
            Self::Here(pipeline) => pipeline.pause(),
            Self::Beside(workers) => {
                workers.pause();
                Ok(())
            }
        }
    }

    /// Whether to [`pause`](Self::pause) soon again.
    pub(crate) fn holds_back(&self) -> bool {
        matches!(self, Self::Beside(workers) if workers.holds_back())
    }

    /// Nothing else was seen up to this time.
    pub(crate) fn tick(&mut self, seen_until: Timestamp) -> Result<(), End> {
        match self {
            Self::Here(pipeline) => pipeline.tick(seen_until),
            Self::Beside(workers) => workers.tick(seen_until),
        }
    }

    /// Of each engine.
    pub(crate) fn totals(&self) -> Vec<EngineTotals> {
        match self {
            Self::Here(pipeline) => vec![pipeline.totals()],
            Self::Beside(workers) => workers.totals(),
        }
    }

    /// Packets dropped because engines were behind.
    pub(crate) fn packets_refused(&self) -> u64 {
        match self {
            Self::Here(_) => 0,
            Self::Beside(workers) => workers.refused(),
        }
    }

    /// Nothing more will come: hands on all there is.
    pub(crate) fn finish(self) -> Finished {
        match self {
            Self::Here(mut pipeline) => {
                let result = pipeline.finish();
                Finished { engines: vec![pipeline.totals()], packets_refused: 0, result }
            }
            Self::Beside(workers) => workers.finish(),
        }
    }
}
