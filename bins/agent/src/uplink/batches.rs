//! Records become batches.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_array::RecordBatch;
use arrow_schema::ArrowError;
use flow_core::Output;
use metaflow_protocol::build::{CallsBuilder, FlowsBuilder, LossesBuilder, MetricsBuilder, Place};
use metaflow_protocol::{Table, encode_batch};
use tracing::{error, info};

use super::Limits;
use super::identity;
use super::losses::LossMeter;
use super::queue::{Batch, Queue};
use crate::failure::Failure;
use crate::sink::{End, Observed, Sink};

/// How often losses are looked for.
const LOSSES: Duration = Duration::from_secs(10);
/// How often the log says how it goes.
const SUMMARY: Duration = Duration::from_secs(60);

/// Makes batches of records and puts them into the queue. One per engine, or per engine at a time.
pub(crate) struct Batches {
    queue: Arc<Queue>,
    limits: Limits,
    /// Whether to wait for room in the queue.
    waits: bool,
    epoch: u64,
    sequence: u64,
    /// Since when the oldest row waits.
    oldest: Option<Instant>,
    calls: CallsBuilder,
    flows: FlowsBuilder,
    seconds: MetricsBuilder,
    minutes: MetricsBuilder,
    losses: LossesBuilder,
    meter: LossMeter,
    next_losses: Instant,
    next_summary: Instant,
}

impl Batches {
    pub(super) fn new(queue: Arc<Queue>, limits: Limits, waits: bool) -> Self {
        let now = Instant::now();
        Self {
            queue,
            limits,
            waits,
            epoch: identity::epoch(),
            sequence: 0,
            oldest: None,
            calls: CallsBuilder::new(),
            flows: FlowsBuilder::new(),
            seconds: MetricsBuilder::of_seconds(),
            minutes: MetricsBuilder::of_minutes(),
            losses: LossesBuilder::new(),
            meter: LossMeter::default(),
            next_losses: now + LOSSES,
            next_summary: now + SUMMARY,
        }
    }

    /// Puts every row into the queue.
    fn flush(&mut self) -> Result<(), End> {
        self.oldest = None;
        self.cut(1, usize::MAX)
    }

    /// Counts what was lost since the last time.
    fn count_losses(&mut self, observed: &Observed<'_>) {
        for loss in self.meter.measure(observed, self.queue.totals()) {
            self.losses.append(&loss);
        }
    }

    /// Puts the rows of every table that has at least so many, or at least so many bytes, into the queue.
    fn cut(&mut self, rows: usize, bytes: usize) -> Result<(), End> {
        macro_rules! cut {
            ($($builder:ident)*) => {$(
                if self.$builder.len() >= rows || self.$builder.bytes() >= bytes {
                    let (table, batch) = (self.$builder.table(), self.$builder.finish());
                    self.send(table, batch)?;
                }
            )*};
        }
        cut!(calls flows seconds minutes losses);
        Ok(())
    }

    fn send(&mut self, table: &'static Table, batch: Result<RecordBatch, ArrowError>) -> Result<(), End> {
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
        let sequence = self.sequence;
        self.sequence += 1;
        let batch = Batch { table, epoch: self.epoch, sequence, rows, bytes };
        self.queue.push(batch, self.waits).map_err(|failure| End::Failed(Failure::unavailable(failure)))
    }
}

impl Sink for Batches {
    /// Numbers of records are unique within an epoch.
    fn begin(&mut self) -> Result<(), End> {
        self.flush()?;
        self.epoch = identity::epoch();
        self.sequence = 0;
        self.meter.begin();
        Ok(())
    }

    fn take(&mut self, output: &Output<'_>, place: &Place<'_>) -> Result<(), End> {
        match output {
            Output::Call(record) => self.calls.append(record, place),
            Output::Flow(record) => self.flows.append(record, place),
            Output::Metric(metric) if MetricsBuilder::is_minute(metric.window) => self.minutes.append(metric, place),
            Output::Metric(metric) => self.seconds.append(metric, place),
            _ => return Ok(()),
        }
        self.oldest.get_or_insert_with(Instant::now);
        self.cut(self.limits.batch_rows, self.limits.batch_bytes)
    }

    fn pause(&mut self) -> Result<(), End> {
        if self.oldest.is_some_and(|oldest| oldest.elapsed() >= self.limits.batch_time) {
            return self.flush();
        }
        Ok(())
    }

    fn end(&mut self, observed: &Observed<'_>) -> Result<(), End> {
        self.count_losses(observed);
        self.flush()
    }

    fn tick(&mut self, observed: &Observed<'_>) {
        let now = Instant::now();
        if now >= self.next_losses {
            self.next_losses = now + LOSSES;
            self.count_losses(observed);
            self.oldest.get_or_insert(now);
        }
        if now >= self.next_summary {
            self.next_summary = now + SUMMARY;
            let totals = self.queue.totals();
            let dropped: u64 = observed.rings.iter().map(|(_, counters)| counters.dropped).sum();
            info!(
                packets = observed.engine.packets,
                packets_dropped = dropped,
                flows = observed.engine.flows_opened,
                calls = observed.parsers.calls,
                stored = totals.stored,
                waiting = totals.waiting,
                dropped = totals.dropped,
                refused = totals.refused,
                "so far"
            );
        }
    }
}
