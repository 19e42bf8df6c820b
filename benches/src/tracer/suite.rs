//! Runs the suite.

use std::collections::BTreeSet;
use std::hint::black_box;
use std::time::Duration;

use anyhow::{Result, ensure};
use ebpf_tracer::{Capture, Clock, Event, Filter, Kernel, KernelLimits, Limits, Names, Places, Tracer};
use flow_core::{FlowEngine, Options};

use super::calls::{CALLS, Caller, Taken};
use super::load::Server;
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

const FULL: Extent = Extent { rounds: 5, seconds: 3, requests: 200_000 };
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
    application("tracer.nginx", &Server::nginx()?, &extent, &mut report)?;
    application("tracer.nginx_tls", &Server::nginx_with_tls()?, &extent, &mut report)?;
    application("tracer.redis", &Server::redis()?, &extent, &mut report)?;
    application("tracer.postgresql", &Server::postgresql()?, &extent, &mut report)?;
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

/// What an application loses because it is observed, with the observer and without it in turn: at saturation, and at half of that.
fn application(name: &str, server: &Server, extent: &Extent, report: &mut Report) -> Result<()> {
    let off = saturation(name, server, extent, report)?;
    let (mut calm, mut watched) = (Vec::new(), Vec::new());
    for _ in 0..extent.rounds {
        let Some(before) = pace(server, off / 2.0, extent)? else { return Ok(()) };
        calm.push(before);
        let observer = Observer::start(&Filter::default())?;
        watched.extend(pace(server, off / 2.0, extent)?);
        let observed = observer.stop()?;
        ensure!(observed.lost == 0, "{observed:?} at half load");
    }
    let mut figure = |of: &str, unit: &'static str, each: &dyn Fn(&Pace) -> f64| {
        let [calm, watched] = [&calm, &watched].map(|runs| median(runs.iter().map(each).collect()));
        report.figure(format!("{name}.{of}_{unit}"), calm, unit);
        report.figure(format!("{name}.{of}_added_percent"), 100.0 * (watched / calm - 1.0), "%");
    };
    figure("p50", "us", &|pace| pace.p50);
    figure("p99", "us", &|pace| pace.p99);
    figure("cpu_per_request", "us", &|pace| pace.cpu);
    Ok(())
}

/// A load of a given rate, in microseconds.
struct Pace {
    p50: f64,
    p99: f64,
    /// Processor time of the server for each request.
    cpu: f64,
}

fn pace(server: &Server, per_second: f64, extent: &Extent) -> Result<Option<Pace>> {
    let before = server.cpu();
    let Some(latencies) = server.pace(per_second, extent.seconds)? else { return Ok(None) };
    let cpu = server.cpu().saturating_sub(before).as_micros() as f64 / latencies.len() as f64;
    let at = |per_mille: usize| latencies.get(latencies.len() * per_mille / 1000).copied().unwrap_or_default() as f64;
    Ok(Some(Pace { p50: at(500), p99: at(990), cpu }))
}

/// As many are sent as are answered. Gives how many a second these are without the observer.
fn saturation(name: &str, server: &Server, extent: &Extent, report: &mut Report) -> Result<f64> {
    let load = || server.saturate(extent.seconds, extent.requests);
    let (mut off, mut on, mut all) = (Vec::new(), Vec::new(), Observed::default());
    load()?;
    for _ in 0..extent.rounds {
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
    share(&all, report, name);
    Ok(off)
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
