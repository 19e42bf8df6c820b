//! The agent never captures its own uplink.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use flow_core::Endpoint;
use metaflow_packet_capture::{Connection, FilterError, RingFilter, RingOptions};

/// The connections to leave out, and the rings that leave them out. Clones are one and the same.
#[derive(Clone, Default)]
pub(crate) struct Exclusions(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    /// The latest last. Those before it may still have a packet or two to come.
    connections: VecDeque<Connection>,
    filters: Vec<RingFilter>,
}

impl Inner {
    fn apply(&self) -> Result<(), FilterError> {
        let connections: Vec<_> = self.connections.iter().copied().collect();
        self.filters.iter().try_for_each(|filter| filter.exclude(&connections))
    }
}

impl Exclusions {
    /// From now on also the connection from a port that is bound already. It is not made yet, so not its first packet is captured.
    pub(super) fn add(&self, port: u16, remote: SocketAddr) -> Result<(), FilterError> {
        let any = if remote.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let mut inner = self.lock();
        inner.connections.push_back(Connection { local: SocketAddr::new(any, port), remote });
        if inner.connections.len() > RingOptions::MAX_EXCLUDED {
            inner.connections.pop_front();
        }
        inner.apply()
    }

    /// What a ring that is opened now leaves out.
    pub(crate) fn connections(&self) -> Vec<Connection> {
        self.lock().connections.iter().copied().collect()
    }

    /// Whether this connection is one of those to leave out.
    pub(crate) fn leave_out(&self, client: Endpoint, server: Endpoint) -> bool {
        let is = |connection: &Connection| {
            connection.local.port() == client.port() && Endpoint::Ip(connection.remote) == server
        };
        self.lock().connections.iter().any(is)
    }

    /// These are the rings from now on.
    pub(crate) fn watch(&self, filters: Vec<RingFilter>) -> Result<(), FilterError> {
        let mut inner = self.lock();
        inner.filters = filters;
        inner.apply()
    }

    /// A panic elsewhere leaves the lists as they are: whole.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
