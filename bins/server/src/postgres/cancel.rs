use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use pgwire::api::cancel::CancelHandler;
use pgwire::messages::cancel::CancelRequest;
use pgwire::messages::startup::SecretKey;
use tokio_util::sync::CancellationToken;

/// What runs now, by the key that its connection was given. A client cancels over a connection of its own, by that key.
#[derive(Debug, Default)]
pub(super) struct Running {
    /// At most one entry per connection.
    tokens: Mutex<HashMap<(i32, Bytes), CancellationToken>>,
}

/// A statement that runs. Dropping it forgets it.
#[derive(Debug)]
pub(super) struct Run {
    running: Arc<Running>,
    key: (i32, Bytes),
    pub(super) token: CancellationToken,
}

impl Running {
    pub(super) fn begin(self: &Arc<Self>, (pid, secret): (i32, SecretKey)) -> Run {
        // As bytes: the same key is a number to old clients and bytes to new ones.
        let key = (pid, secret.to_bytes());
        let token = CancellationToken::new();
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner).insert(key.clone(), token.clone());
        Run { running: Arc::clone(self), key, token }
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        self.running.tokens.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}

/// The trait wants a type of its own.
#[derive(Debug)]
pub(super) struct Cancel(pub(super) Arc<Running>);

#[async_trait]
impl CancelHandler for Cancel {
    async fn on_cancel_request(&self, request: CancelRequest) {
        let tokens = self.0.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(token) = tokens.get(&(request.pid, request.secret_key.to_bytes())) {
            token.cancel();
        }
    }
}
