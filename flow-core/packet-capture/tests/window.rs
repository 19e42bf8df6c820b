//! How long a receiver that reads slowly limits its sender: what the capture tells, held against what the sender's kernel counts.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "helpers of tests fail them and print figures"
)]

#[path = "support/namespace.rs"]
mod namespace;

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::thread;
use std::time::Duration;

use flow_core::{FlowEngine, FlowRecord, Input, Options, Output, Packet};
use metaflow_packet_capture::{Ring, RingOptions, Stop, wait};
use namespace::{in_namespace, ip};
use protocol_parsers::Timestamp;

/// What is sent, and how much of it the receiver reads at once.
const BYTES: usize = 4 << 20;
const READ: usize = 64 << 10;
/// What the receiver's kernel keeps for it.
static BUFFER: i32 = 128 << 10;
/// What the receiver does beside reading.
const PAUSE: Duration = Duration::from_millis(5);

/// How long the kernel had something to send and no window for it (`tcpi_rwnd_limited`, since Linux 4.9).
fn kernel_limited(stream: &TcpStream) -> Duration {
    // Of `struct tcp_info`, whose fields up to here never change: eight bytes, in microseconds.
    const OFFSET: usize = 176;
    let mut info = [0_u8; 256];
    let mut length = info.len() as u32;
    let (level, option) = (libc::IPPROTO_TCP, libc::TCP_INFO);
    // SAFETY: the kernel writes no more than `length` bytes, which the buffer has.
    let done =
        unsafe { libc::getsockopt(stream.as_raw_fd(), level, option, info.as_mut_ptr().cast(), &raw mut length) };
    assert_eq!(done, 0, "{}", io::Error::last_os_error());
    assert!(length as usize >= OFFSET + 8);
    Duration::from_micros(u64::from_ne_bytes(info[OFFSET..OFFSET + 8].try_into().unwrap()))
}

/// Sends everything to one that reads slowly. Returns how long the kernel says that the window was what it waited for.
fn transfer() -> Duration {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    // Else the kernel makes it larger and larger, and takes all of it.
    let (level, option, length) = (libc::SOL_SOCKET, libc::SO_RCVBUF, size_of::<i32>() as u32);
    // SAFETY: the kernel reads as many bytes as the value has, which lives as long as the call.
    let done = unsafe { libc::setsockopt(listener.as_raw_fd(), level, option, (&raw const BUFFER).cast(), length) };
    assert_eq!(done, 0, "{}", io::Error::last_os_error());
    let address = listener.local_addr().unwrap();
    let reader = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut buffer = vec![0; READ];
        while stream.read(&mut buffer).unwrap() > 0 {
            thread::sleep(PAUSE);
        }
    });
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(&vec![b'x'; BYTES]).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    // Ends when the reader has all.
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    let limited = kernel_limited(&stream);
    reader.join().unwrap();
    limited
}

/// The record of the only conversation.
fn observe(ring: &mut Ring, is_done: impl Fn() -> bool) -> FlowRecord {
    let mut engine = FlowEngine::new(Options::default());
    let stop = Stop::new().unwrap();
    loop {
        let was_done = is_done();
        let mut frames = 0;
        wait(std::slice::from_ref(&*ring), &stop, Duration::from_millis(100)).unwrap();
        while let Some(batch) = ring.next_batch().unwrap() {
            for packet in batch {
                frames += 1;
                engine.handle(Input::Packet(Packet {
                    time: Timestamp::from_nanos(packet.time_ns),
                    link: flow_core::LinkType::ETHERNET,
                    interface: packet.interface,
                    captured: packet.captured,
                    original_len: packet.original_len,
                    vlan: None,
                }));
            }
        }
        if was_done && frames == 0 {
            break;
        }
    }
    engine.finish();
    let mut flow = None;
    while let Some(output) = engine.poll() {
        if let Output::Flow(record) = output {
            assert!(flow.replace(record).is_none(), "one conversation");
        }
    }
    flow.unwrap()
}

#[test]
fn a_slow_reader_limits_its_sender_as_long_as_the_kernel_says() {
    in_namespace(|| {
        assert!(ip("link set lo mtu 1500"));
        let mut ring = Ring::open("lo", &RingOptions { ring_bytes: 64 << 20, ..RingOptions::default() }).unwrap();
        let application = thread::spawn(transfer);
        let flow = observe(&mut ring, || application.is_finished());
        let kernel = application.join().unwrap();
        let seen = Duration::from_nanos(flow.counters.window_limited_ns.client);
        let lasted = flow.end.since(flow.start);
        println!("limited for {seen:?} of {lasted:?}; the kernel says {kernel:?}; {:?}", flow.counters.zero_window_ns);
        assert_eq!(ring.counters().unwrap().dropped, 0);
        assert!(kernel > lasted / 4, "the reader was slow: {kernel:?} of {lasted:?}");
        // The kernel counts from when it finds no room until an acknowledgement has made some; so does the capture, a little later and in
        // whole segments, and does not know when everything is sent.
        assert!(seen.abs_diff(kernel) < lasted / 5, "{seen:?}, the kernel says {kernel:?}, of {lasted:?}");
        assert_eq!(flow.counters.window_limited_ns.server, 0);
    });
}
