//! Records become batches.

use std::sync::Arc;
use std::time::Instant;

use arrow_array::RecordBatch;
use arrow_schema::ArrowError;
use flow_core::Output;
use metaflow_protocol::build::{CallsBuilder, Event, EventsBuilder, FlowsBuilder, MetricsBuilder, Place};
use metaflow_protocol::{Table, encode_batch};
use tracing::error;

use super::Limits;
use super::queue::Queue;
use crate::failure::Failure;
use crate::sink::{End, Sink};

/// Where batches go in.
#[derive(Clone)]
pub(super) struct Door {
    pub(super) queue: Arc<Queue>,
    /// Whether to wait for room in the queue.
    pub(super) waits: bool,
}

impl Door {
    /// Puts rows of a table into the queue.
    pub(super) fn send(&self, table: &'static Table, batch: Result<RecordBatch, ArrowError>) -> Result<(), End> {
        let encoded = batch.map_err(|error| error.to_string()).and_then(|batch| {
            let bytes = encode_batch(table, &batch).map_err(|error| error.to_string())?;
            Ok((batch.num_rows() as u64, bytes))
        });
        let (rows, bytes) = match encoded {
            Ok(encoded) => encoded,
            Err(error) => {
                // It would be a fault of this program.
                error!(table = table.name, error, "cannot encode a batch");
                return Err(End::Failed(Failure::unavailable(format!(
                    "cannot encode rows of {}: {error}",
                    table.name
                ))));
            }
        };
        self.queue.push(table, rows, bytes, self.waits).map_err(|failure| End::Failed(Failure::unavailable(failure)))
    }
}

/// Makes batches of the records of one engine and puts them into the queue.
pub(crate) struct Batches {
    door: Door,
    limits: Limits,
    /// Since when the oldest row waits.
    oldest: Option<Instant>,
    calls: CallsBuilder,
    flows: FlowsBuilder,
    seconds: MetricsBuilder,
    minutes: MetricsBuilder,
    events: EventsBuilder,
}

impl Batches {
    pub(super) fn new(door: Door, limits: Limits) -> Self {
        Self {
            door,
            limits,
            oldest: None,
            calls: CallsBuilder::new(),
            flows: FlowsBuilder::new(),
            seconds: MetricsBuilder::of_seconds(),
            minutes: MetricsBuilder::of_minutes(),
            events: EventsBuilder::new(),
        }
    }

    /// Puts the rows of every table that has at least so many, or at least so many bytes, into the queue.
    fn cut(&mut self, rows: usize, bytes: usize) -> Result<(), End> {
        macro_rules! cut {
            ($($builder:ident)*) => {$(
                if self.$builder.len() >= rows || self.$builder.bytes() >= bytes {
                    self.door.send(self.$builder.table(), self.$builder.finish())?;
                }
            )*};
        }
        cut!(calls flows seconds minutes events);
        Ok(())
    }

    /// A row was added.
    fn added(&mut self) -> Result<(), End> {
        self.oldest.get_or_insert_with(Instant::now);
        self.cut(self.limits.batch_rows, self.limits.batch_bytes)
    }
}

impl Sink for Batches {
    fn take(&mut self, output: &Output<'_>, place: &Place<'_>) -> Result<(), End> {
        match output {
            Output::Call(record) => self.calls.append(record, place),
            Output::Flow(record) => self.flows.append(record, place),
            Output::Metric(metric) if MetricsBuilder::is_minute(metric.window) => self.minutes.append(metric, place),
            Output::Metric(metric) => self.seconds.append(metric, place),
            _ => return Ok(()),
        }
        self.added()
    }

    fn event(&mut self, event: &Event<'_>) -> Result<(), End> {
        self.events.append(event);
        self.added()
    }

    fn pause(&mut self) -> Result<(), End> {
        if self.oldest.is_some_and(|oldest| oldest.elapsed() >= self.limits.batch_time) {
            return self.flush();
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), End> {
        self.oldest = None;
        self.cut(1, usize::MAX)
    }
}

#[cfg(test)]
mod tests {
    use metaflow_protocol::tables::EVENTS;
    use metaflow_protocol::{WireLimits, decode_batch};

    use super::*;

    #[test]
    fn events_travel_in_batches_of_their_own() {
        let door = Door { queue: Arc::new(Queue::new(1 << 20)), waits: false };
        let mut batches = Batches::new(door.clone(), Limits { batch_rows: 3, ..Limits::default() });
        let event = Event {
            time_ns: 1,
            kind: "io_uring",
            text: "node sends and receives through io_uring".into(),
            capture: None,
            process: None,
            attributes: Vec::new(),
        };
        for _ in 0..4 {
            batches.event(&event).unwrap();
        }
        assert_eq!(door.queue.totals().waiting, 3, "a full batch does not wait for others");
        batches.flush().unwrap();
        batches.flush().unwrap();
        door.queue.close();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let sent: Vec<_> = std::iter::from_fn(|| runtime.block_on(door.queue.next())).collect();
        assert_eq!(
            sent.iter().map(|batch| (batch.table.name, batch.rows)).collect::<Vec<_>>(),
            [("events", 3), ("events", 1)]
        );
        for batch in sent {
            let rows = decode_batch(&EVENTS, EVENTS.version, batch.bytes, &WireLimits::default()).unwrap();
            assert_eq!(rows.num_rows() as u64, batch.rows);
        }
    }
}
