//! An HTTP server and its client in a few lines, for machines with nothing else.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use anyhow::{Result, ensure};

/// Serves `/`, `/orders/ID`, `/missing` (404), `/broken` (500) and `/slow` on a free port of the loopback interface until the program
/// ends.
#[derive(Debug)]
pub struct OwnServer {
    port: u16,
}

impl OwnServer {
    pub(super) fn start() -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = listener.local_addr()?.port();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A client that goes away ends its connection, nothing else.
                thread::spawn(move || serve(stream));
            }
        });
        Ok(Self { port })
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// Twenty-odd requests on one connection.
    pub(super) fn round(&self, number: u32) -> Result<()> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
        let mut answers = BufReader::new(stream.try_clone()?);
        let orders = (0..20).map(|order| format!("/orders/{}", number * 20 + order));
        for path in orders.chain(["/", "/missing", "/broken", "/slow"].map(Into::into)) {
            write!(stream, "GET {path} HTTP/1.1\r\nHost: shop.test\r\nUser-Agent: shop/1.0\r\n\r\n")?;
            let mut line = String::new();
            let mut length = 0;
            while answers.read_line(&mut line)? > 2 {
                if let Some(value) = line.strip_prefix("Content-Length: ") {
                    length = value.trim().parse()?;
                }
                line.clear();
            }
            let mut body = vec![0; length];
            answers.read_exact(&mut body)?;
            ensure!(length > 0, "the server answered nothing to {path}");
        }
        Ok(())
    }
}

fn serve(mut stream: TcpStream) -> Result<()> {
    let mut requests = BufReader::new(stream.try_clone()?);
    loop {
        let mut first = String::new();
        if requests.read_line(&mut first)? == 0 {
            return Ok(());
        }
        let mut line = String::new();
        while requests.read_line(&mut line)? > 2 {
            line.clear();
        }
        let status = match first.split(' ').nth(1).unwrap_or_default() {
            "/missing" => "404 Not Found",
            "/broken" => "500 Internal Server Error",
            "/slow" => {
                thread::sleep(Duration::from_millis(20));
                "200 OK"
            }
            _ => "200 OK",
        };
        write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{status}", status.len())?;
    }
}
