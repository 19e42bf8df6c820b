//! Messages on sockets.

use std::net::IpAddr;

use ebpf_tracer::Capture;
use ebpf_tracer::events::{Flags, Ladder, Operation, SocketEvent};
use serde_json::Value;

use crate::lab::{Message, observe};

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
    for message in client.iter().filter(|message| !message.is(Operation::Connect)) {
        check_ends(message, &facts["local"], &facts["remote"]);
        assert_eq!(i64::from(message.event.fd), facts["client_fd"].as_i64().unwrap());
    }
    for message in &server {
        check_ends(message, &facts["remote"], &facts["local"]);
        assert_eq!(i64::from(message.event.fd), facts["server_fd"].as_i64().unwrap());
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
        ]
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
        event.enter_ns != 0 && event.enter_ns < event.header.time_ns
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
