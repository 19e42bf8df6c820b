//! One engine with what is before and behind it.

use std::sync::Arc;

use flow_core::{FlowEngine, Input, Options, Output, Packet};
use protocol_parsers::Timestamp;

use crate::place::Places;
use crate::sink::{End, EngineTotals, Sink};

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
        for packet in packets {
            self.engine.handle(Input::Packet(packet));
            self.hand_on()?;
        }
        Ok(())
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
