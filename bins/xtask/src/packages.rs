//! Debian's packages that the tests and the demo use.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Result, bail};

use crate::child::find;

/// A program and the package that brings it.
pub type Tool = (&'static str, &'static str);

/// What the demo and the live tests use.
pub const WORKLOAD: &[Tool] = &[
    ("redis-server", "redis-server"),
    ("redis-cli", "redis-tools"),
    ("redis-benchmark", "redis-tools"),
    ("mariadbd", "mariadb-server"),
    ("mariadb", "mariadb-client"),
    ("nginx", "nginx-light"),
    ("dnsmasq", "dnsmasq-base"),
    ("dig", "bind9-dnsutils"),
    ("curl", "curl"),
    ("openssl", "openssl"),
    ("wrk", "wrk"),
];

/// What the tests use beside that.
pub const TESTS: &[Tool] = &[
    ("git", "git"),
    ("ip", "iproute2"),
    ("nghttp", "nghttp2-client"),
    ("node", "nodejs"),
    ("npm", "npm"),
    ("psql", "postgresql-client"),
    ("python3", "python3"),
    ("tcpdump", "tcpdump"),
];

/// What the recordings use beside that.
pub const RECORDINGS: &[Tool] = &[
    ("named", "bind9"),
    ("kcat", "kcat"),
    ("initdb", "postgresql"),
    ("pgbench", "postgresql"),
    ("nghttpx", "nghttp2-proxy"),
    ("npm", "npm"),
];

/// The programs beside which the benches measure.
pub const PEERS: &[Tool] = &[
    ("argus", "argus-server"),
    ("racount", "argus-client"),
    ("softflowd", "softflowd"),
    ("ndpiReader", "libndpi-bin"),
    ("h2load", "nghttp2-client"),
    ("nginx", "nginx-light"),
    ("openssl", "openssl"),
    ("pgbench", "postgresql"),
    ("redis-benchmark", "redis-tools"),
    ("redis-server", "redis-server"),
    ("taskset", "util-linux"),
    ("wrk", "wrk"),
];

/// The tools of this list that are not there.
#[must_use]
pub fn missing(tools: &[Tool]) -> Vec<Tool> {
    tools.iter().copied().filter(|(program, _)| find(program).is_none()).collect()
}

/// Installs what is missing, if this is root on a Debian system; otherwise says what is missing and goes on.
///
/// # Errors
/// When the installation fails.
pub fn install(tools: &[Tool]) -> Result<()> {
    let missing = missing(tools);
    if missing.is_empty() {
        return Ok(());
    }
    let mut packages: Vec<_> = missing.iter().map(|(_, package)| *package).collect();
    packages.sort_unstable();
    packages.dedup();
    if !is_root() || find("apt-get").is_none() {
        println!("not installed, and only root can: {} (what needs them is skipped)", packages.join(" "));
        return Ok(());
    }
    apt_install(&packages)
}

/// Installs packages; their services are not started.
///
/// # Errors
/// When this is not root on a Debian system, or the installation fails.
pub fn apt_install(packages: &[&str]) -> Result<()> {
    println!("installing {}", packages.join(" "));
    let quiet = NoAutostart::new()?;
    apt(&["update", "-q"])?;
    let mut arguments = vec!["install", "-q", "-y", "--no-install-recommends"];
    arguments.extend(packages);
    let result = apt(&arguments);
    drop(quiet);
    result
}

fn apt(arguments: &[&str]) -> Result<()> {
    let status = Command::new("apt-get")
        .args(["-o", "DPkg::Lock::Timeout=600"])
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdout(Stdio::null())
        .status()?;
    if !status.success() {
        bail!("apt-get {} failed: {status}", arguments.join(" "));
    }
    Ok(())
}

/// Whether this process is root.
#[must_use]
pub fn is_root() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    status
        .lines()
        .find_map(|line| line.strip_prefix("Uid:"))
        .is_some_and(|ids| ids.split_whitespace().nth(1) == Some("0"))
}

/// Keeps the packages from starting their services while it lives: nobody asked for a database on this machine.
struct NoAutostart {
    made: bool,
}

const POLICY: &str = "/usr/sbin/policy-rc.d";

impl NoAutostart {
    fn new() -> Result<Self> {
        if Path::new(POLICY).exists() {
            return Ok(Self { made: false });
        }
        fs::write(POLICY, "#!/bin/sh\nexit 101\n")?;
        Command::new("chmod").args(["755", POLICY]).status()?;
        Ok(Self { made: true })
    }
}

impl Drop for NoAutostart {
    fn drop(&mut self) {
        if self.made {
            let _ = fs::remove_file(POLICY);
        }
    }
}
