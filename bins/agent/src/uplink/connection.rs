//! A connection to a server that no ring of this agent captures.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use metaflow_protocol::ingest_client::IngestClient;
use metaflow_protocol::{HelloRequest, Sender};
use tokio::net::{TcpSocket, TcpStream};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

use super::Exclusions;

/// How long a server may take to accept a connection, and to answer a ping on it.
const CONNECT: Duration = Duration::from_secs(5);
/// How long a server may take to store a batch.
pub(super) const ANSWER: Duration = Duration::from_secs(30);

/// Connects, and agrees with the server on what both speak.
pub(super) async fn connect(
    server: &str,
    sender: &Sender,
    exclusions: &Exclusions,
) -> Result<IngestClient<Channel>, String> {
    let endpoint = Endpoint::from_shared(format!("http://{server}"))
        .map_err(|error| error.to_string())?
        .connect_timeout(CONNECT)
        .http2_keep_alive_interval(CONNECT)
        .keep_alive_timeout(CONNECT)
        .keep_alive_while_idle(true);
    // Resolved before, for the reason of a failure would be lost in the channel's own errors.
    let mut stream = Some(open(server, exclusions).await.map_err(|error| error.to_string())?);
    let connector = tower::service_fn(move |_| {
        // Once broken, the whole connection is made anew, with its greeting.
        let stream = stream.take().ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected));
        async { stream.map(TokioIo::new) }
    });
    let channel = endpoint.connect_with_connector(connector).await.map_err(|error| source_of(&error))?;
    let mut client = IngestClient::new(channel);
    let software = concat!("metaflow-agent ", env!("CARGO_PKG_VERSION")).to_owned();
    let hello = client.hello(HelloRequest { sender: Some(sender.clone()), software });
    match tokio::time::timeout(ANSWER, hello).await {
        Ok(Ok(_)) => Ok(client),
        Ok(Err(status)) => Err(words(&status)),
        Err(_) => Err("it accepts connections but does not answer".to_owned()),
    }
}

/// Tries the addresses of the server one after the other.
async fn open(server: &str, exclusions: &Exclusions) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "its name has no address");
    for remote in tokio::net::lookup_host(server).await? {
        match tokio::time::timeout(CONNECT, open_to(remote, exclusions)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = error,
            Err(_) => last = io::ErrorKind::TimedOut.into(),
        }
    }
    Err(last)
}

async fn open_to(remote: SocketAddr, exclusions: &Exclusions) -> io::Result<TcpStream> {
    let (socket, any) = match remote {
        SocketAddr::V4(_) => (TcpSocket::new_v4()?, Ipv4Addr::UNSPECIFIED.into()),
        SocketAddr::V6(_) => (TcpSocket::new_v6()?, Ipv6Addr::UNSPECIFIED.into()),
    };
    // Bound first, so that the port is known before there is anything to capture.
    socket.bind(SocketAddr::new(any, 0))?;
    exclusions.add(socket.local_addr()?.port(), remote).map_err(io::Error::other)?;
    let stream = socket.connect(remote).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// What a status says, in words for a user.
pub(super) fn words(status: &Status) -> String {
    match status.code() {
        Code::Unimplemented if status.message().is_empty() => "what answers there is no MetaFlow server".to_owned(),
        Code::Unknown | Code::Unavailable if status.message().is_empty() => "the connection broke".to_owned(),
        _ if status.message().is_empty() => status.code().description().to_owned(),
        _ => status.message().to_owned(),
    }
}

/// The innermost cause, which says most.
fn source_of(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}
