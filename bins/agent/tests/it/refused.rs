//! Kernels and containers that do not have, or do not permit, what eBPF takes: one line says what is missing. Needs root.

use std::process::{Command, Output, Stdio};

use crate::program::PROGRAM;
use crate::traced::cannot_trace;

/// The agent in a mount namespace in which this was done before. `None` if it cannot be done, and then it says so.
fn within(prepare: &str, agent: &str) -> Option<Output> {
    let script = format!("{prepare} || exit 42; exec {agent}");
    let mut command = Command::new("unshare");
    let output = command.args(["-m", "sh", "-c", &script]).stdin(Stdio::null()).output().ok();
    let output = output.filter(|output| output.status.code() != Some(42));
    if output.is_none() {
        println!("skipped: `{prepare}` cannot be done here");
    }
    output
}

fn said(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn a_kernel_that_does_not_describe_its_structures() {
    if cannot_trace() {
        return;
    }
    let hidden = "mount -t tmpfs none /sys/kernel/btf";
    let Some(output) = within(hidden, &format!("{PROGRAM} watch --ebpf")) else { return };
    let said_by_watch = said(&output);
    assert_eq!((output.status.code(), said_by_watch.lines().count()), (Some(69), 1), "{said_by_watch}");
    assert!(said_by_watch.contains("/sys/kernel/btf/vmlinux") && said_by_watch.contains("BTF"), "{said_by_watch}");
    let Some(output) = within(hidden, &format!("{PROGRAM} doctor")) else { return };
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(told.contains("-- kernel_types") && told.contains("CONFIG_DEBUG_INFO_BTF"), "{told}");
}

#[test]
fn no_file_system_for_tracing_is_needed() {
    if cannot_trace() {
        return;
    }
    let hidden = "mount -t tmpfs none /sys/kernel/debug && if [ -d /sys/kernel/tracing ]; then mount -t tmpfs none /sys/kernel/tracing; fi";
    let Some(output) = within(hidden, &format!("{PROGRAM} watch --ebpf -o jsonl -- true")) else { return };
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(String::from_utf8(output.stdout).unwrap().contains("process_start"));
}

/// Refuses the system call `bpf` with EPERM, as a container's profile does, and becomes the program. In a kernel that is locked down it is
/// the kernel itself that refuses.
const REFUSES: &str = r#"
import ctypes, os, platform, struct, sys
number = {"x86_64": 321, "aarch64": 280}[platform.machine()]
code = [(0x20, 0, 0, 0), (0x15, 0, 1, number), (0x06, 0, 0, 0x00050001), (0x06, 0, 0, 0x7fff0000)]
program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in code))
class Filter(ctypes.Structure): _fields_ = [("length", ctypes.c_ushort), ("code", ctypes.c_void_p)]
libc = ctypes.CDLL(None)
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, ctypes.byref(Filter(len(code), ctypes.addressof(program)))) == 0
os.execv(sys.argv[1], sys.argv[1:])
"#;

#[test]
fn a_profile_of_the_container_that_forbids_it() {
    if cannot_trace() {
        return;
    }
    let output = Command::new("python3").args(["-c", REFUSES, PROGRAM, "watch", "--ebpf"]).output().unwrap();
    let said = said(&output);
    assert_eq!((output.status.code(), said.lines().count()), (Some(77), 1), "{said}");
    assert!(said.contains("seccomp profile"), "{said}");
    let output = Command::new("python3").args(["-c", REFUSES, PROGRAM, "doctor"]).output().unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(told.contains("-- system_calls") && told.contains("lockdown"), "{told}");
}

#[test]
fn a_kernel_that_is_locked_down() {
    if cannot_trace() {
        return;
    }
    let prepare = "mount -t tmpfs none /sys/kernel/security && echo 'none integrity [confidentiality]' > /sys/kernel/security/lockdown";
    let agent = format!("python3 -c '{REFUSES}' {PROGRAM} watch --ebpf");
    let Some(output) = within(prepare, &agent) else { return };
    let said = said(&output);
    assert_eq!((output.status.code(), said.lines().count()), (Some(77), 1), "{said}");
    assert!(said.contains("locked down (confidentiality)"), "{said}");
}
