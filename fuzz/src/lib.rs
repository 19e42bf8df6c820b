//! Fuzz targets as plain functions. Each panics when something that must hold does not.
#![forbid(unsafe_code)]

mod capture;
#[allow(clippy::unwrap_used, clippy::panic, dead_code, reason = "tests' files, read by their code")]
#[path = "../../protocol-parsers/tests/it/conversation.rs"]
mod conversation;
mod network;
mod packets;
mod parsers;
mod run;

pub use capture::capture_file;
pub use packets::packets;
pub use parsers::{
    PARSERS, cuts, dns, dubbo, grpc, http1, http2, kafka, made_seeds, mysql, one_side, pieces, postgresql, redis,
    triple, work,
};

/// A target: its name, and the function.
pub type Target = (&'static str, fn(&[u8]));

/// Every target but those of the single parsers, which are [`PARSERS`].
pub const TARGETS: &[Target] = &[
    ("one_side", one_side),
    ("pieces", pieces),
    ("cuts", cuts),
    ("capture_file", capture_file),
    ("packets", packets),
    ("work", work),
];

/// Makes inputs out of seeds, always the same ones: copies with bits flipped, bytes changed, pieces repeated, removed and joined.
#[derive(Debug)]
pub struct Mutator(u64);

impl Mutator {
    /// From a number other than 0.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number (xorshift).
    pub fn number(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.number() % limit.max(1) as u64) as usize
    }

    /// A changed copy of `bytes`; `other` may lend it a piece.
    #[must_use]
    pub fn mutate(&mut self, bytes: &[u8], other: &[u8]) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        for _ in 0..=self.below(6) {
            let at = self.below(bytes.len() + 1);
            let length = self.below(32);
            match self.below(8) {
                0 if at < bytes.len() => bytes[at] ^= 1 << self.below(8),
                1 if at < bytes.len() => bytes[at] = self.number() as u8,
                2 if at < bytes.len() => bytes[at] = [0, 0xff, 0x7f, b'\n', b'0', b'9', b' ', 0x80][self.below(8)],
                3 => drop(bytes.drain(at..(at + length).min(bytes.len()))),
                4 => {
                    let piece = bytes[at..(at + length).min(bytes.len())].to_vec();
                    let to = self.below(bytes.len() + 1);
                    bytes.splice(to..to, piece);
                }
                5 => {
                    let from = self.below(other.len() + 1);
                    let piece = other[from..(from + length).min(other.len())].to_vec();
                    bytes.splice(at..at, piece);
                }
                6 => bytes.truncate(at),
                _ => bytes.splice(at..at, (0..length).map(|_| 0)).for_each(drop),
            }
        }
        bytes
    }
}
