//! Real servers on free loopback ports, for tests, recordings and the demo. Each ends with its value and leaves nothing behind.

mod bind;
mod clickhouse;
mod dnsmasq;
mod mariadb;
mod nghttpx;
mod nginx;
mod postgresql;
mod redis;

pub use bind::Bind;
pub use clickhouse::ClickHouse;
pub use dnsmasq::Dnsmasq;
pub use mariadb::MariaDb;
pub use nghttpx::Nghttpx;
pub use nginx::Nginx;
pub use postgresql::PostgreSql;
pub use redis::Redis;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::child::find;

/// Makes a key and a certificate of its own for it, `key` and `certificate` in the folder.
fn certify(folder: &Path) -> Result<()> {
    let status = program("openssl")?
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"])
        .args(["-keyout", "key", "-out", "certificate"])
        .current_dir(folder)
        .status()?;
    ensure!(status.success(), "openssl failed: {status}");
    Ok(())
}

/// An address on the loopback interface.
fn local(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

/// A command for a program that must be there, silent.
fn program(name: &str) -> Result<Command> {
    let mut command = Command::new(find(name).with_context(|| format!("{name} is not installed"))?);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    Ok(command)
}
