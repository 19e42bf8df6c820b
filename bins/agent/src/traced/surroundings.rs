//! What is to be known of processes beside their events: what `/proc` says, and their TLS libraries.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::Path;

use ebpf_tracer::events::ProcessEvent;
use ebpf_tracer::{
    ConnectionState, Entry, Event, Kernel, Proc, Snapshot, TlsHooks, TlsLibrary, TlsUnseen, TlsWatch, Tracer,
};
use tracing::warn;

use super::work::Recorder;
use crate::failure::Failure;

/// Where processes are looked up.
pub(super) const PROC: &str = "/proc";

/// Looks things up.
pub(super) struct Surroundings {
    /// `None` where numbers of processes are other ones than the kernel's.
    proc: Option<Proc>,
    tls: TlsWatch,
    /// What is attached to libraries, for as long as this lives.
    hooks: Vec<TlsHooks>,
}

impl Surroundings {
    /// Whether numbers of processes are the kernel's in `/proc`.
    pub(super) fn new(has_numbers: bool) -> Self {
        Self { proc: has_numbers.then(Proc::default), tls: TlsWatch::default(), hooks: Vec::new() }
    }

    /// What is there already: processes, ports that are listened to, TLS libraries.
    pub(super) fn look_around(&mut self, tracer: &mut Tracer, kernel: &mut Kernel, recorder: &mut Recorder) {
        let Self { proc, tls, hooks } = self;
        for why in tls.attach_to_installed(|library| attach(kernel, hooks, library)) {
            warn!("what goes through a TLS library stays encrypted: {why}");
        }
        let Some(proc) = proc else { return };
        let (mut namespaces, mut closed) = (BTreeSet::new(), 0_usize);
        for process in proc.processes().into_iter().flatten() {
            let pid = process.pid;
            insert(tracer, recorder, process);
            // It may be gone.
            _ = tls.look_at(Path::new(PROC), pid, |library| attach(kernel, hooks, library));
            let netns = proc.network_namespace(pid);
            closed += usize::from(netns.as_ref().is_err_and(|error| error.kind() == ErrorKind::PermissionDenied));
            let Some(netns) = netns.ok().filter(|netns| namespaces.insert(*netns)) else { continue };
            let connections = proc.connections(pid).unwrap_or_default();
            for connection in connections.iter().filter(|connection| connection.state == ConnectionState::Listen) {
                let (port, is_listening) = (connection.local.port(), true);
                recorder.write(&Entry::Listening { netns, port, is_listening });
                tracer.listening(netns, port, is_listening);
            }
        }
        if closed > 0 {
            warn!(
                processes = closed,
                "some processes may not be looked into, which takes CAP_SYS_PTRACE: their TLS is seen where it is the system's OpenSSL, else not"
            );
        }
    }

    /// Takes in what an event says of processes.
    pub(super) fn note(&mut self, event: &Event<'_>) {
        if let Event::Process(event, _) = event {
            let header = event.header;
            match event.change {
                ProcessEvent::EXECUTED => self.tls.executed(header.tgid, header.time_ns),
                ProcessEvent::ENDED => self.tls.ended(header.tgid, header.time_ns),
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
        recorder: &mut Recorder,
    ) {
        let Self { proc, tls, hooks } = self;
        let Some(proc) = proc else { return };
        while let Some(pid) = tracer.unread() {
            // It may have ended.
            if let Ok(process) = proc.process(pid) {
                insert(tracer, recorder, process);
            }
        }
        tls.look_at_due(Path::new(PROC), now_ns, |library| attach(kernel, hooks, library));
    }

    /// What a process has loaded that may be why its plaintext was not seen.
    pub(super) fn why_unseen(&mut self, pid: u32, kernel: &mut Kernel) -> &[TlsUnseen] {
        let Self { proc, tls, hooks } = self;
        if proc.is_some() {
            // It may have loaded something since, or be gone.
            _ = tls.look_at(Path::new(PROC), pid, |library| attach(kernel, hooks, library));
        }
        tls.unseen(pid)
    }
}

/// Follows what these processes started before they were followed. What they start since is followed by the kernel itself.
pub(super) fn follow_with_children(kernel: &mut Kernel, mut named: BTreeSet<u32>) -> Result<(), Failure> {
    let proc = Proc::default();
    if let Some(gone) = named.iter().find(|pid| proc.process(**pid).is_err()) {
        return Err(Failure::unavailable(format!("there is no process {gone}")));
    }
    loop {
        let processes = proc.processes().map_err(|error| Failure::from_io("cannot read /proc", &error))?;
        let children: Vec<_> = processes.filter(|process| named.contains(&process.parent)).collect();
        let new: Vec<_> = children.into_iter().filter(|process| named.insert(process.pid)).collect();
        if new.is_empty() {
            return Ok(());
        }
        for Snapshot { pid, .. } in new {
            kernel.name_process(pid).map_err(|error| {
                Failure::unavailable(format!("cannot tell the kernel to follow process {pid}, too: {error}"))
            })?;
            if proc.process(pid).is_err() {
                // It ended before it was named, and another may have its number one day.
                _ = kernel.unname_process(pid);
            }
        }
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
