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
        name: "postgresql",
        opening: Opening::TCP,
        request: b"Q\0\0\0\x35SELECT name, price FROM products WHERE id = 4711\0",
        response: b"T\0\0\0\x35\0\x02name\0\0\0\x40\x01\0\x02\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0price\0\0\0\x40\x01\0\x03\0\0\0\x17\0\x04\xff\xff\xff\xff\0\0\
                    D\0\0\0\x16\0\x02\0\0\0\x04lamp\0\0\0\x041999C\0\0\0\x0dSELECT 1\0Z\0\0\0\x05I",
        resource: "SELECT name, price FROM products WHERE id = 4711",
    },
    Exchange {
        name: "dubbo",
        opening: Opening::TCP,
        request: b"\xda\xbb\xc2\0\0\0\0\0\0\0\x12g\0\0\0\x9f\x052.0.2\x12test.shop.Products\x051.0.0\x04find\x01J\xf9gH\x04path\x12test.shop.Products\x12remote.application\x04shop\x0btraceparent0700-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01Z",
        response: b"\xda\xbb\x02\x14\0\0\0\0\0\0\x12g\0\0\x006\x94C\x11test.shop.Product\x92\x04name\x05price`\x04lamp\xcf\x07H\x05dubbo\x052.0.2Z",
        resource: "test.shop.Products",
    },
    Exchange {
        name: "dns",
        opening: Opening::UDP,
        request: b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x03www\x07example\x04test\0\0\x01\0\x01",
        response: b"\x12\x34\x81\x80\0\x01\0\x01\0\0\0\0\x03www\x07example\x04test\0\0\x01\0\x01\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\x0a\0\0\x01",
        resource: "www.example.test",
    },
];
