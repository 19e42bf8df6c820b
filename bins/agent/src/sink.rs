//! Where records go.

use std::io;

use flow_core::{Output, Stats};
use metaflow_packet_capture::RingCounters;
use metaflow_protocol::build::{Event, Place};

use crate::failure::Failure;

/// Where the records of all engines come together: printed, or sent.
pub(crate) trait Outlet {
    /// Takes the records of one engine, on its thread.
    type Sink: Sink;

    /// The records of new engines begin, which number them anew.
    fn begin(&mut self) {}

    /// One for each engine.
    fn sink(&self) -> Self::Sink;

    /// About once a second while observing live: what has happened so far.
    fn tick(&mut self, _observed: &Observed<'_>) -> Result<(), End> {
        Ok(())
    }

    /// The engines have given all they had, and their sinks are flushed.
    fn end(&mut self, _observed: &Observed<'_>) -> Result<(), End> {
        Ok(())
    }
}

/// Takes the records of one engine.
pub(crate) trait Sink: Send + 'static {
    /// Takes one record.
    fn take(&mut self, output: &Output<'_>, place: &Place<'_>) -> Result<(), End>;

    /// Takes something that happened to a process or to the observation.
    fn event(&mut self, event: &Event<'_>) -> Result<(), End>;

    /// Nothing more is at hand for the moment.
    fn pause(&mut self) -> Result<(), End>;

    /// Keeps nothing back.
    fn flush(&mut self) -> Result<(), End>;
}

/// Running totals of an observation.
#[derive(Default)]
pub(crate) struct Observed<'a> {
    /// When it began, in nanoseconds since the Unix epoch; of a file the time of the first packet.
    pub(crate) start_ns: u64,
    /// Until when it has come.
    pub(crate) now_ns: u64,
    pub(crate) engines: &'a [EngineTotals],
    /// Packets that were dropped because the threads of the engines were behind.
    pub(crate) packets_refused: u64,
    /// By interface.
    pub(crate) rings: &'a [(String, RingCounters)],
    /// Messages of processes that found no room on their way out of the kernel.
    pub(crate) messages_lost: u64,
    /// Texts of events that were cut because they were too long.
    pub(crate) texts_cut: u64,
}

/// Running totals of one engine.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct EngineTotals {
    pub(crate) engine: Stats,
    pub(crate) parsers: protocol_parsers::Stats,
}

impl Observed<'_> {
    /// Of all engines together.
    pub(crate) fn sum(&self, of: impl Fn(&EngineTotals) -> u64) -> u64 {
        self.engines.iter().map(of).sum()
    }

    /// Packets that the kernel dropped.
    pub(crate) fn packets_dropped(&self) -> u64 {
        self.rings.iter().map(|(_, counters)| counters.dropped).sum()
    }
}

/// Why a sink takes no more.
#[derive(Debug)]
pub(crate) enum End {
    /// It has as many as were asked for, or its reader has had enough.
    Enough,
    /// It cannot go on.
    Failed(Failure),
}

impl From<Failure> for End {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::Enough,
            _ => Self::Failed(Failure::from_io("cannot write", &error)),
        }
    }
}
