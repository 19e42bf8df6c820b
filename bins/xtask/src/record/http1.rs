//! nginx and curl, and a pipeline of our own.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpStream};

use anyhow::Result;
use xtask::capture::capture;
use xtask::servers::Nginx;
use xtask::workload::quiet;

use super::{Files, KEPT};

pub(super) fn http1(files: &Files) -> Result<()> {
    let server = Nginx::start()?;
    let base = format!("http://127.0.0.1:{}", server.port);
    capture(&files.capture, &[server.port], KEPT, || {
        let curl = |arguments: &[&str]| {
            let paths: Vec<_> = arguments.iter().map(|part| part.replace("BASE", &base)).collect();
            let mut all = vec!["-s", "-o", "/dev/null"];
            all.extend(paths.iter().map(String::as_str));
            quiet("curl", &all)
        };
        let trace = "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        curl(&[
            "-A",
            "shop/1.0",
            "-H",
            trace,
            "-H",
            "X-Request-ID: 7",
            "BASE/ok",
            "BASE/orders/[1-3]?page=2&token=secret",
        ])?;
        curl(&["BASE/missing", "BASE/broken"])?;
        curl(&["--compressed", "BASE/chunked"])?;
        curl(&["-I", "BASE/big"])?;
        curl(&["-d", "item=1&item=2", "BASE/orders/4"])?;
        curl(&["-0", "BASE/ok"])?;
        // Three requests in one segment.
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, server.port))?;
        let requests: String = ["/ok", "/missing", "/orders/9"]
            .map(|path| format!("GET {path} HTTP/1.1\r\nHost: shop.test\r\n\r\n"))
            .concat();
        stream.write_all(requests.as_bytes())?;
        stream.shutdown(Shutdown::Write)?;
        stream.read_to_end(&mut Vec::new())?;
        Ok(())
    })
}
