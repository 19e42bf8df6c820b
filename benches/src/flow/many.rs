//! So many connections at once that they leave every cache: the memory of each, and the cost of a packet of a random one.

use anyhow::{Result, ensure};
use fastrand::Rng;

use super::replay::{Counted, Work, ethernet};
use crate::child::resident_memory;
use crate::cpu_time;
use crate::traffic::{Quiet, Shape};

/// What many connections took.
#[derive(Clone, Copy, Debug)]
pub struct Many {
    /// Resident memory of each after its SYN, in bytes.
    pub half_open: f64,
    /// After its handshake.
    pub open: f64,
    /// After a request and its answer.
    pub used: f64,
    /// Processor time of a packet that opens one, in nanoseconds.
    pub opening_ns: f64,
    /// Of a request or an answer of a random one.
    pub packet_ns: f64,
}

/// Frames that are made before the clock runs.
const BATCH: usize = 4096;

/// Opens so many connections, and sends so many packets in random ones. No metrics; `Work::Calls` reads the payload.
///
/// # Errors
/// When the engine finds something else than there is.
pub fn many(flows: u32, packets: u32, work: Work, shape: Shape) -> Result<Many> {
    let mut options = work.options();
    options.metrics = false;
    options.limits.flows = flows as usize;
    // All end at once.
    options.limits.waiting_records = flows as usize;
    let mut crowd = Crowd {
        counted: Counted::new(options),
        quiet: Quiet::new(shape),
        said: vec![0; flows as usize],
        time_ns: 1_795_428_000_000_000_000,
        frames: Vec::new(),
        ends: Vec::new(),
    };
    // Touched before it is measured.
    crowd.said.fill(1);
    crowd.said.fill(0);
    let before = resident_memory()?.0;
    let each = |memory: u64| memory.saturating_sub(before) as f64 / f64::from(flows);
    let opening_ns = crowd.send(0..flows);
    let half_open = each(resident_memory()?.0);
    crowd.send(0..flows);
    crowd.send(0..flows);
    let open = each(resident_memory()?.0);
    // A call of each by itself: calls open at once leave holes in the heap that say nothing of connections at rest.
    crowd.send((0..flows).flat_map(|number| [number; 2]));
    let used = each(resident_memory()?.0);
    ensure!(crowd.counted.open_flows() == flows as usize, "{} connections", crowd.counted.open_flows());
    let mut rng = Rng::with_seed(1);
    let packet_ns = crowd.send(std::iter::repeat_with(|| rng.u32(..flows)).take(packets as usize));
    crowd.check(work == Work::Calls && !matches!(shape, Shape::Bytes(_)))?;
    Ok(Many { half_open, open, used, opening_ns, packet_ns })
}

struct Crowd {
    counted: Counted,
    quiet: Quiet,
    /// Packets of each connection so far.
    said: Vec<u32>,
    time_ns: u64,
    frames: Vec<u8>,
    ends: Vec<usize>,
}

impl Crowd {
    /// The next packet of each of these connections; the processor time of one, in nanoseconds.
    fn send(&mut self, numbers: impl IntoIterator<Item = u32>) -> f64 {
        let mut numbers = numbers.into_iter();
        let (mut packets, mut cpu) = (0_usize, std::time::Duration::ZERO);
        loop {
            self.frames.clear();
            self.ends.clear();
            for number in numbers.by_ref().take(BATCH) {
                let said = &mut self.said[number as usize];
                self.frames.extend(self.quiet.frame(u64::from(number), *said));
                self.ends.push(self.frames.len());
                *said += 1;
            }
            if self.ends.is_empty() {
                return cpu.as_nanos() as f64 / packets as f64;
            }
            let starts = std::iter::once(0).chain(self.ends.iter().copied());
            let group: Vec<_> = starts
                .zip(&self.ends)
                .map(|(start, end)| {
                    // Time hardly passes, so that no connection is over because it is quiet, nor takes long to open: ten million of
                    // them take a second.
                    self.time_ns += 100;
                    ethernet(self.time_ns, &self.frames[start..*end])
                })
                .collect();
            packets += group.len();
            let begin = cpu_time();
            self.counted.packets(&group);
            cpu += cpu_time() - begin;
        }
    }

    fn check(self, has_calls: bool) -> Result<()> {
        let found = self.counted.finish(false)?;
        let packets = self.said.iter().map(|said| u64::from(*said)).sum::<u64>();
        ensure!(found.packets == packets && found.flows == self.said.len() as u64, "{packets} packets, {found:?}");
        ensure!(found.retransmissions + found.out_of_order == 0, "{found:?}");
        let answered = self.said.iter().map(|said| u64::from((said - Quiet::HANDSHAKE) / 2)).sum::<u64>();
        ensure!(found.requests() == if has_calls { answered } else { 0 }, "{answered} answered, {found:?}");
        Ok(())
    }
}
