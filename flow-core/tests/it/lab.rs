//! An engine under observation: whatever a test does, what went in is what came out.

use std::time::Duration;

use flow_core::{Counters, FlowEngine, FlowRecord, Input, LinkType, Metric, Options, Output, Packet, Sides};
use flow_core::{StreamEvent, StreamInput};
use protocol_parsers::{CallKind, Status, Timestamp};

use crate::script::Frame;

/// When the tests begin: at the full minute.
pub(crate) const START: Timestamp = Timestamp::from_nanos(1_700_000_040_000_000_000);

pub(crate) fn at_ms(milliseconds: u64) -> Timestamp {
    START + Duration::from_millis(milliseconds)
}

pub(crate) fn at(seconds: u64) -> Timestamp {
    START + Duration::from_secs(seconds)
}

/// A call, kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) id: u64,
    pub(crate) flow_id: u64,
    pub(crate) stream: Option<u64>,
    pub(crate) protocol: String,
    pub(crate) kind: CallKind,
    pub(crate) status: Status,
    pub(crate) resource: Option<String>,
    pub(crate) client: String,
    pub(crate) server: String,
    pub(crate) start: Timestamp,
    pub(crate) duration: Option<Duration>,
    pub(crate) tcp_seq_request: Option<u32>,
    pub(crate) tcp_seq_response: Option<u32>,
    pub(crate) request_bytes: u64,
    pub(crate) response_bytes: u64,
    pub(crate) complete: bool,
}

pub(crate) struct Lab {
    pub(crate) engine: FlowEngine,
    options: Options,
    pub(crate) calls: Vec<Call>,
    pub(crate) flows: Vec<FlowRecord>,
    pub(crate) metrics: Vec<Metric>,
}

impl Lab {
    pub(crate) fn new() -> Self {
        Self::with(Options::default())
    }

    pub(crate) fn with(options: Options) -> Self {
        let engine = FlowEngine::new(options.clone());
        Self { engine, options, calls: Vec::new(), flows: Vec::new(), metrics: Vec::new() }
    }

    /// Everything there is to see of these frames.
    pub(crate) fn of(frames: &[Frame]) -> Self {
        Self::of_with(Options::default(), frames)
    }

    pub(crate) fn of_with(options: Options, frames: &[Frame]) -> Self {
        let mut lab = Self::with(options);
        lab.play(frames);
        lab.finish();
        lab
    }

    pub(crate) fn play(&mut self, frames: &[Frame]) {
        for frame in frames {
            self.see(Packet {
                time: frame.time,
                link: LinkType::RAW_IP,
                interface: 0,
                captured: &frame.bytes,
                original_len: frame.bytes.len() as u32,
                vlan: None,
            });
        }
    }

    pub(crate) fn see(&mut self, packet: Packet<'_>) {
        self.engine.handle(Input::Packet(packet));
        self.take();
    }

    pub(crate) fn see_all(&mut self, packets: &[Packet<'_>]) {
        self.engine.handle(Input::Packets(packets));
        self.take();
    }

    pub(crate) fn stream(&mut self, stream: u64, event: StreamEvent<'_>) {
        self.engine.handle(Input::Stream(StreamInput { stream, event }));
        self.take();
    }

    pub(crate) fn timeout(&mut self, now: Timestamp) {
        self.engine.handle_timeout(now);
        self.take();
    }

    pub(crate) fn finish(&mut self) {
        self.engine.finish();
        self.take();
        self.check_totals();
    }

    /// The only conversation.
    pub(crate) fn flow(&self) -> &FlowRecord {
        let [flow] = &self.flows[..] else { panic!("one flow expected: {:#?}", self.flows) };
        flow
    }

    /// The only call.
    pub(crate) fn call(&self) -> &Call {
        let [call] = &self.calls[..] else { panic!("one call expected: {:#?}", self.calls) };
        call
    }

    pub(crate) fn resources(&self) -> Vec<&str> {
        self.calls.iter().map(|call| call.resource.as_deref().unwrap_or("-")).collect()
    }

    fn take(&mut self) {
        while let Some(output) = self.engine.poll() {
            match output {
                Output::Call(record) => self.calls.push(Call {
                    id: record.id,
                    flow_id: record.conversation.flow_id,
                    stream: record.stream,
                    protocol: record.call.protocol().to_string(),
                    kind: record.call.kind(),
                    status: record.call.status(),
                    resource: record.call.resource().map(str::to_owned),
                    client: record.conversation.client.to_string(),
                    server: record.conversation.server.to_string(),
                    start: record.call.start(),
                    duration: record.call.duration(),
                    tcp_seq_request: record.tcp_seq_request,
                    tcp_seq_response: record.tcp_seq_response,
                    request_bytes: record.call.request_bytes(),
                    response_bytes: record.call.response_bytes(),
                    complete: record.call.captured_complete(),
                }),
                Output::Flow(record) => self.flows.push(record),
                Output::Metric(metric) => self.metrics.push(metric),
                other => panic!("what is {other:?}?"),
            }
        }
        let stats = self.engine.stats();
        assert_eq!(
            stats.packets,
            stats.packets_followed + stats.packets_dropped_total() + stats.fragments_waiting,
            "{stats:#?}"
        );
        assert_eq!(stats.flows_opened - stats.flows_closed, self.engine.open_flows() as u64);
        assert!(self.engine.open_flows() <= self.options.limits.flows.max(1));
        assert_eq!(stats.streams_opened - stats.streams_closed, self.engine.open_streams() as u64);
        assert!(self.engine.open_streams() <= self.options.limits.streams);
    }

    /// When nothing more comes, the sums of all records are what went in.
    fn check_totals(&self) {
        let stats = self.engine.stats();
        assert_eq!((self.engine.open_flows(), self.engine.open_streams(), stats.fragments_waiting), (0, 0, 0));
        assert_eq!(self.engine.parser_stats().calls, self.calls.len() as u64);
        let mut followed = Counters::default();
        for flow in &self.flows {
            followed.merge(&flow.counters);
            assert!(flow.start <= flow.end, "{flow:?}");
        }
        if self.options.flows && stats.records_dropped == 0 {
            assert_eq!(followed.packets.client + followed.packets.server, stats.packets_followed);
        }
        if self.options.metrics && stats.metrics_dropped == 0 && stats.records_dropped == 0 {
            for window in [Duration::from_secs(1), Duration::from_secs(60)] {
                self.check_metrics(window, &followed);
            }
        }
    }

    fn check_metrics(&self, window: Duration, followed: &Counters) {
        let rows = self.metrics.iter().filter(|metric| metric.window == window);
        let mut counted = Counters::default();
        let (mut requests, mut opened, mut closed) = (0, 0, 0);
        for row in rows {
            assert_eq!(
                row.start.as_nanos() % window.as_nanos() as u64,
                0,
                "windows begin at multiples of their length"
            );
            counted.merge(&row.values.counters);
            requests += row.values.requests;
            opened += row.values.flows_opened;
            closed += row.values.flows_closed;
            let in_histogram: u64 = row.values.latency.buckets().map(|(_, count)| count).sum();
            assert_eq!(in_histogram, row.values.durations.count);
        }
        let stats = self.engine.stats();
        assert_eq!(requests, self.calls.len() as u64, "{window:?}");
        assert_eq!((opened, closed), (stats.flows_opened, stats.flows_closed), "{window:?}");
        if !self.options.flows {
            return;
        }
        // A conversation may turn when its protocol is found: the sum of both sides is what always holds.
        let both = |counters: &Counters| {
            let Counters { packets, bytes, payload_bytes, syn, syn_ack, fin, rst, .. } = *counters;
            let Counters { retransmissions, syn_retransmissions, syn_ack_retransmissions, .. } = *counters;
            let Counters { data_retransmissions, spurious_retransmissions, out_of_order, .. } = *counters;
            let Counters { duplicate_acks, zero_windows, zero_window_ns, window_limited_ns, art, idle, .. } = *counters;
            let packets = [packets, bytes, payload_bytes, syn, syn_ack, rst];
            let again = [retransmissions, syn_retransmissions, syn_ack_retransmissions, data_retransmissions];
            let health = [spurious_retransmissions, out_of_order, duplicate_acks, zero_windows];
            let windows = [zero_window_ns, window_limited_ns];
            let sum = |sides: Sides<u64>| sides.client + sides.server;
            let turns = (art.count + idle.count, art.sum_ns + idle.sum_ns);
            (packets.map(sum), again.map(sum), health.map(sum), windows.map(sum), fin, turns)
        };
        assert_eq!(both(&counted), both(followed), "{window:?}");
    }
}
