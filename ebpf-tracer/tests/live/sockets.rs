//! Messages on sockets.

use std::net::{IpAddr, Ipv4Addr};

use ebpf_tracer::events::{Flags, Ladder, Operation, SocketEvent};
use ebpf_tracer::{Capture, Hooks, KernelLimits};
use serde_json::Value;

use crate::lab::{Message, kernel, observe};

/// Whether sockets are hooked into, which shows less of some things, and more of others.
const AT_SOCKETS: bool = matches!(crate::HOOKS, Hooks::Sockets);

fn address(event: &SocketEvent, bytes: &[u8; 16]) -> String {
    match event.family {
        2 => IpAddr::from(*bytes.first_chunk::<4>().unwrap()).to_string(),
        _ => IpAddr::from(*bytes).to_string(),
    }
}

/// Both ends, as python says them.
fn check_ends(message: &Message, local: &Value, remote: &Value) {
    let event = &message.event;
    assert_eq!((address(event, &event.local).as_str(), u64::from(event.local_port)), ends(local));
    assert_eq!((address(event, &event.remote).as_str(), u64::from(event.remote_port)), ends(remote));
}

fn ends(end: &Value) -> (&str, u64) {
    (end[0].as_str().unwrap(), end[1].as_u64().unwrap())
}

fn text(message: &Message) -> &str {
    std::str::from_utf8(&message.bytes).unwrap()
}

const TCP: &str = r#"
listener = socket.socket(FAMILY, socket.SOCK_STREAM)
listener.bind((HOST, 0)); listener.listen()
client = socket.socket(FAMILY, socket.SOCK_STREAM)
client.connect(listener.getsockname())
server, _ = listener.accept()
say(client=inode(client), server=inode(server), client_fd=client.fileno(), server_fd=server.fileno(), tid=threading.get_native_id(),
    local=client.getsockname(), remote=client.getpeername(), netns=os.stat("/proc/self/ns/net").st_ino)
client.sendall(b"sent by send")                  # sendto
os.write(client.fileno(), b"sent by write")
os.writev(client.fileno(), [b"sent ", b"", b"by ", b"writev"])
client.sendmsg([b"sent by ", b"sendmsg"])
got = b""
while len(got) < 53: got += server.recv(100)
say(got=got.decode())
server.sendall(b"first answer"); server.sendall(b"second answer"); server.sendall(b"third answer")
time.sleep(0)
peek = client.recv(5, socket.MSG_PEEK)
a = os.read(client.fileno(), 12)
b = bytearray(6); c = bytearray(100)
n = os.readv(client.fileno(), [b, memoryview(c)[:7]])
d = client.recvmsg(100)[0]
say(peek=peek.decode(), read=a.decode(), readv=(b + c[:n - 6]).decode(), recvmsg=d.decode())
client.shutdown(socket.SHUT_WR)
assert server.recv(10) == b""
client.setblocking(False)
try: client.recv(10)
except BlockingIOError: pass
client.close(); server.close()
"#;

fn tcp(program: &str) {
    let Some(seen) = observe(&Capture::default(), program) else { return };
    let facts = &seen.facts[0];
    let client = seen.of(&facts["client"]);
    let server = seen.of(&facts["server"]);
    let check_fd = |message: &Message, fd: &Value| {
        // That the last descriptor is closed is told without it.
        let is_last = AT_SOCKETS && message.is(Operation::Close);
        assert_eq!(i64::from(message.event.fd), if is_last { -1 } else { fd.as_i64().unwrap() });
    };
    for message in client.iter().filter(|message| !message.is(Operation::Connect)) {
        check_ends(message, &facts["local"], &facts["remote"]);
        check_fd(message, &facts["client_fd"]);
    }
    for message in &server {
        check_ends(message, &facts["remote"], &facts["local"]);
        check_fd(message, &facts["server_fd"]);
    }
    for message in client.iter().chain(&server) {
        assert_eq!(u64::from(message.event.header.tid), facts["tid"].as_u64().unwrap());
        assert_eq!(u64::from(message.event.netns), facts["netns"].as_u64().unwrap());
        assert_eq!((message.event.socket_type, message.event.protocol), (1, 6));
        assert_eq!(
            message.event.total as usize,
            message.bytes.len().max(message.event.total as usize * usize::from(message.bytes.is_empty()))
        );
    }
    let done: Vec<_> = client.iter().map(|message| (message.event.operation, text(message))).collect();
    let [send, receive] = [Operation::Send as u8, Operation::Receive as u8];
    let answers = &seen.facts[2];
    // After `shutdown`, closing changes nothing any more at the socket.
    let expected = if AT_SOCKETS { 10 } else { 11 };
    assert_eq!(
        done,
        [
            (Operation::Connect as u8, ""),
            (send, "sent by send"),
            (send, "sent by write"),
            (send, "sent by writev"),
            (send, "sent by sendmsg"),
            (receive, answers["peek"].as_str().unwrap()),
            (receive, answers["read"].as_str().unwrap()),
            (receive, answers["readv"].as_str().unwrap()),
            (receive, answers["recvmsg"].as_str().unwrap()),
            (Operation::Shutdown as u8, ""),
            (Operation::Close as u8, ""),
        ][..expected]
    );
    assert_eq!(server[0].event.operation, Operation::Accept as u8);
    assert_eq!(server.last().unwrap().event.operation, Operation::Close as u8);
    let received: String =
        server.iter().filter(|message| message.is(Operation::Receive)).map(|message| text(message)).collect();
    assert_eq!(received, seen.facts[1]["got"].as_str().unwrap());
    check_positions(&client, &server);
    check_positions(&server, &client);
    assert!(client.iter().filter(|message| message.is(Operation::Send)).all(|message| {
        let event = &message.event;
        event.enter_ns != 0 && event.enter_ns <= event.header.time_ns
    }));
    let peeked = client.iter().find(|message| message.has(Flags::PEEK)).unwrap();
    assert_eq!(peeked.event.position, client[6].event.position, "the bytes are still there");
}

/// Sequence numbers go on without a gap, and are the same at both ends.
fn check_positions(sender: &[&Message], receiver: &[&Message]) {
    let mut expected = None;
    for message in sender.iter().filter(|message| message.is(Operation::Send)) {
        assert!(message.has(Flags::POSITION));
        assert_eq!(message.event.position, expected.unwrap_or(message.event.position));
        expected = Some(message.event.position.wrapping_add(message.event.total));
    }
    let begin = sender.iter().find(|message| message.is(Operation::Send)).unwrap().event.position;
    let mut next = begin;
    for message in receiver.iter().filter(|message| message.is(Operation::Receive) && !message.has(Flags::PEEK)) {
        assert_eq!(message.event.position, next);
        next = next.wrapping_add(message.event.total);
    }
    assert_eq!(next, expected.unwrap());
}

#[test]
fn every_way_to_send_and_receive_on_tcp() {
    tcp(&format!("FAMILY, HOST = socket.AF_INET, '127.0.0.1'\n{TCP}"));
}

#[test]
fn every_way_to_send_and_receive_on_tcp_over_ipv6() {
    tcp(&format!(
        "FAMILY, HOST = socket.AF_INET6, '::1'\nsocket.socket.getsockname, g = (lambda s: g(s)[:2]), socket.socket.getsockname\n{TCP}"
    ));
}

#[test]
fn the_peers_end_in_the_segment_of_the_last_bytes() {
    // Corked, the bytes and the end leave together; read once they are there, the end is taken with the bytes.
    let Some(seen) = observe(
        &Capture::default(),
        r#"
listener = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(listener.getsockname())
server, _ = listener.accept()
say(client=inode(client), server=inode(server))
server.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
server.send(b"first "); server.send(b"second"); server.shutdown(socket.SHUT_WR)
while client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] != 8: pass   # CLOSE_WAIT
assert client.recv(6) == b"first " and client.recv(100) == b"second" and client.recv(1) == b""
"#,
    ) else {
        return;
    };
    check_positions(&seen.of(&seen.facts[0]["server"]), &seen.of(&seen.facts[0]["client"]));
}

#[test]
fn udp_with_and_without_a_peer() {
    let Some(kernel) = kernel(&KernelLimits::default()) else { return };
    if let Err(error) = kernel.knows_peers() {
        return println!("skipped: who sent a datagram is not known: {error:?}");
    }
    let Some(seen) = observe(
        &Capture::default(),
        r#"
import ctypes
a = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); a.bind(("127.0.0.1", 0))
b = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); b.bind(("127.0.0.1", 0))
say(a=inode(a), b=inode(b), a_name=a.getsockname(), b_name=b.getsockname())
a.sendto(b"sendto", b.getsockname())
b.recvfrom(100)
a.sendmsg([b"send", b"msg"], [], 0, b.getsockname())
b.recvmsg(100)
a.connect(b.getsockname())
a.send(b"connected"); b.recvfrom(4)          # the rest is dropped
a.send(b"connected"); b.recvfrom(4, socket.MSG_TRUNC)
libc = ctypes.CDLL(None, use_errno=True)
class iovec(ctypes.Structure): _fields_ = [("base", ctypes.c_char_p), ("length", ctypes.c_size_t)]
class msghdr(ctypes.Structure): _fields_ = [("name", ctypes.c_void_p), ("namelen", ctypes.c_int), ("iov", ctypes.POINTER(iovec)),
    ("iovlen", ctypes.c_size_t), ("control", ctypes.c_void_p), ("controllen", ctypes.c_size_t), ("flags", ctypes.c_int)]
class mmsghdr(ctypes.Structure): _fields_ = [("header", msghdr), ("length", ctypes.c_uint)]
def many(texts):
    out = (mmsghdr * len(texts))()
    for m, text in zip(out, texts):
        m.header.iov = ctypes.pointer(iovec(text, len(text))); m.header.iovlen = 1
    return out
assert libc.sendmmsg(a.fileno(), many([b"one", b"two", b"three"]), 3, 0) == 3
names = [ctypes.create_string_buffer(16) for _ in range(3)]
got = many([bytes([i]) * 10 for i in range(3)])
for m, n in zip(got, names): m.header.name = ctypes.cast(n, ctypes.c_void_p); m.header.namelen = 16
got_n = libc.recvmmsg(b.fileno(), got, 3, 0, None)
assert got_n == 3
"#,
    ) else {
        return;
    };
    let facts = &seen.facts[0];
    let (a, b) = (seen.of(&facts["a"]), seen.of(&facts["b"]));
    let sent: Vec<_> = a.iter().filter(|message| message.is(Operation::Send)).collect();
    let texts: Vec<_> = sent.iter().map(|message| text(message)).collect();
    assert_eq!(texts, ["sendto", "sendmsg", "connected", "connected", "one", "two", "three"]);
    for message in &sent {
        check_ends(message, &facts["a_name"], &facts["b_name"]);
        assert!(!message.has(Flags::POSITION) && (message.event.enter_ns == 0) == AT_SOCKETS);
        assert_eq!((message.event.protocol, message.event.socket_type), (17, 2));
    }
    let received: Vec<_> = b.iter().filter(|message| message.is(Operation::Receive)).collect();
    let texts: Vec<_> = received.iter().map(|message| (text(message), message.event.total)).collect();
    let all = [("sendto", 6), ("sendmsg", 7), ("conn", 4), ("conn", 9), ("one", 3), ("two", 3), ("three", 5)];
    assert_eq!(texts, all);
    for message in &received {
        check_ends(message, &facts["b_name"], &facts["a_name"]);
    }
}

#[test]
fn unix_sockets_and_who_is_at_the_other_end() {
    let Some(seen) = observe(
        &Capture::default(),
        r#"
a, b = socket.socketpair()
say(a=inode(a), b=inode(b), fd=a.fileno())
a.sendall(b"over there"); b.recv(100)
d, e = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
say(a=inode(d), b=inode(e), fd=d.fileno())
d.send(b"over there"); e.recv(100)
"#,
    ) else {
        return;
    };
    for (facts, kind) in seen.facts.iter().zip([1, 2]) {
        let (a, b) = (seen.of(&facts["a"]), seen.of(&facts["b"]));
        let sent = usize::from(!AT_SOCKETS);
        assert!(AT_SOCKETS || a[0].is(Operation::Pair));
        assert!(a[sent].is(Operation::Send) && b[0].is(Operation::Receive));
        assert_eq!((text(a[sent]), text(b[0])), ("over there", "over there"));
        for (message, other) in [(a[0], "b"), (a[sent], "b"), (b[0], "a")] {
            assert!(message.has(Flags::PAIR));
            assert_eq!(message.event.peer_inode, facts[other].as_u64().unwrap());
            assert_eq!((message.event.family, message.event.socket_type, message.event.local_port), (1, kind, 0));
        }
        assert_eq!(i64::from(a[0].event.fd), facts["fd"].as_i64().unwrap());
    }
}

#[test]
fn only_what_was_really_sent() {
    // A socket that takes no more takes a part of a message, and then nothing.
    let Some(seen) = observe(
        &Capture { head: 1 << 20, ..Capture::default() },
        r#"
listener = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(listener.getsockname())
server, _ = listener.accept()
client.setblocking(False)
sent = []
while True:
    try: sent.append(client.send(bytes(range(256)) * 1000))
    except BlockingIOError: break
say(client=inode(client), sent=sent)
"#,
    ) else {
        return;
    };
    let sent: Vec<_> = seen.facts[0]["sent"].as_array().unwrap().iter().map(|count| count.as_u64().unwrap()).collect();
    assert!(sent.last().is_some_and(|last| *last < 256_000), "the last one is a part: {sent:?}");
    let messages = seen.of(&seen.facts[0]["client"]);
    let messages: Vec<_> = messages.iter().filter(|message| message.is(Operation::Send)).collect();
    assert_eq!(messages.iter().map(|message| u64::from(message.event.total)).collect::<Vec<_>>(), sent);
    for message in messages {
        assert_eq!(message.bytes.len(), message.event.total as usize);
        assert!(message.bytes.iter().enumerate().all(|(at, byte)| *byte == at as u8));
    }
}

const LARGE: &str = r#"
listener = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(listener.getsockname())
client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8 << 20)
server, _ = listener.accept()
def drain():
    while server.recv(1 << 20): pass
thread = threading.Thread(target=drain); thread.start()
say(client=inode(client))
data = b"".join(struct.pack("<I", i) for i in range(1 << 18))
client.sendall(data)
os.writev(client.fileno(), [data[i:i + 5000] for i in range(0, 1000000, 5000)])
client.close(); thread.join()
"#;

#[test]
fn a_megabyte_when_so_much_is_wanted() {
    let Some(seen) = observe(&Capture { head: 2 << 20, ..Capture::default() }, LARGE) else { return };
    let data: Vec<u8> = (0..1u32 << 18).flat_map(u32::to_le_bytes).collect();
    let messages = seen.of(&seen.facts[0]["client"]);
    let sent: Vec<_> = messages.iter().filter(|message| message.is(Operation::Send)).collect();
    assert_eq!([sent[0].event.total, sent[1].event.total], [1 << 20, 1_000_000]);
    assert!(sent[0].bytes == data && sent[1].bytes == data[..1_000_000], "the bytes are those that were sent");
}

#[test]
fn the_head_of_a_message_and_less_of_it() {
    let steps = [
        (Ladder::Heads, 10_000, 10_000),
        (Ladder::FirstBytes, 10_000, 64),
        (Ladder::FirstBytes, 10, 10),
        (Ladder::Counts, 10_000, 0),
    ];
    for (ladder, head, expected) in steps {
        let Some(seen) = observe(&Capture { head, ladder, ..Capture::default() }, LARGE) else { return };
        let messages = seen.of(&seen.facts[0]["client"]);
        let sent: Vec<_> = messages.iter().filter(|message| message.is(Operation::Send)).collect();
        for message in sent {
            assert!(message.event.total >= 1_000_000);
            assert_eq!(message.bytes.len(), expected);
        }
    }
}

#[test]
fn bytes_that_come_from_a_file() {
    let Some(seen) = observe(
        &Capture::default(),
        r#"
import tempfile
listener = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(listener.getsockname())
server, _ = listener.accept()
say(client=inode(client), server=inode(server))
file = tempfile.TemporaryFile(); file.write(b"f" * 1000); file.flush()
os.sendfile(client.fileno(), file.fileno(), 0, 1000)
r, w = os.pipe()
assert os.splice(server.fileno(), w, 1000) == 1000
assert os.splice(r, client.fileno(), 1000) == 1000
client.send(b"x")
"#,
    ) else {
        return;
    };
    let (client, server) = (seen.of(&seen.facts[0]["client"]), seen.of(&seen.facts[0]["server"]));
    let sent: Vec<_> = client.iter().filter(|message| message.is(Operation::Send)).collect();
    assert_eq!(
        sent.iter().map(|message| (message.event.total, message.has(Flags::FILE))).collect::<Vec<_>>(),
        [(1000, true), (1000, true), (1, false)]
    );
    assert_eq!(sent[1].event.position, sent[0].event.position.wrapping_add(1000));
    assert_eq!(sent[2].event.position, sent[1].event.position.wrapping_add(1000));
    let received = server.iter().find(|message| message.is(Operation::Receive));
    if AT_SOCKETS {
        return assert!(received.is_none(), "what is taken from a socket into a pipe is not seen");
    }
    let received = received.unwrap();
    assert_eq!(
        (received.event.total, received.has(Flags::FILE), received.event.position),
        (1000, true, sent[0].event.position)
    );
}

#[test]
fn a_connection_that_is_refused() {
    let Some(seen) = observe(
        &Capture::default(),
        r#"
s = socket.socket(); s.bind(("127.0.0.1", 0)); port = s.getsockname()[1]
c = socket.socket()
say(client=inode(c), port=port, error=c.connect_ex(("127.0.0.1", port)))
d = socket.socket(); d.setblocking(False)
say(client=inode(d), port=port, error=0, said=d.connect_ex(("127.0.0.1", port)))
"#,
    ) else {
        return;
    };
    for facts in &seen.facts {
        let connect = seen.of(&facts["client"])[0];
        assert!(connect.is(Operation::Connect));
        let is_known = !AT_SOCKETS;
        assert_eq!(u64::from(connect.event.total), if is_known { facts["error"].as_u64().unwrap() } else { 0 });
        assert_eq!(u64::from(connect.event.remote_port), facts["port"].as_u64().unwrap());
        assert_eq!(connect.event.remote[..4], Ipv4Addr::LOCALHOST.octets());
    }
}

#[test]
fn traffic_that_is_not_seen_is_declared() {
    let Some(seen) = observe(
        &Capture::default(),
        r#"
import ctypes
for _ in range(2): ctypes.CDLL(None).syscall(425, 4, ctypes.create_string_buffer(200))   # io_uring_setup
"#,
    ) else {
        return;
    };
    let declared: Vec<_> = seen.messages.iter().filter(|message| message.is(Operation::IoUring)).collect();
    if declared.is_empty() {
        println!("skipped: the kernel does not permit io_uring");
        return;
    }
    assert_eq!((declared.len(), declared[0].event.inode), (1, 0));
}

#[test]
fn the_ends_of_a_unix_connection_by_their_names() {
    let Some(seen) = observe(
        &Capture::default(),
        r#"
import tempfile
place = tempfile.mkdtemp() + "/socket"
listener = socket.socket(socket.AF_UNIX); listener.bind(place); listener.listen()
client = socket.socket(socket.AF_UNIX); client.connect(place)
server, _ = listener.accept()
say(client=inode(client), server=inode(server))
server.sendall(b"greeting"); client.recv(100)
client.close(); assert server.recv(100) == b""
"#,
    ) else {
        return;
    };
    let of = |name: &str, operation| {
        let messages = seen.of(&seen.facts[0][name]);
        messages.into_iter().find(|message| message.is(operation)).cloned()
    };
    let (sent, received) = (of("server", Operation::Send).unwrap(), of("client", Operation::Receive).unwrap());
    assert!(sent.has(Flags::SERVER) && !sent.has(Flags::CLIENT | Flags::PAIR));
    assert!(received.has(Flags::CLIENT) && !received.has(Flags::SERVER | Flags::PAIR));
    if AT_SOCKETS {
        assert_eq!(of("server", Operation::Close).unwrap().event.fd, -1, "the other end was closed");
    }
}

#[test]
fn what_goes_through_io_uring() {
    let Some(seen) = observe(
        &Capture::default(),
        r#"
import ctypes, mmap
libc = ctypes.CDLL(None)
facts = ctypes.create_string_buffer(120)
ring = libc.syscall(425, 4, facts)                    # io_uring_setup
if ring < 0: say(permitted=False); sys.exit()
_, tail, _, _, _, _, array = struct.unpack_from("<7I", facts, 40)
queue, entries = mmap.mmap(ring, 4096), mmap.mmap(ring, 4096, offset=0x10000000)
def do(operation, s, buffer):
    struct.pack_into("<BBHiQQII", entries, 0, operation, 0, 0, s.fileno(), 0, ctypes.addressof(buffer), len(buffer), 0)
    struct.pack_into("<I", queue, array, 0)
    struct.pack_into("<I", queue, tail, struct.unpack_from("<I", queue, tail)[0] + 1)
    assert libc.syscall(426, ring, 1, 1, 1, None, 0) == 1  # io_uring_enter
listener = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(listener.getsockname())
server, _ = listener.accept()
say(permitted=True, client=inode(client), server=inode(server))
buffer = ctypes.create_string_buffer(b"through io_uring", 16)
do(26, client, buffer); do(27, server, buffer)
client.sendall(b"by a call")
os.write(1, b"")
"#,
    ) else {
        return;
    };
    if seen.facts[0]["permitted"] == false {
        return println!("skipped: the kernel does not permit io_uring");
    }
    let done = |name: &str, operation| {
        let messages = seen.of(&seen.facts[0][name]);
        let messages = messages.into_iter().filter(|message| message.is(operation));
        messages.map(|message| (message.event.total, text(message).to_owned())).collect::<Vec<_>>()
    };
    let (called, unseen) = ((9, "by a call".to_owned()), (16, String::new()));
    if AT_SOCKETS {
        assert_eq!(done("client", Operation::Send), [unseen.clone(), called]);
        assert_eq!(done("server", Operation::Receive), [unseen]);
    } else {
        assert_eq!(done("client", Operation::Send), [called]);
    }
    assert_eq!(seen.messages.iter().filter(|message| message.is(Operation::IoUring)).count(), 1);
}
