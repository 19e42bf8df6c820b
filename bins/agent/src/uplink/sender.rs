//! Sends batches one by one, each until the server has said what became of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use metaflow_protocol::ingest_client::IngestClient;
use metaflow_protocol::{AppendRequest, Retry, Sender};
use tokio::time::{sleep, timeout};
use tonic::transport::Channel;
use tracing::{debug, info, warn};

use super::connection::{ANSWER, connect, words};
use super::queue::{Batch, Queue};
use super::{UplinkOptions, identity};

/// One after the other, so that a batch sent again is always among those that the server remembers.
pub(super) struct Sending {
    server: String,
    sender: Sender,
    options: UplinkOptions,
    queue: Arc<Queue>,
    /// The batch that has no answer yet.
    current: Option<Batch>,
    backoff: Duration,
    /// Since when nothing got through.
    away_since: Option<Instant>,
}

/// The first pause after a failure; each further one is twice as long.
const SHORTEST: Duration = Duration::from_millis(100);
/// The longest.
const LONGEST: Duration = Duration::from_secs(10);

impl Sending {
    pub(super) fn new(server: &str, options: UplinkOptions, queue: Arc<Queue>) -> Self {
        Self {
            server: server.to_owned(),
            sender: identity::sender(),
            options,
            queue,
            current: None,
            backoff: SHORTEST,
            away_since: None,
        }
    }

    /// Sends until the queue is closed and empty, or the server was given up.
    pub(super) async fn run(mut self) {
        loop {
            let problem = match connect(&self.server, &self.sender, &self.options.exclusions).await {
                Ok(mut client) => match self.send_all(&mut client).await {
                    Ok(()) => return,
                    Err(problem) => problem,
                },
                Err(problem) => problem,
            };
            if self.is_given_up(&problem) {
                return;
            }
            // At the end there is no time for long pauses.
            tokio::select! {
                () = sleep(self.backoff) => {}
                () = async { self.queue.closed().await; sleep(SHORTEST).await } => {}
            }
            self.backoff = (self.backoff * 2).min(LONGEST);
        }
    }

    /// Ends well when the queue is closed and empty.
    async fn send_all(&mut self, client: &mut IngestClient<Channel>) -> Result<(), String> {
        let mut greeted = false;
        loop {
            if self.current.is_none() {
                self.current = self.queue.next().await;
            }
            let Some(batch) = &self.current else { return Ok(()) };
            let request = AppendRequest {
                sender: Some(Sender { epoch: batch.epoch, ..self.sender.clone() }),
                sequence: batch.sequence,
                table: batch.table.name.to_owned(),
                schema_version: batch.table.version,
                batch: batch.bytes.clone(),
            };
            match timeout(ANSWER, client.append(request)).await {
                Ok(Ok(_)) => self.queue.stored(batch.rows),
                Ok(Err(status)) if Retry::of(&status) == Retry::Never => {
                    let why = words(&status);
                    // Batches are often refused all for one reason, which need not be said every second.
                    if self.queue.refused(batch.rows, &why) {
                        warn!(table = batch.table.name, rows = batch.rows, why, "the server refused a batch");
                    } else {
                        debug!(table = batch.table.name, rows = batch.rows, why, "the server refused a batch");
                    }
                }
                Ok(Err(status)) => return Err(words(&status)),
                Err(_) => return Err(format!("no answer within {} s", ANSWER.as_secs())),
            }
            self.current = None;
            self.backoff = SHORTEST;
            if let Some(since) = self.away_since.take() {
                info!(server = self.server, away_s = since.elapsed().as_secs(), "the server takes records again");
            } else if !greeted {
                info!(server = self.server, "the server takes records");
            }
            greeted = true;
        }
    }

    /// Says once that the server is away, and whether that has lasted too long.
    fn is_given_up(&mut self, problem: &str) -> bool {
        let since = match self.away_since {
            Some(since) => since,
            None => {
                let now = Instant::now();
                warn!(server = self.server, problem, "the server does not take records; trying again");
                *self.away_since.insert(now)
            }
        };
        let given_up = self.options.patience.is_some_and(|patience| since.elapsed() >= patience);
        if given_up {
            self.queue.fail(format!(
                "no server takes records at {} ({problem}): start one with metaflow-server run, or say another with --server",
                self.server
            ));
        }
        given_up
    }
}
