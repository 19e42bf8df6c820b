//! Taking connections, no more at once than there is room for.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tracing::debug;

/// A listener that waits with the next connection until there is room for it.
#[derive(Debug)]
pub(crate) struct Acceptor {
    listener: TcpListener,
    free: Arc<Semaphore>,
    stop: CancellationToken,
}

/// How long after a connection that could not be taken: such as too many open files, where going on at once would only spin.
const PAUSE: Duration = Duration::from_millis(50);

impl Acceptor {
    pub(crate) fn new(listener: TcpListener, connections: usize, stop: CancellationToken) -> Self {
        Self { listener, free: Arc::new(Semaphore::new(connections)), stop }
    }

    /// The next connection, and its place among those there is room for; `None` when told to stop.
    pub(crate) async fn next(&self) -> Option<(TcpStream, OwnedSemaphorePermit)> {
        loop {
            let next = async {
                let turn = Arc::clone(&self.free).acquire_owned().await;
                (turn, self.listener.accept().await)
            };
            let (turn, accepted) = tokio::select! {
                next = next => next,
                () = self.stop.cancelled() => return None,
            };
            match accepted {
                Ok((stream, _)) => return Some((stream, turn.ok()?)),
                Err(error) => {
                    debug!(%error, "a connection could not be taken");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }
}
