//! What happens on the loopback interface, written by tcpdump.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::child::{Running, find};

/// Runs `traffic` while tcpdump writes what happens on these ports of the loopback interface, so many bytes of each packet.
///
/// # Errors
/// When tcpdump cannot be started or loses packets, and those of `traffic`.
pub fn capture(file: &Path, ports: &[u16], kept: u32, traffic: impl FnOnce() -> Result<()>) -> Result<()> {
    let filter = ports.iter().map(|port| format!("port {port}")).collect::<Vec<_>>().join(" or ");
    let said = tempfile::NamedTempFile::new()?;
    let mut command = Command::new(find("tcpdump").context("tcpdump is not installed")?);
    command
        .args(["-i", "lo", "-n", "-U", "--immediate-mode", "-B", "65536", "-s", &kept.to_string(), "-w"])
        .arg(file)
        .arg(filter);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(said.path())?);
    let mut tcpdump = Running::start(&mut command)?;
    tcpdump.wait_until(|| std::fs::read_to_string(said.path()).is_ok_and(|text| text.contains("listening on")))?;
    traffic()?;
    // It writes what it has before it ends.
    tcpdump.stop()?;
    let said = std::fs::read_to_string(said.path())?;
    if !said.contains("\n0 packets dropped by kernel") {
        bail!("tcpdump lost packets: {said}");
    }
    Ok(())
}
