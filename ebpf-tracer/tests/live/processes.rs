//! Processes, and which are followed.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use ebpf_tracer::events::{Operation, ProcessEvent};
use ebpf_tracer::{Capture, Filter, KernelLimits, Names};

use crate::lab::{Event, Observed, drain, kernel, messages, observe, only};

#[test]
fn forked_executed_ended() {
    let Some(seen) = observe(
        &Capture::default(),
        r#"
pid = os.fork()
if pid == 0:
    threading.Thread(target=lambda: None).start()
    os.execv("/bin/sh", ["sh", "-c", "exit 7"])
os.waitpid(pid, 0)
say(child=pid, start=open("/proc/self/stat").read().rsplit(")")[1].split()[19], netns=os.stat("/proc/self/ns/net").st_ino,
    cgroup=[os.stat("/sys/fs/cgroup" + extra + l.split(":")[2].strip()).st_ino for l in open("/proc/self/cgroup") if l.startswith("0::")
        for extra in ["", "/unified"] if os.path.exists("/sys/fs/cgroup" + extra + "/cgroup.procs")])
"#,
    ) else {
        return;
    };
    let child = seen.facts[0]["child"].as_u64().unwrap() as u32;
    let of = |pid: u32| {
        let events = seen.events.iter().filter_map(|event| match event {
            Event::Process(event, path) if event.header.tgid == pid => Some((event, path.as_str())),
            _ => None,
        });
        events.collect::<Vec<_>>()
    };
    let events = of(child);
    let changes: Vec<_> = events.iter().map(|(event, path)| (event.change, *path)).collect();
    assert_eq!(changes, [(ProcessEvent::FORKED, ""), (ProcessEvent::EXECUTED, "/bin/sh"), (ProcessEvent::ENDED, "")]);
    for (event, _) in &events {
        assert_eq!((event.parent, event.header.tid), (seen.pid, child));
        assert_eq!(u64::from(event.netns), if event.netns == 0 { 0 } else { seen.facts[0]["netns"].as_u64().unwrap() });
        assert_eq!(event.start_ns, events[0].0.start_ns);
    }
    assert_ne!(events[0].0.netns, 0);
    assert!(events[0].0.comm.starts_with(b"python3") && events[1].0.comm.starts_with(b"sh\0"));
    assert_eq!(events[2].0.exit_code, 7 << 8, "as wait gives it");
    if let Some(cgroup) = seen.facts[0]["cgroup"].get(0) {
        assert_eq!(events[0].0.cgroup, cgroup.as_u64().unwrap());
    } else {
        println!("skipped: comparing the number of the control group (the hierarchy of version 2 is not mounted)");
    }
    let own = of(seen.pid);
    let [(own, _)] = own[..] else { panic!("the program itself only ended: {own:?}") };
    assert_eq!(own.change, ProcessEvent::ENDED);
    // `/proc` counts in hundredths of a second.
    let start: u64 = seen.facts[0]["start"].as_str().unwrap().parse().unwrap();
    assert_eq!(own.start_ns / 10_000_000, start);
}

/// Sends a byte from a child, and from a process started by it; to a pair of ports.
const FAMILY: &str = r#"
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("127.0.0.1", 0)); other = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
other.bind(("127.0.0.1", 0))
say(port=s.getsockname()[1], other=other.getsockname()[1])
wait()
import subprocess
code = "import socket, sys; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'grandchild', ('127.0.0.1', int(sys.argv[1])))"
pid = os.fork()
if pid == 0:
    s.sendto(b"child", s.getsockname())
    subprocess.run([sys.executable, "-c", code, str(s.getsockname()[1])], check=True)
    os._exit(0)
os.waitpid(pid, 0)
s.sendto(b"parent", s.getsockname())
s.sendto(b"another port", other.getsockname())
other.close()
"#;

/// What was sent, under a filter that is made with the process and its ports.
fn sent(filter: impl Fn(u32, u16) -> Filter) -> Option<Vec<String>> {
    let mut kernel = kernel(&KernelLimits::default())?;
    let mut observed = Observed::start(FAMILY);
    observed.go();
    let facts = observed.hear();
    kernel.follow(&filter(observed.pid(), facts["other"].as_u64().unwrap() as u16)).unwrap();
    observed.go();
    observed.end();
    let messages = messages(&drain(&mut kernel));
    let ports = [&facts["port"], &facts["other"]].map(|port| port.as_u64().unwrap() as u16);
    let messages = messages
        .into_iter()
        .filter(|message| message.is(Operation::Send) && ports.contains(&message.event.remote_port));
    Some(messages.map(|message| String::from_utf8(message.bytes).unwrap()).collect())
}

#[test]
fn children_of_who_is_followed_are_followed() {
    let Some(sent) = sent(|pid, _| only(pid)) else { return };
    assert_eq!(sent, ["child", "grandchild", "parent", "another port"]);
}

#[test]
fn children_of_who_is_left_out_are_left_out() {
    let Some(sent) = sent(|pid, _| Filter { processes: Names::Except(BTreeSet::from([pid])), ..Filter::default() })
    else {
        return;
    };
    assert!(sent.is_empty(), "{sent:?}");
}

#[test]
fn everybody_is_followed() {
    let Some(sent) = sent(|_, _| Filter::default()) else { return };
    assert_eq!(sent, ["child", "grandchild", "parent", "another port"]);
}

#[test]
fn only_one_port() {
    let filter = |pid, other| Filter { ports: Names::Only(BTreeSet::from([other])), ..only(pid) };
    let Some(sent) = sent(filter) else { return };
    assert_eq!(sent, ["another port"]);
}

#[test]
fn all_ports_but_one() {
    let filter = |pid, other| Filter { ports: Names::Except(BTreeSet::from([other])), ..only(pid) };
    let Some(sent) = sent(filter) else { return };
    assert_eq!(sent, ["child", "grandchild", "parent"]);
}

#[test]
fn a_control_group_that_nobody_is_in() {
    let filter = |_, _| Filter { cgroups: Names::Only(BTreeSet::from([u64::MAX])), ..Filter::default() };
    let Some(sent) = sent(filter) else { return };
    assert!(sent.is_empty(), "{sent:?}");
}

/// A control group of version 2 that is taken away again.
struct ControlGroup(PathBuf);

impl ControlGroup {
    fn new() -> Option<Self> {
        let mounts = std::fs::read_to_string("/proc/mounts").unwrap();
        let place =
            mounts.lines().find(|line| line.split(' ').nth(2) == Some("cgroup2"))?.split(' ').nth(1)?.to_owned();
        let place = PathBuf::from(place).join(format!("metaflow-test-{}", std::process::id()));
        std::fs::create_dir(&place).ok()?;
        Some(Self(place))
    }
}

impl Drop for ControlGroup {
    fn drop(&mut self) {
        // Whoever was in it has ended; the kernel may take a moment to see it.
        while std::fs::remove_dir(&self.0).is_err_and(|error| error.kind() == std::io::ErrorKind::ResourceBusy) {
            std::thread::yield_now();
        }
    }
}

#[test]
fn the_control_group_of_a_process() {
    let Some(group) = ControlGroup::new() else {
        println!("skipped: no control group (version 2) can be made here");
        return;
    };
    let number = std::fs::metadata(&group.0).unwrap().ino();
    let filter = |pid: u32, _| {
        std::fs::write(group.0.join("cgroup.procs"), pid.to_string()).unwrap();
        Filter { cgroups: Names::Only(BTreeSet::from([number])), ..Filter::default() }
    };
    let Some(sent) = sent(filter) else { return };
    assert_eq!(sent, ["child", "grandchild", "parent", "another port"]);
}

#[test]
fn the_reader_itself_is_never_followed() {
    let Some(mut kernel) = kernel(&KernelLimits::default()) else { return };
    kernel.follow(&Filter::default()).unwrap();
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.send_to(b"to myself", socket.local_addr().unwrap()).unwrap();
    let own = std::process::id();
    let messages = messages(&drain(&mut kernel));
    assert!(messages.iter().all(|message| message.event.header.tgid != own));
}

#[test]
fn a_transport_that_is_not_wanted() {
    let capture = Capture { udp: false, ..Capture::default() };
    let Some(seen) = observe(
        &capture,
        r#"
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("127.0.0.1", 0)); s.sendto(b"x", s.getsockname())
a, b = socket.socketpair(); a.send(b"x")
"#,
    ) else {
        return;
    };
    assert!(seen.messages.iter().all(|message| message.event.family == 1) && !seen.messages.is_empty());
}
