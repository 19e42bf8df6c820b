//! What is known of who sent and received a call.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod support;

use ebpf_tracer::events::{Flags, SocketEvent};
use ebpf_tracer::{Evidence, Snapshot};
use flow_core::{FlowEngine, Input, Options, Output};
use support::{Call, EPOCH, Lab, MS, client, server};

/// Calls with what is known of them.
fn calls(lab: &mut Lab) -> Vec<(String, Evidence)> {
    let mut engine = FlowEngine::new(Options::default());
    let mut calls = Vec::new();
    lab.tracer.finish();
    while let Some(input) = lab.tracer.poll() {
        engine.handle(Input::Stream(input));
        while let Some(output) = engine.poll() {
            if let Output::Call(record) = output {
                let evidence = lab.tracer.evidence(record.stream.unwrap(), &record.call);
                calls.push((record.call.resource().unwrap().to_owned(), evidence));
            }
        }
    }
    calls
}

const PING: &[u8] = b"*1\r\n$4\r\nPING\r\n";
const GET: &[u8] = b"*2\r\n$3\r\nGET\r\n$1\r\na\r\n";
const OK: &[u8] = b"+OK\r\n";

/// What is sent or received whole.
trait Whole {
    fn asks(self, time: u64, seq: u32, bytes: &[u8]) -> SocketEvent;
    fn hears(self, time: u64, seq: u32, bytes: &[u8]) -> SocketEvent;
}

impl Whole for SocketEvent {
    fn asks(self, time: u64, seq: u32, bytes: &[u8]) -> SocketEvent {
        self.sends(time, time + 1, seq, bytes.len())
    }

    fn hears(self, time: u64, seq: u32, bytes: &[u8]) -> SocketEvent {
        self.receives(MS, time, seq, bytes.len())
    }
}

#[test]
fn a_server_that_calls_another_has_the_same_numbers_at_both_sockets() {
    let mut lab = Lab::new();
    let front = server(20);
    let mut back = client(30).by(2, 2);
    (back.fd, back.local_port, back.remote_port) = (6, 41_000, 6379);
    lab.push(front.hears(2 * MS, 1, GET), GET);
    lab.push(back.connects(3 * MS), b"");
    lab.push(back.asks(4 * MS, 100, PING), PING);
    lab.push(back.hears(5 * MS, 500, OK), OK);
    lab.push(front.asks(6 * MS, 900, OK), OK);
    let calls = calls(&mut lab);
    let [(inner, called), (outer, served)] = &calls[..] else { panic!("{calls:?}") };
    assert_eq!((inner.as_str(), outer.as_str()), ("PING", "GET a"));
    assert!(called.syscall_trace_id_request().is_some() && called.syscall_trace_id_response().is_some());
    assert_eq!(served.syscall_trace_id_request(), called.syscall_trace_id_request());
    assert_eq!(served.syscall_trace_id_response(), called.syscall_trace_id_response());
    assert_ne!(called.syscall_trace_id_request(), called.syscall_trace_id_response());
    assert_eq!((served.pid(), called.pid()), (Some(2), Some(2)));
}

#[test]
fn each_of_several_requests_in_one_message_and_of_one_in_several_is_found() {
    let mut lab = Lab::new();
    let two = [PING, GET].concat();
    lab.push(client(10).connects(MS), b"");
    lab.push(client(10).by(1, 7).asks(2 * MS, 100, &two[..20]), &two[..20]);
    lab.push(client(10).by(1, 8).asks(3 * MS, 120, &two[20..]), &two[20..]);
    let two = [OK, OK].concat();
    lab.push(client(10).by(1, 9).hears(4 * MS, 500, &two), &two);
    let calls = calls(&mut lab);
    let threads = calls.iter().map(|(resource, evidence)| {
        let [request, response] = [evidence.request, evidence.response].map(Option::unwrap);
        (resource.as_str(), [request.tid, response.tid], [request.order, response.order])
    });
    assert_eq!(threads.collect::<Vec<_>>(), [("PING", [7, 9], [0, 2]), ("GET a", [7, 9], [0, 2])]);
    let request = calls[0].1.request.unwrap();
    assert_eq!(request.time.as_nanos(), EPOCH as u64 + 2 * MS);
}

#[test]
fn what_is_looked_at_or_encrypted_hands_nothing_over() {
    let mut lab = Lab::new();
    let mut back = client(30).by(2, 2);
    (back.fd, back.local_port, back.remote_port) = (6, 41_000, 6379);
    lab.push(server(20).tls(7).hears(2 * MS, 0, GET), GET);
    lab.push(client(40).by(2, 2).hears(3 * MS, 500, OK).flagged(Flags::PEEK), OK);
    lab.push(client(41).by(2, 2).hears(3 * MS, 500, OK).flagged(Flags::ENCRYPTED), OK);
    lab.push(back.asks(4 * MS, 100, PING), PING);
    let calls = calls(&mut lab);
    let numbers = calls.iter().map(|(_, evidence)| evidence.syscall_trace_id_request()).collect::<Vec<_>>();
    assert_eq!(numbers, [Some(1), Some(1)]);
}

#[test]
fn the_process_of_a_message_is_the_one_that_had_the_number_then() {
    let mut lab = Lab::new();
    for (start_ns, name) in [(0, "first"), (90 * MS, "second")] {
        let name = name.to_owned();
        lab.tracer.insert(Snapshot { pid: 1, start_ns, name, ..Snapshot::default() });
    }
    lab.push(client(10).asks(20 * MS, 100, PING), PING);
    lab.push(client(10).hears(95 * MS, 500, OK), OK);
    let (_, evidence) = calls(&mut lab).remove(0);
    let name = |mark: Option<ebpf_tracer::Mark>| lab.tracer.process_of(&mark.unwrap()).unwrap().name.clone();
    assert_eq!((&*name(evidence.request), &*name(evidence.response)), ("first", "second"));
}
