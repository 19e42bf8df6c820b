//! Conversations written down in files, shared by the tests and the fuzz targets.
//!
//! ```text
//! # why: what the conversation is there for
//! opening tcp                   or: tcp joined, udp, udp PORT
//! C GET / HTTP/1.1\r\n          what the client sends, escaped as in a byte string
//!   \r\n                        the same piece goes on
//! S HTTP/1.1 204 No Content\r\n what the server sends
//!   \r\n
//! = http1 request_response …    the calls; rewritten with METAFLOW_BLESS=1
//! ```

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use protocol_parsers::{Opening, Side, Timestamp};

/// What both sides say, in order, and the calls that it is.
#[derive(Debug)]
pub(crate) struct Conversation {
    /// Folder and file, such as `http1/trace-headers`.
    pub(crate) name: String,
    pub(crate) opening: Opening,
    pub(crate) pieces: Vec<Piece>,
    pub(crate) calls: Vec<String>,
}

#[derive(Debug)]
pub(crate) struct Piece {
    pub(crate) side: Side,
    /// Where in what its side says it begins.
    pub(crate) offset: u64,
    pub(crate) bytes: Vec<u8>,
}

impl Conversation {
    /// All of them, from the crate's folder of test data, by name.
    pub(crate) fn all() -> Vec<Self> {
        let folder = testdata();
        let mut files: Vec<_> = entries(&folder).filter(|path| path.is_dir()).flat_map(|path| entries(&path)).collect();
        files.retain(|path| path.extension().is_some_and(|extension| extension == "talk"));
        files.sort();
        files.iter().map(|path| Self::read(&folder, path)).collect()
    }

    fn read(folder: &Path, path: &Path) -> Self {
        let name = path.strip_prefix(folder).unwrap().with_extension("").to_str().unwrap().to_owned();
        let text = fs::read_to_string(path).unwrap();
        let mut conversation = Self { name, opening: Opening::TCP, pieces: Vec::new(), calls: Vec::new() };
        assert!(text.starts_with("# why: "), "{} does not say why it exists", conversation.name);
        let mut sent = [0; 2];
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let piece = |side: Side| Piece { side, offset: 0, bytes: Vec::new() };
            match line.split_at(2) {
                ("C ", _) => conversation.pieces.push(piece(Side::Client)),
                ("S ", _) => conversation.pieces.push(piece(Side::Server)),
                ("= ", call) => conversation.calls.push(call.to_owned()),
                ("op", _) => conversation.opening = opening(line),
                ("  ", _) => {}
                _ => panic!("{}: {line}", conversation.name),
            }
            if let (Some(last), "C " | "S " | "  ") = (conversation.pieces.last_mut(), &line[..2]) {
                let bytes = unescape(&line[2..]);
                if last.bytes.is_empty() {
                    last.offset = sent[last.side as usize];
                }
                sent[last.side as usize] += bytes.len() as u64;
                last.bytes.extend(bytes);
            }
        }
        conversation
    }

    /// Where it stands.
    pub(crate) fn file(&self) -> PathBuf {
        testdata().join(&self.name).with_extension("talk")
    }

    /// The folder, which is the protocol that it is mostly about.
    pub(crate) fn folder(&self) -> &str {
        self.name.split('/').next().unwrap_or_default()
    }

    /// Every piece comes a microsecond after the one before.
    pub(crate) fn time(piece: usize) -> Timestamp {
        Timestamp::ZERO + Duration::from_micros(piece as u64 + 1)
    }
}

fn testdata() -> PathBuf {
    // Several crates compile this file; from each, the folder of the parsers is this way.
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../protocol-parsers/testdata")
}

fn entries(folder: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path())
}

fn opening(line: &str) -> Opening {
    match line.split(' ').collect::<Vec<_>>()[1..] {
        ["tcp"] => Opening::TCP,
        ["tcp", "joined"] => Opening::TCP_JOINED,
        ["udp"] => Opening::UDP,
        ["udp", port] => Opening { server_port: Some(port.parse().unwrap()), ..Opening::UDP },
        _ => panic!("no opening: {line}"),
    }
}

fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'\\' => match rest.next().unwrap() {
                b'n' => b'\n',
                b'r' => b'\r',
                b't' => b'\t',
                b'0' => 0,
                b'\\' => b'\\',
                b'x' => {
                    let digits = [rest.next().unwrap(), rest.next().unwrap()];
                    u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap()
                }
                other => panic!("no escape: {}", other as char),
            },
            byte => byte,
        });
    }
    bytes
}
