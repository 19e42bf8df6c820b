//! A server to observe on the loopback interface.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

use metaflow_packet_capture::{Ring, RingOptions};
use serde_json::Value;

use crate::program::{PATIENCE, Running};

/// A server of one thread that answers requests without a body, by its own path: `/missing` is not there.
pub(crate) struct Shop(SocketAddr);

impl Shop {
    pub(crate) fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for mut stream in listener.incoming().map(Result::unwrap) {
                let mut request = Vec::new();
                let mut byte = [0];
                while matches!(stream.read(&mut byte), Ok(1)) {
                    request.extend(byte);
                    if request.ends_with(b"\r\n\r\n") {
                        let found = !request.starts_with(b"GET /missing");
                        let status = if found { "200 OK" } else { "404 Not Found" };
                        // At once: several small writes would wait for each other's acknowledgement.
                        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\nok");
                        stream.write_all(answer.as_bytes()).unwrap();
                        request.clear();
                    }
                }
            }
        });
        Self(address)
    }

    /// A connection on which nothing has been asked yet.
    pub(crate) fn connect(&self) -> TcpStream {
        TcpStream::connect(self.0).unwrap()
    }

    pub(crate) fn port(&self) -> u16 {
        self.0.port()
    }

    /// Three requests on one connection, one of them for what is not there.
    pub(crate) fn visit(&self) {
        let mut stream = self.connect();
        for path in ["/cart/1", "/missing", "/cart/2"] {
            stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: shop\r\n\r\n").as_bytes()).unwrap();
            let mut response = Vec::new();
            let mut byte = [0];
            while !response.ends_with(b"\r\n\r\nok") {
                stream.read_exact(&mut byte).unwrap();
                response.extend(byte);
            }
        }
    }

    /// Whether a record is about this server.
    pub(crate) fn serves(&self, record: &Value) -> bool {
        record["server"] == self.0.to_string()
    }
}

/// Says why a test has nothing to do.
pub(crate) fn cannot_capture() -> bool {
    let refused = Ring::open("lo", &RingOptions::default()).err();
    if let Some(error) = &refused {
        println!("skipped: {error}");
    }
    refused.is_some()
}

/// The next records about a server.
pub(crate) fn collect(agent: &Running, shop: &Shop, count: usize) -> Vec<Value> {
    let mut found = Vec::new();
    while found.len() < count {
        let line = agent.stdout.recv_timeout(PATIENCE).expect("a record");
        let record: Value = serde_json::from_str(&line).unwrap();
        if shop.serves(&record) {
            found.push(record);
        }
    }
    found
}
