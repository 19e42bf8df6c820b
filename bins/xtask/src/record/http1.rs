//! nginx with curl and a client of our own; Python's HTTP server, which may be killed; a connection that becomes a WebSocket.

use anyhow::Result;
use xtask::capture::capture;
use xtask::child::free_port;
use xtask::servers::Nginx;

use super::scripts::{python, python_joined};
use super::{Files, KEPT, WHOLE};

pub(super) fn http1(files: &Files) -> Result<()> {
    let server = Nginx::start()?;
    capture(&files.capture, &[server.port], WHOLE, || {
        python("http1", include_str!("http1.py"), server.port, &files.log)
    })
}

pub(super) fn http1_cut(files: &Files) -> Result<()> {
    python_joined("http1_cut", include_str!("http1_cut.py"), files, KEPT, &[free_port()?], 0)
}

pub(super) fn websocket(files: &Files) -> Result<()> {
    let port = free_port()?;
    capture(&files.capture, &[port], KEPT, || python("websocket", include_str!("websocket.py"), port, &files.log))
}
