//! Events in, streams out.

use flow_core::StreamInput;
use metaflow_ebpf_common::{Operation, ProcessEvent};
use protocol_parsers::{Call, Timestamp};

use crate::clock::Clock;
use crate::event::{Event, EventError};
use crate::evidence::Evidence;
use crate::limits::Limits;
use crate::marks::Mark;
use crate::opaque::OpaqueTls;
use crate::order::{Order, Waiting};
use crate::processes::{Process, Processes, Snapshot};
use crate::recording::Entry;
use crate::sink::Sink;
use crate::sockets::{Places, Sockets};
use crate::stats::Stats;

/// Makes streams of the events of the ring. It reads no clock and asks the kernel nothing.
#[derive(Debug)]
pub struct Tracer {
    order: Order,
    sockets: Sockets,
    sink: Sink,
    processes: Processes,
    is_finished: bool,
}

impl Tracer {
    /// One that has seen nothing.
    #[must_use]
    pub fn new(limits: Limits, clock: Clock, places: Places) -> Self {
        Self {
            order: Order::default(),
            sockets: Sockets::new(places),
            sink: Sink::new(limits, clock),
            processes: Processes::new(),
            is_finished: false,
        }
    }

    /// Takes in a record of the ring.
    ///
    /// # Errors
    /// [`EventError`] when it is no event; it is counted.
    pub fn record(&mut self, record: &[u8]) -> Result<(), EventError> {
        let event = Event::parse(record).inspect_err(|_| self.sink.stats.malformed += 1)?;
        self.push(&event);
        Ok(())
    }

    /// Takes in what was recorded. A record of the ring that is no event is counted, as it was then.
    pub fn replay(&mut self, entry: Entry<'_>) {
        match entry {
            Entry::Record(record) => _ = self.record(record),
            Entry::Time(monotonic_ns) => self.advance(monotonic_ns),
            Entry::Clock(clock) => self.set_clock(clock),
            Entry::Listening { netns, port, is_listening } => self.listening(netns, port, is_listening),
            Entry::Process(snapshot) => self.insert(snapshot),
        }
    }

    /// Takes in an event.
    pub fn push(&mut self, event: &Event<'_>) {
        let header = *event.header();
        let waiting = match event {
            Event::Socket(event, payload) => {
                let is_message = [Operation::Send as u8, Operation::Receive as u8].contains(&event.operation);
                self.sink.stats.messages += u64::from(is_message);
                Waiting::Socket(Box::new(*event), payload.to_vec())
            }
            Event::Process(event, path) => {
                let Sink { clock, limits, stats, .. } = &mut self.sink;
                self.processes.apply(event, path, clock, limits, stats);
                if event.change != ProcessEvent::ENDED {
                    return self.advance(header.time_ns);
                }
                Waiting::Ended(header.tgid)
            }
        };
        self.is_finished = false;
        self.order.push(header.tid, header.time_ns, waiting, &mut self.sink.stats);
        while self.order.is_full(&self.sink.limits) {
            self.sink.stats.hurried += 1;
            self.apply_next();
        }
    }

    /// It is so late on `CLOCK_MONOTONIC`, and the ring has been read to its end. Without this, events are held back until later ones
    /// come.
    pub fn advance(&mut self, monotonic_ns: u64) {
        self.order.advance(monotonic_ns);
    }

    /// Nothing more comes: everything is handed on, every stream closed.
    pub fn finish(&mut self) {
        self.is_finished = true;
    }

    /// What is to be handed on next; `None` until more comes in.
    pub fn poll(&mut self) -> Option<StreamInput<'_>> {
        while self.sink.is_empty() {
            if self.order.next(self.is_finished, &self.sink.limits).is_some() {
                self.apply_next();
                continue;
            }
            if self.is_finished {
                self.sockets.finish(&mut self.sink);
            } else {
                self.sockets.expire(self.order.reached(&self.sink.limits), &mut self.sink);
            }
            if self.sink.is_empty() {
                return None;
            }
        }
        self.sink.poll()
    }

    fn apply_next(&mut self) {
        let Some((time, waiting)) = self.order.pop() else { return };
        match waiting {
            Waiting::Socket(event, payload) => self.sockets.apply(&event, payload, &mut self.sink),
            Waiting::Ended(pid) => self.sockets.end_process(pid, time, &mut self.sink),
        }
    }

    /// The clocks were compared anew.
    pub fn set_clock(&mut self, clock: Clock) {
        self.sink.clock = clock;
    }

    /// A process of this network namespace listens to a TCP port, or nobody does so any more. Tells the sides of connections whose
    /// beginning was not seen. What is seen to be accepted need not be told.
    pub fn listening(&mut self, netns: u32, port: u16, is_listening: bool) {
        self.sockets.listening(netns, port, is_listening, &mut self.sink);
    }

    /// Who sent and received the messages of a call of this stream. Asked for soon after it is finished, as only so many messages are
    /// remembered.
    pub fn evidence(&mut self, stream: u64, call: &Call<'_>) -> Evidence {
        let Sink { marks, stats, limits, .. } = &mut self.sink;
        Evidence::of(stream, call, marks, limits.mark_steps, stats)
    }

    /// From now on no more than so many bytes of each message of this stream are handed on, as if no more had been captured: for one
    /// whose protocol is known, and needs less than others. Of a stream that is closed nothing comes anyway.
    pub fn limit_head(&mut self, stream: u64, bytes: u32) {
        self.sink.limit_head(stream, bytes);
    }

    /// A TLS connection over which data was sent, of which no plaintext came within [`Limits::plaintext`].
    pub fn poll_opaque(&mut self) -> Option<OpaqueTls> {
        self.sink.poll_opaque()
    }

    /// The process that had this number then, as far as it is known.
    #[must_use]
    pub fn process(&self, pid: u32, time: Timestamp) -> Option<&Process> {
        self.processes.at(pid, time, &self.sink.clock)
    }

    /// The process that sent or received this message.
    #[must_use]
    pub fn process_of(&self, mark: &Mark) -> Option<&Process> {
        self.process(mark.pid, mark.time)
    }

    /// A process of which `/proc` says more than the events: one that executed a program, for instance. To be read and handed to
    /// [`insert`](Self::insert).
    pub fn unread(&mut self) -> Option<u32> {
        self.processes.unread()
    }

    /// Takes in what `/proc` says of a process: of all of them at the start, of those [`unread`](Self::unread) later.
    pub fn insert(&mut self, snapshot: Snapshot) {
        let Sink { clock, limits, stats, .. } = &mut self.sink;
        self.processes.insert(snapshot, clock, limits, stats);
    }

    /// Processes that are remembered.
    #[must_use]
    pub fn processes(&self) -> usize {
        self.processes.len()
    }

    /// What happened so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.sink.stats
    }

    /// Records of messages that are held back: for their turn, for missing bytes, or for the rest of a datagram. Takes as long as there
    /// are events and streams.
    #[must_use]
    pub fn held(&self) -> u64 {
        self.order.messages() + self.sockets.held()
    }

    /// Streams that are followed.
    #[must_use]
    pub fn streams(&self) -> usize {
        self.sockets.len()
    }
}
