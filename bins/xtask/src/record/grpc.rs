//! A gRPC server and its client, both grpcio's.

use anyhow::Result;
use xtask::capture::capture;
use xtask::child::free_port;

use super::scripts::{python, python_joined};
use super::{Files, WHOLE};

pub(super) fn grpc(files: &Files) -> Result<()> {
    let port = free_port()?;
    capture(&files.capture, &[port], WHOLE, || python("grpc", include_str!("grpc.py"), port, &files.log))
}

pub(super) fn grpc_cut(files: &Files) -> Result<()> {
    python_joined("grpc_cut", include_str!("grpc_cut.py"), files, WHOLE, &[free_port()?], 0)
}
