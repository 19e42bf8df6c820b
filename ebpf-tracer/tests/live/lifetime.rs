//! Nothing stays behind in the kernel, and it takes two capabilities.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ebpf_tracer::{Filter, Hooks, Kernel, KernelLimits, LoadError};

use crate::lab::kernel;

/// What tells this program, started by itself, that it is to load the programs and wait.
const HOLD: &str = "METAFLOW_TEST_HOLD";

/// Something to hook into.
const LIBRARY: &str = "/usr/lib/x86_64-linux-gnu/libssl.so.3";

/// Numbers of the programs, as the kernel counts them.
fn ids(kernel: &Kernel) -> BTreeSet<u32> {
    let id = |fd: i32| {
        let text = std::fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).unwrap();
        text.lines().find_map(|line| line.strip_prefix("prog_id:")).unwrap().trim().parse().unwrap()
    };
    kernel.programs().map(|(_, program)| id(program.as_raw_fd())).collect()
}

/// Those of them that the kernel has.
fn loaded(ids: &BTreeSet<u32>) -> BTreeSet<u32> {
    // One that goes away while it is being looked at is an error of it.
    aya::programs::loaded_programs()
        .filter_map(Result::ok)
        .map(|program| program.id())
        .filter(|id| ids.contains(id))
        .collect()
}

/// The kernel takes a moment to put things away.
fn vanish(ids: &BTreeSet<u32>) {
    let begin = Instant::now();
    while !loaded(ids).is_empty() {
        assert!(begin.elapsed() < Duration::from_secs(20), "{:?} are still there", loaded(ids));
        std::thread::yield_now();
    }
}

#[test]
fn nothing_stays_when_it_is_dropped() {
    let Some(mut kernel) = kernel(&KernelLimits::default()) else { return };
    kernel.follow(&Filter::default()).unwrap();
    let ids = ids(&kernel);
    assert!(ids.len() >= 5 && loaded(&ids) == ids);
    drop(kernel);
    vanish(&ids);
}

#[test]
fn nothing_stays_when_the_process_is_killed() {
    let Some(held) = Held::start(&[]) else { return };
    let ids = held.said.split(';').next().unwrap();
    let ids: BTreeSet<u32> = ids.split_whitespace().map(|id| id.parse().unwrap()).collect();
    assert!(ids.len() >= 5 && loaded(&ids) == ids);
    drop(held);
    vanish(&ids);
}

#[test]
fn two_capabilities_are_enough() {
    let Some(held) = Held::start(&["setpriv", "--bounding-set=-all,+bpf,+perfmon"]) else { return };
    assert!(held.said.split_whitespace().count() >= 5, "{}", held.said);
    // But for hooks into libraries, and for who sends datagrams.
    assert!(held.said.contains("it takes CAP_SYS_ADMIN") || !Path::new(LIBRARY).exists(), "{}", held.said);
    let is_told = held.said.contains("CAP_NET_ADMIN missing");
    assert_eq!(is_told, crate::HOOKS == Hooks::Sockets, "{}", held.said);
}

#[test]
fn without_a_capability_it_is_named() {
    for (bounding, missing) in [
        ("-all", "CAP_BPF and CAP_PERFMON missing"),
        ("-all,+bpf", "CAP_PERFMON missing"),
        ("-all,+perfmon", "CAP_BPF missing"),
    ] {
        let Some(held) = Held::start(&["setpriv", &format!("--bounding-set={bounding}")]) else { return };
        assert!(held.said.contains(missing), "{}", held.said);
    }
}

/// This program, started once more, holding the programs in the kernel.
struct Held {
    child: Child,
    said: String,
}

impl Held {
    fn start(before: &[&str]) -> Option<Self> {
        // Only asked whether it is permitted at all.
        drop(kernel(&KernelLimits::default())?);
        if before.first().is_some_and(|program| Command::new(program).arg("--version").output().is_err()) {
            println!("skipped: {} is not installed", before[0]);
            return None;
        }
        let own = std::env::current_exe().unwrap();
        let words: Vec<_> = before.iter().map(Path::new).chain([own.as_path()]).collect();
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).args(["--exact", "lifetime::held", "--nocapture"]).env(HOLD, "1");
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let said = lines.into_iter().find_map(|line| line.strip_prefix("held: ").map(ToOwned::to_owned)).unwrap();
        Some(Self { child, said })
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // As `kill -9` does.
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// What the program does when it is started by itself; nothing otherwise.
#[test]
fn held() {
    if std::env::var_os(HOLD).is_none() {
        return;
    }
    let mut held = Kernel::load(&KernelLimits { hooks: crate::HOOKS, ..KernelLimits::default() });
    match &mut held {
        Ok(kernel) => {
            let hooked = Path::new(LIBRARY).exists().then(|| kernel.attach_tls(Path::new(LIBRARY), None));
            let hooked = match hooked {
                Some(Ok(_)) => "hooked".to_owned(),
                Some(Err(error)) => error.to_string(),
                None => format!("no {LIBRARY}"),
            };
            let ids: Vec<_> = ids(kernel).iter().map(ToString::to_string).collect();
            let peers = kernel.knows_peers().err().map(ToString::to_string).unwrap_or_default();
            println!("\nheld: {}; {hooked}; {peers}", ids.join(" "));
        }
        Err(error @ LoadError::Permission { .. }) => println!("\nheld: {error}"),
        Err(error) => panic!("{error}"),
    }
    let _ = std::io::stdin().read(&mut [0]);
}
