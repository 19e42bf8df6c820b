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
        name: "http2 with a push, padding, trailers and a reset",
        opening: Opening::TCP,
        pieces: &[
            (C, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x06\x04\0\0\0\0\0\0\x03\0\0\0d\0\0\x04\x08\0\0\0\0\0\0\x0f\0\x01"),
            (S, b"\0\0\x06\x04\0\0\0\0\0\0\x01\0\0\x10\0\0\0\0\x04\x01\0\0\0\0"),
            (C, b"\0\0\0\x04\x01\0\0\0\0\0\0\x1b\x01\x05\0\0\0\x01\x82\x86D\x04/oneA\x01h@\x0cx-request-id\x011"),
            (C, b"\0\0\n\x01)\0\0\0\x03\x02\0\0\0\0\x10\x82\x86\0\0\0\0\x01\x09\0\0\0\0\x03\xc0\0\0\x02\x09\x04\0\0\0\x03\xbf\xbe"),
            (S, b"\0\0\x03\x01\x04\0\0\0\x01H\xc83\0\0\x0c\x05\x04\0\0\0\x01\0\0\0\x02\x82\x86\x04\x04/css\0\0\x01\x01\x04\0\0\0\x03\x88\0\0\x05\0\x01\0\0\0\x03three"),
            (S, b"\0\0\x01\x01\x04\0\0\0\x01\x88\0\0\x07\0\x08\0\0\0\x01\x03one\0\0\0\0\0\n\x01\x05\0\0\0\x01@\x06digest\x01x\0\0\x01\x01\x05\0\0\0\x02\x8d"),
            (C, b"\0\0\x07\x01\x04\0\0\0\x05\x83\x86\x04\x03/up\0\0\x03\0\0\0\0\0\x05abc\0\0\x04\x03\0\0\0\0\x05\0\0\0\x08\0\0\x08\x06\0\0\0\0\x0012345678"),
            (S, b"\0\0\x08\x06\x01\0\0\0\x0012345678\0\0\x08\x07\0\0\0\0\0\0\0\0\x05\0\0\0\0"),
        ],
        calls: 4,
    },
    Conversation {
        name: "grpc with a message in two frames, and triple",
        opening: Opening::TCP,
        pieces: &[
            (C, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0\0\x000\x01\x04\0\0\0\x01\x83\x86D\x06/s.S/MA\x01h_\x10application/grpc@\x0cgrpc-timeout\x021S\0\0\x07\0\0\0\0\0\x01\0\0\0\0\x05he"),
            (S, b"\0\0\0\x04\0\0\0\0\0\0\0\x13\x01\x04\0\0\0\x01\x88_\x10application/grpc"),
            (C, b"\0\0\x08\0\x01\0\0\0\x01llo\0\0\0\0\0\0\0\x1c\x01\x05\0\0\0\x03\x83\x86\xc1\xc0\xbf@\x13tri-service-version\x011"),
            (S, b"\0\0\x07\0\0\0\0\0\x01\0\0\0\0\x02ok\0\0%\x01\x05\0\0\0\x03\x88\xbe@\x0bgrpc-status\x015@\x0cgrpc-message\x05no%20\0\0\x0f\x01\x05\0\0\0\x01@\x0bgrpc-status\x010"),
        ],
        calls: 2,
    },
    Conversation {
        name: "http2 after an upgrade from http1",
        opening: Opening::TCP,
        pieces: &[
            (C, b"GET /a HTTP/1.1\r\nHost: h\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n"),
            (S, b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n\0\0\0\x04\0\0\0\0\0\0\0\x01\x01\x05\0\0\0\x01\x88"),
            (C, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0\0\0\x03\x01\x05\0\0\0\x03\x82\x86\x84"),
            (S, b"\0\0\x01\x01\x05\0\0\0\x03\x8d"),
        ],
        calls: 3,
    },
    Conversation {
        name: "postgresql with a login, a pipeline and a copy",
        opening: Opening::TCP,
        pieces: &[
            (C, b"\0\0\0%\0\x03\0\0user\0ann\0database\0shop\0\0"),
            (S, b"R\0\0\0\x0c\0\0\0\x05abcd"),
            (C, b"p\0\0\0\tmd5x\0"),
            (S, b"R\0\0\0\x08\0\0\0\0S\0\0\0\x16server_version\x0015\0K\0\0\0\x0c\0\0\0\x07abcdZ\0\0\0\x05I"),
            (C, b"P\0\0\0%s\0SELECT a FROM t WHERE b = $1\0\0\0D\0\0\0\x07Ss\0S\0\0\0\x04B\0\0\0\x13\0s\0\0\0\0\x01\0\0\0\x0242\0\0E\0\0\0\t\0\0\0\0\0S\0\0\0\x04B\0\0\0\x13\0s\0\0\0\0\x01\0\0\0\x0242\0\0E\0\0\0\t\0\0\0\0\0E\0\0\0\t\0\0\0\0\0S\0\0\0\x04"),
            (S, b"1\0\0\0\x04t\0\0\0\n\0\x01\0\0\0\x17T\0\0\0\x1a\0\x01a\0\0\0\0\0\0\0\0\0\0\x17\0\x04\xff\xff\xff\xff\0\0Z\0\0\0\x05I2\0\0\0\x04D\0\0\0\x0c\0\x01\0\0\0\x0242C\0\0\0\rSELECT 1\0Z\0\0\0\x05I"),
            (S, b"2\0\0\0\x04E\0\0\0%SERROR\0C22012\0Mdivision by zero\0\0Z\0\0\0\x05I"),
            (C, b"Q\0\0\0 SELECT 1; COPY t FROM STDIN\0"),
            (S, b"T\0\0\0\x1a\0\x01a\0\0\0\0\0\0\0\0\0\0\x17\0\x04\xff\xff\xff\xff\0\0D\0\0\0\x0c\0\x01\0\0\0\x0242C\0\0\0\rSELECT 1\0G\0\0\0\t\0\0\x01\0\0"),
            (C, b"d\0\0\0\x081\t2\nc\0\0\0\x04"),
            (S, b"C\0\0\0\x0bCOPY 1\0Z\0\0\0\x05I"),
            (C, b"X\0\0\0\x04"),
        ],
        calls: 6,
    },
    Conversation {
        name: "dubbo with an error, a heartbeat and a one-way request",
        opening: Opening::TCP,
        pieces: &[
            (C, b"\xda\xbb\xc2\0\0\0\0\0\0\0\0\x01\0\0\0y\x052.0.2\x08a.Orders\x031.0\x05place\x06Lb/C;IC\x03b.C\x92\x01x\x01y`\x91W\x01zNZ\x91H\x0btraceparent0700-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01Z\xda\xbb\xe2\0\0\0\0\0\0\0\0\x02\0\0\0\x01N\xda\xbb\x82\0\0\0\0\0\0\0\0\x03\0\0\x004\x052.0.2\x08a.Orders\x031.0\x05place\x06Lb/C;IC\x03b.C\x92\x01x\x01y`\x91W\x01zNZ\x92HZ"),
            (S, b"\xda\xbb\"\x14\0\0\0\0\0\0\0\x02\0\0\0\x01N\xda\xbb\x02\x14\0\0\0\0\0\0\0\x01\0\0\0\x1d\x93C\x03b.E\x91\rdetailMessage`\x04boomHZ"),
            (C, b"\xda\xbb\xc6\0\0\0\0\0\0\0\0\x04\0\0\x001\"2.0.2\"\n\"a.Orders\"\n\"1.0\"\n\"place\"\n\"\"\n{\"b3\":\"1-2\"}\n"),
            (C, b"\xda\xbb\xc8\0\0\0\0\0\0\0\0\x05\0\0\0\x1d2.0.\xb2a.Order\xf31.\xb0plac\xe5\x81\x03b\xb3\x031-\xb2"),
            (S, b"\xda\xbb\x06<\0\0\0\0\0\0\0\x04\0\0\0\x0c\"no \\u0041\"\n\xda\xbb\x08\x14\0\0\0\0\0\0\0\x05\0\0\0\x03\x01\x82x"),
        ],
        calls: 4,
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
