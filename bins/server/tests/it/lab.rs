//! Servers, agents and batches for the tests.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use arrow_array::builder::{FixedSizeBinaryBuilder, MapBuilder, MapFieldNames, StringBuilder, StringDictionaryBuilder};
use arrow_array::types::UInt32Type;
use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, Int64Array, RecordBatch, StringArray, TimestampNanosecondArray, UInt16Array,
    UInt32Array, UInt64Array, new_null_array,
};
use metaflow_protocol::ingest_client::IngestClient;
use metaflow_protocol::tables::CALLS;
use metaflow_protocol::{AppendRequest, Column, Sender, Values, encode_batch};
use metaflow_server::{Config, Limits, Server, StoreAt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::transport::Channel;

pub(crate) const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);
/// 2026-09-21T14:13:20Z
pub(crate) const START: i64 = 1_790_000_000_000_000_000;

pub(crate) fn config(store: StoreAt) -> Config {
    Config {
        store,
        listen: Some(LOOPBACK),
        listen_postgres: Some(LOOPBACK),
        insecure: false,
        limits: Limits::default(),
    }
}

pub(crate) async fn in_memory() -> Server {
    Server::start(config(StoreAt::Memory)).await.unwrap()
}

/// An agent in one life.
pub(crate) struct Agent {
    pub(crate) client: IngestClient<Channel>,
    pub(crate) sender: Sender,
}

impl Agent {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let channel = Channel::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap();
        Self { client: IngestClient::new(channel), sender: Sender::new(7, "node-7", 1) }
    }

    pub(crate) fn request(&self, sequence: u64, batch: &RecordBatch) -> AppendRequest {
        AppendRequest {
            sender: Some(self.sender.clone()),
            sequence,
            table: "calls".to_owned(),
            schema_version: CALLS.version,
            batch: encode_batch(&CALLS, batch).unwrap(),
        }
    }

    pub(crate) async fn send(&mut self, sequence: u64, batch: &RecordBatch) -> Result<u64, tonic::Status> {
        let request = self.request(sequence, batch);
        Ok(self.client.append(request).await?.into_inner().rows)
    }
}

/// Calls whose n-th row has the n-th endpoint, one every millisecond from `first` on.
pub(crate) fn calls(first: u64, endpoints: &[&str]) -> RecordBatch {
    let columns = CALLS.columns.iter().map(|column| call_values(column, first, endpoints)).collect();
    RecordBatch::try_new(CALLS.wire_schema(), columns).unwrap()
}

fn call_values(column: &Column, first: u64, endpoints: &[&str]) -> ArrayRef {
    let count = endpoints.len();
    let numbers = first..first + count as u64;
    let constant = |text: &str| {
        let mut builder = StringDictionaryBuilder::<UInt32Type>::new();
        (0..count).for_each(|_| builder.append_value(text));
        Arc::new(builder.finish()) as ArrayRef
    };
    match (column.name, column.values) {
        ("time", _) => {
            let times = numbers.map(|number| START + number as i64 * 1_000_000);
            Arc::new(TimestampNanosecondArray::from_iter_values(times).with_timezone("+00:00"))
        }
        ("endpoint", _) => {
            let mut builder = StringDictionaryBuilder::<UInt32Type>::new();
            endpoints.iter().for_each(|endpoint| builder.append_value(endpoint));
            Arc::new(builder.finish())
        }
        ("duration_ns", _) => Arc::new(Int64Array::from_iter_values(numbers.map(|number| number as i64 * 1000))),
        ("protocol", _) => constant("http1"),
        ("transport", _) => constant("tcp"),
        ("status", _) => constant("ok"),
        ("request_type", _) => constant("GET"),
        ("kind", _) => constant("request_response"),
        ("observation_point", _) => constant("unknown"),
        ("client_address" | "server_address", _) => {
            let mut builder = FixedSizeBinaryBuilder::new(16);
            for _ in 0..count {
                builder.append_value([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0, 1]).unwrap();
            }
            Arc::new(builder.finish())
        }
        ("client_port", _) => Arc::new(UInt16Array::from_value(40_000, count)),
        ("server_port", _) => Arc::new(UInt16Array::from_value(80, count)),
        ("resource", _) => Arc::new(StringArray::from_iter_values(endpoints)),
        ("trace_id", _) => {
            Arc::new(BinaryArray::from_iter_values(numbers.map(|number| u128::from(number).to_be_bytes())))
        }
        ("attributes", _) => {
            let names = MapFieldNames { entry: "entries".into(), key: "keys".into(), value: "values".into() };
            let mut builder =
                MapBuilder::new(Some(names), StringDictionaryBuilder::<UInt32Type>::new(), StringBuilder::new());
            for number in numbers {
                builder.keys().append_value("user_agent");
                builder.values().append_value(format!("agent \"{number}\""));
                builder.append(true).unwrap();
            }
            Arc::new(builder.finish())
        }
        (_, Values::U64) if !column.nullable => Arc::new(UInt64Array::from_iter_values(numbers)),
        (_, Values::U32) if !column.nullable => Arc::new(UInt32Array::from_value(0, count)),
        (_, Values::Flag) if !column.nullable => Arc::new(BooleanArray::from(vec![true; count])),
        _ => {
            assert!(column.nullable, "{} needs a value", column.name);
            new_null_array(&column.wire_type(), count)
        }
    }
}

/// Sends bytes and reads until the other side closes, as a client without any library would.
pub(crate) async fn raw(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // The other side may have hung up already.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    answer
}

/// `POST /sql`: status, headers and body.
pub(crate) async fn post(address: SocketAddr, path: &str, headers: &str, body: &str) -> (u16, String, String) {
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n{body}",
        body.len()
    );
    let answer = String::from_utf8(raw(address, request.as_bytes()).await).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
    let body = if head.to_lowercase().contains("transfer-encoding: chunked") { unchunk(body) } else { body.to_owned() };
    (status, head.to_owned(), body)
}

fn unchunk(mut body: &str) -> String {
    let mut whole = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap();
        if size == 0 {
            return whole;
        }
        whole += &rest[..size];
        body = &rest[size + 2..];
    }
    panic!("the answer broke off: {whole}");
}

/// The answer to a question over HTTP, as CSV without its header.
pub(crate) async fn ask(address: SocketAddr, sql: &str) -> Vec<String> {
    let (status, _, body) = post(address, "/sql?format=csv", "", sql).await;
    assert_eq!(status, 200, "{sql}: {body}");
    body.lines().skip(1).map(str::to_owned).collect()
}

/// A server in a process of its own.
pub(crate) struct Process {
    pub(crate) child: Child,
    pub(crate) address: SocketAddr,
}

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_metaflow-server");

impl Process {
    pub(crate) fn start(data: &Path) -> Self {
        use std::io::{BufRead, BufReader};
        let mut child = Command::new(PROGRAM)
            // The rows of the tests have a fixed time.
            .args(["run", "--listen", "127.0.0.1:0", "--data"])
            .arg(data)
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut seen = Vec::new();
        let address = loop {
            let Some(Ok(line)) = lines.next() else { panic!("the server did not begin: {seen:?}") };
            if let Some((_, address)) = line.split_once("address=") {
                break address.trim().parse().unwrap();
            }
            seen.push(line);
        };
        // The pipe must be read, or the server stops at its next line.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, address }
    }

    pub(crate) fn signal(&self, signal: i32) {
        let pid = rustix::process::Pid::from_child(&self.child);
        let signal = rustix::process::Signal::from_named_raw(signal).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
