//! Processes of their own: what they say, and what they take.

use std::io::Read;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

/// A process that has ended well.
#[derive(Clone, Debug)]
pub struct Ended {
    /// Processor time, of the program and of the kernel for it.
    pub cpu: Duration,
    /// Most memory that was resident at once, in bytes: mapped files and shared libraries included.
    pub peak_memory: u64,
    /// What it printed, on both its outputs.
    pub output: String,
}

/// Runs a program to its end.
///
/// # Errors
/// When it cannot be run, or says that it failed.
pub fn measure(command: &mut Command) -> Result<Ended> {
    let name = command.get_program().to_string_lossy().into_owned();
    let (mut reader, writer) = std::io::pipe()?;
    command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
    let child = command.spawn().with_context(|| format!("cannot start {name}"))?;
    // The command keeps its ends of the pipe open, and with them the reading below.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut output = Vec::new();
    reader.read_to_end(&mut output)?;
    let mut status = 0;
    // SAFETY: a rusage is numbers, for which zeros are valid.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: both places are valid for the answer; the process is a child that nobody else waits for.
    let waited = unsafe { libc::wait4(child.id() as libc::pid_t, &raw mut status, 0, &raw mut usage) };
    ensure!(waited == child.id() as libc::pid_t, "cannot wait for {name}");
    let output = String::from_utf8_lossy(&output).into_owned();
    ensure!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0, "{name} failed: {}", output.trim_end());
    let time = |time: libc::timeval| Duration::new(time.tv_sec as u64, time.tv_usec as u32 * 1000);
    Ok(Ended { cpu: time(usage.ru_utime) + time(usage.ru_stime), peak_memory: usage.ru_maxrss as u64 * 1024, output })
}

/// Memory of this process that is resident: now, and at most so far, in bytes.
///
/// # Errors
/// When the system does not tell.
pub fn resident_memory() -> Result<(u64, u64)> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let number = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
        number.map(|kilobytes| kilobytes * 1024).with_context(|| format!("no {name} in /proc/self/status"))
    };
    Ok((field("VmRSS:")?, field("VmHWM:")?))
}
