//! `metaflow-agent watch`: what happens on interfaces, printed.

use std::time::{Duration, Instant};

use flow_core::Options;
use metaflow_packet_capture::{Stop, Wake, wait};

use crate::args::{Kinds, WatchOptions};
use crate::command::Watched;
use crate::failure::{Failure, say};
use crate::live::{Live, Seen};
use crate::output::{Printed, Printing, Source};
use crate::signals::Interruption;
use crate::sink::{End, Outlet};
use crate::traced::{TraceOptions, Traced, TracedTotals, Whom};
use crate::uplink::Exclusions;

/// Waited at once, at most.
const LONG: Duration = Duration::from_secs(3600);

/// Prints calls and flows until Ctrl-C, or until the time or the number of records is reached.
pub(crate) fn watch(options: &WatchOptions) -> Result<(), Failure> {
    let interruption = Interruption::listen()?;
    let mut engine = Options::default();
    engine.metrics = false;
    engine.flows = options.kind.flows();
    if let Some(parsers) = &mut engine.parsers {
        parsers.redact = !options.no_redact;
    }
    let whom = whom(options)?;
    // On a whole machine, programs begin and end all the time.
    let lives = options.kind == Kinds::Events || !matches!(whom, Whom::All);
    let trace = TraceOptions {
        payload: options.payload,
        ring: options.ring,
        hooks: options.hooks,
        lives,
        record: options.record.clone(),
        ..TraceOptions::default()
    };
    let mut live = if options.ebpf && options.interface.is_empty() {
        None
    } else {
        Some(Live::open(&options.interface, Exclusions::default())?)
    };
    let source = if options.ebpf { Source::Kernel } else { Source::Packets };
    let mut printing = match Printing::stdout(options.output, options.kind, options.count, source).map_err(End::from) {
        Ok(printing) => printing,
        Err(End::Enough) => return Ok(()),
        Err(End::Failed(failure)) => return Err(failure),
    };
    printing.begin();
    let mut traced = None;
    if options.ebpf {
        // Numbers of records differ from those of the engines of packets.
        engine.shard = options.threads;
        traced = Some(Traced::start(whom, &trace, &engine, printing.sink(), &interruption.stop)?);
        engine.shard = 0;
    }
    if let (Some(live), Some(traced)) = (&mut live, &traced) {
        live.beside(traced);
    }
    say(format_args!("watching {}; Ctrl-C ends", watched(live.as_ref(), options)));
    let until = options.duration.and_then(|duration| Instant::now().checked_add(duration));
    let observed = match live {
        Some(live) => live.run(options.threads, &engine, &mut printing, &interruption.stop, until).map(Some),
        None => wait_until(&interruption.stop, until).map(|()| None),
    };
    interruption.stop.stop();
    let (traced, ended) = traced.map(Traced::finish).unzip();
    let observed = observed?;
    if let Some(Err(End::Failed(failure))) = ended {
        return Err(failure);
    }
    let Printed { calls, flows, events } = printing.printed();
    let events = if events > 0 { format!(", {events} events") } else { String::new() };
    if let Some((_, Seen { packets, dropped, refused })) = &observed {
        say(format_args!(
            "{packets} packets, {calls} calls, {flows} flows{events}; {dropped} packets dropped by the kernel, {refused} by full queues"
        ));
    }
    if let Some(TracedTotals { tracer, messages, lost, events_lost, .. }) = traced {
        let sockets = tracer.streams_opened;
        let others = if events_lost > 0 { format!(", {events_lost} other events") } else { String::new() };
        say(format_args!(
            "{messages} messages on {sockets} sockets, {calls} calls{events}; {lost} messages lost in the kernel{others}"
        ));
    }
    if interruption.is_by_user() { Err(Failure::interrupted()) } else { Ok(()) }
}

/// Whom the programs in the kernel follow.
fn whom(options: &WatchOptions) -> Result<Whom, Failure> {
    if let Some(command) = Watched::prepare(&options.command)? {
        return Ok(Whom::Command(command));
    }
    Ok(if options.pid.is_empty() { Whom::All } else { Whom::Only(options.pid.iter().copied().collect()) })
}

fn watched(live: Option<&Live>, options: &WatchOptions) -> String {
    let processes = match (options.ebpf, options.pid.as_slice(), options.command.first()) {
        (false, ..) => None,
        (true, _, Some(command)) => Some(command.display().to_string()),
        (true, [], None) => Some("all processes".to_owned()),
        (true, pids, None) => Some(format!("processes {pids:?}")),
    };
    let parts: Vec<_> = live.map(Live::interfaces).into_iter().chain(processes).collect();
    parts.join(" and ")
}

/// Waits until told to stop, or until the time is over.
fn wait_until(stop: &Stop, until: Option<Instant>) -> Result<(), Failure> {
    loop {
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        let failed = |error| Failure::from_io("cannot wait", &error);
        let wake = wait(&[], stop, left.unwrap_or(LONG).min(LONG)).map_err(failed)?;
        if wake == Wake::Stopped || left.is_some_and(|left| left.is_zero()) {
            return Ok(());
        }
    }
}
