//! What was not recorded becomes rows of the table `losses`.

use std::collections::HashMap;

use flow_core::DropReason;
use metaflow_protocol::build::Loss;

use super::queue::Totals;
use crate::sink::Observed;

/// Turns running totals into what was lost since the last time.
#[derive(Default)]
pub(super) struct LossMeter {
    /// End of the last span.
    since_ns: Option<u64>,
    /// Totals of the last time, by place, reason, unit and what is to blame.
    before: HashMap<Kind, u64>,
}

type Kind = (&'static str, &'static str, &'static str, Option<String>);

impl LossMeter {
    /// The totals of new engines begin at zero; those of the queue go on.
    pub(super) fn begin(&mut self) {
        self.since_ns = None;
        self.before.retain(|kind, _| OF_QUEUE.contains(&(kind.0, kind.1, kind.2)));
    }

    pub(super) fn measure(&mut self, observed: &Observed<'_>, queue: Totals) -> Vec<Loss> {
        let from_ns = self.since_ns.unwrap_or(observed.start_ns);
        let until_ns = observed.now_ns.max(from_ns);
        self.since_ns = Some(until_ns);
        let mut losses = Vec::new();
        // Rings that have gone are forgotten.
        let mut all_before = std::mem::take(&mut self.before);
        for ((place, reason, unit, capture), now) in totals(observed, queue) {
            let kind = (place, reason, unit, capture.clone());
            let before = all_before.remove(&kind).unwrap_or(0);
            self.before.insert(kind, now);
            // A ring that was opened again counts from zero.
            let count = if now < before { now } else { now - before };
            if count > 0 {
                losses.push(Loss { from_ns, until_ns, place, reason, count, unit, capture });
            }
        }
        losses
    }
}

/// What is counted by the queue to the server.
const OF_QUEUE: [(&str, &str, &str); 2] = [("queue", "full", "records"), ("server", "refused", "records")];

/// All that has been lost so far.
fn totals(observed: &Observed<'_>, queue: Totals) -> Vec<(Kind, u64)> {
    let mut totals = Vec::new();
    for (interface, counters) in observed.rings {
        totals.push((("ring", "full", "packets", Some(interface.clone())), counters.dropped));
    }
    let of_processes = ("ring", "full", "messages", Some("syscall".to_owned()));
    totals.push((of_processes, observed.messages_lost));
    totals.push((("events", "text_limit", "texts", None), observed.texts_cut));
    let mut count = |(place, reason, unit), count| totals.push(((place, reason, unit, None), count));
    count(("queue", "engine_behind", "packets"), observed.packets_refused);
    // What is no IP packet is not meant to be recorded.
    for reason in DropReason::ALL.into_iter().filter(|reason| *reason != DropReason::NotIp) {
        count(("decode", reason.name(), "packets"), observed.sum(|of| of.engine.dropped(reason)));
    }
    let mut engines = |kind, of: fn(&flow_core::Stats) -> u64| count(kind, observed.sum(|totals| of(&totals.engine)));
    engines(("reassembly", "missing", "bytes"), |of| of.bytes_missing);
    engines(("reassembly", "limit", "holes"), |of| of.reassembly_overflows);
    engines(("reassembly", "out_of_window", "segments"), |of| of.segments_out_of_window);
    engines(("engine", "metric_rows", "metrics"), |of| of.metrics_dropped);
    engines(("engine", "waiting_records", "records"), |of| of.records_dropped);
    let mut parsers =
        |kind, of: fn(&protocol_parsers::Stats) -> u64| count(kind, observed.sum(|totals| of(&totals.parsers)));
    parsers(("parser", "parse_error", "messages"), |of| of.parse_errors);
    parsers(("parser", "attributes", "attributes"), |of| of.attributes_dropped);
    parsers(("parser", "ready_calls", "calls"), |of| of.calls_dropped);
    let [full, refused] = OF_QUEUE;
    count(full, queue.dropped);
    count(refused, queue.refused);
    totals
}

#[cfg(test)]
mod tests {
    use metaflow_packet_capture::RingCounters;

    use super::*;
    use crate::sink::EngineTotals;

    #[test]
    fn only_what_is_new_since_the_last_time_is_reported() {
        let mut meter = LossMeter::default();
        let mut engines = [EngineTotals::default(); 2];
        let mut ring = RingCounters::default();
        let mut measure = |now_ns, engines: [EngineTotals; 2], packets_refused, ring: RingCounters, queue| {
            let rings = [("eth0".to_owned(), ring)];
            let observed = Observed {
                start_ns: 100,
                now_ns,
                engines: &engines,
                packets_refused,
                rings: &rings,
                messages_lost: 0,
                texts_cut: 0,
            };
            meter.measure(&observed, queue)
        };
        assert_eq!(measure(200, engines, 0, ring, Totals::default()), []);
        ring.dropped = 5;
        engines[0].engine.bytes_missing = 3;
        engines[1].engine.bytes_missing = 4;
        let queue = Totals { dropped: 2, ..Totals::default() };
        let losses = measure(300, engines, 6, ring, queue);
        let short: Vec<_> =
            losses.iter().map(|loss| (loss.place, loss.reason, loss.count, loss.capture.as_deref())).collect();
        let (of_ring, behind) = (("ring", "full", 5, Some("eth0")), ("queue", "engine_behind", 6, None));
        assert_eq!(short, [of_ring, behind, ("reassembly", "missing", 7, None), ("queue", "full", 2, None)]);
        assert!(losses.iter().all(|loss| (loss.from_ns, loss.until_ns) == (200, 300)));
        ring.dropped = 1;
        let again = measure(400, engines, 6, ring, queue);
        assert_eq!(again.iter().map(|loss| loss.count).collect::<Vec<_>>(), [1], "a ring opened anew");
    }

    #[test]
    fn new_engines_count_from_zero_and_the_queue_goes_on() {
        let mut meter = LossMeter::default();
        let mut engines = [EngineTotals::default()];
        engines[0].engine.bytes_missing = 3;
        let observed = Observed {
            start_ns: 1,
            now_ns: 2,
            engines: &engines,
            packets_refused: 0,
            rings: &[],
            messages_lost: 0,
            texts_cut: 0,
        };
        let queue = Totals { dropped: 2, refused: 1, ..Totals::default() };
        assert_eq!(meter.measure(&observed, queue).len(), 3);
        meter.begin();
        let losses = meter.measure(&observed, queue);
        assert_eq!(losses.iter().map(|loss| (loss.place, loss.count)).collect::<Vec<_>>(), [("reassembly", 3)]);
    }
}
