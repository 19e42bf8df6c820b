//! The agent never captures its own uplink.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

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

impl Exclusions {
    /// From now on also the connection from a port that is bound already. It is not made yet, so not its first packet is captured.
    pub(super) fn add(&self, port: u16, remote: SocketAddr) -> Result<(), FilterError> {
        let any = if remote.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let mut inner = self.lock();
        inner.connections.push_back(Connection { local: SocketAddr::new(any, port), remote });
        if inner.connections.len() > RingOptions::MAX_EXCLUDED {
            inner.connections.pop_front();
        }
        let connections: Vec<_> = inner.connections.iter().copied().collect();
        inner.filters.iter().try_for_each(|filter| filter.exclude(&connections))
    }

    /// Tells a new ring too, now and from now on.
    pub(crate) fn watch(&self, filter: RingFilter) -> Result<(), FilterError> {
        let mut inner = self.lock();
        let connections: Vec<_> = inner.connections.iter().copied().collect();
        filter.exclude(&connections)?;
        inner.filters.push(filter);
        Ok(())
    }

    /// A panic elsewhere leaves the lists as they are: whole.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
