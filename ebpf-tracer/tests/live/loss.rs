//! What does not fit is counted, exactly.

use std::collections::BTreeSet;
use std::time::Duration;

use ebpf_tracer::events::{Counter, Operation, ProcessEvent};
use ebpf_tracer::{Capture, Hooks, KernelLimits};

use crate::lab::{Event, Observed, drain, kernel, messages, only};

#[test]
fn a_ring_that_nobody_reads() {
    const MESSAGES: u64 = 3000;
    const LENGTH: u64 = 100;
    let Some(mut kernel) = kernel(&KernelLimits { ring_bytes: 64 << 10, ..KernelLimits::default() }) else { return };
    let mut observed = Observed::start(&format!(
        r#"
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("127.0.0.1", 0)); s.connect(s.getsockname())
wait()
for i in range({MESSAGES}): s.send(struct.pack("<I", i) * {})
say(done=True)
wait()
for i in range(5): s.send(b"again")
"#,
        LENGTH / 4
    ));
    observed.go();
    kernel.follow(&only(observed.pid())).unwrap();
    observed.go();
    observed.hear();
    let seen = messages(&drain(&mut kernel));
    let sent: Vec<_> = seen.iter().filter(|message| message.is(Operation::Send)).collect();
    let counters = kernel.counters().unwrap();
    let count = |counter: Counter| counters[counter as usize];
    assert!(count(Counter::Lost) > 0 && !sent.is_empty());
    assert_eq!(sent.len() as u64 + count(Counter::Lost), MESSAGES);
    assert_eq!(count(Counter::Messages), sent.len() as u64);
    assert_eq!(count(Counter::LostBytes), count(Counter::Lost) * LENGTH);
    for (number, message) in sent.iter().enumerate() {
        assert_eq!(message.bytes, (number as u32).to_le_bytes().repeat(LENGTH as usize / 4));
        assert_eq!(message.event.lost, 0);
    }
    // There is room again, and what was lost before is told with it.
    observed.go();
    observed.end();
    let again = messages(&drain(&mut kernel));
    let again: Vec<_> = again.iter().filter(|message| message.is(Operation::Send)).collect();
    assert_eq!(again.len(), 5);
    let told: BTreeSet<_> = again.iter().map(|message| u64::from(message.event.lost)).collect();
    assert!(told.iter().all(|lost| *lost <= count(Counter::Lost)));
    assert_eq!(kernel.counters().unwrap()[Counter::Lost as usize], count(Counter::Lost));
}

#[test]
fn events_that_are_no_messages_are_counted_apart() {
    const CONNECTIONS: u64 = 1000;
    let Some(mut kernel) = kernel(&KernelLimits { ring_bytes: 16 << 10, ..KernelLimits::default() }) else { return };
    let mut observed = Observed::start(&format!(
        r#"
unheard = socket.socket(); unheard.bind(("127.0.0.1", 0))
for i in range({CONNECTIONS}):
    with socket.socket() as s: s.connect_ex(unheard.getsockname())
"#
    ));
    kernel.follow(&only(observed.pid())).unwrap();
    observed.go();
    observed.end();
    let seen = messages(&drain(&mut kernel));
    let counters = kernel.counters().unwrap();
    assert_eq!(counters[Counter::Lost as usize], 0);
    // Each is made once and closed once; one more is closed that was never connected; and one process ended.
    let closed = if crate::HOOKS == Hooks::SystemCalls { CONNECTIONS + 1 } else { CONNECTIONS };
    assert_eq!(seen.len() as u64 + counters[Counter::LostEvents as usize], CONNECTIONS + closed + 1);
}

#[test]
fn more_threads_than_there_is_room_for() {
    let Some(mut kernel) = kernel(&KernelLimits { threads: 3, ..KernelLimits::default() }) else { return };
    let mut observed = Observed::start(
        r#"
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("127.0.0.1", 0)); s.connect(s.getsockname())
wait()
barrier = threading.Barrier(10)
def send(): s.send(b"x"); barrier.wait()
threads = [threading.Thread(target=send) for _ in range(10)]
for t in threads: t.start()
for t in threads: t.join()
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.bind(("127.0.0.1", 0)); s.connect(u.getsockname())
def receive(): s.send(b"y"); u.recvfrom(1); barrier.wait()
threads = [threading.Thread(target=receive) for _ in range(10)]
for t in threads: t.start()
for t in threads: t.join()
"#,
    );
    observed.go();
    kernel.follow(&only(observed.pid())).unwrap();
    observed.go();
    observed.end();
    let seen = messages(&drain(&mut kernel));
    let threads: BTreeSet<_> = seen.iter().map(|message| message.event.header.tid).collect();
    if crate::HOOKS == Hooks::SystemCalls {
        // Of twenty, of which ten at a time.
        assert!(!threads.is_empty() && threads.len() <= 6, "{threads:?}");
    } else {
        // All are seen. Who sent a datagram is remembered for so many only.
        let received: Vec<_> = seen.iter().filter(|message| message.is(Operation::Receive)).collect();
        let told = received.iter().filter(|message| message.event.remote_port != 0).count();
        assert_eq!((seen.len(), received.len(), threads.len()), (30, 10, 20));
        assert!((1..=3).contains(&told), "{told}");
    }
    assert!(kernel.counters().unwrap()[Counter::Crowded as usize] > 0);
}

#[test]
fn many_short_processes_leave_nothing_behind() {
    const PROCESSES: usize = 500;
    // Room for a few at a time only: a name or a thread that stayed would be in the way.
    let limits = KernelLimits { threads: 16, processes: 16, ..KernelLimits::default() };
    let Some(mut kernel) = kernel(&limits) else { return };
    let mut observed = Observed::start(&format!(
        r#"
import subprocess
for i in range({PROCESSES}): os.waitpid(os.posix_spawn("/bin/true", ["true"], os.environ), 0)
"#
    ));
    kernel.follow(&only(observed.pid())).unwrap();
    observed.go();
    observed.end();
    let mut changes = [0; 4];
    for event in drain(&mut kernel) {
        if let Event::Process(event, _) = event {
            changes[event.change as usize] += 1;
        }
    }
    let [_, forked, executed, ended] = changes;
    assert_eq!((forked, executed, ended), (PROCESSES, PROCESSES, PROCESSES + 1));
    assert_eq!(ProcessEvent::ENDED, 3);
    let counters = kernel.counters().unwrap();
    assert_eq!([counters[Counter::Crowded as usize], counters[Counter::LostEvents as usize]], [0, 0]);
}

#[test]
fn the_reader_is_woken_when_enough_waits() {
    let Some(mut kernel) = kernel(&KernelLimits::default()) else { return };
    kernel.capture(&Capture { wake_bytes: 1 << 20, ..Capture::default() }).unwrap();
    let mut observed = Observed::start(
        r#"
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("127.0.0.1", 0)); s.connect(s.getsockname())
wait()
for i in range(3):
    s.send(b"x" * 1000); say(sent=True); wait()
"#,
    );
    observed.go();
    kernel.follow(&only(observed.pid())).unwrap();
    observed.go();
    observed.hear();
    assert!(!kernel.wait(Duration::ZERO).unwrap(), "a little may wait");
    assert_ne!(drain(&mut kernel).len(), 0, "it is there all the same");
    kernel.capture(&Capture { wake_bytes: 1, ..Capture::default() }).unwrap();
    observed.go();
    assert!(kernel.wait(Duration::from_secs(20)).unwrap());
    observed.hear();
    observed.go();
    observed.hear();
    observed.go();
    observed.end();
}
