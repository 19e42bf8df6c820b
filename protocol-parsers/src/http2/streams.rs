//! Streams of which more has to be known than the calls say: those that carry gRPC messages.

use alloc::vec::Vec;

use crate::grpc::wire::MessageCounter;
use crate::{MessageWriter, Side};

/// The streams with gRPC messages, by id.
#[derive(Debug)]
pub(super) struct Streams {
    /// Sorted by id. Clients count their ids upwards, so new ones come at the end.
    open: Vec<Stream>,
    most: usize,
}

#[derive(Clone, Copy, Debug)]
struct Stream {
    id: u32,
    client: MessageCounter,
    server: MessageCounter,
}

impl Streams {
    /// At most so many at once.
    pub(super) fn new(most: usize) -> Self {
        Self { open: Vec::new(), most }
    }

    /// A stream begins. Says whether another one had to give way.
    pub(super) fn begin(&mut self, id: u32) -> bool {
        let stream = Stream { id, client: MessageCounter::default(), server: MessageCounter::default() };
        match self.open.binary_search_by_key(&id, |stream| stream.id) {
            Ok(at) => {
                if let Some(place) = self.open.get_mut(at) {
                    *place = stream;
                }
                false
            }
            Err(at) => {
                // The oldest is the first of those whose end may have been missed.
                let full = self.open.len() >= self.most;
                if full {
                    self.open.remove(0);
                }
                self.open.insert(at.saturating_sub(usize::from(full)).min(self.open.len()), stream);
                full
            }
        }
    }

    /// The counter of one direction of a stream.
    pub(super) fn counter(&mut self, id: u32, from: Side) -> Option<&mut MessageCounter> {
        let at = self.open.binary_search_by_key(&id, |stream| stream.id).ok()?;
        let stream = self.open.get_mut(at)?;
        Some(match from {
            Side::Client => &mut stream.client,
            Side::Server => &mut stream.server,
        })
    }

    /// A stream ends: writes down how many messages there were.
    pub(super) fn end(&mut self, id: u32, message: &mut MessageWriter<'_>) {
        let Ok(at) = self.open.binary_search_by_key(&id, |stream| stream.id) else { return };
        let stream = self.open.remove(at);
        for (name, counter) in [("message_count_request", stream.client), ("message_count_response", stream.server)] {
            if let Some(count) = counter.messages() {
                message.attribute_number(name, i64::try_from(count).unwrap_or(i64::MAX));
            }
        }
    }

    /// Bytes of one side were lost, and nobody knows of which streams.
    pub(super) fn lose(&mut self, from: Side) {
        for stream in &mut self.open {
            match from {
                Side::Client => stream.client.lose(),
                Side::Server => stream.server.lose(),
            }
        }
    }

    pub(super) fn memory(&self) -> usize {
        self.open.capacity() * size_of::<Stream>()
    }
}
