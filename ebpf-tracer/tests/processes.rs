//! Who ran when, from events and from what `/proc` says.

mod support;

use std::time::Duration;

use ebpf_tracer::events::{Header, Kind, ProcessEvent};
use ebpf_tracer::{Event, Process, Snapshot};
use protocol_parsers::Timestamp;
use support::{EPOCH, Lab, MS, SECOND};

/// A process that began then; what happens to it, when.
fn event(pid: u32, start: u64, change: u32, time: u64) -> ProcessEvent {
    let header = Header { kind: Kind::Process as u32, tgid: pid, tid: pid, time_ns: time, ..Header::default() };
    let mut event = ProcessEvent { header, start_ns: start, parent: 1, change, ..ProcessEvent::default() };
    event.comm[..3].copy_from_slice(b"sh\xff");
    event
}

fn snapshot(pid: u32, start_ns: u64) -> Snapshot {
    Snapshot {
        pid,
        start_ns,
        parent: 0,
        name: "init".to_owned(),
        command_line: Some("/sbin/init splash".to_owned()),
        executable: Some("/sbin/init".to_owned()),
        cgroup: Some(format!("/docker/{}", "7".repeat(64))),
    }
}

fn at(lab: &Lab, pid: u32, time: u64) -> Option<&Process> {
    lab.tracer.process(pid, Timestamp::from_nanos(EPOCH as u64 + time))
}

#[test]
fn a_child_has_what_its_parent_has_until_it_becomes_another_program() {
    let mut lab = Lab::new();
    lab.tracer.insert(snapshot(1, 0));
    lab.tracer.push(&Event::Process(event(7, SECOND, ProcessEvent::FORKED, SECOND), b""));
    let child = at(&lab, 7, SECOND).unwrap();
    assert_eq!(child.command_line.as_deref(), Some("/sbin/init splash"));
    assert_eq!((child.parent, &*child.name), (1, r"sh\xff"));
    assert_eq!(lab.tracer.unread(), None, "all is known");
    lab.tracer.push(&Event::Process(event(7, SECOND, ProcessEvent::EXECUTED, 2 * SECOND), b"/bin/sh"));
    let child = at(&lab, 7, 2 * SECOND).unwrap();
    assert_eq!((child.command_line.as_deref(), child.executable.as_deref()), (None, Some("/bin/sh")));
    assert_eq!(child.container.as_deref(), Some("7".repeat(64).as_str()), "a container is not left by that");
    assert_eq!(lab.tracer.unread(), Some(7));
    assert_eq!(lab.tracer.unread(), None);
}

#[test]
fn a_number_used_again_is_another_process() {
    let mut lab = Lab::new();
    lab.tracer.push(&Event::Process(event(7, SECOND, ProcessEvent::FORKED, SECOND), b""));
    lab.tracer.push(&Event::Process(event(7, SECOND, ProcessEvent::ENDED, 2 * SECOND), b""));
    lab.tracer.push(&Event::Process(event(7, 5 * SECOND, ProcessEvent::FORKED, 5 * SECOND), b""));
    let start = |time| at(&lab, 7, time).map(|process| process.start.as_nanos() - EPOCH as u64);
    assert_eq!(start(SECOND / 2), None, "before it");
    assert_eq!(start(SECOND), Some(SECOND));
    assert_eq!(start(2 * SECOND), Some(SECOND));
    assert_eq!(start(3 * SECOND), None, "between both");
    assert_eq!(start(9 * SECOND), Some(5 * SECOND));
    assert_eq!(at(&lab, 7, SECOND).unwrap().exit_code, Some(0));
}

#[test]
fn what_proc_says_to_the_hundredth_of_a_second_is_the_process_of_the_event() {
    let mut lab = Lab::new();
    let exact = SECOND + 1_234_567;
    lab.tracer.push(&Event::Process(event(7, exact, ProcessEvent::FORKED, SECOND + 2 * MS), b""));
    assert_eq!(lab.tracer.unread(), Some(7), "its parent is not known");
    lab.tracer.insert(snapshot(7, SECOND));
    assert_eq!(lab.tracer.processes(), 1);
    let process = at(&lab, 7, 2 * SECOND).unwrap();
    assert_eq!((&*process.name, process.start.as_nanos()), ("init", EPOCH as u64 + exact));
    // And the other way round.
    lab.tracer.insert(snapshot(8, SECOND));
    lab.tracer.push(&Event::Process(event(8, exact, ProcessEvent::ENDED, 3 * SECOND), b""));
    assert_eq!(lab.tracer.processes(), 2);
    assert!(at(&lab, 8, 2 * SECOND).unwrap().ended.is_some());
}

#[test]
fn those_that_ended_are_forgotten_after_a_while_and_first_when_there_is_no_room() {
    let mut lab = Lab::limited(|limits| (limits.processes, limits.ended) = (3, Duration::from_secs(10)));
    for pid in 7..10 {
        lab.tracer.push(&Event::Process(event(pid, SECOND, ProcessEvent::FORKED, SECOND), b""));
    }
    lab.tracer.push(&Event::Process(event(8, SECOND, ProcessEvent::ENDED, 2 * SECOND), b""));
    lab.tracer.push(&Event::Process(event(10, 3 * SECOND, ProcessEvent::FORKED, 3 * SECOND), b""));
    assert!(at(&lab, 8, SECOND).is_none() && at(&lab, 7, SECOND).is_some());
    lab.tracer.push(&Event::Process(event(11, 3 * SECOND, ProcessEvent::FORKED, 3 * SECOND), b""));
    assert_eq!((lab.tracer.processes(), lab.tracer.stats().processes_evicted), (3, 2));
    lab.tracer.push(&Event::Process(event(11, 3 * SECOND, ProcessEvent::ENDED, 4 * SECOND), b""));
    lab.tracer.push(&Event::Process(event(10, 3 * SECOND, ProcessEvent::EXECUTED, 13 * SECOND), b""));
    assert_eq!(lab.tracer.processes(), 3);
    lab.tracer.push(&Event::Process(event(10, 3 * SECOND, ProcessEvent::EXECUTED, 15 * SECOND), b""));
    assert_eq!(lab.tracer.processes(), 2);
    assert_eq!(lab.tracer.stats().processes_evicted, 2, "that was no lack of room");
}

#[test]
fn processes_that_nobody_reads_about_and_long_command_lines_are_bounded() {
    let mut lab = Lab::limited(|limits| (limits.unread, limits.command_line) = (2, 8));
    for pid in 7..10 {
        lab.tracer
            .push(&Event::Process(event(pid, SECOND, ProcessEvent::EXECUTED, SECOND), "/bin/überlang".as_bytes()));
    }
    assert_eq!(lab.tracer.stats().unread_dropped, 1);
    assert_eq!([(); 3].map(|()| lab.tracer.unread()), [Some(8), Some(9), None]);
    assert_eq!(at(&lab, 7, SECOND).unwrap().executable.as_deref(), Some("/bin/üb"));
}
