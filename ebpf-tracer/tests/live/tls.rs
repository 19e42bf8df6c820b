//! Plaintext of TLS libraries.

use std::path::PathBuf;
use std::process::Command;

use ebpf_tracer::events::{Flags, Operation, Source};
use ebpf_tracer::{Capture, Filter, KernelLimits, TlsError};

use crate::lab::{Message, Observed, drain, kernel, messages, only};

const PROGRAM: &str = r#"
import ssl, subprocess, tempfile
folder = tempfile.mkdtemp()
key, cert = folder + "/key", folder + "/cert"
subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj",
    "/CN=localhost", "-keyout", key, "-out", cert], check=True, stderr=subprocess.DEVNULL)
serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER); serving.load_cert_chain(cert, key)
asking = ssl.create_default_context(cafile=cert)
say(ready=True)
wait()
"#;

const SOCKETS: &str = r#"
listener = socket.create_server(("127.0.0.1", 0))
def serve():
    s, _ = listener.accept()
    say(server=inode(s))
    with serving.wrap_socket(s, server_side=True) as s:
        assert s.recv(100) == b"a question"
        s.sendall(b"an answer")
        assert s.recv(100) == b"another question"
        s.sendall(b"x" * 40000)
        s.recv(1)
thread = threading.Thread(target=serve); thread.start()
c = socket.create_connection(listener.getsockname())
say(client=inode(c), fd=c.fileno(), local=c.getsockname()[1], remote=c.getpeername()[1])
with asking.wrap_socket(c, server_hostname="localhost") as s:
    s.sendall(b"a question")
    assert s.recv(100) == b"an answer"
    s.sendall(b"another question")
    n = 0
    while n < 40000: n += len(s.recv(100000))
thread.join()
"#;

/// The library that a process uses.
fn library(pid: u32) -> PathBuf {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    maps.lines().filter_map(|line| line.split_whitespace().nth(5)).find(|path| path.contains("libssl")).unwrap().into()
}

#[test]
fn plaintext_and_the_socket_below_it() {
    let Some(mut kernel) = kernel(&KernelLimits::default()) else { return };
    kernel.capture(&Capture { head: 64 << 10, ..Capture::default() }).unwrap();
    let mut observed = Observed::start(&format!("{PROGRAM}{SOCKETS}"));
    let pid = observed.pid();
    observed.go();
    observed.hear();
    let hooks = kernel.attach_tls(&library(pid), pid.try_into().ok()).unwrap();
    kernel.follow(&only(pid)).unwrap();
    observed.go();
    let facts = [observed.hear(), observed.hear()];
    observed.end();
    let all = messages(&drain(&mut kernel));
    let fact = |name: &str| facts.iter().find_map(|fact| fact[name].as_u64()).unwrap();
    for (inode, questions, answers) in
        [(fact("client"), Operation::Send, Operation::Receive), (fact("server"), Operation::Receive, Operation::Send)]
    {
        let plain: Vec<_> = all
            .iter()
            .filter(|message| message.event.source == Source::Openssl as u8 && message.event.inode == inode)
            .collect();
        let bytes = |operation| {
            let mut expected = 0;
            let mut bytes = Vec::new();
            for message in plain.iter().filter(|message: &&&Message| message.is(operation)) {
                assert_eq!(message.event.position, expected, "nothing is missing");
                expected += message.event.total;
                bytes.extend(&message.bytes);
            }
            String::from_utf8(bytes).unwrap()
        };
        assert_eq!(bytes(questions), "a questionanother question");
        assert_eq!(bytes(answers), format!("an answer{}", "x".repeat(40000)));
        assert!(plain.iter().all(|message| message.event.tls == plain[0].event.tls && message.event.tls != 0));
        let below: Vec<_> = all
            .iter()
            .filter(|message| message.event.source == Source::Syscall as u8 && message.event.inode == inode)
            .filter(|message| message.has(Flags::ENCRYPTED))
            .collect();
        assert!(below.iter().any(|message| message.is(questions)) && below.iter().any(|message| message.is(answers)));
        assert!(below.iter().all(|message| message.bytes.is_empty()), "what is encrypted is of no use");
    }
    let client =
        all.iter().find(|message| message.event.inode == fact("client") && message.event.tls != 0).unwrap().event;
    assert_eq!(
        [client.fd as u64, client.local_port.into(), client.remote_port.into()],
        [fact("fd"), fact("local"), fact("remote")]
    );
    assert_eq!(client.family, 2);
    kernel.detach_tls(hooks);
}

#[test]
fn plaintext_where_the_library_never_sees_a_socket() {
    let Some(mut kernel) = kernel(&KernelLimits::default()) else { return };
    let mut observed = Observed::start(&format!(
        "{PROGRAM}{}",
        r#"
a, b = ssl.MemoryBIO(), ssl.MemoryBIO()
client = asking.wrap_bio(a, b, server_hostname="localhost"); server = serving.wrap_bio(b, a, server_side=True)
def shake(s):
    try: s.do_handshake(); return True
    except ssl.SSLWantReadError: return False
while not (shake(client) & shake(server)): pass
client.write(b"in memory"); assert server.read(100) == b"in memory"
"#
    ));
    let pid = observed.pid();
    observed.go();
    observed.hear();
    kernel.attach_tls(&library(pid), None).unwrap();
    kernel.follow(&only(pid)).unwrap();
    observed.go();
    observed.end();
    let all = messages(&drain(&mut kernel));
    let plain: Vec<_> = all.iter().filter(|message| message.event.tls != 0).collect();
    assert_eq!(plain.len(), 2, "{plain:?}");
    assert_eq!(plain.iter().map(|message| message.event.operation).collect::<Vec<_>>(), [1, 2]);
    assert!(plain.iter().all(|message| message.bytes == b"in memory" && message.event.inode == 0));
    assert_ne!(plain[0].event.tls, plain[1].event.tls);
}

#[test]
fn the_plain_forms_as_curl_calls_them() {
    let Some(mut kernel) = kernel(&KernelLimits::default()) else { return };
    if Command::new("curl").arg("--version").output().is_err() {
        println!("skipped: curl is not installed");
        return;
    }
    let mut observed = Observed::start(&format!(
        "{PROGRAM}{}",
        r#"
import http.server
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *a): pass
    def do_GET(self):
        self.send_response(200); self.send_header("Content-Length", "6"); self.end_headers(); self.wfile.write(b"secret")
server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
server.socket = serving.wrap_socket(server.socket, server_side=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
curl = subprocess.Popen(["curl", "-s", "--http1.1", "--cacert", cert, f"https://localhost:{server.server_port}/path", "--resolve",
    f"localhost:{server.server_port}:127.0.0.1"], stdout=subprocess.PIPE)
say(curl=curl.pid, out=curl.communicate()[0].decode())
server.shutdown()
"#
    ));
    let pid = observed.pid();
    observed.go();
    observed.hear();
    kernel.attach_tls(&library(pid), None).unwrap();
    kernel.follow(&only(pid)).unwrap();
    observed.go();
    let facts = observed.hear();
    assert_eq!(facts["out"], "secret");
    observed.end();
    let all = messages(&drain(&mut kernel));
    for tgid in [u64::from(pid), facts["curl"].as_u64().unwrap()] {
        let texts: Vec<_> = all
            .iter()
            .filter(|message| message.event.tls != 0 && u64::from(message.event.header.tgid) == tgid)
            .map(|message| String::from_utf8_lossy(&message.bytes).into_owned())
            .collect();
        assert!(texts.iter().any(|text| text.starts_with("GET /path HTTP/1.1\r\n")), "{tgid} {texts:?}");
        assert!(texts.iter().any(|text| text.ends_with("secret")), "{tgid} {texts:?}");
    }
}

#[test]
fn a_file_that_is_no_tls_library_is_named() {
    let Some(mut kernel) = kernel(&KernelLimits::default()) else { return };
    kernel.follow(&Filter::default()).unwrap();
    let path = std::env::current_exe().unwrap();
    let error = kernel.attach_tls(&path, None).unwrap_err();
    assert!(matches!(error, TlsError::NoSymbol { function: "SSL_write", .. }), "{error}");
}
