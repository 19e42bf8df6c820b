//! `metaflow-agent doctor`: what works on this machine, and how to mend what does not.

use std::io::{self, Write};

use ebpf_tracer::{Finding, Found, Rights, probe};
use metaflow_packet_capture::{OpenRingError, Ring, RingOptions};
use serde_json::json;

use crate::args::DoctorOptions;
use crate::failure::Failure;
use crate::rights;

/// The ways to see requests: without any of them, nothing works.
const WAYS: [&str; 3] = ["packets", "system_calls", "uprobe"];

/// Tries every part, and prints what was found. Ends with 0 when all works, with 1 when some does, with 2 when nothing does.
pub(crate) fn doctor(options: &DoctorOptions) -> Result<(), Failure> {
    let mut findings = vec![
        Finding::new("packets", "requests on interfaces", "CAP_NET_RAW", packets()),
        Finding::new(
            "rights",
            "all of the following without root",
            "CAP_BPF, CAP_PERFMON, CAP_SYS_PTRACE",
            found_rights(),
        ),
    ];
    findings.extend(probe());
    let mut out = io::stdout().lock();
    let printed = if options.json { print_json(&mut out, &findings) } else { print(&mut out, &findings) };
    match printed {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            return Err(Failure::from_io("cannot write", &error));
        }
        _ => {}
    }
    let sees = |finding: &Finding| finding.works() && WAYS.contains(&finding.feature);
    if findings.iter().all(Finding::works) {
        Ok(())
    } else if findings.iter().any(sees) {
        Err(Failure::nothing("some of it does not work").said())
    } else {
        Err(Failure::usage("nothing works").said())
    }
}

fn packets() -> Found {
    let options = RingOptions { ring_bytes: *RingOptions::RING_BYTES.start(), ..RingOptions::default() };
    match Ring::open("lo", &options) {
        Ok(_) => Found::Works("a ring of packets on lo could be opened".to_owned()),
        Err(error @ OpenRingError::NoPrivilege { .. }) => {
            Found::missing(error.to_string(), "run as root, or `setcap cap_net_raw+ep` on the program")
        }
        Err(error) => Found::missing(error.to_string(), "a kernel with CONFIG_PACKET=y is needed, and an interface lo"),
    }
}

fn found_rights() -> Found {
    let rights = Rights::of_this_process();
    let has = match rights.names().collect::<Vec<_>>() {
        none if none.is_empty() => "no capability that matters".to_owned(),
        some => {
            let (kept, given_up): (Vec<_>, Vec<_>) = some.iter().copied().partition(|name| rights::is_kept(name));
            format!("{}; watch and run keep {} and give up {}", some.join(" "), list(&kept), list(&given_up))
        }
    };
    let missing: Vec<_> =
        ["CAP_BPF", "CAP_PERFMON", "CAP_SYS_PTRACE"].into_iter().filter(|name| !rights.has(name)).collect();
    if missing.is_empty() {
        Found::Works(has)
    } else {
        Found::missing(has, format!("run as root, or with {}", missing.join(" and ")))
    }
}

fn list(names: &[&str]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(" ") }
}

fn print(out: &mut impl Write, findings: &[Finding]) -> io::Result<()> {
    for finding in findings {
        let Finding { feature, purpose, needs, has, mend } = finding;
        let state = if finding.works() { "ok" } else { "--" };
        writeln!(out, "{state} {feature:<15} {purpose}")?;
        writeln!(out, "   {:<15} has: {}", "", crate::output::escaped(has))?;
        if let Some(mend) = mend {
            writeln!(out, "   {:<15} needs: {needs}", "")?;
            writeln!(out, "   {:<15} mend: {}", "", crate::output::escaped(mend))?;
        }
    }
    let working = findings.iter().filter(|finding| finding.works()).count();
    writeln!(out, "{working} of {} work", findings.len())
}

fn print_json(out: &mut impl Write, findings: &[Finding]) -> io::Result<()> {
    for Finding { feature, purpose, needs, has, mend } in findings {
        let line = json!({
            "feature": feature, "works": mend.is_none(), "purpose": purpose, "needs": needs, "has": has, "mend": mend,
        });
        writeln!(out, "{line}")?;
    }
    Ok(())
}
