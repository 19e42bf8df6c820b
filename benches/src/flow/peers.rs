//! Programs that do the same, as Debian packages them.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::Work;
use crate::child::{Ended, measure};

/// A program beside which the engine is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// Conversations with their health.
    Argus,
    /// Conversations, for NetFlow.
    Softflowd,
    /// Conversations and their application protocols, by nDPI.
    Ndpi,
}

impl Peer {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Argus, Self::Softflowd, Self::Ndpi];

    /// The name used in figures.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Argus => "argus",
            Self::Softflowd => "softflowd",
            Self::Ndpi => "ndpi",
        }
    }

    /// The work of ours that comes nearest to what it does.
    #[must_use]
    pub const fn work(self) -> Work {
        match self {
            Self::Argus | Self::Softflowd => Work::Flows,
            Self::Ndpi => Work::Calls,
        }
    }

    /// Runs it over a capture file to its end.
    ///
    /// # Errors
    /// When it is not installed, or fails.
    pub fn run(self, capture: &Path) -> Result<Ended> {
        match self {
            Self::Argus => argus(capture, Path::new("/dev/null")),
            // In the foreground, IPv6 too, room for all conversations, nothing exported, no control socket.
            Self::Softflowd => measure(
                Command::new("softflowd")
                    .args(["-d", "-6", "-m", "10000000", "-c", "none", "-p"])
                    .arg(capture.with_extension("pid"))
                    .arg("-r")
                    .arg(capture),
            ),
            Self::Ndpi => measure(Command::new("ndpiReader").arg("-i").arg(capture)),
        }
    }

    /// Checks that it does its work: that it counts every packet of a capture that has so many.
    ///
    /// # Errors
    /// When it is not installed, fails, or leaves something out.
    pub fn check(self, capture: &Path, packets: u64) -> Result<()> {
        let counted = match self {
            Self::Argus => {
                let records = capture.with_extension("argus");
                let _ = fs::remove_file(&records);
                argus(capture, &records)?;
                let told = measure(Command::new("racount").arg("-r").arg(&records))?;
                fs::remove_file(&records)?;
                number_behind(&told.output, "sum", 1)
            }
            Self::Softflowd => number_behind(&self.run(capture)?.output, "Packets processed:", 0),
            Self::Ndpi => number_behind(&self.run(capture)?.output, "IP packets:", 0),
        };
        let counted = counted.context("it told no number of packets")?;
        ensure!(counted == packets, "it counted {counted} packets of {packets}");
        Ok(())
    }
}

fn argus(capture: &Path, records: &Path) -> Result<Ended> {
    measure(Command::new("argus").args(["-X", "-F", "/dev/null", "-r"]).arg(capture).arg("-w").arg(records))
}

/// The n-th word behind these words, a number.
fn number_behind(text: &str, words: &str, place: usize) -> Option<u64> {
    text.split_once(words)?.1.split_whitespace().nth(place)?.parse().ok()
}
