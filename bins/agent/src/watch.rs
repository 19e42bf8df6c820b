//! `metaflow-agent watch`: what happens on interfaces, printed.

use std::time::Instant;

use flow_core::Options;

use crate::args::WatchOptions;
use crate::failure::{Failure, say};
use crate::live::{Ended, Live};
use crate::output::Printer;
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
    let mut live = Live::open(&options.interface, engine, Exclusions::default())?;
    say(format_args!("watching {}; Ctrl-C ends", live.interfaces()));
    let mut printer = match Printer::stdout(options.output, options.kind, options.count).map_err(End::from) {
        Ok(printer) => printer,
        Err(End::Enough) => return Ok(()),
        Err(End::Failed(failure)) => return Err(failure),
    };
    let until = options.duration.and_then(|duration| Instant::now().checked_add(duration));
    let ended = live.run(&mut printer, &interruption.stop, until)?;
    let (packets, dropped) = live.packets();
    let (calls, flows) = (printer.calls, printer.flows);
    say(format_args!("{packets} packets, {calls} calls, {flows} flows; {dropped} packets dropped by the kernel"));
    if ended == Ended::Stopped && interruption.is_by_user() { Err(Failure::interrupted()) } else { Ok(()) }
}
