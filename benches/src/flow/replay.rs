//! Packets through the engine: what came out of it, and what it took.

use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use flow_core::{CallRecord, Close, FlowEngine, FlowRecord, Input, Layer, LinkType, Metric, Options, Output, Packet};
use metaflow_packet_capture::{CaptureFile, VlanTag};
use protocol_parsers::{Status, Timestamp};

use crate::cpu_time;
use crate::traffic::{Amount, PROTOCOLS, Tally, Traffic};

/// How much the engine does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Conversations only.
    Flows,
    /// And metrics of them.
    Metrics,
    /// And calls, and metrics of both: what the agent does.
    Calls,
}

impl Work {
    /// All of them, with their names.
    pub const ALL: [(&'static str, Self); 3] =
        [("flows", Self::Flows), ("metrics", Self::Metrics), ("calls", Self::Calls)];

    /// The one of this name.
    ///
    /// # Errors
    /// When there is none.
    pub fn named(name: &str) -> Result<Self> {
        let found = Self::ALL.iter().find(|(known, _)| *known == name);
        found.map(|(_, work)| *work).with_context(|| format!("no work is called {name}"))
    }

    /// An engine that does this and no more.
    #[must_use]
    pub fn options(self) -> Options {
        let mut options = Options::default();
        options.metrics = self != Self::Flows;
        if self != Self::Calls {
            options.parsers = None;
        }
        options
    }
}

/// What came out, and the processor time it took.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What the records say.
    pub found: Tally,
    /// Time of this thread's processor.
    pub cpu: Duration,
}

/// Packets that are handed in at once, as the agent does.
const GROUP: usize = 64;

/// An engine whose records are counted.
pub struct Counted {
    engine: FlowEngine,
    found: Tally,
    /// Packets and requests in rows of seconds, and of minutes.
    rows: [(u64, u64); 2],
}

impl Counted {
    /// An engine for this work.
    #[must_use]
    pub fn new(options: Options) -> Self {
        Self { engine: FlowEngine::new(options), found: Tally::default(), rows: [(0, 0); 2] }
    }

    /// Takes an Ethernet frame.
    #[inline]
    pub fn frame(&mut self, time_ns: u64, frame: &[u8]) {
        self.packet(ethernet(time_ns, frame));
    }

    /// Takes a packet and what comes out because of it.
    #[inline]
    pub fn packet(&mut self, packet: Packet<'_>) {
        self.engine.handle(Input::Packet(packet));
        self.poll();
    }

    /// Takes packets and what comes out because of them.
    pub fn packets(&mut self, packets: &[Packet<'_>]) {
        for group in packets.chunks(GROUP) {
            self.engine.handle(Input::Packets(group));
            self.poll();
        }
    }

    fn poll(&mut self) {
        while let Some(output) = self.engine.poll() {
            match output {
                Output::Flow(record) => count_flow(&mut self.found, &record),
                Output::Call(record) => count_call(&mut self.found, &record),
                Output::Metric(metric) => count_metric(&mut self.rows, &metric),
                _ => self.found.unexpected += 1,
            }
        }
    }

    /// Ends everything. What the records say.
    ///
    /// # Errors
    /// When metrics, if there are any, contradict records, or something was dropped.
    pub fn finish(mut self, has_metrics: bool) -> Result<Tally> {
        self.engine.finish();
        self.poll();
        let stats = self.engine.stats();
        ensure!(stats.packets == stats.packets_followed, "packets were dropped: {stats:?}");
        ensure!(stats.metrics_dropped + stats.records_dropped + stats.flows_evicted == 0, "dropped: {stats:?}");
        let rows = if has_metrics { (self.found.packets, self.found.requests()) } else { (0, 0) };
        ensure!(self.rows == [rows; 2], "metrics {:?} where records have {rows:?}", self.rows);
        Ok(self.found)
    }

    /// Conversations followed now.
    #[must_use]
    pub fn open_flows(&self) -> usize {
        self.engine.open_flows()
    }
}

/// A frame that was captured whole.
pub(super) fn ethernet(time_ns: u64, frame: &[u8]) -> Packet<'_> {
    let (time, original_len) = (Timestamp::from_nanos(time_ns), frame.len() as u32);
    Packet { time, link: LinkType::ETHERNET, interface: 0, captured: frame, original_len, vlan: None }
}

/// Reads a capture file through the engine.
///
/// # Errors
/// When it cannot be read, or metrics contradict records.
pub fn replay(path: &Path, work: Work) -> Result<Outcome> {
    let begin = cpu_time();
    let mut file = CaptureFile::open(path)?;
    let mut counted = Counted::new(work.options());
    while let Some(batch) = file.next_batch()? {
        let packets: Vec<_> = batch
            .into_iter()
            .map(|packet| Packet {
                time: Timestamp::from_nanos(packet.time_ns),
                link: LinkType(packet.link.number()),
                interface: packet.interface,
                captured: packet.captured,
                original_len: packet.original_len,
                vlan: packet.vlan.map(VlanTag::id),
            })
            .collect();
        counted.packets(&packets);
    }
    let found = counted.finish(work != Work::Flows)?;
    Ok(Outcome { found, cpu: cpu_time() - begin })
}

/// Only reads a capture file, and looks at the headers of each packet.
///
/// # Errors
/// When it cannot be read.
pub fn walk(path: &Path) -> Result<Outcome> {
    let begin = cpu_time();
    let mut file = CaptureFile::open(path)?;
    let mut found = Tally::default();
    let mut seen = 0_u64;
    while let Some(batch) = file.next_batch()? {
        for packet in batch {
            found.packets += 1;
            found.bytes += u64::from(packet.original_len);
            // Version and addresses, so that their cache line has to come.
            seen ^= packet.captured.get(26..34).and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_le_bytes);
        }
    }
    std::hint::black_box(seen);
    Ok(Outcome { found, cpu: cpu_time() - begin })
}

/// Follows traffic while it is made, of any length. The truth is checked here.
///
/// # Errors
/// When the engine finds something else than there is.
pub fn follow(amount: Amount, work: Work) -> Result<Outcome> {
    let begin = cpu_time();
    let mut traffic = Traffic::new(amount);
    let mut counted = Counted::new(work.options());
    while let Some((time, frame)) = traffic.next_frame() {
        counted.frame(time, frame);
    }
    let found = counted.finish(work != Work::Flows)?;
    check(&found, traffic.truth(), work)?;
    Ok(Outcome { found, cpu: cpu_time() - begin })
}

/// Compares what was found with the truth.
///
/// # Errors
/// When they differ.
pub fn check(found: &Tally, truth: &Tally, work: Work) -> Result<()> {
    let truth = if work == Work::Calls { truth.clone() } else { truth.clone().without_calls() };
    ensure!(*found == truth, "the engine found something else than there is:\nfound {found:#?}\ntruth {truth:#?}");
    Ok(())
}

fn count_flow(found: &mut Tally, record: &FlowRecord) {
    let counters = &record.counters;
    found.packets += counters.packets.client + counters.packets.server;
    found.bytes += counters.bytes.client + counters.bytes.server;
    found.flows += 1;
    found.ipv6_flows += u64::from(matches!(record.conversation.client.ip(), IpAddr::V6(_)));
    found.vlan_flows += u64::from(record.layers.iter().any(|layer| matches!(layer, Layer::Vlan(_))));
    found.vxlan_flows += u64::from(record.layers.iter().any(|layer| matches!(layer, Layer::Vxlan(_))));
    found.retransmissions += counters.retransmissions.client + counters.retransmissions.server;
    found.out_of_order += counters.out_of_order.client + counters.out_of_order.server;
    found.zero_windows += counters.zero_windows.client + counters.zero_windows.server;
    match record.close {
        Some(Close::Finished) => found.finished += 1,
        Some(Close::ClientReset) => found.reset += 1,
        // What is left of UDP.
        Some(Close::IdleTimeout) => {}
        _ => found.unexpected += 1,
    }
    if let Some(rtt) = record.rtt {
        found.handshakes += 1;
        found.handshakes_ns += rtt.as_nanos() as u64;
    }
}

fn count_call(found: &mut Tally, record: &CallRecord<'_>) {
    let call = &record.call;
    let place = PROTOCOLS.iter().position(|name| *name == call.protocol().name());
    let (Some(place), Some(duration)) = (place, call.duration()) else {
        found.unexpected += 1;
        return;
    };
    let calls = &mut found.calls[place];
    calls.count += 1;
    calls.duration_ns += duration.as_nanos() as u64;
    match call.status() {
        Status::Ok => {}
        Status::ClientError => calls.client_errors += 1,
        Status::ServerError => calls.server_errors += 1,
        _ => found.unexpected += 1,
    }
}

fn count_metric(rows: &mut [(u64, u64); 2], metric: &Metric) {
    let row = &mut rows[usize::from(metric.window > Duration::from_secs(1))];
    row.0 += metric.values.counters.packets.client + metric.values.counters.packets.server;
    row.1 += metric.values.requests;
}
