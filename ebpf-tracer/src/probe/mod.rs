//! What of tracing works on this machine: each part is tried, not concluded from version numbers.

mod rights;

use std::fs;
use std::path::Path;

use aya::maps::MapType;
use aya::programs::ProgramType;
use aya::sys::{is_map_supported, is_program_supported};

use crate::kernel::{Hooks, Kernel, KernelLimits};
use crate::tls::{TlsKind, TlsLibraries, TlsLibrary, TlsWatch};
pub use rights::Rights;

/// Something that tracing rests on, and what was found of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What it is, in one word.
    pub feature: &'static str,
    /// What it serves for.
    pub purpose: &'static str,
    /// What it takes.
    pub needs: &'static str,
    /// What was found.
    pub has: String,
    /// What to do about it; `None` if it works.
    pub mend: Option<String>,
}

impl Finding {
    /// Something that was looked at.
    #[must_use]
    pub fn new(feature: &'static str, purpose: &'static str, needs: &'static str, found: Found) -> Self {
        let (has, mend) = match found {
            Found::Works(has) => (has, None),
            Found::Missing { has, mend } => (has, Some(mend)),
        };
        Self { feature, purpose, needs, has, mend }
    }

    /// Whether it works.
    #[must_use]
    pub fn works(&self) -> bool {
        self.mend.is_none()
    }
}

/// What was found of a feature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// It works; what there is of it.
    Works(String),
    /// It does not.
    Missing {
        /// What was found instead.
        has: String,
        /// What to do about it.
        mend: String,
    },
}

impl Found {
    /// Something is missing.
    pub fn missing(has: impl Into<String>, mend: impl Into<String>) -> Self {
        Self::Missing { has: has.into(), mend: mend.into() }
    }
}

/// Tries everything that the tracer needs of this machine. Takes some tenths of a second; nothing stays loaded.
#[must_use]
pub fn probe() -> Vec<Finding> {
    vec![
        Finding::new(
            "kernel_types",
            "places in the kernel's structures",
            "BTF in /sys/kernel/btf/vmlinux",
            kernel_types(),
        ),
        Finding::new("ring_buffer", "events out of the kernel", "Linux 5.8, CAP_BPF", ring_buffer()),
        Finding::new(
            "system_calls",
            "what processes send and receive, without TLS",
            "Linux 5.17, all of the above, CAP_PERFMON",
            system_calls(),
        ),
        Finding::new(
            "datagram_peers",
            "who sends datagrams to servers",
            "where sockets are hooked into, CAP_NET_ADMIN and control groups of version 2",
            datagram_peers(),
        ),
        Finding::new(
            "uprobe",
            "plaintext of TLS libraries",
            "CONFIG_UPROBE_EVENTS, CAP_PERFMON, since Linux 6.17 CAP_SYS_ADMIN",
            uprobe(),
        ),
        Finding::new(
            "processes",
            "names, files and libraries of all processes",
            "CAP_SYS_PTRACE, or root",
            processes(),
        ),
        Finding::new(
            "tls_libraries",
            "what is encrypted",
            "libraries whose plaintext can be seen",
            tls_libraries(Path::new("/proc")),
        ),
    ]
}

fn kernel_types() -> Found {
    match fs::metadata("/sys/kernel/btf/vmlinux") {
        Ok(file) => Found::Works(format!("{} bytes of BTF", file.len())),
        Err(error) => Found::missing(
            error.to_string(),
            "run a kernel built with CONFIG_DEBUG_INFO_BTF=y (all large distributions since 2021), and in a container mount /sys",
        ),
    }
}

fn ring_buffer() -> Found {
    match is_map_supported(MapType::RingBuf) {
        Ok(true) => Found::Works("a ring buffer could be made".to_owned()),
        Ok(false) => Found::missing("this kernel has none", "Linux 5.8 or later is needed"),
        Err(error) => refused(&error.io_error),
    }
}

/// Enough for a moment.
const SMALL: KernelLimits =
    KernelLimits { ring_bytes: 1 << 16, threads: 64, processes: 1, cgroups: 1, hooks: Hooks::Auto };

/// Loads what observes processes, and attaches it, for a moment in which nobody is followed.
fn system_calls() -> Found {
    match Kernel::load(&SMALL) {
        Ok(kernel) => {
            let place = match (kernel.hooks(), Hooks::missing()) {
                (Hooks::SystemCalls, Some(missing)) => format!("system calls, as the kernel has no {missing}"),
                (Hooks::SystemCalls, None) => "system calls".to_owned(),
                (Hooks::Sockets | Hooks::Auto, _) => "sockets, which cost other system calls nothing".to_owned(),
            };
            Found::Works(format!("{} programs could be loaded and attached: to {place}", kernel.programs().count()))
        }
        Err(error) => Found::missing(error.to_string(), "see what it has; what stands above comes first"),
    }
}

fn datagram_peers() -> Found {
    match Kernel::load(&SMALL) {
        Ok(kernel) => match kernel.knows_peers() {
            Ok(()) => Found::Works("they can be seen".to_owned()),
            Err(error) => Found::missing(
                error.to_string(),
                "run as root, or with CAP_NET_ADMIN besides, and in a container mount /sys/fs/cgroup",
            ),
        },
        Err(error) => Found::missing(error.to_string(), "see what it has; what stands above comes first"),
    }
}

fn uprobe_programs() -> Found {
    match is_program_supported(ProgramType::KProbe) {
        Ok(true) => Found::Works("a program could be loaded".to_owned()),
        Ok(false) => Found::missing("this kernel has no such programs", "a kernel with CONFIG_BPF_EVENTS is needed"),
        Err(aya::programs::ProgramError::SyscallError(error)) => refused(&error.io_error),
        Err(error) => Found::missing(error.to_string(), "see the reason at the left"),
    }
}

fn uprobe() -> Found {
    if let Err(error) = fs::metadata("/sys/bus/event_source/devices/uprobe/type") {
        return Found::missing(
            format!("/sys/bus/event_source/devices/uprobe/type: {error}"),
            "a kernel with CONFIG_UPROBE_EVENTS=y is needed, and in a container /sys",
        );
    }
    match uprobe_programs() {
        Found::Works(_) => tls_hooks(),
        missing @ Found::Missing { .. } => missing,
    }
}

/// Attaches to the libraries of this system, for a moment in which nobody is followed.
fn tls_hooks() -> Found {
    let mut kernel = match Kernel::load(&SMALL) {
        Ok(kernel) => kernel,
        Err(error) => return Found::missing(error.to_string(), "see what it has; what stands above comes first"),
    };
    let mut watch = TlsWatch::default();
    let attach =
        |library: &TlsLibrary| kernel.attach_tls(&library.reachable, None).map(drop).map_err(|error| error.to_string());
    match watch.attach_to_installed(attach).into_iter().next() {
        None => Found::Works(format!("programs could be attached to {} of this system's libraries", watch.attached())),
        Some(why) => Found::missing(why, "run as root, or with what it takes"),
    }
}

/// Says why the kernel refused, as far as can be known.
fn refused(error: &std::io::Error) -> Found {
    let rights = Rights::of_this_process();
    let missing: Vec<_> = ["CAP_BPF", "CAP_PERFMON"].into_iter().filter(|name| !rights.has(name)).collect();
    let mend = if missing.is_empty() {
        format!("the kernel refuses it in spite of the rights: {}", restrictions())
    } else {
        format!("run as root, or with {}", missing.join(" and "))
    };
    Found::missing(error.to_string(), mend)
}

/// What else may forbid loading programs.
fn restrictions() -> String {
    let read =
        |path: &str| fs::read_to_string(path).map_or_else(|_| "unknown".to_owned(), |text| text.trim().to_owned());
    format!(
        "lockdown {}, kernel.unprivileged_bpf_disabled {}, kernel.perf_event_paranoid {}, or a seccomp or security module's policy",
        read("/sys/kernel/security/lockdown"),
        read("/proc/sys/kernel/unprivileged_bpf_disabled"),
        read("/proc/sys/kernel/perf_event_paranoid"),
    )
}

fn processes() -> Found {
    let numbers = process_numbers(Path::new("/proc"));
    let is_readable = |pid: &&u32| fs::read_link(format!("/proc/{pid}/exe")).is_ok() || is_kernel_thread(**pid);
    let readable = numbers.iter().filter(is_readable).count();
    let has = format!("{readable} of {} processes can be looked at", numbers.len());
    // Some end while they are counted.
    if readable + 2 >= numbers.len() {
        Found::Works(has)
    } else {
        Found::missing(
            has,
            "run as root or with CAP_SYS_PTRACE, in the host's process namespace; /proc without hidepid",
        )
    }
}

/// They have no program.
fn is_kernel_thread(pid: u32) -> bool {
    fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.is_empty())
}

fn process_numbers(proc: &Path) -> Vec<u32> {
    let entries = fs::read_dir(proc).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

fn tls_libraries(proc: &Path) -> Found {
    let mut libraries = TlsLibraries::default();
    let (mut seen, mut unseen) = (0, Vec::new());
    for pid in process_numbers(proc) {
        for library in libraries.of_process(proc, pid).unwrap_or_default() {
            let name = fs::read_to_string(proc.join(pid.to_string()).join("comm")).unwrap_or_default();
            match library.contents.unseen {
                None => seen += 1,
                Some(why) => unseen.push((library.contents.kind, format!("{} ({pid}): {why}", name.trim_end()))),
            }
        }
    }
    let mut has = format!("{seen} processes whose plaintext can be seen");
    if unseen.is_empty() {
        return Found::Works(has);
    }
    let kinds: std::collections::BTreeMap<&str, usize> =
        unseen.iter().fold(Default::default(), |mut kinds, (kind, _)| {
            *kinds.entry(TlsKind::name(*kind)).or_default() += 1;
            kinds
        });
    for (kind, count) in kinds {
        has += &format!(", {count} with {kind} whose cannot");
    }
    let first = unseen.first().map(|(_, text)| text.as_str()).unwrap_or_default();
    Found::missing(has, format!("their calls are seen as encrypted connections only; such as {first}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_finding_says_what_there_is_or_what_to_do() {
        for finding in probe() {
            assert!(
                !finding.has.is_empty() && finding.mend.as_ref().is_none_or(|mend| !mend.is_empty()),
                "{finding:?}"
            );
        }
    }
}
