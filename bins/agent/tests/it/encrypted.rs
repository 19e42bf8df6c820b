//! TLS whose plaintext cannot be seen: it is said of the processes that speak it, and of no others.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use serde_json::Value;

use crate::program::{PATIENCE, Running};
use crate::traced::cannot_trace;
use crate::untraced::{Python, agent, ended};

/// A handshake and data of TLS over a connection within a process, as far as anybody outside can tell.
const SPEAK: &str = r#"
def speak():
    listener = socket.create_server(("127.0.0.1", 0))
    client = socket.create_connection(listener.getsockname()); server, _ = listener.accept()
    client.sendall(b"\x16\x03\x01\x00\x06\x01\x00\x00\x02\x03\x03"); server.recv(100)
    server.sendall(b"\x16\x03\x03\x00\x06\x02\x00\x00\x02\x03\x03"); client.recv(100)
    client.sendall(b"\x17\x03\x03\x00\x40" + b"x" * 64); server.recv(100)
"#;

fn is(process: &Value, pid: &str) -> bool {
    process["pid"].as_u64() == pid.parse().ok()
}

/// The event that says of a process that its plaintext is not seen.
fn unseen(agent: &Running, is_it: impl Fn(&Value) -> bool) -> Value {
    let begin = Instant::now();
    loop {
        let left = PATIENCE.saturating_sub(begin.elapsed());
        let line = agent.stdout.recv_timeout(left).unwrap_or_else(|error| panic!("nothing is said: {error}"));
        let event: Value = serde_json::from_str(&line).unwrap();
        if event["kind"] == "tls_unseen" && is_it(&event["process"]) {
            return event;
        }
    }
}

#[test]
fn a_library_whose_functions_have_no_names() {
    if cannot_trace() {
        return;
    }
    // A copy of the library that python uses, with other names in its table of symbols, which comes before all other texts.
    let mut python = Python::start(&format!(
        r#"
import mmap, ssl, tempfile
{SPEAK}
path = next(line.split()[-1] for line in open("/proc/self/maps") if "libssl" in line)
with open(path, "rb") as file: library = file.read()
for name in [b"SSL_write", b"SSL_read", b"SSL_write_ex", b"SSL_read_ex"]:
    library = library.replace(b"\0" + name + b"\0", b"\0X" + name[1:] + b"\0", 1)
copy = open(tempfile.mkdtemp() + "/libssl.so.3", "w+b"); copy.write(library); copy.flush()
mapped = mmap.mmap(copy.fileno(), 0, prot=mmap.PROT_READ | mmap.PROT_EXEC)
wait()
speak(); speak()
wait()
"#
    ));
    let agent = agent(&["--kind", "events", "-p", &python.pid()]);
    python.go_on();
    python.waits();
    let event = unseen(&agent, |process| is(process, &python.pid()));
    assert_eq!(event["attributes"]["tls.library"], "openssl");
    assert_eq!(event["attributes"]["network.peer.address"], "127.0.0.1");
    let path = event["attributes"]["tls.library.path"].as_str().unwrap();
    assert!(path.ends_with("/libssl.so.3"), "{event}");
    assert!(event["text"].as_str().unwrap().ends_with("the functions that encrypt have no symbols in it"), "{event}");
    fs::remove_dir_all(Path::new(path).parent().unwrap()).unwrap();
    python.end();
    let (events, _) = ended(agent);
    assert!(!events.iter().any(|event| event["kind"] == "tls_unseen"), "once for each process: {events:#?}");
}

#[test]
fn a_process_without_any_known_library_and_one_that_only_has_one_loaded() {
    if cannot_trace() {
        return;
    }
    let mut speaks = Python::start(&format!("{SPEAK}\nwait()\nspeak()\nwait()"));
    let silent = Python::start("import ctypes; ctypes.CDLL('libgnutls.so.30')\nwait()");
    let agent = agent(&["--kind", "events", "-p", &speaks.pid(), "-p", &silent.pid()]);
    speaks.go_on();
    speaks.waits();
    // The end is not waited for.
    let pid = speaks.pid();
    speaks.end();
    let silent_pid = silent.pid();
    silent.end();
    let (events, _) = ended(agent);
    let of = |pid: &str| -> Vec<_> {
        let is_it = |event: &&Value| event["kind"] == "tls_unseen" && is(&event["process"], pid);
        events.iter().filter(is_it).collect()
    };
    let [event] = of(&pid)[..] else { panic!("{events:#?}") };
    assert!(event["text"].as_str().unwrap().ends_with("stays encrypted: no known library encrypts it"), "{event}");
    assert_eq!(of(&silent_pid), Vec::<&Value>::new());
}

/// Debian's git uses GnuTLS.
#[test]
fn a_program_that_really_speaks_with_a_library_that_cannot_be_seen_into() {
    if cannot_trace() {
        return;
    }
    let helper = Command::new("git").arg("--exec-path").output();
    let helper = helper.map(|output| String::from_utf8(output.stdout).unwrap().trim().to_owned() + "/git-remote-https");
    let linked = helper.and_then(|helper| Command::new("ldd").arg(helper).output());
    if !linked.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains("libgnutls")) {
        println!("skipped: there is no git that uses GnuTLS");
        return;
    }
    let mut python = Python::start(
        r#"
import ssl, subprocess, tempfile, threading
folder = tempfile.mkdtemp()
subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-keyout", "key", "-out", "certificate"],
    cwd=folder, check=True, capture_output=True)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER); context.load_cert_chain(folder + "/certificate", folder + "/key")
listener = socket.create_server(("127.0.0.1", 0))
def serve():
    while True:
        c = context.wrap_socket(listener.accept()[0], server_side=True)
        c.recv(10000); c.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"); c.close()
threading.Thread(target=serve, daemon=True).start()
wait()
environment = dict(os.environ, GIT_SSL_NO_VERIFY="1", GIT_TERMINAL_PROMPT="0", no_proxy="*")
for name in ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"]: environment.pop(name, None)
subprocess.run(["git", "ls-remote", f"https://127.0.0.1:{listener.getsockname()[1]}/x"], env=environment, capture_output=True)
wait()
"#,
    );
    let agent = agent(&["-p", &python.pid()]);
    python.go_on();
    python.waits();
    let event = unseen(&agent, |process| process["name"] == "git-remote-http");
    assert_eq!(event["attributes"]["tls.library"], "gnutls", "{event}");
    let pid = python.pid();
    python.end();
    let (records, _) = ended(agent);
    let of_server = |record: &&Value| is(&record["process"], &pid);
    assert!(!records.iter().filter(of_server).any(|record| record["kind"] == "tls_unseen"), "{records:#?}");
}
