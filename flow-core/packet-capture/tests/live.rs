//! Capturing from the real kernel, each test in a network namespace of its own that ends with its thread.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "helpers of tests fail them and say why they skip"
)]

#[path = "support/namespace.rs"]
mod namespace;

use std::ffi::c_int;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::process::Command;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use metaflow_packet_capture::{
    CaptureFile, Connection, LinkType, OpenRingError, Packet, Ring, RingError, RingFilter, RingOptions, Stop, VlanTag,
    Wake, interfaces, wait,
};
use namespace::{Tun, in_namespace, ip};

const fn can_be_sent<T: Send>() {}
const fn can_be_shared<T: Sync>() {}
const _: () = {
    can_be_sent::<CaptureFile>();
    can_be_sent::<Ring>();
    can_be_sent::<RingFilter>();
    can_be_shared::<RingFilter>();
    can_be_shared::<Stop>();
};

/// Long enough that only a failure reaches it.
const PATIENCE: Duration = Duration::from_secs(20);

/// Waits for packets of the rings and hands them on, until `done` says so after a packet.
fn drain(rings: &mut [Ring], mut done: impl FnMut(Packet<'_>) -> bool) {
    let stop = Stop::new().unwrap();
    loop {
        let wake = wait(rings, &stop, PATIENCE).unwrap();
        assert_eq!(wake, Wake::Ready, "the packets did not come");
        for ring in &mut *rings {
            while let Some(batch) = ring.next_batch().unwrap() {
                for packet in batch {
                    if done(packet) {
                        return;
                    }
                }
            }
        }
    }
}

/// The UDP payload of an Ethernet frame of IPv4 or IPv6, if it is one.
fn udp_payload(packet: Packet<'_>) -> Option<&[u8]> {
    let frame = packet.captured;
    match frame.get(12..14)? {
        [0x08, 0x00] if frame[23] == 17 => frame.get(42..),
        [0x86, 0xdd] if frame[20] == 17 => frame.get(62..),
        _ => None,
    }
}

/// The ports of a TCP segment over IPv4 without options.
fn tcp_ports(ip: &[u8]) -> Option<(u16, u16)> {
    let port = |at: usize| u16::from_be_bytes([ip[at], ip[at + 1]]);
    (ip.len() >= 24 && ip[0] == 0x45 && ip[9] == 6).then(|| (port(20), port(22)))
}

fn index_of(name: &str) -> u32 {
    interfaces().unwrap().into_iter().find(|interface| interface.name == name).unwrap().index
}

fn now_ns() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64
}

/// A socket on one end of a link, for frames of any kind.
struct RawSender(OwnedFd, u32);

impl RawSender {
    fn new(interface: &str) -> Self {
        // SAFETY: no memory is passed.
        let descriptor = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
        assert!(descriptor >= 0);
        // SAFETY: the descriptor is new and nobody else's.
        Self(unsafe { OwnedFd::from_raw_fd(descriptor) }, index_of(interface))
    }

    fn send(&self, frame: &[u8]) {
        // SAFETY: all zeros is a value of this structure of integers.
        let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
        address.sll_family = libc::AF_PACKET as u16;
        address.sll_ifindex = self.1 as c_int;
        let (pointer, length) = ((&raw const address).cast(), size_of::<libc::sockaddr_ll>() as u32);
        // SAFETY: both pointers are to memory as long as is said.
        let sent = unsafe { libc::sendto(self.0.as_raw_fd(), frame.as_ptr().cast(), frame.len(), 0, pointer, length) };
        assert_eq!(sent, frame.len() as isize, "{}", io::Error::last_os_error());
    }
}

/// An Ethernet frame for everyone, of a private EtherType, behind VLAN tags.
fn frame(tags: &[VlanTag], payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0xff; 6];
    frame.extend([2, 0, 0, 0, 0, 9]);
    for tag in tags {
        frame.extend(tag.tpid.to_be_bytes());
        frame.extend(tag.tci.to_be_bytes());
    }
    frame.extend([0x88, 0xb5]);
    frame.extend(payload);
    frame
}

/// A pair of linked interfaces `v0` and `v1`, both up.
fn veth() {
    ip("link add v0 type veth peer name v1");
    ip("link set v0 up");
    ip("link set v1 up");
}

#[test]
fn every_loopback_packet_comes_exactly_once() {
    in_namespace(|| {
        let receivers = [UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("[::1]:0").unwrap()];
        let senders = [UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("[::1]:0").unwrap()];
        let mut rings = [Ring::open("lo", &RingOptions::default()).unwrap()];
        let before = now_ns();
        const PACKETS: u32 = 1500;
        for number in 0..PACKETS {
            let family = number as usize % 2;
            let mut payload = number.to_be_bytes().to_vec();
            payload.resize(4 + number as usize, number as u8);
            senders[family].send_to(&payload, receivers[family].local_addr().unwrap()).unwrap();
        }
        let mut expected = 0_u32;
        let mut last = before;
        drain(&mut rings, |packet| {
            let payload = udp_payload(packet).unwrap();
            assert_eq!(payload[..4], expected.to_be_bytes(), "in order, none missing, none twice");
            assert_eq!(payload.len(), 4 + expected as usize);
            assert!(payload[4..].iter().all(|byte| *byte == expected as u8));
            assert_eq!(packet.original_len as usize, packet.captured.len());
            assert_eq!((packet.link, packet.interface, packet.vlan), (LinkType::Ethernet, index_of("lo"), None));
            assert!(last <= packet.time_ns, "time goes on");
            last = packet.time_ns;
            expected += 1;
            expected == PACKETS
        });
        assert!(last <= now_ns());
        assert!(rings[0].next_batch().unwrap().is_none());
        let counters = rings[0].counters().unwrap();
        assert_eq!((counters.received, counters.lent), (PACKETS.into(), PACKETS.into()));
        assert_eq!((counters.dropped, counters.ignored), (0, 0));
    });
}

#[test]
fn what_does_not_fit_into_the_ring_is_counted() {
    in_namespace(|| {
        let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        let options = RingOptions { ring_bytes: 2 << 20, ..RingOptions::default() };
        let mut ring = Ring::open("lo", &options).unwrap();
        const PACKETS: u64 = 200;
        for _ in 0..PACKETS {
            sender.send_to(&[7; 60_000], receiver.local_addr().unwrap()).unwrap();
        }
        let mut got = 0;
        while got < 20 {
            let stop = Stop::new().unwrap();
            assert_eq!(wait(std::slice::from_ref(&ring), &stop, PATIENCE).unwrap(), Wake::Ready);
            while let Some(batch) = ring.next_batch().unwrap() {
                got += batch.len() as u64;
            }
        }
        let counters = ring.counters().unwrap();
        assert_eq!(counters.received, PACKETS);
        assert!(counters.dropped > 0 && counters.freezes > 0, "{counters:?}");
        assert_eq!(counters.lent, got);
        assert_eq!(counters.received, counters.lent + counters.dropped + counters.ignored);
        // Totals stay when the kernel begins anew, and the ring goes on.
        assert_eq!(ring.counters().unwrap(), counters);
        sender.send_to(b"after", receiver.local_addr().unwrap()).unwrap();
        drain(std::slice::from_mut(&mut ring), |packet| udp_payload(packet) == Some(b"after"));
        assert_eq!(ring.counters().unwrap().received, PACKETS + 1);
    });
}

#[test]
fn excluded_connections_are_not_captured_and_can_be_changed_while_capturing() {
    in_namespace(|| {
        let listeners = [TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap()];
        let mut pairs = listeners.map(|listener| {
            let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            (client, listener.accept().unwrap().0)
        });
        let marker = UdpSocket::bind("127.0.0.1:0").unwrap();
        let connection = |pair: &(TcpStream, TcpStream)| Connection {
            local: pair.0.local_addr().unwrap(),
            remote: pair.0.peer_addr().unwrap(),
        };
        let connections = [connection(&pairs[0]), connection(&pairs[1])];
        let options = RingOptions { excluded: vec![connections[0]], ..RingOptions::default() };
        let mut rings = [Ring::open("lo", &options).unwrap()];

        // Both ends of both connections speak; which are seen?
        let mut exchange = |rings: &mut [Ring]| {
            for (client, server) in &mut pairs {
                client.write_all(b"question").unwrap();
                server.read_exact(&mut [0; 8]).unwrap();
                server.write_all(b"answer").unwrap();
                client.read_exact(&mut [0; 6]).unwrap();
            }
            marker.send_to(b"end", marker.local_addr().unwrap()).unwrap();
            let mut seen = [[0, 0], [0, 0]];
            drain(rings, |packet| {
                if let Some(ports) = tcp_ports(&packet.captured[14..]) {
                    for (place, Connection { local, remote }) in connections.iter().enumerate() {
                        seen[place][0] += u32::from(ports == (local.port(), remote.port()));
                        seen[place][1] += u32::from(ports == (remote.port(), local.port()));
                    }
                }
                udp_payload(packet) == Some(b"end")
            });
            seen.map(|directions| directions.map(|count| count > 0))
        };
        assert_eq!(exchange(&mut rings), [[false, false], [true, true]]);

        let filter = rings[0].filter();
        let other = connections[1];
        thread::spawn(move || filter.exclude(&[other]).unwrap()).join().unwrap();
        assert_eq!(exchange(&mut rings), [[true, true], [false, false]]);

        rings[0].exclude(&connections).unwrap();
        assert_eq!(exchange(&mut rings), [[false, false], [false, false]]);
        rings[0].exclude(&[]).unwrap();
        assert_eq!(exchange(&mut rings), [[true, true], [true, true]]);

        let filter = rings[0].filter();
        drop(rings);
        filter.exclude(&connections).unwrap();
    });
}

#[test]
fn one_thread_reads_several_interfaces_and_sees_both_directions_and_stripped_tags() {
    in_namespace(|| {
        veth();
        let open = |name: &str| Ring::open(name, &RingOptions { promiscuous: true, ..RingOptions::default() }).unwrap();
        let mut rings = [open("v0"), open("v1"), open("lo")];
        let tag = VlanTag { tpid: 0x8100, tci: 0x6005 };
        let inner = VlanTag { tpid: 0x8100, tci: 7 };
        let sender = RawSender::new("v0");
        sender.send(&frame(&[], b"plain"));
        sender.send(&frame(&[tag], b"tagged"));
        sender.send(&frame(&[VlanTag { tpid: 0x88a8, tci: 3 }, inner], b"twice"));
        let (v0, v1) = (index_of("v0"), index_of("v1"));
        let mut seen = Vec::new();
        drain(&mut rings, |packet| {
            // The kernel sends frames of its own on new links.
            if packet.captured.windows(2).any(|bytes| bytes == [0x88, 0xb5]) {
                seen.push((packet.interface, packet.captured.to_vec(), packet.vlan));
            }
            seen.len() == 6
        });
        seen.sort();
        let stripped = |tpid, tci| Some(VlanTag { tpid, tci });
        let mut expected = vec![
            // On its way out a frame is as it was sent.
            (v0, frame(&[], b"plain"), None),
            (v0, frame(&[tag], b"tagged"), None),
            (v0, frame(&[VlanTag { tpid: 0x88a8, tci: 3 }, inner], b"twice"), None),
            // On its way in the kernel takes the outer tag out.
            (v1, frame(&[], b"plain"), None),
            (v1, frame(&[], b"tagged"), stripped(0x8100, 0x6005)),
            (v1, frame(&[inner], b"twice"), stripped(0x88a8, 3)),
        ];
        expected.sort();
        assert_eq!(seen, expected);
        assert_eq!(tag.id(), 5);
        let shown = Command::new("ip").args(["-d", "link", "show", "v1"]).output().unwrap();
        assert!(String::from_utf8_lossy(&shown.stdout).contains("promiscuity 1"));
    });
}

#[test]
fn an_interface_without_ethernet_gives_raw_ip_and_can_exclude_connections() {
    in_namespace(|| {
        let Some(mut tun) = Tun::new("t0", libc::IFF_TUN) else {
            println!("skipped: there is no /dev/net/tun");
            return;
        };
        ip("link set t0 up");
        let excluded = Connection { local: "10.1.0.1:1".parse().unwrap(), remote: "10.1.0.2:2".parse().unwrap() };
        let options = RingOptions { excluded: vec![excluded], ..RingOptions::default() };
        let mut rings = [Ring::open("t0", &options).unwrap()];
        assert_eq!(rings[0].link(), LinkType::RawIp);
        let segment = |source: u8, destination: u8| {
            let mut packet = vec![0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0, 10, 1, 0, source, 10, 1, 0, destination];
            packet.extend([0, source, 0, destination]);
            packet.resize(40, 0);
            packet
        };
        for (source, destination) in [(1, 2), (2, 1), (1, 3), (3, 1)] {
            tun.0.write_all(&segment(source, destination)).unwrap();
        }
        let mut seen = Vec::new();
        drain(&mut rings, |packet| {
            assert_eq!(
                (packet.link, packet.captured[0] >> 4 == 4 || packet.captured[0] >> 4 == 6),
                (LinkType::RawIp, true)
            );
            seen.extend(tcp_ports(packet.captured));
            seen.last() == Some(&(3, 1))
        });
        assert_eq!(seen, [(1, 3), (3, 1)]);
    });
}

#[test]
fn the_snap_length_cuts_packets_and_keeps_their_length() {
    in_namespace(|| {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let options = RingOptions { snap_len: 64, ..RingOptions::default() };
        let mut rings = [Ring::open("lo", &options).unwrap()];
        socket.send_to(&[7; 1000], socket.local_addr().unwrap()).unwrap();
        drain(&mut rings, |packet| {
            assert_eq!((packet.captured.len(), packet.original_len), (64, 1042));
            true
        });
    });
}

#[test]
fn an_interface_that_goes_down_is_reported_and_comes_back() {
    in_namespace(|| {
        veth();
        let mut rings = [Ring::open("v1", &RingOptions::default()).unwrap()];
        let sender = RawSender::new("v0");
        sender.send(&frame(&[], b"before"));
        drain(&mut rings, |packet| packet.captured.ends_with(b"before"));

        sender.send(&frame(&[], b"last"));
        ip("link set v1 down");
        let mut seen = Vec::new();
        let error = next_error(&mut rings, |packet| seen.push(packet.captured.to_vec()));
        assert!(matches!(&error, RingError::Down { interface } if interface == "v1"), "{error}");
        // It is activated again some time after the command, and drops what is sent until then.
        ip("link set v1 up");
        let stop = Stop::new().unwrap();
        while !seen.iter().any(|frame| frame.ends_with(b"again")) {
            sender.send(&frame(&[], b"again"));
            wait(&rings, &stop, Duration::from_millis(100)).unwrap();
            while let Some(batch) = rings[0].next_batch().expect("the error comes once") {
                seen.extend(batch.iter().map(|packet| packet.captured.to_vec()));
            }
        }
        // What had been captured when the error came has come too.
        assert_eq!(seen.iter().filter(|frame| frame.ends_with(b"last")).count(), 1);

        ip("link del v0");
        let error = loop {
            match next_error(&mut rings, |_| ()) {
                RingError::Down { .. } => {}
                other => break other,
            }
        };
        assert_eq!(error.to_string(), "interface v1 was removed");
    });
}

/// Reads until there is an error.
fn next_error(rings: &mut [Ring; 1], mut each: impl FnMut(Packet<'_>)) -> RingError {
    let stop = Stop::new().unwrap();
    loop {
        assert_eq!(wait(&*rings, &stop, PATIENCE).unwrap(), Wake::Ready);
        loop {
            match rings[0].next_batch() {
                Ok(Some(batch)) => batch.iter().for_each(&mut each),
                Ok(None) => break,
                Err(error) => return error,
            }
        }
    }
}

#[test]
fn what_cannot_be_opened_says_what_to_do() {
    in_namespace(|| {
        let open = |name: &str| Ring::open(name, &RingOptions::default()).unwrap_err();
        veth();
        assert_eq!(open("v3").to_string(), "there is no interface v3; there are v1, v0, lo");
        ip("link set v1 down");
        assert_eq!(open("v1").to_string(), "interface v1 is down: bring it up with `ip link set v1 up`");
        // The raw system call takes the privilege from this thread alone.
        // SAFETY: no memory is passed.
        assert_eq!(unsafe { libc::syscall(libc::SYS_setresuid, 65_534, 65_534, 65_534) }, 0);
        let error = open("lo");
        assert!(matches!(&error, OpenRingError::NoPrivilege { interface } if interface == "lo"), "{error}");
        assert!(error.to_string().contains("needs CAP_NET_RAW: run as root"));
    });
}

#[test]
fn options_out_of_range_are_named() {
    let error = |options: RingOptions| Ring::open("lo", &options).unwrap_err().to_string();
    let default = RingOptions::default;
    assert_eq!(error(RingOptions { snap_len: 63, ..default() }), "snap_len is 63, it must lie between 64 and 262144");
    assert_eq!(
        error(RingOptions { ring_bytes: 1 << 31, ..default() }),
        "ring_bytes is 2147483648, it must lie between 2097152 and 1073741824"
    );
    assert_eq!(
        error(RingOptions { block_timeout: Duration::from_secs(2), ..default() }),
        "block_timeout is 2000, it must lie between 1 and 1000"
    );
}

#[test]
fn stopping_wakes_every_thread_that_waits_now_or_later() {
    let stop = Stop::new().unwrap();
    let waiting = [0, 1].map(|_| {
        let stop = stop.clone();
        thread::spawn(move || wait(&[], &stop, PATIENCE).unwrap())
    });
    assert!(!stop.is_stopped());
    assert_eq!(wait(&[], &stop, Duration::ZERO).unwrap(), Wake::TimedOut);
    stop.stop();
    for thread in waiting {
        assert_eq!(thread.join().unwrap(), Wake::Stopped);
    }
    assert_eq!(wait(&[], &stop, PATIENCE).unwrap(), Wake::Stopped);
    assert!(stop.is_stopped());
}

#[test]
fn interfaces_are_listed_with_what_they_are() {
    in_namespace(|| {
        veth();
        ip("link set v1 down");
        let found: Vec<_> = interfaces().unwrap().into_iter().collect();
        let names: Vec<_> = found.iter().map(|interface| &*interface.name).collect();
        assert_eq!(names, ["lo", "v1", "v0"]);
        assert!(found[0].loopback && found[0].up && !found[1].loopback && !found[1].up && found[2].up);
        assert!(found.iter().all(|interface| interface.link == LinkType::Ethernet));
    });
}
