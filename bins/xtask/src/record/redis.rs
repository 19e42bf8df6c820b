//! Redis with redis-cli and redis-benchmark, and with a client library.

use anyhow::Result;
use xtask::capture::capture;
use xtask::servers::Redis;

use super::scripts::{python, python_joined};
use super::{Files, KEPT, PIPELINE, WHOLE};

pub(super) fn redis(files: &Files) -> Result<()> {
    let server = Redis::start()?;
    capture(&files.capture, &[server.port], KEPT, || {
        python("redis_cli", include_str!("redis_cli.py"), server.port, &files.log)
    })
}

pub(super) fn redis_cut(files: &Files) -> Result<()> {
    let server = Redis::start()?;
    python_joined("redis_cut", include_str!("redis_cut.py"), files, PIPELINE, &[server.port], server.process.pid())
}

pub(super) fn redis_client(files: &Files) -> Result<()> {
    let server = Redis::start()?;
    capture(&files.capture, &[server.port], WHOLE, || {
        python("redis", include_str!("redis.py"), server.port, &files.log)
    })
}
