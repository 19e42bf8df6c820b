//! One engine with what is before and behind it.

use std::sync::Arc;

use flow_core::{FlowEngine, Input, Options, Output, Packet};
use protocol_parsers::Timestamp;

use crate::place::Places;
use crate::sink::{End, EngineTotals, Sink};

/// Packets that are handed in at once, so that the engine can look ahead.
const GROUP: usize = 64;
/// And their bytes: what comes out of them has to wait.
const GROUP_BYTES: usize = 128 << 10;

/// Packets → engine → records with their places → sink. All on the thread that calls.
pub(crate) struct Pipeline<S> {
    engine: FlowEngine,
    places: Arc<Places>,
    sink: S,
}

impl<S: Sink> Pipeline<S> {
    pub(crate) fn new(options: Options, places: Arc<Places>, sink: S) -> Self {
        Self { engine: FlowEngine::new(options), places, sink }
    }

    /// These are the places of the records from now on.
    pub(crate) fn move_to(&mut self, places: Arc<Places>) {
        self.places = places;
    }

    /// Takes in packets and hands on the records they give.
    pub(crate) fn feed<'a>(&mut self, packets: impl IntoIterator<Item = Packet<'a>>) -> Result<(), End> {
        let mut packets = packets.into_iter();
        let mut group = Vec::with_capacity(GROUP);
        loop {
            let mut bytes = 0;
            group.clear();
            for packet in packets.by_ref() {
                bytes += packet.captured.len();
                group.push(packet);
                if group.len() == GROUP || bytes >= GROUP_BYTES {
                    break;
                }
            }
            if group.is_empty() {
                return Ok(());
            }
            self.engine.handle(Input::Packets(&group));
            self.hand_on()?;
        }
    }

    /// Nothing else was seen up to this time.
    pub(crate) fn tick(&mut self, seen_until: Timestamp) -> Result<(), End> {
        self.engine.handle_timeout(seen_until);
        self.hand_on()
    }

    /// Nothing more is at hand for the moment.
    pub(crate) fn pause(&mut self) -> Result<(), End> {
        self.sink.pause()
    }

    /// Nothing more will come: hands on all there is.
    pub(crate) fn finish(&mut self) -> Result<(), End> {
        self.engine.finish();
        self.hand_on()?;
        self.sink.flush()
    }

    pub(crate) fn totals(&self) -> EngineTotals {
        EngineTotals { engine: self.engine.stats(), parsers: self.engine.parser_stats() }
    }

    fn hand_on(&mut self) -> Result<(), End> {
        while let Some(output) = self.engine.poll() {
            let place = match &output {
                Output::Call(record) => self.places.of(&record.conversation),
                Output::Flow(record) => self.places.of(&record.conversation),
                Output::Metric(metric) => self.places.of_metric(&metric.key),
                _ => continue,
            };
            self.sink.take(&output, &place)?;
        }
        Ok(())
    }
}
