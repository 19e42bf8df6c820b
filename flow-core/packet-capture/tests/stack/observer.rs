//! An engine and what it hands to its parsers, by case.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use flow_core::{FlowEngine, Input, LinkType, Options, Packet, Stats};
use protocol_parsers::{
    MessageWriter, ParseError, Parser, Probe, Protocol, ProtocolSpec, Resync, Side, Step, Timestamp, Verdict,
};

/// An engine whose only protocol notes every byte.
pub(crate) struct Observer {
    engine: FlowEngine,
    notes: Arc<Mutex<Notes>>,
    now: Timestamp,
}

/// What was handed on of one case.
#[derive(Clone, Debug, Default)]
pub(crate) struct Heard {
    /// What the client sent, each piece as it was handed on: of TCP the pieces of a stream, of UDP datagrams.
    pub(crate) client: Vec<Vec<u8>>,
    /// How many of them there were when bytes were missed, if any were before the end.
    pub(crate) gap: Option<usize>,
}

#[derive(Default)]
struct Notes {
    /// The case whose packet is handled now; `None` at the end, when what waits for missing bytes is handed on without them.
    current: Option<usize>,
    cases: HashMap<usize, Heard>,
}

impl Observer {
    pub(crate) fn new() -> Self {
        let notes = Arc::new(Mutex::new(Notes::default()));
        let mut parsers = protocol_parsers::Options::default();
        parsers.protocols.push(Arc::new(Note(notes.clone())));
        let mut options = Options::default();
        options.parsers = Some(parsers);
        options.metrics = false;
        let now = Timestamp::from_nanos(1_700_000_000_000_000_000);
        Self { engine: FlowEngine::new(options), notes, now }
    }

    /// A frame of this case passes.
    pub(crate) fn see(&mut self, case: usize, frame: &[u8]) {
        self.notes.lock().unwrap().current = Some(case);
        self.now = self.now + Duration::from_micros(1);
        self.engine.handle(Input::Packet(Packet {
            time: self.now,
            link: LinkType::ETHERNET,
            interface: 0,
            captured: frame,
            original_len: frame.len() as u32,
            vlan: None,
        }));
        while self.engine.poll().is_some() {}
    }

    /// Nothing more comes: what was handed on of each case.
    pub(crate) fn finish(mut self) -> (HashMap<usize, Heard>, Stats) {
        let stats = self.engine.stats();
        self.notes.lock().unwrap().current = None;
        self.engine.finish();
        let cases = std::mem::take(&mut self.notes.lock().unwrap().cases);
        (cases, stats)
    }
}

/// Every connection speaks it.
struct Note(Arc<Mutex<Notes>>);

impl ProtocolSpec for Note {
    fn protocol(&self) -> Protocol {
        Protocol::HTTP1
    }

    fn infer(&self, _probe: &Probe<'_>) -> Verdict {
        Verdict::Yes { client: Side::Client }
    }

    fn parser(&self, _options: &protocol_parsers::Options) -> Box<dyn Parser> {
        Box::new(Self(self.0.clone()))
    }
}

impl Note {
    fn write(&self, write: impl FnOnce(&mut Heard)) {
        let mut notes = self.0.lock().unwrap();
        if let Some(case) = notes.current {
            write(notes.cases.entry(case).or_default());
        }
    }
}

impl Parser for Note {
    fn parse(
        &mut self,
        from: Side,
        input: protocol_parsers::Input<'_>,
        _message: &mut MessageWriter<'_>,
    ) -> Result<Step, ParseError> {
        if from == Side::Client {
            self.write(|heard| heard.client.push(input.bytes.to_vec()));
        }
        Ok(Step::Skip { used: input.bytes.len() as u64 })
    }

    fn gap(&mut self, from: Side) {
        if from == Side::Client {
            self.write(|heard| heard.gap = heard.gap.or(Some(heard.client.len())));
        }
    }

    fn resync(&mut self, _from: Side, _input: &[u8]) -> Resync {
        Resync::At(0)
    }

    fn memory(&self) -> usize {
        size_of::<Self>()
    }
}
