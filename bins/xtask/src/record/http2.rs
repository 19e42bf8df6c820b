//! nginx and curl without TLS, from the first byte on; nghttpx in front of it where the connection begins as HTTP/1.

use anyhow::Result;
use xtask::capture::capture;
use xtask::servers::{Nghttpx, Nginx};

use super::scripts::{python, python_joined};
use super::{Files, WHOLE};

pub(super) fn http2(files: &Files) -> Result<()> {
    let server = Nginx::start()?;
    capture(&files.capture, &[server.http2_port], WHOLE, || {
        python("http2", include_str!("http2.py"), server.http2_port, &files.log)
    })
}

pub(super) fn http2_upgrade(files: &Files) -> Result<()> {
    let server = Nginx::start()?;
    let proxy = Nghttpx::start(server.port)?;
    capture(&files.capture, &[proxy.port], WHOLE, || {
        python("http2_upgrade", include_str!("http2_upgrade.py"), proxy.port, &files.log)
    })
}

pub(super) fn http2_cut(files: &Files) -> Result<()> {
    let server = Nginx::start()?;
    python_joined(
        "http2_cut",
        include_str!("http2_cut.py"),
        files,
        WHOLE,
        &[server.http2_port, server.few_port],
        server.process.pid(),
    )
}
