//! `metaflow-agent run`: the daemon.

use std::time::Duration;

use flow_core::Options;
use rustix::thread::CapabilitySet;
use tracing::{info, warn};

use crate::args::RunOptions;
use crate::failure::{Failure, say};
use crate::live::{Live, Seen};
use crate::rights;
use crate::signals::Interruption;
use crate::sink::{End, Outlet};
use crate::traced::{TraceOptions, Traced, Whom};
use crate::uplink::{Exclusions, Uplink, UplinkOptions};

/// Long conversations are stored in pieces of this length.
const PIECES: Duration = Duration::from_secs(60);
/// How long sending may still take at the end.
const GRACE: Duration = Duration::from_secs(5);

/// Observes and sends until told to end.
pub(crate) fn run(options: &RunOptions) -> Result<(), Failure> {
    let interruption = Interruption::listen()?;
    let mut engine = Options::default();
    engine.pieces = Some(PIECES);
    if let Some(parsers) = &mut engine.parsers {
        parsers.redact = !options.no_redact;
    }
    let exclusions = Exclusions::default();
    let mut live = Live::open(&options.interface, exclusions.clone())?;
    let uplink = Uplink::start(&options.server, UplinkOptions::daemon(exclusions.clone()))?;
    let mut entrance = uplink.entrance();
    entrance.begin();
    let mut traced = None;
    if options.trace.ebpf {
        // Numbers of records differ from those of the engines of packets.
        engine.shard = options.threads;
        let trace = TraceOptions::new(&options.trace, exclusions.clone());
        let begun =
            Traced::start(Whom::new(&options.trace, None), &trace, &engine, entrance.sink(), &interruption.stop)?;
        engine.shard = 0;
        live.beside(&begun);
        traced = Some(begun);
    }
    rights::keep(if options.interface.is_empty() { rights::PACKETS } else { CapabilitySet::empty() });
    let processes = traced.as_ref().map(|_| format!(" and {}", options.trace.in_words(None))).unwrap_or_default();
    say(format_args!("observing {}{processes}; everything goes to {}", live.interfaces(), options.server));
    let ended = live.run(options.threads, &engine, &mut entrance, &interruption.stop, None);
    interruption.stop.stop();
    let traced = traced.map(Traced::finish);
    if let Ok((_, Seen { packets, dropped, refused })) = ended {
        info!(packets, packets_dropped = dropped + refused, "ending: sending what is left");
    }
    match uplink.finish_within(GRACE) {
        0 => info!("everything has been sent"),
        left => warn!(records = left, "ended before the server had taken them: lost"),
    }
    match traced {
        Some((_, Err(End::Failed(failure)))) => Err(failure),
        _ => ended.map(|_| ()),
    }
}
