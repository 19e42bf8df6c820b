//! Requests to a ClickHouse's HTTP interface (ClickHouse documentation, "HTTP interface").

use std::collections::VecDeque;
use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::{HeaderMap, HeaderValue};
use http::{Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use crate::error::{Short, chain, exception};
use crate::{Address, Options, RequestError};

/// Bytes of an error's text that are read, and of a failed answer's end that is searched for one.
const ERROR_BYTES: usize = 64 << 10;
/// Bytes of an answer that is text.
const TEXT_BYTES: usize = 64 << 20;

/// The hosts of one address, asked one after the other until one can be reached.
#[derive(Debug)]
pub(crate) struct Http {
    client: Client<HttpConnector, Full<Bytes>>,
    hosts: Vec<String>,
    /// The host that answered last.
    current: AtomicUsize,
    login: HeaderMap,
    silence: Duration,
}

/// The settings of a request, as they stand in its URL. Names and values are the store's own words and numbers.
pub(crate) type Settings = str;

impl Http {
    pub(crate) fn new(address: &Address, options: &Options) -> Result<Self, RequestError> {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(options.connect));
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(options.keep_alive)
            .pool_max_idle_per_host(if options.keep_alive.is_zero() { 0 } else { usize::MAX })
            .build(connector);
        let mut login = HeaderMap::new();
        for (name, text) in [("x-clickhouse-user", &address.user), ("x-clickhouse-key", &address.password)] {
            if !text.is_empty() {
                let mut value = HeaderValue::from_bytes(text.as_bytes()).map_err(|_| RequestError::Nonsense {
                    host: address.to_string(),
                    reason: "user or password cannot be sent".to_owned(),
                })?;
                value.set_sensitive(true);
                login.insert(name, value);
            }
        }
        let hosts = address.hosts.clone();
        Ok(Self { client, hosts, current: AtomicUsize::new(0), login, silence: options.silence })
    }

    pub(crate) fn hosts(&self) -> usize {
        self.hosts.len()
    }

    /// Sends a statement, with its data if it has any behind it, to the first host that can be reached.
    pub(crate) async fn send(&self, settings: &Settings, body: impl Into<Bytes>) -> Result<Answer, RequestError> {
        let body = body.into();
        let first = self.current.load(Ordering::Relaxed);
        let mut tried = 0;
        loop {
            let host = (first + tried) % self.hosts.len();
            tried += 1;
            match self.send_to(host, settings, body.clone()).await {
                Err(RequestError::Unreachable { .. }) if tried < self.hosts.len() => {}
                answer => {
                    self.current.store(host, Ordering::Relaxed);
                    return answer;
                }
            }
        }
    }

    /// Sends a statement to one host.
    pub(crate) async fn send_to(&self, host: usize, settings: &Settings, body: Bytes) -> Result<Answer, RequestError> {
        let host = self.hosts.get(host).cloned().unwrap_or_default();
        let nonsense = |reason: String| RequestError::Nonsense { host: host.clone(), reason };
        let uri: Uri = format!("http://{host}/?{settings}").parse().map_err(|_| nonsense("no such URL".to_owned()))?;
        let mut request = Request::post(uri).body(Full::new(body)).map_err(|error| nonsense(error.to_string()))?;
        request.headers_mut().extend(self.login.clone());
        let sent = self.client.request(request);
        let answer = self.in_time(&host, sent).await?.map_err(|error| {
            let reason = chain(&error);
            if error.is_connect() {
                RequestError::Unreachable { host: host.clone(), reason }
            } else {
                RequestError::Cut { host: host.clone(), reason }
            }
        })?;
        let (head, body) = answer.into_parts();
        let answer = Answer { host, body, silence: self.silence, end: VecDeque::new() };
        if head.status == StatusCode::OK {
            Ok(answer)
        } else {
            Err(answer.refusal(&Response::from_parts(head, ())).await)
        }
    }

    async fn in_time<F: Future>(&self, host: &str, future: F) -> Result<F::Output, RequestError> {
        in_time(self.silence, host, future).await
    }
}

async fn in_time<F: Future>(silence: Duration, host: &str, future: F) -> Result<F::Output, RequestError> {
    let silent = || RequestError::Silent { host: host.to_owned(), seconds: silence.as_secs() };
    tokio::time::timeout(silence, future).await.map_err(|_| silent())
}

/// The body of an answer, piece by piece. Dropping it before its end closes the connection, which ends the work behind it.
#[derive(Debug)]
pub(crate) struct Answer {
    host: String,
    body: Incoming,
    silence: Duration,
    /// The last pieces, in which a server that fails half-way says why.
    end: VecDeque<Bytes>,
}

impl Answer {
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// The next piece; none at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, RequestError> {
        loop {
            let frame = match in_time(self.silence, &self.host, self.body.frame()).await? {
                None => return Ok(None),
                Some(Ok(frame)) => frame,
                Some(Err(error)) => return Err(self.cut(chain(&error))),
            };
            // Frames of another sort are trailers.
            if let Ok(piece) = frame.into_data() {
                self.remember(&piece);
                return Ok(Some(piece));
            }
        }
    }

    /// Why an answer that ended too early did so: the server's own words, if its last ones were an exception.
    pub(crate) fn cut(&self, reason: String) -> RequestError {
        let end: Vec<u8> = self.end.iter().flatten().copied().collect();
        exception(&end[end.len().saturating_sub(ERROR_BYTES)..])
            .unwrap_or_else(|| RequestError::Cut { host: self.host.clone(), reason })
    }

    /// All of it, as text that is not long.
    pub(crate) async fn text(mut self) -> Result<String, RequestError> {
        let mut text = Vec::new();
        while let Some(piece) = self.next().await? {
            if text.len() + piece.len() > TEXT_BYTES {
                return Err(RequestError::TooLarge { limit: TEXT_BYTES });
            }
            text.extend_from_slice(&piece);
        }
        // Servers before 2025 end an answer in due form when they fail half-way.
        if text.windows(15).any(|window| window == b"DB::Exception: ") {
            return Err(self.cut("an exception".to_owned()));
        }
        String::from_utf8(text).map_err(|_| RequestError::Nonsense {
            host: self.host,
            reason: "no text where text was asked for".to_owned(),
        })
    }

    fn remember(&mut self, piece: &Bytes) {
        self.end.push_back(piece.clone());
        let mut bytes: usize = self.end.iter().map(Bytes::len).sum();
        while let Some(first) = self.end.front().filter(|first| bytes - first.len() >= ERROR_BYTES) {
            bytes -= first.len();
            self.end.pop_front();
        }
    }

    /// The error of an answer that is none.
    async fn refusal(mut self, head: &Response<()>) -> RequestError {
        let mut said = Vec::new();
        while said.len() < ERROR_BYTES {
            match self.next().await {
                Ok(Some(piece)) => said.extend_from_slice(&piece[..piece.len().min(ERROR_BYTES)]),
                _ => break,
            }
        }
        if let Some(error) = exception(&said) {
            return error;
        }
        let words = String::from_utf8_lossy(&said);
        let message = format!("HTTP {}: {}", head.status(), Short(words.trim()));
        match head.headers().get("x-clickhouse-exception-code").and_then(|code| code.to_str().ok()?.parse().ok()) {
            Some(code) => RequestError::Refused { code, message },
            None => RequestError::Nonsense { host: self.host, reason: message },
        }
    }
}
