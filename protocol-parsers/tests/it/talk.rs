//! Conversations written down in a test.

use std::time::Duration;

use protocol_parsers::{Connection, Dissector, Opening, Options, Side, StreamChunk, Timestamp};

/// A conversation: every piece comes a microsecond after the one before.
pub(crate) struct Talk {
    pub(crate) opening: Opening,
    pieces: Vec<Piece>,
    sent: [u64; 2],
}

struct Piece {
    side: Side,
    offset: u64,
    bytes: Vec<u8>,
    missing: u64,
}

impl Talk {
    pub(crate) fn new(opening: Opening) -> Self {
        Self { opening, pieces: Vec::new(), sent: [0, 0] }
    }

    pub(crate) fn tcp() -> Self {
        Self::new(Opening::TCP)
    }

    pub(crate) fn client(self, bytes: impl AsRef<[u8]>) -> Self {
        self.piece(Side::Client, bytes.as_ref(), 0)
    }

    pub(crate) fn server(self, bytes: impl AsRef<[u8]>) -> Self {
        self.piece(Side::Server, bytes.as_ref(), 0)
    }

    /// Bytes that were sent but not seen.
    pub(crate) fn gap(mut self, side: Side, length: u64) -> Self {
        self.sent[side as usize] += length;
        self
    }

    /// Bytes that were sent but not seen, which is known at once.
    pub(crate) fn known_gap(self, side: Side, length: u64) -> Self {
        self.gap(side, length).piece(side, b"", 0)
    }

    /// A piece of which the capture kept the beginning.
    pub(crate) fn piece(mut self, side: Side, bytes: &[u8], missing: u64) -> Self {
        let offset = self.sent[side as usize];
        self.sent[side as usize] += bytes.len() as u64 + missing;
        self.pieces.push(Piece { side, offset, bytes: bytes.to_vec(), missing });
        self
    }

    /// The calls, a line each.
    pub(crate) fn calls(&self) -> Vec<String> {
        self.calls_with(Options::default(), usize::MAX)
    }

    /// The calls when every piece is cut into parts of at most `most` bytes.
    pub(crate) fn calls_with(&self, options: Options, most: usize) -> Vec<String> {
        let mut dissector = Dissector::new(options);
        let mut connection = Connection::new(self.opening);
        let mut calls = Vec::new();
        for (number, piece) in self.pieces.iter().enumerate() {
            let time = time_of(number);
            let mut offset = piece.offset;
            let mut rest = piece.bytes.as_slice();
            loop {
                let (bytes, behind) = rest.split_at(most.min(rest.len()));
                rest = behind;
                let missing = if rest.is_empty() { piece.missing } else { 0 };
                dissector.push(&mut connection, StreamChunk { side: piece.side, time, offset, bytes, missing });
                offset += bytes.len() as u64;
                while let Some(call) = dissector.poll() {
                    calls.push(format!("{call:?}"));
                }
                if rest.is_empty() {
                    break;
                }
            }
        }
        dissector.close(&mut connection);
        while let Some(call) = dissector.poll() {
            calls.push(format!("{call:?}"));
        }
        calls
    }

    /// The calls must be these, however the pieces are cut.
    #[track_caller]
    pub(crate) fn expect(&self, calls: &[&str]) {
        assert_eq!(self.calls(), calls);
        if self.opening.transport.is_datagram() {
            return;
        }
        for most in [1, 2, 3, 7, 64] {
            assert_eq!(self.calls_with(Options::default(), most), calls, "in parts of {most} bytes");
        }
    }
}

fn time_of(number: usize) -> Timestamp {
    Timestamp::from_nanos(0) + Duration::from_micros(number as u64 + 1)
}
