//! The engine: what was seen in, records out.

use std::time::Duration;

use protocol_parsers::Timestamp;

use crate::ahead::Ahead;
use crate::conversations::Conversations;
use crate::decode::{Decoded, Decoder};
use crate::streams::Streams;
use crate::table::Lookup;
use crate::{CallRecord, DropReason, FlowRecord, Layer, Metric, Options, Packet, Stats, StreamInput};

/// What goes in.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Input<'a> {
    /// A captured frame.
    Packet(Packet<'a>),
    /// Captured frames, one after the other: the same as each by itself, and cheaper. While some are followed, what the next ones need
    /// is on its way from the memory. What comes out of all of them waits, within [`Limits`](crate::Limits) and those of the parsers: some
    /// dozen frames at a time are enough.
    Packets(&'a [Packet<'a>]),
    /// What happened on a stream that is in order already: data of a socket as a process sent or received it. What is read of it comes out
    /// as calls and in metrics.
    Stream(StreamInput<'a>),
}

/// So many packets are looked at ahead: their conversations fit into the first cache.
const AHEAD: usize = 32;

/// What comes out. Valid until the next call of the engine.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Output<'a> {
    /// A request with its answer.
    Call(CallRecord<'a>),
    /// A conversation, when it has ended, or a piece of it.
    Flow(FlowRecord),
    /// A row of metrics, when its window is over.
    Metric(Metric),
}

/// Packets in, records out. A value without clock, threads or files: time is what the packets say.
///
/// After each [`handle`](Self::handle), [`handle_timeout`](Self::handle_timeout) or [`finish`](Self::finish) call
/// [`poll`](Self::poll) until it has nothing more.
pub struct FlowEngine {
    decoder: Decoder,
    conversations: Conversations,
    streams: Streams,
    stats: Stats,
    /// Of the packets that were read ahead.
    layers: Vec<Layer>,
}

impl FlowEngine {
    /// An engine that has seen nothing.
    #[must_use]
    pub fn new(options: Options) -> Self {
        Self {
            decoder: Decoder::new(&options.limits),
            streams: Streams::new(options.limits.streams),
            conversations: Conversations::new(options),
            stats: Stats::default(),
            layers: Vec::new(),
        }
    }

    /// Takes in one thing that was seen, or several.
    pub fn handle(&mut self, input: Input<'_>) {
        match input {
            Input::Packet(packet) => self.follow_all(&[packet]),
            Input::Packets(packets) => packets.chunks(AHEAD).for_each(|packets| self.follow_all(packets)),
            Input::Stream(input) => self.read(&input),
        }
    }

    fn read(&mut self, input: &StreamInput<'_>) {
        self.advance(input.time());
        if let Some((reader, clock, last_flow)) = self.conversations.reading() {
            self.streams.handle(input, reader, clock, last_flow, &mut self.stats);
        }
    }

    /// What each packet needs is asked for step by step: each step looks at what the one before asked for.
    fn follow_all(&mut self, packets: &[Packet<'_>]) {
        self.layers.clear();
        let mut ahead = [const { None }; AHEAD];
        let mut hashes = [0; AHEAD];
        let mut found = [None; AHEAD];
        let table = self.conversations.table();
        for ((packet, ahead), hash) in packets.iter().zip(&mut ahead).zip(&mut hashes) {
            Ahead::read(packet, &mut self.decoder.layers, &mut self.layers, ahead);
            if let Some(ahead) = ahead {
                *hash = table.hash(&ahead.view.tuple, packet.interface, ahead.layers(&self.layers));
                table.ask_for_place(*hash);
            }
        }
        let found = &mut found[..packets.len()];
        for (hash, found) in hashes.iter().zip(&mut *found) {
            *found = table.ask_for(*hash);
        }
        for found in found.iter().flatten() {
            self.conversations.ask_for_rest(*found);
        }
        for found in ahead
            .iter()
            .zip(&*found)
            .filter(|(ahead, _)| ahead.as_ref().is_some_and(Ahead::has_layers))
            .filter_map(|(_, found)| *found)
        {
            table.ask_for_layers(found);
        }
        self.stats.packets += packets.len() as u64;
        for (((packet, ahead), hash), found) in packets.iter().zip(&ahead).zip(hashes).zip(found) {
            self.advance(packet.time);
            if let Some(ahead) = ahead {
                self.stats.packets_followed += 1;
                let layers = ahead.layers(&self.layers);
                self.conversations.follow(packet, &ahead.view, layers, Lookup { hash, found: *found }, &mut self.stats);
            } else {
                self.follow_piece(packet);
            }
        }
    }

    /// Follows a packet that was not read ahead: a piece of a larger one, or one that is dropped.
    #[cold]
    fn follow_piece(&mut self, packet: &Packet<'_>) {
        self.expire_fragments();
        match self.decoder.decode(packet) {
            Err(dropped) => self.stats.count_drop(dropped.reason, u64::from(dropped.frames)),
            Ok((Decoded::Waits, _)) => {}
            Ok((Decoded::Packet(view), layers)) => {
                self.stats.packets_followed += u64::from(view.frames);
                let layers = layers.as_slice();
                let hash = self.conversations.table().hash(&view.tuple, packet.interface, layers);
                self.conversations.follow(packet, &view, layers, Lookup { hash, found: None }, &mut self.stats);
            }
        }
        self.count_fragments();
    }

    /// Nothing else was seen up to this time: ends what has been quiet for too long.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        self.advance(now);
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called, if nothing else happens.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        let fragments = self.decoder.fragments.deadline().map(|deadline| self.conversations.clock().told_at(deadline));
        let streams = self.streams.poll_timeout();
        let streams = streams.map(|deadline| self.conversations.clock().told_at(deadline + Duration::from_nanos(1)));
        self.conversations.poll_timeout().into_iter().chain(fragments).chain(streams).min()
    }

    /// Nothing more will come: ends everything.
    pub fn finish(&mut self) {
        if let Some((reader, ..)) = self.conversations.reading() {
            self.streams.finish(reader, &mut self.stats);
        }
        self.conversations.finish(&mut self.stats);
        self.decoder.fragments.finish();
        self.count_fragments();
    }

    /// Takes the next record.
    pub fn poll(&mut self) -> Option<Output<'_>> {
        self.conversations.poll()
    }

    /// What happened so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let mut stats = self.stats;
        stats.fragments_waiting = self.decoder.fragments.waiting();
        self.conversations.add_stats(&mut stats);
        stats
    }

    /// What the parsers did so far.
    #[must_use]
    pub fn parser_stats(&self) -> protocol_parsers::Stats {
        self.conversations.parser_stats()
    }

    /// Conversations followed now.
    #[must_use]
    pub fn open_flows(&self) -> usize {
        self.conversations.len()
    }

    /// Streams that are open now.
    #[must_use]
    pub fn open_streams(&self) -> usize {
        self.streams.len()
    }

    /// Brings everything to the present.
    #[inline(always)]
    fn advance(&mut self, time: Timestamp) {
        self.conversations.advance(time, &mut self.stats);
        if self.streams.soonest() < self.conversations.clock().steady()
            && let Some((reader, clock, _)) = self.conversations.reading()
        {
            self.streams.handle_timeout(reader, clock);
        }
        if self.decoder.fragments.waiting() > 0 {
            self.expire_fragments();
        }
    }

    #[inline(never)]
    fn expire_fragments(&mut self) {
        self.decoder.fragments.expire(self.conversations.clock().steady());
        self.count_fragments();
    }

    fn count_fragments(&mut self) {
        self.stats.count_drop(DropReason::Fragment, self.decoder.fragments.take_lost());
    }
}
