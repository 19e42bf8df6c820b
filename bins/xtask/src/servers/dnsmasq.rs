//! dnsmasq with a zone of its own.

use std::net::UdpSocket;
use std::time::Duration;

use anyhow::Result;
use tempfile::TempDir;

use super::{local, program};
use crate::child::{Running, free_port};

/// A question for the address of `shop.test`.
const QUESTION: &[u8] = b"\x00\x01\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x04shop\x04test\x00\x00\x01\x00\x01";

/// A running dnsmasq.
#[derive(Debug)]
pub struct Dnsmasq {
    /// The running program.
    pub process: Running,
    /// Its port, UDP and TCP.
    pub port: u16,
    _folder: TempDir,
}

impl Dnsmasq {
    /// Starts one and waits until it answers. It knows `shop.test` (10.1.2.3), `db.test` (10.1.2.4, an alias of it is `orders.test`)
    /// and that other names below `test` do not exist.
    ///
    /// # Errors
    /// When it is not installed or does not start.
    pub fn start() -> Result<Self> {
        let (folder, port) = (TempDir::new()?, free_port()?);
        let mut command = program("dnsmasq")?;
        command.args([
            "--keep-in-foreground",
            "--conf-file=/dev/null",
            "--no-resolv",
            "--no-hosts",
            "--bind-interfaces",
            "--listen-address=127.0.0.1",
            "--local=/test/",
            "--host-record=shop.test,10.1.2.3",
            "--host-record=db.test,10.1.2.4,fd00::4",
            "--cname=orders.test,db.test",
            "--user=",
        ]);
        command.arg(format!("--port={port}")).arg(format!("--pid-file={}", folder.path().join("pid").display()));
        let mut process = Running::start(&mut command)?;
        process.wait_until(|| answers(port))?;
        Ok(Self { process, port, _folder: folder })
    }
}

fn answers(port: u16) -> bool {
    let ask = || {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.set_read_timeout(Some(Duration::from_millis(200)))?;
        socket.send_to(QUESTION, local(port))?;
        socket.recv(&mut [0; 512])
    };
    ask().is_ok()
}
