//! The engine: what was seen in, records out.

use protocol_parsers::Timestamp;

use crate::conversations::Conversations;
use crate::decode::{Decoded, Decoder};
use crate::{CallRecord, DropReason, FlowRecord, Metric, Options, Packet, Stats};

/// What goes in.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Input<'a> {
    /// A captured frame.
    Packet(Packet<'a>),
}

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
    stats: Stats,
}

impl FlowEngine {
    /// An engine that has seen nothing.
    #[must_use]
    pub fn new(options: Options) -> Self {
        Self {
            decoder: Decoder::new(&options.limits),
            conversations: Conversations::new(options),
            stats: Stats::default(),
        }
    }

    /// Takes in one thing that was seen.
    pub fn handle(&mut self, input: Input<'_>) {
        let Input::Packet(packet) = input;
        self.stats.packets += 1;
        self.advance(packet.time);
        match self.decoder.decode(&packet) {
            Err(dropped) => self.stats.count_drop(dropped.reason, u64::from(dropped.frames)),
            Ok((Decoded::Waits, _)) => {}
            Ok((Decoded::Packet(view), layers)) => {
                self.stats.packets_followed += u64::from(view.frames);
                self.conversations.follow(&packet, &view, layers, &mut self.stats);
            }
        }
        self.count_fragments();
    }

    /// Nothing else was seen up to this time: ends what has been quiet for too long.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        self.advance(now);
        self.count_fragments();
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called, if nothing else happens.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        let fragments = self.decoder.fragments.deadline().map(|deadline| self.conversations.clock().told_at(deadline));
        self.conversations.poll_timeout().into_iter().chain(fragments).min()
    }

    /// Nothing more will come: ends everything.
    pub fn finish(&mut self) {
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

    /// Brings everything to the present.
    fn advance(&mut self, time: Timestamp) {
        self.conversations.advance(time, &mut self.stats);
        self.decoder.fragments.expire(self.conversations.clock().steady());
    }

    fn count_fragments(&mut self) {
        self.stats.count_drop(DropReason::Fragment, self.decoder.fragments.take_lost());
    }
}
