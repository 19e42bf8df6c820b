//! Real servers on free loopback ports, for tests, recordings and the demo. Each ends with its value and leaves nothing behind.

mod bind;
mod dnsmasq;
mod mariadb;
mod nghttpx;
mod nginx;
mod postgresql;
mod redis;

pub use bind::Bind;
pub use dnsmasq::Dnsmasq;
pub use mariadb::MariaDb;
pub use nghttpx::Nghttpx;
pub use nginx::Nginx;
pub use postgresql::PostgreSql;
pub use redis::Redis;

use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use crate::child::find;

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
