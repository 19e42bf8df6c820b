//! dnsmasq and dig.

use anyhow::Result;
use xtask::capture::capture;
use xtask::servers::Dnsmasq;
use xtask::workload::quiet;

use super::{Files, KEPT};

pub(super) fn dns(files: &Files) -> Result<()> {
    let server = Dnsmasq::start()?;
    let port = server.port.to_string();
    capture(&files.capture, &[server.port], KEPT, || {
        for question in
            [&["shop.test"][..], &["orders.test", "AAAA"], &["none.test"], &["+tcp", "db.test"], &["-x", "10.1.2.3"]]
        {
            let mut arguments = vec!["@127.0.0.1", "-p", &port, "+tries=1", "+time=2"];
            arguments.extend(question);
            quiet("dig", &arguments)?;
        }
        Ok(())
    })
}
