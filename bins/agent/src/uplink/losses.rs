//! What was not recorded becomes rows of the table `losses`.

use std::collections::HashMap;

use flow_core::{DropReason, Stats};
use metaflow_protocol::build::Loss;

use super::queue::Totals;
use crate::sink::Observed;

/// Turns running totals into what was lost since the last time.
#[derive(Default)]
pub(super) struct LossMeter {
    /// End of the last span.
    since_ns: Option<u64>,
    engine: Stats,
    parsers: protocol_parsers::Stats,
    /// Packets dropped, by interface.
    rings: HashMap<String, u64>,
    queue: Totals,
}

impl LossMeter {
    /// The totals of a new engine begin at zero; those of the queue go on.
    pub(super) fn begin(&mut self) {
        *self = Self { queue: self.queue, ..Self::default() };
    }

    pub(super) fn measure(&mut self, observed: &Observed<'_>, queue: Totals) -> Vec<Loss> {
        let from_ns = self.since_ns.unwrap_or(observed.start_ns);
        let until_ns = observed.now_ns.max(from_ns);
        let mut losses = Vec::new();
        let mut lost = |place, reason, unit, now: u64, before: u64, capture: Option<&str>| {
            // A ring that was opened again counts from zero.
            let count = if now < before { now } else { now - before };
            if count > 0 {
                let capture = capture.map(str::to_owned);
                losses.push(Loss { from_ns, until_ns, place, reason, count, unit, capture });
            }
        };
        for (interface, counters) in observed.rings {
            let before = self.rings.insert(interface.clone(), counters.dropped).unwrap_or(0);
            lost("ring", "full", "packets", counters.dropped, before, Some(interface));
        }
        let (now, before) = (&observed.engine, &self.engine);
        // What is no IP packet is not meant to be recorded.
        for reason in DropReason::ALL.into_iter().filter(|reason| *reason != DropReason::NotIp) {
            lost("decode", reason.name(), "packets", now.dropped(reason), before.dropped(reason), None);
        }
        lost("reassembly", "missing", "bytes", now.bytes_missing, before.bytes_missing, None);
        lost("reassembly", "limit", "holes", now.reassembly_overflows, before.reassembly_overflows, None);
        lost(
            "reassembly",
            "out_of_window",
            "segments",
            now.segments_out_of_window,
            before.segments_out_of_window,
            None,
        );
        lost("engine", "metric_rows", "metrics", now.metrics_dropped, before.metrics_dropped, None);
        lost("engine", "waiting_records", "records", now.records_dropped, before.records_dropped, None);
        let (now, before) = (&observed.parsers, &self.parsers);
        lost("parser", "parse_error", "messages", now.parse_errors, before.parse_errors, None);
        lost("parser", "attributes", "attributes", now.attributes_dropped, before.attributes_dropped, None);
        lost("parser", "ready_calls", "calls", now.calls_dropped, before.calls_dropped, None);
        lost("queue", "full", "records", queue.dropped, self.queue.dropped, None);
        lost("server", "refused", "records", queue.refused, self.queue.refused, None);
        (self.since_ns, self.engine, self.parsers, self.queue) =
            (Some(until_ns), observed.engine, observed.parsers, queue);
        losses
    }
}

#[cfg(test)]
mod tests {
    use metaflow_packet_capture::RingCounters;

    use super::*;

    #[test]
    fn only_what_is_new_since_the_last_time_is_reported() {
        let mut meter = LossMeter::default();
        let mut engine = Stats::default();
        let mut ring = RingCounters::default();
        let mut measure = |now_ns, engine: Stats, ring: RingCounters, queue| {
            let rings = [("eth0".to_owned(), ring)];
            let parsers = protocol_parsers::Stats::default();
            meter.measure(&Observed { start_ns: 100, now_ns, engine, parsers, rings: &rings }, queue)
        };
        assert_eq!(measure(200, engine, ring, Totals::default()), []);
        ring.dropped = 5;
        engine.bytes_missing = 7;
        let losses = measure(300, engine, ring, Totals { dropped: 2, ..Totals::default() });
        let short: Vec<_> = losses.iter().map(|loss| (loss.place, loss.count, loss.capture.as_deref())).collect();
        assert_eq!(short, [("ring", 5, Some("eth0")), ("reassembly", 7, None), ("queue", 2, None)]);
        assert!(losses.iter().all(|loss| (loss.from_ns, loss.until_ns) == (200, 300)));
        ring.dropped = 1;
        let again = measure(400, engine, ring, Totals { dropped: 2, ..Totals::default() });
        assert_eq!(again.iter().map(|loss| loss.count).collect::<Vec<_>>(), [1], "a ring opened anew");
    }
}
