//! What is to be known of processes beside their events: what `/proc` says, and their TLS libraries.

use std::collections::BTreeSet;
use std::path::Path;

use ebpf_tracer::events::ProcessEvent;
use ebpf_tracer::{ConnectionState, Event, Kernel, Proc, TlsHooks, TlsLibrary, TlsWatch, Tracer};
use flow_core::{Endpoint, Sides};

use super::happened::Happened;
use super::paths::Paths;

/// Where processes are looked up.
const PROC: &str = "/proc";

/// Looks things up.
#[derive(Default)]
pub(super) struct Surroundings {
    proc: Proc,
    tls: TlsWatch,
    pub(super) paths: Paths,
    /// What is attached to libraries, for as long as this lives.
    hooks: Vec<TlsHooks>,
}

impl Surroundings {
    /// What is there already: processes, ports that are listened to, TLS libraries.
    pub(super) fn look_around(&mut self, tracer: &mut Tracer, kernel: &mut Kernel, happened: &mut Vec<Happened>) {
        let Self { proc, tls, hooks, .. } = self;
        tls.attach_to_installed(|library| attach(kernel, hooks, library));
        let mut namespaces = BTreeSet::new();
        let mut unseen = Vec::new();
        for process in proc.processes().into_iter().flatten() {
            let pid = process.pid;
            tracer.insert(process);
            // It may be gone, or not be this user's to look at.
            _ = tls.look_at(Path::new(PROC), pid, |library| attach(kernel, hooks, library), &mut unseen);
            let Some(netns) = proc.network_namespace(pid).ok().filter(|netns| namespaces.insert(*netns)) else {
                continue;
            };
            let connections = proc.connections(pid).unwrap_or_default();
            let listening = connections.iter().filter(|connection| connection.state == ConnectionState::Listen);
            listening.for_each(|connection| tracer.listening(netns, connection.local.port(), true));
        }
        happened.extend(unseen.iter().map(|unseen| Happened::unseen(0, unseen)));
    }

    /// Looks up the paths of a connection over Unix sockets that begins, or of one that `pid` takes part in.
    pub(super) fn look_up_paths(&mut self, pid: Option<u32>, client: Endpoint, server: Endpoint) {
        let pid = pid.unwrap_or_else(std::process::id);
        self.paths.look_up(&self.proc, pid, Sides { client, server });
    }

    /// Takes in what an event says of processes.
    pub(super) fn note(&mut self, event: &Event<'_>) {
        if let Event::Process(event, _) = event {
            let header = event.header;
            match event.change {
                ProcessEvent::EXECUTED => self.tls.executed(header.tgid, header.time_ns),
                ProcessEvent::ENDED => self.tls.ended(header.tgid),
                _ => {}
            }
        }
    }

    /// Looks at processes that became others, now or a little later: libraries are loaded when they are needed.
    pub(super) fn look_at_new(
        &mut self,
        now_ns: u64,
        tracer: &mut Tracer,
        kernel: &mut Kernel,
        happened: &mut Vec<Happened>,
    ) {
        let Self { proc, tls, hooks, .. } = self;
        while let Some(pid) = tracer.unread() {
            // It may have ended.
            if let Ok(process) = proc.process(pid) {
                tracer.insert(process);
            }
        }
        let unseen = tls.look_at_due(Path::new(PROC), now_ns, |library| attach(kernel, hooks, library));
        happened.extend(unseen.iter().map(|unseen| Happened::unseen(now_ns, unseen)));
    }
}

fn attach(kernel: &mut Kernel, hooks: &mut Vec<TlsHooks>, library: &TlsLibrary) -> Result<(), String> {
    let attached = kernel.attach_tls(&library.reachable, None).map_err(|error| error.to_string())?;
    hooks.push(attached);
    Ok(())
}
