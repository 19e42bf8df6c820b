//! Runs the suite.

use std::collections::BTreeSet;
use std::hint::black_box;
use std::time::Duration;

use anyhow::{Result, ensure};
use ebpf_tracer::{Capture, Clock, Event, Filter, Kernel, KernelLimits, Limits, Names, Places, Tracer};
use flow_core::{FlowEngine, Options};

use super::calls::{CALLS, Caller, Taken};
use super::load::{self, Server};
use super::observer::{Observed, Observer, hand_on, monotonic_ns};
use crate::{Report, cpu_time};

/// What a ring of events takes while it is filled for a reader that is timed.
const LARGE_RING: u32 = 256 << 20;

/// How much is done.
struct Extent {
    /// With the observer and without it in turn.
    rounds: usize,
    seconds: u32,
    requests: u32,
}

const FULL: Extent = Extent { rounds: 7, seconds: 4, requests: 300_000 };
const QUICK: Extent = Extent { rounds: 2, seconds: 1, requests: 30_000 };

/// Runs the suite.
///
/// # Errors
/// When programs cannot be loaded into the kernel, or a load fails.
pub fn run(quick: bool) -> Result<Report> {
    let extent = if quick { QUICK } else { FULL };
    let mut report = Report::default();
    system_calls(&extent, &mut report)?;
    drain(&mut report)?;
    nginx(&extent, &mut report)?;
    redis(&extent, &mut report)?;
    Ok(report)
}

/// What calls take longer because of the programs.
fn system_calls(extent: &Extent, report: &mut Report) -> Result<()> {
    let mut caller = Caller::start()?;
    let followed = Filter { processes: Names::Only(BTreeSet::from([caller.pid()])), ..Filter::default() };
    let left_out = Filter { processes: Names::Only(BTreeSet::from([u32::MAX])), ..Filter::default() };
    let (mut off, mut on, mut filtered) = (Vec::new(), Vec::new(), Vec::new());
    caller.time()?;
    for _ in 0..2 * extent.rounds {
        off.push(caller.time()?);
        for (filter, taken) in [(&followed, &mut on), (&left_out, &mut filtered)] {
            let observer = Observer::start(filter)?;
            taken.push(caller.time()?);
            let observed = observer.stop()?;
            let expected = if std::ptr::eq(filter, &followed) { u64::from(CALLS) } else { 0 };
            ensure!(observed.messages + observed.lost == expected, "{observed:?} of {expected} messages");
        }
    }
    let least = |taken: &[Taken], of: fn(&Taken) -> f64| taken.iter().map(of).fold(f64::INFINITY, f64::min);
    let socket = |taken: &Taken| taken.socket;
    let getppid = |taken: &Taken| taken.getppid;
    report.figure("tracer.syscall.ns", least(&off, socket), "ns");
    report.figure("tracer.syscall.added_ns", least(&on, socket) - least(&off, socket), "ns");
    report.figure("tracer.syscall.filtered_added_ns", least(&filtered, socket) - least(&off, socket), "ns");
    report.figure("tracer.getppid.ns", least(&off, getppid), "ns");
    report.figure("tracer.getppid.added_ns", least(&on, getppid) - least(&off, getppid), "ns");
    report.figure("tracer.getppid.filtered_added_ns", least(&filtered, getppid) - least(&off, getppid), "ns");
    Ok(())
}

/// What it takes to read what waits in the ring.
fn drain(report: &mut Report) -> Result<()> {
    let mut caller = Caller::start()?;
    // The first message of a connection is another event.
    caller.time()?;
    let filter = Filter { processes: Names::Only(BTreeSet::from([caller.pid()])), ..Filter::default() };
    let limits = KernelLimits { ring_bytes: LARGE_RING, ..KernelLimits::default() };
    let mut kernel = Kernel::load(&limits)?;
    kernel.capture(&Capture { wake_bytes: LARGE_RING, ..Capture::default() })?;
    kernel.follow(&filter)?;
    let mut per_second = |each: &mut dyn FnMut(&mut Kernel) -> usize| -> Result<f64> {
        let mut fastest: f64 = 0.0;
        for _ in 0..5 {
            caller.time()?;
            let begin = cpu_time();
            let events = each(&mut kernel);
            ensure!(events as u32 == CALLS, "{events} events of {CALLS}");
            fastest = fastest.max(events as f64 / cpu_time().saturating_sub(begin).as_secs_f64());
        }
        Ok(fastest)
    };
    let read = per_second(&mut |kernel| kernel.read(usize::MAX, |record| _ = black_box(Event::parse(record))))?;
    report.figure("tracer.drain.events_per_s", read, "/s");
    let mut tracer = Tracer::new(Limits::default(), Clock::measure(), Places::default());
    let mut engine = FlowEngine::new(Options::default());
    let streams = per_second(&mut |kernel| {
        let mut events = 0;
        loop {
            let read = kernel.read(4096, |record| _ = tracer.record(record));
            events += read;
            if read == 0 {
                tracer.advance(monotonic_ns() + Duration::from_secs(1).as_nanos() as u64);
            }
            hand_on(&mut tracer, &mut engine);
            if read == 0 {
                return events;
            }
        }
    })?;
    report.figure("tracer.drain.messages_to_streams_per_s", streams, "/s");
    Ok(())
}

fn nginx(extent: &Extent, report: &mut Report) -> Result<()> {
    let server = Server::nginx()?;
    let saturate = || load::saturate_http(server.port, extent.seconds);
    let (off, _, observed) = in_turn(extent.rounds, saturate, report, "tracer.nginx")?;
    share(&observed, report, "tracer.nginx");
    let half = off / 2.0;
    let (mut calm, mut watched) = (Vec::new(), Vec::new());
    for _ in 0..extent.rounds {
        calm.push(load::pace_http(server.port, half, extent.seconds)?);
        let observer = Observer::start(&Filter::default())?;
        watched.push(load::pace_http(server.port, half, extent.seconds)?);
        let observed = observer.stop()?;
        ensure!(observed.lost == 0, "{observed:?} at half load");
    }
    for (name, per_mille) in [("p50", 500), ("p99", 990)] {
        let of = |runs: &[Vec<u64>]| {
            let mut all: Vec<u64> =
                runs.iter().filter_map(|run| run.get(run.len() * per_mille / 1000).copied()).collect();
            all.sort_unstable();
            all.get(all.len() / 2).copied().unwrap_or_default() as f64
        };
        report.figure(format!("tracer.nginx.{name}_us"), of(&calm), "us");
        report.figure(format!("tracer.nginx.{name}_added_percent"), 100.0 * (of(&watched) / of(&calm) - 1.0), "%");
    }
    Ok(())
}

fn redis(extent: &Extent, report: &mut Report) -> Result<()> {
    let server = Server::redis()?;
    let saturate = || load::saturate_redis(server.port, extent.requests);
    let (_, _, observed) = in_turn(extent.rounds, saturate, report, "tracer.redis")?;
    share(&observed, report, "tracer.redis");
    Ok(())
}

/// A load without the observer and with it, in turn: the medians of both, and what was observed.
fn in_turn(
    rounds: usize,
    load: impl Fn() -> Result<f64>,
    report: &mut Report,
    name: &str,
) -> Result<(f64, f64, Observed)> {
    let (mut off, mut on, mut all) = (Vec::new(), Vec::new(), Observed::default());
    load()?;
    for _ in 0..rounds {
        off.push(load()?);
        let observer = Observer::start(&Filter::default())?;
        on.push(load()?);
        let observed = observer.stop()?;
        all.messages += observed.messages;
        all.lost += observed.lost;
        all.calls += observed.calls;
        all.cpu += observed.cpu;
    }
    let (off, on) = (median(off), median(on));
    report.figure(format!("{name}.requests_per_s"), off, "/s");
    report.figure(format!("{name}.observed_requests_per_s"), on, "/s");
    report.figure(format!("{name}.throughput_loss_percent"), 100.0 * (1.0 - on / off), "%");
    Ok((off, on, all))
}

/// What of it was seen, and what that took.
fn share(observed: &Observed, report: &mut Report, name: &str) {
    let messages = (observed.messages + observed.lost).max(1) as f64;
    report.figure(format!("{name}.lost_percent"), 100.0 * observed.lost as f64 / messages, "%");
    report.figure(format!("{name}.observer_ns_per_message"), observed.cpu.as_nanos() as f64 / messages, "ns");
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
