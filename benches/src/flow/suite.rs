//! Runs the suite.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};

use super::jobs::value;
use super::{Peer, Work};
use crate::Report;
use crate::child::{Ended, measure};
use crate::traffic::Amount;

/// How much is done.
struct Extent {
    /// Of the capture that is replayed.
    amount: Amount,
    rounds: usize,
    /// Connections and packets of the run in which many are open.
    flows: u32,
    packets: u32,
}

const FULL: Extent = Extent {
    amount: Amount { seed: 1, packets: 3_500_000, conversations: 20_000 },
    rounds: 3,
    flows: 1_000_000,
    packets: 4_000_000,
};
const QUICK: Extent = Extent {
    amount: Amount { seed: 1, packets: 200_000, conversations: 2_000 },
    rounds: 2,
    flows: 1_000_000,
    packets: 500_000,
};
/// More memory than this for ten times the traffic, and something grows with it.
const FLAT: f64 = 1.25;
const MB: f64 = 1e6;

/// Runs the suite.
///
/// # Errors
/// When the engine finds something else than there is, or its memory grows with the traffic.
pub fn run(quick: bool) -> Result<Report> {
    let extent = if quick { QUICK } else { FULL };
    let mut report = Report::default();
    mixed(&extent, &mut report)?;
    crowd(&extent, &mut report)?;
    two_cores(&extent, &mut report)?;
    memory(&extent, !quick, &mut report)?;
    Ok(report)
}

/// Replays of one capture, ours and the peers' in turn.
fn mixed(extent: &Extent, report: &mut Report) -> Result<()> {
    let folder = std::env::temp_dir().join("metaflow-benches");
    let Amount { packets, conversations, .. } = extent.amount;
    // Made in a process of its own too: a process begins with the peak of memory of the one that starts it.
    let made =
        job(&["capture", &packets.to_string(), &conversations.to_string(), &folder.display().to_string()])?.output;
    let capture = Path::new(value(&made, "path")?);
    let number = |name: &str| -> Result<u64> { Ok(value(&made, name)?.parse()?) };
    let packets = number("packets")?;
    report.note(format!(
        "{}: {} bytes, {packets} packets, {} conversations, {} calls",
        capture.display(),
        number("length")?,
        number("conversations")?,
        number("requests")?
    ));
    let mut peers = Vec::new();
    for peer in Peer::ALL {
        match peer.check(capture, packets) {
            Ok(()) => peers.push(peer),
            Err(reason) => report.note(format!("skipped: {}: {reason:#}", peer.name())),
        }
    }
    let mut least = Least::default();
    for _ in 0..extent.rounds {
        least.add("walk", &walk(capture, packets)?);
        for (name, work) in Work::ALL {
            let ended = job(&["replay", &capture.display().to_string(), name])?;
            let truth = value(&made, if work == Work::Calls { "truth" } else { "truth_without_calls" })?;
            let found = value(&ended.output, "found")?;
            ensure!(found == truth, "{name}: other than there is:\nfound {found}\ntruth {truth}");
            least.add(name, &ended);
            for peer in peers.iter().filter(|peer| peer.work() == work) {
                least.add(peer.name(), &peer.run(capture)?);
            }
        }
    }
    let (packets, bits) = (packets as f64, number("bytes")? as f64 * 8.0);
    report.figure("flow.walk.ns_per_packet", least.own("walk") / packets, "ns");
    for (name, work) in [("mixed", "flows"), ("mixed_metrics", "metrics"), ("mixed_l7", "calls")] {
        report.figure(format!("flow.{name}.ns_per_packet"), least.own(work) / packets, "ns");
        report.figure(format!("flow.{name}.gbit_per_s"), bits / least.own(work), "Gbit/s");
        report.figure(format!("flow.{name}.rss_mb"), least.memory(work) / MB, "MB");
        for peer in peers.iter().filter(|peer| Work::named(work).is_ok_and(|work| peer.work() == work)) {
            let (peer, ours) = (peer.name(), least.process(work));
            report.figure(format!("flow.{name}.{peer}_ns_per_packet"), least.process(peer) / packets, "ns");
            report.figure(format!("flow.{name}.{peer}_rss_mb"), least.memory(peer) / MB, "MB");
            report.ratio(format!("flow.{name}.vs_{peer}"), least.process(peer), ours);
        }
    }
    Ok(())
}

fn walk(capture: &Path, packets: u64) -> Result<Ended> {
    let ended = job(&["walk", &capture.display().to_string()])?;
    let found = value(&ended.output, "found")?;
    ensure!(found.contains(&format!("packets: {packets},")), "the walk found {found}");
    Ok(ended)
}

/// Many connections at once, beside few.
fn crowd(extent: &Extent, report: &mut Report) -> Result<()> {
    let packets = extent.packets.to_string();
    let number = |ended: &Ended, name: &str| -> Result<f64> { Ok(value(&ended.output, name)?.parse()?) };
    let few = job(&["many", "10000", &packets, "flows"])?;
    report.figure("flow.10k.ns_per_packet", number(&few, "packet_ns")?, "ns");
    let many = job(&["many", &extent.flows.to_string(), &packets, "flows"])?;
    report.figure("flow.1m.ns_per_packet", number(&many, "packet_ns")?, "ns");
    report.figure("flow.1m.opening_ns_per_packet", number(&many, "opening_ns")?, "ns");
    report.figure("flow.bytes_per_half_open", number(&many, "half_open")?, "B");
    report.figure("flow.bytes_per_flow", number(&many, "open")?, "B");
    let read = job(&["many", &extent.flows.to_string(), &packets, "calls"])?;
    report.figure("flow.1m_l7.ns_per_packet", number(&read, "packet_ns")?, "ns");
    report.figure("flow.bytes_per_flow_l7", number(&read, "used")?, "B");
    Ok(())
}

/// Two engines with half of the conversations each.
fn two_cores(extent: &Extent, report: &mut Report) -> Result<()> {
    if std::thread::available_parallelism().map_or(1, std::num::NonZero::get) < 2 {
        report.note("skipped: flow.cores2: there is one core only");
        return Ok(());
    }
    // All frames are in memory.
    let (packets, conversations) = (extent.amount.packets.min(500_000), extent.amount.conversations);
    let (packets, conversations, rounds) =
        (packets.to_string(), conversations.to_string(), (2 * extent.rounds + 1).to_string());
    let ended = job(&["cores", &packets, &conversations, &rounds, "calls"])?;
    let number = |name: &str| -> Result<f64> { Ok(value(&ended.output, name)?.parse()?) };
    report.ratio("flow.cores2.speedup", number("one_ns")?, number("two_ns")?);
    Ok(())
}

/// Memory while traffic of the same kind goes on for ten times as long.
fn memory(extent: &Extent, is_steady: bool, report: &mut Report) -> Result<()> {
    let conversations = extent.amount.conversations.to_string();
    let peak = |times: u64| -> Result<f64> {
        let packets = (extent.amount.packets * times).to_string();
        let ended = job(&["follow", &packets, &conversations, "calls"])?;
        Ok(value(&ended.output, "peak_bytes")?.parse()?)
    };
    let (once, tenfold) = (peak(1)?, peak(10)?);
    report.figure("flow.rss_mb.1x", once / MB, "MB");
    report.figure("flow.rss_mb.10x", tenfold / MB, "MB");
    if is_steady {
        // After so long a run its figures are told even so.
        ensure!(
            tenfold <= once * FLAT,
            "memory grows with the traffic: {once} bytes, ten times as long {tenfold}\n{report}"
        );
    } else {
        report.note("a quick run is over before what lingers of old conversations has its full extent");
    }
    Ok(())
}

/// Runs a job in a process of its own.
fn job(arguments: &[&str]) -> Result<Ended> {
    measure(Command::new(std::env::current_exe()?).arg("job").args(arguments))
}

/// The least of several runs: noise only ever adds.
#[derive(Default)]
struct Least(BTreeMap<String, [f64; 3]>);

impl Least {
    fn add(&mut self, name: &str, ended: &Ended) {
        let own = value(&ended.output, "cpu_ns").ok().and_then(|text| text.parse().ok()).unwrap_or(f64::INFINITY);
        let memory = value(&ended.output, "peak_bytes").ok().and_then(|text| text.parse().ok());
        let new = [own, ended.cpu.as_nanos() as f64, memory.unwrap_or(ended.peak_memory as f64)];
        let least = self.0.entry(name.to_owned()).or_insert(new);
        least.iter_mut().zip(new).for_each(|(least, new)| *least = least.min(new));
    }

    /// Time of the replaying thread, in nanoseconds.
    fn own(&self, name: &str) -> f64 {
        self.0[name][0]
    }

    /// Time of the whole process, in nanoseconds: what a peer is compared with.
    fn process(&self, name: &str) -> f64 {
        self.0[name][1]
    }

    /// Peak of resident memory, in bytes.
    fn memory(&self, name: &str) -> f64 {
        self.0[name][2]
    }
}
