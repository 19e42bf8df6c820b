//! A command that is watched from its first step on.

use std::ffi::OsString;
use std::process::{Child, Command, ExitStatus};

use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};

use crate::failure::{Failure, say};

/// Stops itself before it becomes the command, so that it can be followed from there on.
const WAITS: &str = "kill -STOP $$; exec \"$@\"";

/// A command that was started by this program. Dropping it ends it.
pub(crate) struct Watched {
    child: Child,
    name: OsString,
}

impl Watched {
    /// Starts it as far as to its first step.
    pub(crate) fn prepare(command: &[OsString]) -> Result<Option<Self>, Failure> {
        let Some(name) = command.first() else { return Ok(None) };
        let failed = |error| Failure::from_io("cannot run the command: /bin/sh", &error);
        let child = Command::new("/bin/sh").arg("-c").arg(WAITS).arg("sh").args(command).spawn().map_err(failed)?;
        let watched = Self { child, name: name.clone() };
        let stopped = waitpid(Some(watched.process()), WaitOptions::UNTRACED);
        match stopped {
            Ok(Some((_, status))) if status.stopped() => Ok(Some(watched)),
            Ok(_) => Err(Failure::unavailable("cannot run the command: /bin/sh ended at once")),
            Err(error) => Err(Failure::from_io("cannot wait for the command", &error.into())),
        }
    }

    /// The number of its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    fn process(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Lets it take its first step.
    pub(crate) fn go(&self) -> Result<(), Failure> {
        let failed = |error: rustix::io::Errno| Failure::from_io("cannot run the command", &error.into());
        kill_process(self.process(), Signal::CONT).map_err(failed)
    }

    /// Whether it has ended. Says so if it was not with success.
    pub(crate) fn has_ended(&mut self) -> bool {
        match self.child.try_wait() {
            Ok(None) => false,
            Ok(Some(status)) => {
                self.tell(status);
                true
            }
            Err(_) => true,
        }
    }

    fn tell(&self, status: ExitStatus) {
        if !status.success() {
            say(format_args!("{}: {status}", self.name.display()));
        }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            // It is no zombie yet: the number is still its own.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
