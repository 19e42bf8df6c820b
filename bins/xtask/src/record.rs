//! `cargo xtask record`: the project's own captures, from real servers and clients.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpStream};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use clap::Args;
use xtask::capture::capture;
use xtask::packages::{self, TESTS, WORKLOAD};
use xtask::servers::{Dnsmasq, MariaDb, Nginx, Redis};
use xtask::workload::{Workload, feed, quiet};

/// What to record.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Recordings to make anew; all, if none is named: http1, redis, mysql, dns, shop
    names: Vec<String>,
}

/// A recording: its name, and what makes its traffic between the start and the end of the capture.
type Recording = (&'static str, fn(&Path) -> Result<()>);

const RECORDINGS: &[Recording] = &[("http1", http1), ("redis", redis), ("mysql", mysql), ("dns", dns), ("shop", shop)];
/// Where they are kept, seen from the project's folder.
const FOLDER: &str = "bins/agent/testdata";
/// Bytes kept of a packet: bodies are not what the recordings are about.
const KEPT: u32 = 1024;

pub(crate) fn run(options: &Options) -> Result<()> {
    ensure!(packages::is_root(), "only root may capture packets");
    packages::install(WORKLOAD)?;
    packages::install(TESTS)?;
    for name in &options.names {
        ensure!(RECORDINGS.iter().any(|(known, _)| known == name), "there is no recording {name}");
    }
    for (name, record) in RECORDINGS {
        if options.names.is_empty() || options.names.iter().any(|wanted| wanted == name) {
            let file = xtask::build::root().join(FOLDER).join(format!("{name}.pcap"));
            record(&file).with_context(|| format!("recording {name}"))?;
            println!("{}: {} bytes", file.display(), file.metadata()?.len());
        }
    }
    println!("now bless what is read out of them: METAFLOW_BLESS=1 cargo test -p metaflow-agent --test it recordings");
    Ok(())
}

fn http1(file: &Path) -> Result<()> {
    let server = Nginx::start()?;
    let base = format!("http://127.0.0.1:{}", server.port);
    capture(file, &[server.port], KEPT, || {
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

fn redis(file: &Path) -> Result<()> {
    let server = Redis::start()?;
    let port = server.port.to_string();
    capture(file, &[server.port], KEPT, || {
        for protocol in ["-2", "-3"] {
            feed(
                Command::new("redis-cli").args([protocol, "-p", &port]),
                "SET cart:1 3\nGET cart:1\nLPUSH list a b\nINCR list\nHSET item name \"a b\"\nHGETALL item\nMULTI\nINCR n\nGET n\nEXEC\nNOSUCH\nDEL list\n",
            )?;
        }
        quiet("redis-benchmark", &["-p", &port, "-q", "-n", "16", "-c", "1", "-P", "8", "-t", "set"])
    })
}

fn mysql(file: &Path) -> Result<()> {
    let server = MariaDb::start()?;
    capture(file, &[server.port], KEPT, || {
        feed(
            server.client()?.args(["--force", "shop"]),
            "CREATE TABLE orders (id INT PRIMARY KEY AUTO_INCREMENT, customer VARCHAR(40), total DECIMAL(8,2));
             INSERT INTO orders (customer, total) VALUES ('Ann', 1.5), ('Bob', 2.5);
             SELECT customer, total FROM orders WHERE total > 1 ORDER BY id;
             SELECT price FROM orders;
             INSERT INTO orders (id, customer) VALUES (1, 'again');
             SELEC 1;
             UPDATE orders SET total = total + 1 WHERE customer = 'Ann';
             DROP TABLE orders;",
        )?;
        feed(server.client()?.arg("-pwrong"), "SELECT 1;")
    })
}

fn dns(file: &Path) -> Result<()> {
    let server = Dnsmasq::start()?;
    let port = server.port.to_string();
    capture(file, &[server.port], KEPT, || {
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

fn shop(file: &Path) -> Result<()> {
    let workload = Workload::start()?;
    capture(file, &workload.ports(), KEPT, || (1..=4).try_for_each(|number| workload.round(number)))
}
