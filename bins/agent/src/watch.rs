//! `metaflow-agent watch`: what happens on interfaces, printed.

use std::time::Instant;

use flow_core::Options;

use crate::args::WatchOptions;
use crate::failure::{Failure, say};
use crate::live::{Ended, Live, Seen};
use crate::output::{Printed, Printing, Source};
use crate::signals::Interruption;
use crate::sink::End;
use crate::uplink::Exclusions;

/// Prints calls and flows until Ctrl-C, or until the time or the number of records is reached.
pub(crate) fn watch(options: &WatchOptions) -> Result<(), Failure> {
    let interruption = Interruption::listen()?;
    let mut engine = Options::default();
    engine.metrics = false;
    engine.flows = options.kind.flows();
    if let Some(parsers) = &mut engine.parsers {
        parsers.redact = !options.no_redact;
    }
    let live = Live::open(&options.interface, Exclusions::default())?;
    say(format_args!("watching {}; Ctrl-C ends", live.interfaces()));
    let mut printing =
        match Printing::stdout(options.output, options.kind, options.count, Source::Packets).map_err(End::from) {
            Ok(printing) => printing,
            Err(End::Enough) => return Ok(()),
            Err(End::Failed(failure)) => return Err(failure),
        };
    let until = options.duration.and_then(|duration| Instant::now().checked_add(duration));
    let (ended, seen) = live.run(options.threads, &engine, &mut printing, &interruption.stop, until)?;
    let Seen { packets, dropped, refused } = seen;
    let Printed { calls, flows, events } = printing.printed();
    let events = if events > 0 { format!(", {events} events") } else { String::new() };
    say(format_args!(
        "{packets} packets, {calls} calls, {flows} flows{events}; {dropped} packets dropped by the kernel, {refused} by full queues"
    ));
    if ended == Ended::Stopped && interruption.is_by_user() { Err(Failure::interrupted()) } else { Ok(()) }
}
