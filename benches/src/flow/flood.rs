//! SYNs that nobody answers, far more than the table may hold.

use std::time::Duration;

use anyhow::{Result, ensure};
use flow_core::{FlowEngine, Input};

use super::Work;
use super::replay::ethernet;
use crate::cpu_time;
use crate::traffic::Quiet;

/// Frames that are made before the clock runs, and packets that are handed in at once.
const BATCH: u64 = 4096;
const GROUP: usize = 64;

/// Sends so many SYNs, each of a connection of its own, to an engine that may follow so many. Processor time of one, in nanoseconds.
///
/// # Errors
/// When packets or conversations are not accounted for.
pub fn flood(packets: u64, flows: u64) -> Result<f64> {
    let mut options = Work::Flows.options();
    options.limits.flows = flows as usize;
    let mut engine = FlowEngine::new(options);
    let mut quiet = Quiet::default();
    let (mut cpu, mut records) = (Duration::ZERO, 0_u64);
    for first in (0..packets).step_by(BATCH as usize) {
        let frames: Vec<_> =
            (first..packets.min(first + BATCH)).map(|number| quiet.frame(number, 0).to_vec()).collect();
        let time = |at: usize| 1_795_428_000_000_000_000 + (first + at as u64) * 1000;
        let group: Vec<_> = frames.iter().enumerate().map(|(at, frame)| ethernet(time(at), frame)).collect();
        let begin = cpu_time();
        for group in group.chunks(GROUP) {
            engine.handle(Input::Packets(group));
            while engine.poll().is_some() {
                records += 1;
            }
        }
        cpu += cpu_time() - begin;
    }
    let stats = engine.stats();
    ensure!(stats.packets_followed == packets && stats.flows_opened == packets, "{stats:?}");
    ensure!(records == packets.saturating_sub(flows) && stats.flows_evicted == records, "{records} records, {stats:?}");
    Ok(cpu.as_nanos() as f64 / packets as f64)
}
