//! Redis with redis-cli and redis-benchmark, and with a client library.

use std::process::Command;

use anyhow::Result;
use xtask::capture::capture;
use xtask::servers::Redis;
use xtask::workload::{feed, quiet};

use super::scripts::python;
use super::{Files, KEPT, WHOLE};

pub(super) fn redis(files: &Files) -> Result<()> {
    let server = Redis::start()?;
    let port = server.port.to_string();
    capture(&files.capture, &[server.port], KEPT, || {
        for protocol in ["-2", "-3"] {
            feed(
                Command::new("redis-cli").args([protocol, "-p", &port]),
                "SET cart:1 3\nGET cart:1\nLPUSH list a b\nINCR list\nHSET item name \"a b\"\nHGETALL item\nMULTI\nINCR n\nGET n\nEXEC\nNOSUCH\nDEL list\n",
            )?;
        }
        quiet("redis-benchmark", &["-p", &port, "-q", "-n", "16", "-c", "1", "-P", "8", "-t", "set"])
    })
}

pub(super) fn redis_client(files: &Files) -> Result<()> {
    let server = Redis::start()?;
    capture(&files.capture, &[server.port], WHOLE, || {
        python("redis", include_str!("redis.py"), server.port, &files.log)
    })
}
