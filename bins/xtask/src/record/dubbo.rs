//! Dubbo frames whose bodies hessian.js writes, over a connection of our own.

use anyhow::Result;
use xtask::capture::capture;
use xtask::child::free_port;

use super::scripts::{node, node_joined};
use super::{Files, KEPT, WHOLE};

pub(super) fn dubbo(files: &Files) -> Result<()> {
    let port = free_port()?;
    capture(&files.capture, &[port], KEPT, || node("dubbo", include_str!("dubbo.js"), port, &files.log))
}

pub(super) fn dubbo_cut(files: &Files) -> Result<()> {
    node_joined("dubbo_cut", include_str!("dubbo_cut.js"), files, WHOLE, free_port()?)
}
