//! Finding out which protocol a connection speaks.

use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::{Opening, Probe, ProtocolSpec, Side, StreamChunk, Timestamp, Verdict};

/// After so many windows that fitted nothing, only a window behind a change of direction is looked at: there a message begins, and a
/// bulk transfer of an unknown protocol costs nothing.
const PATIENCE: u16 = 16;
/// After so many, only every sixteenth of those.
const LONG_PATIENCE: u16 = 256;

/// So many kept pieces are looked at one by one as they come. Behind them a look is only worth its cost when a good part has been added,
/// or the side has changed, and pieces of one side and one time count as one.
const PIECES: usize = 64;
/// Of so many pieces, the last one takes in what follows of its side, whatever its time.
const MOST_PIECES: usize = 128;

/// Of so many kept bytes that fitted nothing, each behind a change of sides is looked at as a beginning.
const RETRIED: usize = 1024;

/// Of the room for windows with a chunk behind them, so many bytes are kept from one look to the next.
const JOINED: usize = 16 << 10;

/// How the search stands between two chunks.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Search {
    /// Windows that fitted nothing.
    pub(crate) failures: u16,
    /// Who sent the last chunk.
    last: Option<Side>,
}

impl Search {
    /// A search that begins behind the end of another protocol, or after one that turned out wrong.
    pub(crate) fn again() -> Self {
        Self { failures: 1, last: None }
    }

    /// Whether what follows is worth another look: bytes are few, and failures.
    pub(crate) fn retries(&self, kept: &Detection) -> bool {
        self.failures < PATIENCE && kept.length() <= RETRIED
    }

    /// Whether a chunk of this side is worth a look.
    pub(crate) fn looks_at(&mut self, side: Side) -> bool {
        let turned = self.last.replace(side) != Some(side);
        match self.failures {
            ..PATIENCE => true,
            PATIENCE..LONG_PATIENCE => turned,
            _ => {
                self.failures = if turned { self.failures.wrapping_add(1).max(LONG_PATIENCE) } else { self.failures };
                turned && self.failures.is_multiple_of(16)
            }
        }
    }
}

/// Bytes that may belong to a protocol, kept until more of them tell.
#[derive(Debug, Default)]
pub(crate) struct Detection {
    pieces: Vec<Piece>,
    windows: [Vec<u8>; 2],
    /// Bytes there were when they were looked at last.
    looked_at: usize,
}

#[derive(Clone, Copy, Debug)]
struct Piece {
    side: Side,
    time: Timestamp,
    offset: u64,
    length: usize,
}

impl Detection {
    pub(crate) fn window(&self, side: Side) -> &[u8] {
        let [client, server] = &self.windows;
        match side {
            Side::Client => client,
            Side::Server => server,
        }
    }

    pub(crate) fn append(&mut self, chunk: &StreamChunk<'_>) {
        let [client, server] = &mut self.windows;
        let window = if chunk.side == Side::Client { client } else { server };
        window.extend_from_slice(chunk.bytes);
        let (many, full) = (self.pieces.len() >= PIECES, self.pieces.len() >= MOST_PIECES);
        let joins = |last: &&mut Piece| last.side == chunk.side && (full || many && last.time == chunk.time);
        if let Some(last) = self.pieces.last_mut().filter(joins) {
            last.length += chunk.bytes.len();
            return;
        }
        self.pieces.push(Piece { side: chunk.side, time: chunk.time, offset: chunk.offset, length: chunk.bytes.len() });
    }

    /// Whether it is worth a look with this chunk behind it.
    pub(crate) fn is_worth_a_look(&mut self, chunk: &StreamChunk<'_>) -> bool {
        let length = self.length() + chunk.bytes.len();
        self.looks_behind(self.pieces.len(), chunk.side, length)
    }

    /// Whether a piece of `side` behind the first so many, with `length` bytes then, is worth a look.
    fn looks_behind(&mut self, pieces: usize, side: Side, length: usize) -> bool {
        let turned = pieces.checked_sub(1).and_then(|last| self.pieces.get(last)).is_none_or(|last| last.side != side);
        let worth = pieces < PIECES || turned || length > self.looked_at + self.looked_at / 16;
        if worth {
            self.looked_at = length;
        }
        worth
    }

    /// What is kept led nowhere: what the other side said next may be a beginning of its own, and so may each turn behind it. Looks at the
    /// pieces from there on one by one, as when they came. Returns what was found of what is left then, and how many bytes were dropped.
    // In place, not by handing in the pieces anew: each of many tries would keep copies of all that are left.
    pub(crate) fn retry(
        &mut self,
        specs: &[Arc<dyn ProtocolSpec>],
        opening: &Opening,
        search: &mut Search,
    ) -> (Option<(usize, Side)>, usize) {
        search.failures += 1;
        let mut dropped = self.drop_first(self.turn(self.pieces.len()));
        // So many pieces may be a beginning.
        let mut kept = 0;
        while let Some(&Piece { side, .. }) = self.pieces.get(kept) {
            if kept == 0 && !search.looks_at(side) {
                dropped += self.drop_first(1);
                continue;
            }
            let [client, server] = self.lengths(kept + 1);
            let verdict = if self.looks_behind(kept, side, client + server) {
                let windows = [(Side::Client, client), (Side::Server, server)]
                    .map(|(side, length)| self.window(side).get(..length).unwrap_or_default());
                decide(specs, &Probe::new(opening, search, self.first().unwrap_or(side), windows))
            } else {
                (0, Verdict::Unsure)
            };
            match verdict {
                (spec, Verdict::Yes { client }) => return (Some((spec, client)), dropped),
                (_, Verdict::Unsure) => kept += 1,
                (_, Verdict::No) => {
                    let nowhere = if search.retries(self) { self.turn(kept) } else { kept };
                    dropped += self.drop_first(nowhere.max(1));
                    search.failures = search.failures.saturating_add(1);
                    kept = 0;
                }
            }
        }
        (None, dropped)
    }

    /// How many of the first so many pieces the first side said in a row.
    fn turn(&self, pieces: usize) -> usize {
        self.pieces.iter().take(pieces).take_while(|piece| Some(piece.side) == self.first()).count()
    }

    /// Bytes of both sides in the first so many pieces.
    fn lengths(&self, pieces: usize) -> [usize; 2] {
        let mut lengths = [0, 0];
        for piece in self.pieces.iter().take(pieces) {
            lengths[piece.side.index()] += piece.length;
        }
        lengths
    }

    /// Drops the first so many pieces. Returns how many bytes they were.
    fn drop_first(&mut self, pieces: usize) -> usize {
        let lengths = self.lengths(pieces);
        for (window, length) in self.windows.iter_mut().zip(lengths) {
            window.drain(..length.min(window.len()));
        }
        self.pieces.drain(..pieces.min(self.pieces.len()));
        self.looked_at = 0;
        lengths.iter().sum()
    }

    /// What was not looked at, as a chunk of nothing behind it.
    pub(crate) fn end(&self) -> Option<StreamChunk<'static>> {
        let last = self.pieces.last().filter(|_| self.looked_at < self.length())?;
        let offset = last.offset + last.length as u64;
        Some(StreamChunk { side: last.side, time: last.time, offset, bytes: &[], missing: 0 })
    }

    pub(crate) fn length(&self) -> usize {
        self.windows.iter().map(Vec::len).sum()
    }

    /// Whether there is room for a chunk behind what is kept, within so many bytes.
    pub(crate) fn has_room(&self, chunk: &StreamChunk<'_>, most: usize) -> bool {
        let joins = self.pieces.last().is_some_and(|last| last.side == chunk.side);
        self.length() + chunk.bytes.len() <= most && (self.pieces.len() < MOST_PIECES || joins)
    }

    fn first(&self) -> Option<Side> {
        self.pieces.first().map(|piece| piece.side)
    }

    /// The chunks as they came.
    pub(crate) fn chunks(&self) -> impl Iterator<Item = StreamChunk<'_>> {
        let mut used = [0, 0];
        self.pieces.iter().map(move |piece| {
            let start = used[piece.side.index()];
            used[piece.side.index()] += piece.length;
            let bytes = self.window(piece.side).get(start..start + piece.length).unwrap_or_default();
            StreamChunk { side: piece.side, time: piece.time, offset: piece.offset, bytes, missing: 0 }
        })
    }

    pub(crate) fn memory(&self) -> usize {
        let windows: usize = self.windows.iter().map(Vec::capacity).sum();
        size_of::<Self>() + windows + self.pieces.capacity() * size_of::<Piece>()
    }
}

/// The windows with `chunk` behind them, for the specs. Copies nothing where the chunk is all there is of its side; else into `joined`, whose
/// room serves every look: were each given its own, a window that grows by a byte at a time would cost its length anew with each of them.
pub(crate) fn probe<'a>(
    opening: &Opening,
    search: &Search,
    kept: Option<&'a Detection>,
    chunk: &StreamChunk<'a>,
    joined: &'a mut Vec<u8>,
) -> Probe<'a> {
    let own = kept.map_or(&[][..], |kept| kept.window(chunk.side));
    let other = kept.map_or(&[][..], |kept| kept.window(chunk.side.other()));
    let own = if own.is_empty() {
        chunk.bytes
    } else {
        joined.clear();
        joined.shrink_to(JOINED);
        joined.extend_from_slice(own);
        joined.extend_from_slice(chunk.bytes);
        joined
    };
    let windows = if chunk.side == Side::Client { [own, other] } else { [other, own] };
    Probe::new(opening, search, kept.and_then(Detection::first).unwrap_or(chunk.side), windows)
}

impl<'a> Probe<'a> {
    fn new(opening: &Opening, search: &Search, first: Side, [client, server]: [&'a [u8]; 2]) -> Self {
        Self {
            client,
            server,
            first,
            transport: opening.transport,
            from_start: opening.from_start && search.failures == 0,
            sides_known: opening.sides_known,
            server_port: opening.server_port,
        }
    }
}

/// Asks every spec; the first that is sure decides.
pub(crate) fn decide(specs: &[Arc<dyn ProtocolSpec>], probe: &Probe<'_>) -> (usize, Verdict) {
    let mut answer = Verdict::No;
    for (position, spec) in specs.iter().enumerate() {
        match spec.infer(probe) {
            yes @ Verdict::Yes { .. } => return (position, yes),
            Verdict::Unsure => answer = Verdict::Unsure,
            Verdict::No => {}
        }
    }
    (0, answer)
}
