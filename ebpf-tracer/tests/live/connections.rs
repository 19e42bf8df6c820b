//! How connections begin and end.

use ebpf_tracer::events::Operation;
use ebpf_tracer::{Capture, Hooks};

use crate::lab::{Message, observe};

fn operations(messages: &[&Message]) -> Vec<u8> {
    messages.iter().map(|message| message.event.operation).collect()
}

#[test]
fn a_server_that_speaks_first() {
    let Some(seen) = observe(
        &Capture::default(),
        r#"
listener = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(listener.getsockname())
server, _ = listener.accept()
say(client=inode(client), server=inode(server))
server.sendall(b"hello"); client.recv(100)
client.sendall(b"hello yourself"); server.recv(100)
server.sendall(b"once more"); client.recv(100)
"#,
    ) else {
        return;
    };
    let server = seen.of(&seen.facts[0]["server"]);
    let [accept, send, receive] = [Operation::Accept, Operation::Send, Operation::Receive].map(|is| is as u8);
    assert_eq!(operations(&server)[..4], [accept, send, receive, send], "accepted once, before all else");
    assert!(server[0].event.header.time_ns <= server[1].event.enter_ns);
    let client = seen.of(&seen.facts[0]["client"]);
    assert_eq!(operations(&client)[..3], [Operation::Connect as u8, receive, send]);
}

#[test]
fn descriptors_that_go_away_without_being_closed() {
    let Some(seen) = observe(
        &Capture::default(),
        r#"
import ctypes
listener = socket.create_server(("127.0.0.1", 0))
pairs = []
for _ in range(3):
    client = socket.create_connection(listener.getsockname())
    server, _ = listener.accept()
    client.sendall(b"x"); server.recv(1)
    pairs.append((client, server))
say(replaced=inode(pairs[0][0]), ranged=inode(pairs[1][0]), executed=inode(pairs[2][0]))
os.dup2(1, pairs[0][0].fileno())
fd = pairs[1][0].fileno()
if ctypes.CDLL(None).syscall(436, fd, fd, 0) != 0: os.close(fd)   # close_range
pid = os.fork()
if pid == 0: os._exit(0)
os.waitpid(pid, 0)
os.execv(sys.executable, ["python3", "-c", ""])
"#,
    ) else {
        return;
    };
    for name in ["replaced", "ranged", "executed"] {
        let messages = seen.of(&seen.facts[0][name]);
        let ends: Vec<_> = messages.iter().filter(|message| message.is(Operation::Close)).collect();
        let fds: Vec<_> = ends.iter().map(|message| message.event.fd).collect();
        if crate::HOOKS == Hooks::Sockets {
            assert_eq!(fds, [-1], "{name}");
        } else {
            assert!(fds.is_empty(), "{name}: a known limit");
        }
    }
}
