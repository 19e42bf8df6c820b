//! One connection being read, and what must hold of it whatever is said on it.

use std::time::Duration;

use protocol_parsers::{
    Call, CallKind, Connection, Dissector, Field, Limits, Opening, Options, Side, StreamChunk, Timestamp, Value,
};

/// What one connection may hold beside the value itself, with what parsers keep of prepared statements and header tables.
const MOST_MEMORY: usize = 320 << 10;
/// What may be allocated for a byte of input, and beside.
const ALLOCATED_PER_BYTE: u64 = 64;
const ALLOCATED_BESIDE: u64 = 64 << 10;

/// A connection with its dissector.
pub(crate) struct Run {
    dissector: Dissector,
    connection: Connection,
    limits: Limits,
    /// Where in what its side says the next byte stands.
    sent: [u64; 2],
    input: u64,
    allocated: u64,
    calls: Vec<String>,
    all_complete: bool,
}

impl Run {
    pub(crate) fn new(opening: Opening) -> Self {
        let options = Options::default();
        let limits = options.limits.clone();
        let (connection, sent) = (Connection::new(opening), [0, 0]);
        let dissector = Dissector::new(options);
        Self { dissector, connection, limits, sent, input: 0, allocated: 0, calls: Vec::new(), all_complete: true }
    }

    /// Bytes of a side that are not seen, and of which nothing says that they are missing.
    pub(crate) fn lose(&mut self, side: Side, bytes: u64) {
        self.sent[side as usize] += bytes;
    }

    /// The next bytes of a side, `missing` behind them cut off by the capture.
    pub(crate) fn push(&mut self, side: Side, bytes: &[u8], missing: u64, time: Timestamp) {
        let offset = self.sent[side as usize];
        self.lose(side, bytes.len() as u64 + missing);
        self.input += bytes.len() as u64;
        self.step(|dissector, connection| {
            dissector.push(connection, StreamChunk { side, time, offset, bytes, missing });
        });
    }

    /// The same in parts of so many bytes.
    pub(crate) fn push_cut(&mut self, side: Side, bytes: &[u8], most: usize, time: Timestamp) {
        bytes.chunks(most).for_each(|part| self.push(side, part, 0, time));
    }

    pub(crate) fn timeout(&mut self, time: Timestamp) {
        self.step(|dissector, connection| dissector.handle_timeout(connection, time));
    }

    /// The calls, written out, and whether all that was said was read: nothing was damaged, passed over or not seen to its end.
    pub(crate) fn finish(mut self) -> (Vec<String>, bool) {
        self.step(Dissector::close);
        let stats = self.dissector.stats();
        assert_eq!(stats.calls, self.calls.len() as u64);
        let is_whole = stats.gaps + stats.unread_bytes + stats.parse_errors + stats.verdicts_withdrawn == 0;
        (self.calls, is_whole && self.all_complete)
    }

    /// Does one thing and takes the calls, then looks at what it cost.
    fn step(&mut self, act: impl FnOnce(&mut Dissector, &mut Connection)) {
        let allocated = allocation_counter::measure(|| act(&mut self.dissector, &mut self.connection)).bytes_total;
        self.allocated += allocated;
        while let Some(call) = self.dissector.poll() {
            hold(&call, &self.limits);
            let is_half = matches!(call.kind(), CallKind::RequestOnly | CallKind::ResponseOnly);
            self.all_complete &= call.captured_complete() && !is_half;
            self.calls.push(format!("{call:?}"));
        }
        let allowed = ALLOCATED_PER_BYTE * self.input + ALLOCATED_BESIDE;
        assert!(self.allocated <= allowed, "{} bytes allocated for {} of input", self.allocated, self.input);
        assert!(self.connection.memory() <= MOST_MEMORY, "one connection holds {} bytes", self.connection.memory());
    }
}

/// Every text of a call within its bound.
fn hold(call: &Call<'_>, limits: &Limits) {
    for text in Field::ALL.iter().filter_map(|field| call.field(*field)) {
        assert!(text.len() <= limits.text_bytes, "a field of {} bytes in {call:?}", text.len());
    }
    for (name, value) in call.attributes() {
        let length = if let Value::Text(text) = value { text.len() } else { 0 };
        assert!(length.max(name.len()) <= limits.text_bytes, "an attribute of {length} bytes in {call:?}");
    }
    assert!(call.attributes().count() <= limits.attributes, "{} attributes", call.attributes().count());
}

pub(crate) fn at(seconds: u64) -> Timestamp {
    Timestamp::ZERO + Duration::from_secs(seconds)
}
