//! What all engines send, and what was lost of it.

use std::time::{Duration, Instant};

use metaflow_protocol::build::LossesBuilder;
use tracing::info;

use super::Limits;
use super::batches::{Batches, Door};
use super::losses::LossMeter;
use crate::sink::{End, Observed, Outlet};

/// How often losses are looked for.
const LOSSES: Duration = Duration::from_secs(10);
/// How often the log says how it goes.
const SUMMARY: Duration = Duration::from_secs(60);

/// Lets the batches of all engines into the one queue, and reports losses.
pub(crate) struct Entrance {
    door: Door,
    limits: Limits,
    meter: LossMeter,
    next_losses: Instant,
    next_summary: Instant,
}

impl Entrance {
    pub(super) fn new(door: Door, limits: Limits) -> Self {
        let (meter, now) = (LossMeter::default(), Instant::now());
        Self { door, limits, meter, next_losses: now + LOSSES, next_summary: now + SUMMARY }
    }

    /// Sends what was lost since the last time.
    fn send_losses(&mut self, observed: &Observed<'_>) -> Result<(), End> {
        let losses = self.meter.measure(observed, self.door.queue.totals());
        if losses.is_empty() {
            return Ok(());
        }
        let mut rows = LossesBuilder::new();
        losses.iter().for_each(|loss| rows.append(loss));
        self.door.send(rows.table(), rows.finish())
    }
}

impl Outlet for Entrance {
    type Sink = Batches;

    /// Numbers of records are unique within an epoch.
    fn begin(&mut self) {
        self.door.queue.begin();
        self.meter.begin();
    }

    fn sink(&self) -> Batches {
        Batches::new(self.door.clone(), self.limits)
    }

    fn tick(&mut self, observed: &Observed<'_>) -> Result<(), End> {
        let now = Instant::now();
        if now >= self.next_summary {
            self.next_summary = now + SUMMARY;
            let totals = self.door.queue.totals();
            info!(
                packets = observed.sum(|of| of.engine.packets) + observed.packets_refused,
                packets_dropped = observed.packets_dropped() + observed.packets_refused,
                flows = observed.sum(|of| of.engine.flows_opened),
                calls = observed.sum(|of| of.parsers.calls),
                stored = totals.stored,
                waiting = totals.waiting,
                dropped = totals.dropped,
                refused = totals.refused,
                "so far"
            );
        }
        if now >= self.next_losses {
            self.next_losses = now + LOSSES;
            self.send_losses(observed)?;
        }
        Ok(())
    }

    fn end(&mut self, observed: &Observed<'_>) -> Result<(), End> {
        self.send_losses(observed)
    }
}
