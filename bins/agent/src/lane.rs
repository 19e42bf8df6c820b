//! The way of packets to the thread of one engine.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, TryRecvError, TrySendError, channel, sync_channel};

use flow_core::Packet;
use protocol_parsers::Timestamp;

use crate::packets::Packets;
use crate::place::Places;

/// Bounds of the way to one engine.
#[derive(Clone, Copy)]
pub(crate) struct Limits {
    /// Buffers on the way, made when they are first needed. Packets that find none are dropped and counted.
    pub(crate) buffers: usize,
    /// Packets of one buffer.
    pub(crate) buffer_packets: usize,
    /// Bytes of one buffer; a longer packet has one to itself.
    pub(crate) buffer_bytes: usize,
}

impl Limits {
    /// Memory of all buffers together, about.
    const BYTES: usize = 64 << 20;

    /// Where there are so many ways.
    pub(crate) fn of_each(ways: usize) -> Self {
        let (buffer_packets, buffer_bytes) = (1024, 256 << 10);
        Self { buffers: Self::BYTES / buffer_bytes / ways.max(1), buffer_packets, buffer_bytes }
    }
}

/// Something to do for an engine.
pub(crate) enum Work {
    /// Packets, to be [given back](Inbox::give_back), and the places their records are at.
    Packets(Packets, Arc<Places>),
    /// Nothing else was seen up to this time.
    Tick(Timestamp, Arc<Places>),
}

/// A new way: the end that fills it and the end that empties it.
pub(crate) fn lane(limits: Limits) -> (Feeder, Inbox) {
    // Ticks find room too. They are the only ones that may not.
    let (to, work) = sync_channel(limits.buffers + 2);
    let (back, emptied) = channel();
    let feeder = Feeder { limits, to, emptied, spare: Vec::new(), made: 0, filling: None, refused: 0, ended: false };
    (feeder, Inbox { work, back })
}

/// Fills buffers and never waits. What was pushed is on its way at the next [`hand_over`](Self::hand_over) or [`tick`](Self::tick), or when
/// a buffer is full.
pub(crate) struct Feeder {
    limits: Limits,
    to: SyncSender<Work>,
    emptied: Receiver<Packets>,
    spare: Vec<Packets>,
    /// Buffers there are, wherever they are.
    made: usize,
    filling: Option<Packets>,
    refused: u64,
    /// The engine wants no more.
    ended: bool,
}

/// Below so many buffers on their way an engine may soon have nothing to do.
const FEW: usize = 2;

impl Feeder {
    /// Copies a packet, or drops and counts it when every buffer is on its way.
    pub(crate) fn push(&mut self, packet: &Packet<'_>, places: &Arc<Places>) {
        let Limits { buffer_packets, buffer_bytes, .. } = self.limits;
        let full = |filling: &Packets| {
            filling.len() >= buffer_packets || filling.bytes() + packet.captured.len() > buffer_bytes
        };
        if self.filling.as_ref().is_some_and(|filling| !filling.is_empty() && full(filling)) {
            self.send(places);
        }
        if self.filling.is_none() {
            self.filling = self.empty_buffer();
        }
        match &mut self.filling {
            Some(filling) => filling.push(packet),
            None => self.refuse(1),
        }
    }

    /// Nothing more comes for the moment. A few packets wait for others while the engine has enough to do: many small buffers
    /// would use up the way.
    pub(crate) fn hand_over(&mut self, places: &Arc<Places>) {
        self.take_back();
        let on_the_way = self.made - self.spare.len() - usize::from(self.filling.is_some());
        if on_the_way < FEW {
            self.send(places);
        }
    }

    /// Whether packets wait to be handed over.
    pub(crate) fn holds_back(&self) -> bool {
        self.filling.as_ref().is_some_and(|filling| !filling.is_empty())
    }

    /// Nothing else was seen up to this time. An engine that is behind may not learn of it: later packets tell it too.
    pub(crate) fn tick(&mut self, seen_until: Timestamp, places: &Arc<Places>) {
        self.send(places);
        _ = self.to.try_send(Work::Tick(seen_until, Arc::clone(places)));
    }

    /// Packets dropped so far.
    pub(crate) fn refused(&self) -> u64 {
        self.refused
    }

    /// Nothing more comes. Now there is time to wait until what was pushed last finds room.
    pub(crate) fn finish(self, places: &Arc<Places>) {
        if let Some(filled) = self.filling {
            // An engine that has ended wants no more.
            _ = self.to.send(Work::Packets(filled, Arc::clone(places)));
        }
    }

    fn send(&mut self, places: &Arc<Places>) {
        let Some(filled) = self.filling.take_if(|filling| !filling.is_empty()) else { return };
        let packets = filled.len() as u64;
        // All buffers together find room, unless ticks take it.
        if let Err(error) = self.to.try_send(Work::Packets(filled, Arc::clone(places))) {
            self.made -= 1;
            self.ended |= matches!(error, TrySendError::Disconnected(_));
            self.refuse(packets);
        }
    }

    /// What comes after the end of an engine is no loss: all come to their end then.
    fn refuse(&mut self, packets: u64) {
        self.refused += if self.ended { 0 } else { packets };
    }

    fn take_back(&mut self) {
        loop {
            match self.emptied.try_recv() {
                Ok(emptied) => self.spare.push(emptied),
                Err(TryRecvError::Empty) => return,
                Err(TryRecvError::Disconnected) => {
                    self.ended = true;
                    return;
                }
            }
        }
    }

    fn empty_buffer(&mut self) -> Option<Packets> {
        if self.spare.is_empty() {
            self.take_back();
        }
        if let Some(spare) = self.spare.pop() {
            return Some(spare);
        }
        let Limits { buffers, buffer_packets, buffer_bytes } = self.limits;
        (self.made < buffers).then(|| {
            self.made += 1;
            Packets::with_capacity(buffer_packets, buffer_bytes)
        })
    }
}

/// What there is to do, in order.
pub(crate) struct Inbox {
    work: Receiver<Work>,
    back: Sender<Packets>,
}

impl Inbox {
    /// Waits for something to do; `None` when there will be nothing any more.
    pub(crate) fn next(&self) -> Option<Work> {
        self.work.recv().ok()
    }

    /// Lets the memory be used again.
    pub(crate) fn give_back(&self, mut packets: Packets) {
        packets.clear();
        // When nobody fills buffers any more, nobody needs it.
        _ = self.back.send(packets);
    }
}

#[cfg(test)]
mod tests {
    use flow_core::LinkType;

    use super::*;

    const LIMITS: Limits = Limits { buffers: 3, buffer_packets: 4, buffer_bytes: 40 };

    fn places() -> Arc<Places> {
        Arc::new(Places::File("x".to_owned()))
    }

    fn push(feeder: &mut Feeder, number: u64, captured: &[u8]) {
        let time = Timestamp::from_nanos(number);
        let packet = Packet { time, link: LinkType::RAW_IP, interface: 0, captured, original_len: 9, vlan: None };
        feeder.push(&packet, &places());
    }

    /// Takes what there is.
    fn taken(inbox: &Inbox) -> Vec<Vec<u64>> {
        let mut all = Vec::new();
        while let Ok(work) = inbox.work.try_recv() {
            match work {
                Work::Packets(packets, _) => {
                    all.push(packets.iter().map(|packet| packet.time.as_nanos()).collect());
                    inbox.give_back(packets);
                }
                Work::Tick(time, _) => all.push(vec![time.as_nanos()]),
            }
        }
        all
    }

    #[test]
    fn what_an_engine_does_not_take_is_dropped_and_counted() {
        let (mut feeder, inbox) = lane(LIMITS);
        for number in 0..20 {
            push(&mut feeder, number, b"x");
        }
        assert_eq!(feeder.refused(), 8, "three buffers of four packets");
        feeder.tick(Timestamp::from_nanos(99), &places());
        assert_eq!(taken(&inbox), [vec![0, 1, 2, 3], vec![4, 5, 6, 7], vec![8, 9, 10, 11], vec![99]]);
        push(&mut feeder, 20, b"x");
        feeder.hand_over(&places());
        assert_eq!((taken(&inbox), feeder.refused(), feeder.made), (vec![vec![20]], 8, 3));
    }

    #[test]
    fn ticks_that_nobody_takes_cost_no_memory() {
        let (mut feeder, inbox) = lane(LIMITS);
        for number in 0..100 {
            feeder.tick(Timestamp::from_nanos(number), &places());
        }
        push(&mut feeder, 100, b"x");
        feeder.hand_over(&places());
        assert_eq!((taken(&inbox).len(), feeder.refused()), (LIMITS.buffers + 2, 1), "the packet found no room");
        push(&mut feeder, 101, b"x");
        feeder.hand_over(&places());
        assert_eq!(taken(&inbox), [[101]]);
    }

    #[test]
    fn few_packets_wait_for_others_only_while_the_engine_is_busy() {
        let (mut feeder, inbox) = lane(LIMITS);
        for number in 0..4 {
            push(&mut feeder, number, b"x");
            feeder.hand_over(&places());
        }
        assert!(feeder.holds_back());
        assert_eq!(taken(&inbox), [[0], [1]]);
        feeder.hand_over(&places());
        assert!(!feeder.holds_back());
        assert_eq!(taken(&inbox), [[2, 3]]);
    }

    #[test]
    fn buffers_have_as_many_bytes_as_they_may() {
        let (mut feeder, inbox) = lane(LIMITS);
        for (number, length) in [15, 15, 15, 1000].into_iter().enumerate() {
            push(&mut feeder, number as u64, &vec![0; length]);
        }
        assert_eq!(taken(&inbox), [vec![0, 1], vec![2]]);
        push(&mut feeder, 4, b"x");
        feeder.hand_over(&places());
        assert_eq!((taken(&inbox), feeder.refused()), (vec![vec![3], vec![4]], 0));
    }

    #[test]
    fn an_engine_that_has_ended_holds_nothing_up() {
        let (mut feeder, inbox) = lane(LIMITS);
        for number in 0..12 {
            push(&mut feeder, number, b"x");
        }
        drop(inbox);
        for number in 0..100 {
            push(&mut feeder, number, b"x");
            feeder.tick(Timestamp::ZERO, &places());
        }
        assert_eq!(feeder.refused(), 0, "nobody wants them any more");
    }
}
