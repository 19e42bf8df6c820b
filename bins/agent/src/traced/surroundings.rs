//! What is to be known of processes beside their events: what `/proc` says, and their TLS libraries.

use std::collections::BTreeSet;
use std::path::Path;

use ebpf_tracer::events::ProcessEvent;
use ebpf_tracer::{
    ConnectionState, Entry, Event, Kernel, Proc, Snapshot, TlsHooks, TlsLibrary, TlsUnseen, TlsWatch, Tracer,
};

use super::work::Recorder;

/// Where processes are looked up.
const PROC: &str = "/proc";

/// Looks things up.
#[derive(Default)]
pub(super) struct Surroundings {
    proc: Proc,
    tls: TlsWatch,
    /// What is attached to libraries, for as long as this lives.
    hooks: Vec<TlsHooks>,
}

impl Surroundings {
    /// What is there already: processes, ports that are listened to, TLS libraries. Gives those that cannot be seen into.
    pub(super) fn look_around(
        &mut self,
        tracer: &mut Tracer,
        kernel: &mut Kernel,
        recorder: &mut Recorder,
    ) -> Vec<TlsUnseen> {
        let Self { proc, tls, hooks } = self;
        tls.attach_to_installed(|library| attach(kernel, hooks, library));
        let mut namespaces = BTreeSet::new();
        let mut unseen = Vec::new();
        for process in proc.processes().into_iter().flatten() {
            let pid = process.pid;
            insert(tracer, recorder, process);
            // It may be gone, or not be this user's to look at.
            _ = tls.look_at(Path::new(PROC), pid, |library| attach(kernel, hooks, library), &mut unseen);
            let Some(netns) = proc.network_namespace(pid).ok().filter(|netns| namespaces.insert(*netns)) else {
                continue;
            };
            let connections = proc.connections(pid).unwrap_or_default();
            for connection in connections.iter().filter(|connection| connection.state == ConnectionState::Listen) {
                let (port, is_listening) = (connection.local.port(), true);
                recorder.write(&Entry::Listening { netns, port, is_listening });
                tracer.listening(netns, port, is_listening);
            }
        }
        unseen
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

    /// Looks at processes that became others, now or a little later: libraries are loaded when they are needed. Gives those that cannot be
    /// seen into.
    pub(super) fn look_at_new(
        &mut self,
        now_ns: u64,
        tracer: &mut Tracer,
        kernel: &mut Kernel,
        recorder: &mut Recorder,
    ) -> Vec<TlsUnseen> {
        let Self { proc, tls, hooks } = self;
        while let Some(pid) = tracer.unread() {
            // It may have ended.
            if let Ok(process) = proc.process(pid) {
                insert(tracer, recorder, process);
            }
        }
        tls.look_at_due(Path::new(PROC), now_ns, |library| attach(kernel, hooks, library))
    }
}

fn insert(tracer: &mut Tracer, recorder: &mut Recorder, process: Snapshot) {
    let entry = Entry::Process(process);
    recorder.write(&entry);
    tracer.replay(entry);
}

fn attach(kernel: &mut Kernel, hooks: &mut Vec<TlsHooks>, library: &TlsLibrary) -> Result<(), String> {
    let attached = kernel.attach_tls(&library.reachable, None).map_err(|error| error.to_string())?;
    hooks.push(attached);
    Ok(())
}
