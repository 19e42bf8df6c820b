//! Conversations of every protocol whose calls are known.

use protocol_parsers::{Opening, Side};

/// What both sides say, in order.
pub(crate) struct Conversation {
    pub(crate) name: &'static str,
    pub(crate) opening: Opening,
    pub(crate) pieces: &'static [(Side, &'static [u8])],
    /// How many calls it is.
    pub(crate) calls: usize,
}

const C: Side = Side::Client;
const S: Side = Side::Server;

pub(crate) const CONVERSATIONS: &[Conversation] = &[
    Conversation {
        name: "http1 pipelined, with a body in chunks",
        opening: Opening::TCP,
        pieces: &[
            (C, b"GET /one HTTP/1.1\r\nHost: h\r\nX-Request-Id: 1\r\n\r\nPOST /two HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello"),
            (S, b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nWiki\r\n0\r\n\r\n"),
            (S, b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno"),
            (C, b"HEAD /three HTTP/1.1\r\nHost: h\r\n\r\n"),
            (S, b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n"),
        ],
        calls: 3,
    },
    Conversation {
        name: "redis pipelined, with a subscription",
        opening: Opening::TCP,
        pieces: &[
            (C, b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n*2\r\n$3\r\nGET\r\n$1\r\nk\r\n*1\r\n$4\r\nPING\r\n"),
            (S, b"+OK\r\n$1\r\nv\r\n-ERR no\r\n"),
            (C, b"*2\r\n$9\r\nSUBSCRIBE\r\n$1\r\na\r\n"),
            (S, b"*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$2\r\nhi\r\n"),
        ],
        calls: 5,
    },
    Conversation {
        name: "mysql with rows and an error",
        opening: Opening::TCP,
        pieces: &[
            (C, b"\x09\0\0\0\x03SELECT 1"),
            (S, b"\x01\0\0\x01\x01\x17\0\0\x02\x03def\0\0\0\x011\0\x0c\x3f\0\x01\0\0\0\x08\x81\0\0\0\0\x05\0\0\x03\xfe\0\0\x02\0"),
            (S, b"\x02\0\0\x04\x011\x05\0\0\x05\xfe\0\0\x02\0"),
            (C, b"\x09\0\0\0\x03SELECT x"),
            (S, b"\x11\0\0\x01\xff\x1e\x04#42S22Unknown"),
            (C, b"\x01\0\0\0\x01"),
        ],
        calls: 3,
    },
    Conversation {
        name: "dns over tcp, two questions",
        opening: Opening::TCP,
        pieces: &[
            (C, b"\0\x18\0\x01\x01\0\0\x01\0\0\0\0\0\0\x01a\x04test\0\0\x01\0\x01\0\x18\0\x02\x01\0\0\x01\0\0\0\0\0\0\x01b\x04test\0\0\x1c\0\x01"),
            (S, b"\0\x18\0\x02\x81\x83\0\x01\0\0\0\0\0\0\x01b\x04test\0\0\x1c\0\x01"),
            (S, b"\0\x28\0\x01\x81\x80\0\x01\0\x01\0\0\0\0\x01a\x04test\0\0\x01\0\x01\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\x0a\0\0\x01"),
        ],
        calls: 2,
    },
    Conversation {
        name: "dns over udp",
        opening: Opening::UDP,
        pieces: &[
            (C, b"\0\x01\x01\0\0\x01\0\0\0\0\0\0\x01a\x04test\0\0\x01\0\x01"),
            (S, b"\0\x01\x81\x80\0\x01\0\x01\0\0\0\0\x01a\x04test\0\0\x01\0\x01\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\x0a\0\0\x01"),
        ],
        calls: 1,
    },
    Conversation {
        name: "kafka with a topic id, record headers and answers in another order",
        opening: Opening::TCP,
        pieces: &[
            (C, b"\0\0\0\x0e\0\x12\0\0\0\0\0\x01\0\x04shop"),
            (S, b"\0\0\0\x16\0\0\0\x01\0\0\0\0\0\x02\0\0\0\x03\0\x09\0\x03\0\x01\0\x0c"),
            (C, b"\0\0\0+\0\x03\0\x0c\0\0\0\x02\0\x04shop\0\x02\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x07orders\0\x01\0\0"),
            (S, b"\0\0\0\x31\0\0\0\x02\0\0\0\0\0\x01\0\0\0\0\0\x02\0\0\x07orders0123456789abcdef\0\x01\0\0\0\0\0\0"),
            (C, b"\0\0\0\xc4\0\0\0\x07\0\0\0\x03\0\x04shop\xff\xff\xff\xff\0\0\x03\xe8\0\0\0\x01\0\x06orders\0\0\0\x01\0\0\0\0\0\0\0\x96\0\0\0\0\0\0\0\0\0\0\0\x8a\0\0\0\0\x02[\xd1/:\0\0\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\0\0\0\x02\x9a\x01\0\0\0\x01\x06one\x02\x16traceparentn00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\x12\0\0\x02\x01\x06two\0\0\0\0_\0\x01\0\x0d\0\0\0\x04\0\x04shop\0\xff\xff\xff\xff\0\0\x01\xf4\0\0\0\x01\0\x10\0\0\0\0\0\0\0\0\0\0\0\x020123456789abcdef\x02\0\0\0\0\xff\xff\xff\xff\0\0\0\0\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\0\x10\0\0\0\0\x01\x01\0"),
            (S, b"\0\0\0\x91\0\0\0\x04\0\0\0\0\0\0\0\0\0\0\0\x020123456789abcdef\x02\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\0\x01\xff\xff\xff\xffJ\0\0\0\0\0\0\0\0\0\0\0=\0\0\0\0\x02[\xd1/:\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\0\0\0\x01\x16\0\0\0\x01\x0athree\0\0\0\0"),
            (S, b"\0\0\0\x36\0\0\0\x03\0\0\0\x01\0\x06orders\0\0\0\x01\0\0\0\0\0\x07\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\0\0\0\0"),
            (C, b"\0\0\0\x1c\0\x0c\0\x04\0\0\0\x05\0\x04shop\0\x05shop\0\0\0\x01\x02m\0\0"),
            (S, b"\0\0\0\x0c\0\0\0\x05\0\0\0\0\0\0\x1b\0"),
        ],
        calls: 5,
    },
];
