//! Where a record was observed.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, channel, sync_channel};
use std::thread;
use std::time::Duration;

use flow_core::{Conversation, MetricKey, Sides, Transport};
use metaflow_discovery::{Listeners, LocalAddresses};
use metaflow_packet_capture::Interface;
use metaflow_protocol::build::{Place, Process};

use crate::failure::Failure;
use crate::rights;

/// Knows the place of every record: what is known at one moment, for any number of threads.
pub(crate) enum Places {
    /// All are from a file of this name.
    File(String),
    /// They are from this host's interfaces.
    Live(LivePlaces),
}

impl Places {
    pub(crate) fn of(&self, conversation: &Conversation) -> Place<'_> {
        let Conversation { transport, client, server, interface, .. } = *conversation;
        self.find(transport, client.ip(), SocketAddr::new(server.ip(), server.port()), interface)
    }

    pub(crate) fn of_metric(&self, key: &MetricKey) -> Place<'_> {
        self.find(key.transport, key.client, SocketAddr::new(key.server, key.server_port), key.interface)
    }

    fn find(&self, transport: Transport, client: IpAddr, server: SocketAddr, interface: u32) -> Place<'_> {
        match self {
            Self::File(name) => Place {
                observation_point: "unknown",
                capture: Some(name),
                process: None,
                paths: Sides::default(),
                evidence: None,
            },
            Self::Live(live) => live.find(transport, client, server, interface),
        }
    }
}

/// How often processes and addresses are looked up again.
const REFRESH: Duration = Duration::from_secs(3);
/// How soon after the last time, when a server is met that is not known.
const AFTER_MISS: Duration = Duration::from_secs(1);

/// Interfaces by the kernel's numbers.
pub(crate) type Interfaces = HashMap<u32, Interface>;

/// Places at this host's interfaces.
pub(crate) struct LivePlaces {
    interfaces: Arc<Interfaces>,
    host: Arc<Host>,
    missed: SyncSender<()>,
}

/// Keeps looking at this host, whose processes come and go, on a thread of its own.
pub(crate) struct HostWatch {
    host: Arc<Host>,
    found: Receiver<Arc<Host>>,
    missed: SyncSender<()>,
}

/// What is known of this host at one moment.
struct Host {
    addresses: LocalAddresses,
    listeners: Listeners,
}

impl Host {
    fn read() -> std::io::Result<Self> {
        let proc = Path::new("/proc");
        Ok(Self { addresses: LocalAddresses::read(proc)?, listeners: Listeners::read(proc)? })
    }
}

impl HostWatch {
    pub(crate) fn start() -> Result<Self, Failure> {
        let failed = |error| Failure::from_io("cannot look up this host's addresses and processes", &error);
        let host = Arc::new(Host::read().map_err(failed)?);
        let (sender, found) = channel();
        let (missed, misses) = sync_channel(1);
        let look = move || {
            rights::keep(rights::PROCESSES);
            loop {
                thread::sleep(AFTER_MISS);
                if let Err(RecvTimeoutError::Disconnected) = misses.recv_timeout(REFRESH) {
                    return;
                }
                // What cannot be read for a moment stays as it was.
                if let Ok(host) = Host::read()
                    && sender.send(Arc::new(host)).is_err()
                {
                    return;
                }
            }
        };
        thread::Builder::new().name("metaflow-host".to_owned()).spawn(look).map_err(failed)?;
        Ok(Self { host, found, missed })
    }

    /// Takes over what was found meanwhile. Says whether there is anything.
    pub(crate) fn refresh(&mut self) -> bool {
        let Some(host) = self.found.try_iter().last() else { return false };
        self.host = host;
        true
    }

    /// The places at these interfaces, as far as is known now.
    pub(crate) fn places(&self, interfaces: &Arc<Interfaces>) -> Arc<Places> {
        let (interfaces, host) = (Arc::clone(interfaces), Arc::clone(&self.host));
        Arc::new(Places::Live(LivePlaces { interfaces, host, missed: self.missed.clone() }))
    }
}

impl LivePlaces {
    fn find(&self, transport: Transport, client: IpAddr, server: SocketAddr, interface: u32) -> Place<'_> {
        let interface = self.interfaces.get(&interface);
        let addresses = &self.host.addresses;
        let server_is_local = addresses.contains(server.ip()) || interface.is_some_and(|found| found.loopback);
        let observation_point = match (server_is_local, addresses.contains(client)) {
            (true, _) => "server_nic",
            (false, true) => "client_nic",
            (false, false) => "unknown",
        };
        let process = if server_is_local { self.listener(transport, server) } else { None };
        let capture = interface.map(|found| found.name.as_str());
        Place { observation_point, capture, process, paths: Sides::default(), evidence: None }
    }

    fn listener(&self, transport: Transport, server: SocketAddr) -> Option<Process<'_>> {
        let transport = match transport {
            Transport::Tcp => metaflow_discovery::Transport::Tcp,
            Transport::Udp => metaflow_discovery::Transport::Udp,
            _ => return None,
        };
        let Some(process) = self.host.listeners.find(transport, server) else {
            // If a request to look is waiting already, one is enough.
            let _ = self.missed.try_send(());
            return None;
        };
        let (pid, start_ns, name) = (process.pid, process.start_ns, process.name.as_str());
        Some(Process { pid, start_ns, name, thread: None, container: None })
    }
}
