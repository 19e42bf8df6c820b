//! What observing costs the observed: nanoseconds added per call, on this machine now. It takes root.
//!
//! `cargo run --release -p ebpf-tracer --example cost [PART OF A LINE'S NAME]`
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a program for people, which ends at the first thing that is wrong"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ebpf_tracer::events::{Counter, Ladder};
use ebpf_tracer::{Capture, Filter, Hooks, Kernel, KernelLimits, Names};

/// Short, and the best of many: what else runs on the machine only makes it slower.
const ROUNDS: u32 = 2000;
const REPEATS: usize = 100;

fn main() {
    if std::env::args().nth(1).as_deref() == Some("work") {
        return work();
    }
    let mut child = Command::new(std::env::current_exe().unwrap())
        .arg("work")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut answers = BufReader::new(child.stdout.take().unwrap());
    let mut table: Vec<(String, [f64; 2])> = Vec::new();
    let mut statistics: BTreeMap<_, f64> = BTreeMap::new();
    let wanted = std::env::args().nth(1).unwrap_or_default();
    let kinds = [("sockets", Hooks::Sockets), ("system calls", Hooks::SystemCalls)];
    let all = ["filtered out", "followed, 64 bytes", "followed, counts only"];
    let all = kinds.into_iter().flat_map(|(kind, hooks)| all.map(|name| (format!("{kind}: {name}"), Some(hooks))));
    let all: Vec<_> = std::iter::once(("without".to_owned(), None)).chain(all).collect();
    for (name, hooks) in all.into_iter().filter(|(name, hooks)| hooks.is_none() || name.contains(&wanted)) {
        let mut kernel = hooks.map(|hooks| {
            Kernel::load(&KernelLimits { ring_bytes: 16 << 20, hooks, ..KernelLimits::default() }).unwrap()
        });
        if let Some(kernel) = &mut kernel {
            let only = if name.ends_with("filtered out") { BTreeSet::new() } else { BTreeSet::from([child.id()]) };
            kernel.follow(&Filter { processes: Names::Only(only), ..Filter::default() }).unwrap();
            let ladder = if name.ends_with("only") { Ladder::Counts } else { Ladder::Heads };
            kernel.capture(&Capture { ladder, ..Capture::default() }).unwrap();
        }
        let mut best = [f64::MAX; 2];
        for _ in 0..REPEATS {
            for (best, what) in best.iter_mut().zip(["socket", "getppid"]) {
                *best = best.min(measure(what, &mut child, &mut answers, kernel.as_mut()));
            }
        }
        table.push((name.clone(), best));
        let Some(kernel) = &mut kernel else { continue };
        // The kernel's own clock around each program costs, so it is asked apart.
        let enabled = aya::sys::enable_stats(aya::sys::Stats::RunTime).unwrap();
        for _ in 0..REPEATS {
            let before = runs(kernel);
            measure("socket", &mut child, &mut answers, Some(kernel));
            for ((program, time, count), (_, time_before, count_before)) in runs(kernel).into_iter().zip(before) {
                // The programs run for every process; where others did much meanwhile, the mean says nothing.
                let expected = if hooks == Some(Hooks::Sockets) { 1 } else { 2 } * u64::from(ROUNDS);
                if (expected..expected + expected / 20).contains(&(count - count_before)) {
                    let best = statistics.entry((name.clone(), program)).or_insert(f64::MAX);
                    *best = best.min((time - time_before) as f64 / (count - count_before) as f64);
                }
            }
        }
        drop(enabled);
        let lost = kernel.counters().unwrap()[Counter::Lost as usize];
        println!("{name}: {lost} messages found no room (they cost less)");
    }
    let mut base = None;
    for (name, [socket, getppid]) in table {
        let socket = socket / 2.0;
        let (base_socket, base_getppid) = *base.get_or_insert((socket, getppid));
        println!(
            "{name:36} socket call {socket:6.0} ns (+{:4.0})   getppid {getppid:5.0} ns (+{:4.0})",
            socket - base_socket,
            getppid - base_getppid
        );
    }
    for ((name, program), time) in statistics {
        println!("{name:36} {program}: {time:.0} ns per run");
    }
    drop(child.stdin.take());
    child.wait().unwrap();
}

/// Nanoseconds per round.
fn measure(what: &str, child: &mut Child, answers: &mut BufReader<ChildStdout>, kernel: Option<&mut Kernel>) -> f64 {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        if let Some(kernel) = kernel {
            let done = &done;
            scope.spawn(move || {
                while !done.load(Ordering::Relaxed) {
                    let _ = kernel.wait(Duration::from_millis(10));
                    while kernel.read(4096, |_| ()) != 0 {}
                }
            });
        }
        let stdin = child.stdin.as_mut().unwrap();
        writeln!(stdin, "{what}").unwrap();
        stdin.flush().unwrap();
        let mut line = String::new();
        answers.read_line(&mut line).unwrap();
        done.store(true, Ordering::Relaxed);
        line.trim().parse().unwrap()
    })
}

/// Time and number of runs of each program, as the kernel counts them.
fn runs(kernel: &Kernel) -> Vec<(String, u64, u64)> {
    use std::os::fd::AsRawFd;
    kernel
        .programs()
        .map(|(name, program)| {
            let text = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", program.as_raw_fd())).unwrap();
            let number = |word: &str| {
                text.lines()
                    .find_map(|line| line.strip_prefix(word))
                    .unwrap()
                    .trim_start_matches(':')
                    .trim()
                    .parse()
                    .unwrap()
            };
            (name.to_owned(), number("run_time_ns"), number("run_cnt"))
        })
        .collect()
}

/// The observed one.
fn work() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    client.set_nodelay(true).unwrap();
    let (mut server, _) = listener.accept().unwrap();
    for line in std::io::stdin().lines() {
        let socket = line.unwrap() == "socket";
        let mut bytes = [7; 64];
        let begin = Instant::now();
        for _ in 0..ROUNDS {
            if socket {
                client.write_all(&bytes).unwrap();
                server.read_exact(&mut bytes).unwrap();
            } else {
                // SAFETY: has no arguments.
                unsafe { libc::syscall(libc::SYS_getppid) };
            }
        }
        println!("{:.1}", begin.elapsed().as_nanos() as f64 / f64::from(ROUNDS));
    }
}
