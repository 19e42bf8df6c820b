//! dnsmasq with dig, BIND with dnspython, multicast DNS among two of zeroconf.

use anyhow::Result;
use xtask::capture::capture;
use xtask::servers::{Bind, Dnsmasq};

use super::scripts::{python, python_joined};
use super::{Files, WHOLE};

/// Of multicast DNS.
const MDNS: u16 = 5353;

pub(super) fn dns(files: &Files) -> Result<()> {
    let server = Dnsmasq::start()?;
    capture(&files.capture, &[server.port], WHOLE, || {
        python("dns_dig", include_str!("dns_dig.py"), server.port, &files.log)
    })
}

pub(super) fn dns_bind(files: &Files) -> Result<()> {
    let server = Bind::start()?;
    python_joined("dns_bind", include_str!("dns_bind.py"), files, WHOLE, &[server.port], server.process.pid())
}

pub(super) fn mdns(files: &Files) -> Result<()> {
    capture(&files.capture, &[MDNS], WHOLE, || python("mdns", include_str!("mdns.py"), MDNS, &files.log))
}
