use std::collections::HashSet;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures::StreamExt;
use pgwire::api::{ClientInfo, DefaultClient, NoopHandler, PgWireConnectionState};
use pgwire::error::{ErrorInfo, PgWireError};
use pgwire::messages::PgWireFrontendMessage as Message;
use pgwire::tokio::server::{PgWireMessageServerCodec, process_error, process_message};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio_util::codec::Framed;

use super::handler::{Handlers, Planned};

/// Statements, and portals, that one connection may have by name.
const NAMED: usize = 1000;
/// Codes in the place of a protocol version (PostgreSQL documentation, 55.7).
const SSL_REQUEST: u32 = 80_877_103;
const GSS_REQUEST: u32 = 80_877_104;

/// Serves one client. `longest` bounds a message in bytes, `patience` the time until the client has said who it is.
pub(super) async fn serve(
    stream: TcpStream,
    handlers: Arc<Handlers>,
    longest: usize,
    patience: Duration,
) -> io::Result<()> {
    let address = stream.peer_addr()?;
    // Answers are written in several pieces, and clients wait for each.
    stream.set_nodelay(true)?;
    let begun = tokio::time::timeout(patience, begin(stream, longest)).await;
    let stream = begun.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    let mut client = DefaultClient::<Planned>::new(address, false);
    client.set_state(PgWireConnectionState::AwaitingStartup);
    let mut socket = Framed::new(stream, PgWireMessageServerCodec::new(client));
    let mut named = Named::default();
    loop {
        let starting = matches!(
            socket.state(),
            PgWireConnectionState::AwaitingStartup | PgWireConnectionState::AuthenticationInProgress
        );
        let message = match starting {
            true => tokio::time::timeout(patience, socket.next())
                .await
                .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?,
            false => socket.next().await,
        };
        let message = match message {
            None | Some(Ok(Message::Terminate(_))) => return Ok(()),
            Some(Ok(message)) => message,
            Some(Err(error)) => return Err(error.into()),
        };
        let extended = message.is_extended_query();
        let cancelling = matches!(message, Message::CancelRequest(_));
        let done = match named.count(&message) {
            Ok(()) => {
                let (session, cancel) = (&handlers.session, Arc::clone(&handlers.cancel));
                let session = || Arc::clone(session);
                // Nothing is copied in or out.
                let copy = Arc::new(NoopHandler);
                process_message(message, &mut socket, session(), session(), session(), copy, cancel).await
            }
            Err(error) => Err(error),
        };
        if let Err(error) = done {
            let fatal = error.is_fatal();
            process_error(&mut socket, error, extended).await?;
            if fatal {
                return Ok(());
            }
        }
        if cancelling {
            return Ok(());
        }
    }
}

/// Declines encryption as often as a client may ask for it; what it says then is left to be read.
async fn begin(mut stream: TcpStream, longest: usize) -> io::Result<Bounded> {
    let mut said = [0; 8];
    for _ in 0..3 {
        stream.read_exact(&mut said).await?;
        let code = u32::from_be_bytes([said[4], said[5], said[6], said[7]]);
        if code != SSL_REQUEST && code != GSS_REQUEST {
            return Ok(Bounded { stream, said: said.to_vec(), lengths: Lengths { longest, ..Lengths::default() } });
        }
        stream.write_all(b"N").await?;
    }
    Err(io::Error::new(io::ErrorKind::InvalidData, "the client does nothing but ask for encryption"))
}

/// What a client has named and not closed: each holds a plan.
#[derive(Debug, Default)]
struct Named {
    statements: HashSet<String>,
    portals: HashSet<String>,
}

impl Named {
    fn count(&mut self, message: &Message) -> Result<(), PgWireError> {
        let (names, name) = match message {
            Message::Parse(parse) => (&mut self.statements, parse.name.as_deref()),
            Message::Bind(bind) => (&mut self.portals, bind.portal_name.as_deref()),
            Message::Close(close) => {
                let names = if close.target_type == b'S' { &mut self.statements } else { &mut self.portals };
                names.remove(close.name.as_deref().unwrap_or_default());
                return Ok(());
            }
            _ => return Ok(()),
        };
        let Some(name) = name.filter(|name| !name.is_empty()) else { return Ok(()) };
        if names.len() >= NAMED && !names.contains(name) {
            let text = format!("a connection has at most {NAMED} prepared statements: close some");
            return Err(PgWireError::UserError(Box::new(ErrorInfo::new("ERROR".into(), "53400".into(), text))));
        }
        names.insert(name.to_owned());
        Ok(())
    }
}

/// A connection on which no message is longer than allowed: messages are buffered whole before they are read.
#[derive(Debug)]
struct Bounded {
    stream: TcpStream,
    /// Read already, to be handed on first.
    said: Vec<u8>,
    lengths: Lengths,
}

impl AsyncRead for Bounded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        if self.said.is_empty() {
            ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        } else {
            let length = self.said.len().min(buffer.remaining());
            let rest = self.said.split_off(length);
            buffer.put_slice(&self.said);
            self.said = rest;
        }
        let fresh = buffer.filled().get(before..).unwrap_or_default();
        Poll::Ready(self.lengths.pass(fresh))
    }
}

impl AsyncWrite for Bounded {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// Follows the lengths of messages: a length alone for the first one, a type byte and a length for the others.
#[derive(Debug, Default)]
struct Lengths {
    longest: usize,
    /// The first message has passed.
    begun: bool,
    header: Vec<u8>,
    /// Bytes of the present message still to come.
    left: usize,
}

impl Lengths {
    fn pass(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            if self.left > 0 {
                let length = self.left.min(bytes.len());
                self.left -= length;
                bytes = bytes.get(length..).unwrap_or_default();
                continue;
            }
            let wanted = if self.begun { 5 } else { 4 };
            let length = (wanted - self.header.len()).min(bytes.len());
            let (head, rest) = bytes.split_at(length);
            self.header.extend_from_slice(head);
            bytes = rest;
            if self.header.len() == wanted {
                let length =
                    self.header.iter().rev().take(4).rev().fold(0usize, |sum, byte| sum << 8 | usize::from(*byte));
                if !(4..=self.longest).contains(&length) {
                    return Err(io::Error::new(io::ErrorKind::InvalidData, format!("a message of {length} bytes")));
                }
                self.left = length - 4;
                self.begun = true;
                self.header.clear();
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_followed_however_the_bytes_are_cut() {
        let mut bytes = vec![0, 0, 0, 8, 0, 3, 0, 0];
        bytes.extend([b'Q', 0, 0, 0, 6, b'x', 0, b'S', 0, 0, 0, 4]);
        let long = [b'Q', 0, 0, 1, 0];
        for step in 1..bytes.len() {
            let mut lengths = Lengths { longest: 100, ..Lengths::default() };
            assert!(bytes.chunks(step).all(|chunk| lengths.pass(chunk).is_ok()));
            assert!(long.chunks(step).any(|chunk| lengths.pass(chunk).is_err()), "256 bytes are too many");
        }
        assert!(Lengths { longest: 100, ..Lengths::default() }.pass(&[0, 0, 0, 3]).is_err());
    }
}
