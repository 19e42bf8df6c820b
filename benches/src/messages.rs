//! Messages that the benches read, one request and its answer per protocol.

use protocol_parsers::Opening;

/// A request with its answer.
#[derive(Clone, Copy, Debug)]
pub struct Exchange {
    /// Name of the protocol.
    pub name: &'static str,
    /// How it travels.
    pub opening: Opening,
    /// What the client sends.
    pub request: &'static [u8],
    /// What the server answers.
    pub response: &'static [u8],
    /// The resource of the call, without redaction.
    pub resource: &'static str,
}

/// A request of 412 bytes with nine headers, as browsers send them.
pub const HTTP1_REQUEST: &[u8] = b"GET /api/v1/shops/42/orders?status=open&page=3 HTTP/1.1\r\n\
Host: shop.example.test\r\n\
User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n\
Accept: text/html,application/xhtml+xml,application/xml;q=0.9\r\n\
Accept-Language: en-US,en;q=0.5\r\n\
Accept-Encoding: gzip, deflate, br\r\n\
Connection: keep-alive\r\n\
Cookie: session=0123456789abcdef0123456789\r\n\
Traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n\
\r\n";

/// Exchanges of every protocol.
pub const EXCHANGES: &[Exchange] = &[
    Exchange {
        name: "http1",
        opening: Opening::TCP,
        request: HTTP1_REQUEST,
        response: b"HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Mon, 23 Nov 2026 10:00:00 GMT\r\nContent-Type: application/json\r\n\
                    Content-Length: 13\r\nConnection: keep-alive\r\n\r\n{\"open\":[42]}",
        resource: "/api/v1/shops/42/orders?status=open&page=3",
    },
    Exchange {
        name: "redis",
        opening: Opening::TCP,
        request: b"*3\r\n$3\r\nSET\r\n$10\r\nsession:42\r\n$16\r\n0123456789abcdef\r\n",
        response: b"+OK\r\n",
        resource: "SET session:42 0123456789abcdef",
    },
    Exchange {
        name: "mysql",
        opening: Opening::TCP,
        request: b"\x31\0\0\0\x03SELECT name, price FROM products WHERE id = 4711",
        response: b"\x07\0\0\x01\0\0\0\x02\0\0\0",
        resource: "SELECT name, price FROM products WHERE id = 4711",
    },
    Exchange {
        name: "dns",
        opening: Opening::UDP,
        request: b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x03www\x07example\x04test\0\0\x01\0\x01",
        response: b"\x12\x34\x81\x80\0\x01\0\x01\0\0\0\0\x03www\x07example\x04test\0\0\x01\0\x01\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\x0a\0\0\x01",
        resource: "www.example.test",
    },
    Exchange {
        name: "kafka",
        opening: Opening::TCP,
        // Produce, version 9: one record with a trace.
        request: b"\0\0\x01&\0\0\0\x09\0\0\x12g\0\x11checkout-producer\0\0\xff\xff\0\0u0\x02\x07orders\x02\0\0\0\x03\xf2\x01\0\0\0\0\0\0\0\0\0\0\0\xe5\0\0\0\0\x02[\xd1/:\0\0\0\0\0\0\0\0\x01\x8b\xcf\xe5h\0\0\0\x01\x8b\xcf\xe5h\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\0\0\0\x01\xe4\x02\0\0\0\x01\xce\x01{\x22order\x22:4711,\x22customer\x22:42,\x22items\x22:[{\x22sku\x22:\x22A-100\x22,\x22count\x22:2},{\x22sku\x22:\x22B-7\x22,\x22count\x22:1}],\x22total\x22:129.90}\x02\x16traceparentn00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\0\0\0",
        response: b"\0\0\0\x35\0\0\x12g\0\x02\x07orders\x02\0\0\0\x03\0\0\0\0\0\0\0\x01`b\xff\xff\xff\xff\xff\xff\xff\xff\0\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\0",
        resource: "orders",
    },
];
