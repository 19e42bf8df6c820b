//! Ctrl-C and SIGTERM end the program in order.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use metaflow_packet_capture::Stop;
use rustix::thread::CapabilitySet;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::failure::Failure;
use crate::rights;

/// Tells a loop to stop as soon as a signal says so; a second signal ends the program at once.
pub(crate) struct Interruption {
    pub(crate) stop: Stop,
    by_user: Arc<AtomicBool>,
}

impl Interruption {
    pub(crate) fn listen() -> Result<Self, Failure> {
        let failed = |error| Failure::from_io("cannot listen for signals", &error);
        let stop = Stop::new().map_err(failed)?;
        let by_user = Arc::new(AtomicBool::new(false));
        let mut signals = Signals::new([SIGINT, SIGTERM]).map_err(failed)?;
        let (stopping, interrupted) = (stop.clone(), Arc::clone(&by_user));
        let listen = move || {
            rights::keep(CapabilitySet::empty());
            for signal in signals.forever() {
                if stopping.is_stopped() {
                    std::process::exit(Failure::interrupted().exit_code().into());
                }
                interrupted.store(signal == SIGINT, Ordering::Release);
                stopping.stop();
            }
        };
        thread::Builder::new().name("metaflow-signal".to_owned()).spawn(listen).map_err(failed)?;
        Ok(Self { stop, by_user })
    }

    /// Whether it was Ctrl-C that ended it.
    pub(crate) fn is_by_user(&self) -> bool {
        self.by_user.load(Ordering::Acquire)
    }
}
