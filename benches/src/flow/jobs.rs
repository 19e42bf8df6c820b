//! Parts of the suite that run in a process of their own, so that memory and time are theirs alone; and for a profiler.

use std::path::Path;

use anyhow::{Context, Result, bail};

use super::{Outcome, Work, cores, follow, many, replay, walk};
use crate::child::resident_memory;
use crate::traffic::{Amount, CapturedTraffic};

/// What jobs there are.
pub const USAGE: &str = "walk FILE | replay FILE WORK | follow PACKETS CONVERSATIONS WORK | many FLOWS PACKETS WORK | \
                         cores PACKETS CONVERSATIONS ROUNDS WORK | \
                         capture PACKETS CONVERSATIONS FOLDER; WORK is flows, metrics or calls";

/// Does one job; gives lines of a name and a value.
///
/// # Errors
/// When there is no such job, or it fails.
pub fn run(arguments: &[String]) -> Result<String> {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["walk", file] => told(&walk(Path::new(file))?),
        ["replay", file, work] => told(&replay(Path::new(file), Work::named(work)?)?),
        ["follow", packets, conversations, work] => told(&follow(amount(packets, conversations)?, Work::named(work)?)?),
        ["many", flows, packets, work] => {
            let many = many(flows.parse()?, packets.parse()?, Work::named(work)?)?;
            Ok(format!(
                "half_open {}\nopen {}\nused {}\nopening_ns {}\npacket_ns {}\n",
                many.half_open, many.open, many.used, many.opening_ns, many.packet_ns
            ))
        }
        ["cores", packets, conversations, rounds, work] => {
            let cores = cores(amount(packets, conversations)?, rounds.parse()?, Work::named(work)?)?;
            Ok(format!("one_ns {}\ntwo_ns {}\n", cores.one.as_nanos(), cores.two.as_nanos()))
        }
        ["capture", packets, conversations, folder] => {
            let captured = CapturedTraffic::new(amount(packets, conversations)?, Path::new(folder))?;
            let truth = captured.truth;
            Ok(format!(
                "path {}\nlength {}\npackets {}\nbytes {}\nconversations {}\nrequests {}\ntruth {truth:?}\n\
                 truth_without_calls {:?}\n",
                captured.path.display(),
                captured.length,
                truth.packets,
                truth.bytes,
                truth.flows,
                truth.requests(),
                truth.clone().without_calls(),
            ))
        }
        _ => bail!("no such job; there are: {USAGE}"),
    }
}

/// The value of this name in the lines that a job gave.
///
/// # Errors
/// When there is none.
pub fn value<'a>(lines: &'a str, name: &str) -> Result<&'a str> {
    let mut lines = lines.lines().filter_map(|line| line.split_once(' '));
    lines.find(|(other, _)| *other == name).map(|(_, value)| value).with_context(|| format!("the job told no {name}"))
}

fn amount(packets: &str, conversations: &str) -> Result<Amount> {
    Ok(Amount { seed: 1, packets: packets.parse()?, conversations: conversations.parse()? })
}

fn told(outcome: &Outcome) -> Result<String> {
    let peak = resident_memory()?.1;
    Ok(format!("cpu_ns {}\npeak_bytes {peak}\nfound {:?}\n", outcome.cpu.as_nanos(), outcome.found))
}
