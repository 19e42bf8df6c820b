//! Dubbo frames whose bodies hessian.js writes, over a connection of our own.

use anyhow::Result;
use xtask::capture::capture;
use xtask::child::free_port;

use super::scripts::node;
use super::{Files, KEPT};

pub(super) fn dubbo(files: &Files) -> Result<()> {
    let port = free_port()?;
    capture(&files.capture, &[port], KEPT, || node("dubbo", include_str!("dubbo.js"), port, &files.log))
}
