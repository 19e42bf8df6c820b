//! Where records go.

use std::io;

use flow_core::{FlowEngine, Input, LinkType, Output, Packet, Stats};
use metaflow_packet_capture::{Batch, RingCounters, VlanTag};
use metaflow_protocol::build::Place;
use protocol_parsers::Timestamp;

use crate::failure::Failure;
use crate::place::Places;

/// Takes records: prints them, or sends them.
pub(crate) trait Sink {
    /// The records of a new engine begin, which numbers them anew.
    fn begin(&mut self) -> Result<(), End> {
        Ok(())
    }

    /// Takes one record.
    fn take(&mut self, output: &Output<'_>, place: &Place<'_>) -> Result<(), End>;

    /// Nothing more is at hand for the moment.
    fn pause(&mut self) -> Result<(), End>;

    /// About once a second while observing live: what has happened so far.
    fn tick(&mut self, _observed: &Observed<'_>) {}

    /// The engine has given all it had.
    fn end(&mut self, _observed: &Observed<'_>) -> Result<(), End> {
        self.pause()
    }
}

/// Running totals of an observation.
pub(crate) struct Observed<'a> {
    /// When it began, in nanoseconds since the Unix epoch; of a file the time of the first packet.
    pub(crate) start_ns: u64,
    /// Until when it has come.
    pub(crate) now_ns: u64,
    pub(crate) engine: Stats,
    pub(crate) parsers: protocol_parsers::Stats,
    /// By interface.
    pub(crate) rings: &'a [(String, RingCounters)],
}

/// Why a sink takes no more.
#[derive(Debug)]
pub(crate) enum End {
    /// It has as many as were asked for, or its reader has had enough.
    Enough,
    /// It cannot go on.
    Failed(Failure),
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::Enough,
            _ => Self::Failed(Failure::from_io("cannot write", &error)),
        }
    }
}

/// Puts packets through the engine.
pub(crate) fn feed(
    engine: &mut FlowEngine,
    batch: Batch<'_>,
    places: &Places,
    sink: &mut impl Sink,
) -> Result<(), End> {
    for packet in batch {
        engine.handle(Input::Packet(Packet {
            time: Timestamp::from_nanos(packet.time_ns),
            link: LinkType(packet.link.number()),
            interface: packet.interface,
            captured: packet.captured,
            original_len: packet.original_len,
            vlan: packet.vlan.map(VlanTag::id),
        }));
        hand_on(engine, places, sink)?;
    }
    Ok(())
}

/// Hands on what the engine has ready.
pub(crate) fn hand_on(engine: &mut FlowEngine, places: &Places, sink: &mut impl Sink) -> Result<(), End> {
    while let Some(output) = engine.poll() {
        let place = match &output {
            Output::Call(record) => places.of(&record.conversation),
            Output::Flow(record) => places.of(&record.conversation),
            Output::Metric(metric) => places.of_metric(&metric.key),
            _ => continue,
        };
        sink.take(&output, &place)?;
    }
    Ok(())
}
