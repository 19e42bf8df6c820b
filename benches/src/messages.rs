//! Messages that the benches read, one request and its answer per protocol.

use protocol_parsers::Opening;

/// A request with its answer.
#[derive(Clone, Copy, Debug)]
pub struct Exchange<'a> {
    /// Name of the protocol.
    pub name: &'a str,
    /// How it travels.
    pub opening: Opening,
    /// Another request with its answer that begins the connection, where the next ones refer to it.
    pub first: Option<(&'a [u8], &'a [u8])>,
    /// What the client sends.
    pub request: &'a [u8],
    /// What the server answers.
    pub response: &'a [u8],
    /// The resource of the call, without redaction.
    pub resource: &'a str,
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

const HTTP2_FIRST: &[u8] =
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x06\x04\0\0\0\0\0\0\x03\0\0\0d\0\0\xeb\x01\x05\0\0\0\x01\x82\x86A\x8cD\xe7\xadr\xf9\x1d5\xd0U\xd2T'\x04\x9e`u\x99\x8e\xe1a\x13\x9e\xb40\xd0\x98=\x92\x16\xc4\x7f\x88H\xd3j =e\xab\xe2\xb1\xccX\x19z\xb5\xd0\x7ff\xa2\x81\xb0\xda\xe0S\xfa\xfc\x08~\xd4\xcej\xad\xf2\xa7\x97\x9c\x89\xc6\xbe\xd4\xb3\xbd\xc0\x89\xe5\xc1\xfd\xa9\x88\xa4\xeav\x04\0\x80\x01\0T\xc2k\x0b)\xfc\xb0\x11<\xb8?S\xa8I|\xa5\x89\xd3M\x1fC\xae\xba\x0cA\xa4\xc7\xa9\x8f3\xa6\x9a?\xdf\x9ah\xfa\x1du\xd0b\r&=Ly\xa6\x8f\xbe\xd0\x01w\xffQ\x8b-Kp\xdd\xf4Z\xbe\xfb@\x05\xdb\x90`\x98AP\x83\x1e\xa8\0\x112\xd3n:\xf3\xe3\x8c\x92\x16P\x04L\xb4\xdb\x8e\xbc\xff\0\x88M\x83!k\x1d\x85\xa9?\xa7\0\x16j9_\x14\xac\xb6\xeb\xb1\xb2\xd4\x83pl\x90\xaf\x89\xf9\0P\x15\xa7Yq`\x02P8\xe8\xc6\x08\xc6\xf8\x05\x1b\xab\0?";

const HTTP2_REQUEST: &[u8] = b"\0\0Z\x01\x05\0\0\0\x03\x82\x86\xc2\x04\x9e`u\x99\x8e\xe1a\x13\x9e\xb40\xd0\x98=\x92\x16\xc4\x7f\x88H\xd3j =e\xab\xe2\xb1\xccX\x19\xc1\xc0\xbf\x90\xbe\0\x88M\x83!k\x1d\x85\xa9?\xa7\0\x16j9_\x14\xac\xb6\xeb\xb1\xb2\xd4\x83pl\x90\xaf\x89\xf9\0P\x15\xa7Yq`\x02P8\xe8\xc6\x08\xc6\xf8\x05\x1b\xab\0?";

/// Header blocks of HTTP/2.
#[derive(Clone, Copy, Debug)]
pub struct Blocks {
    /// The headers of [`HTTP1_REQUEST`], texts in Huffman code, of which six enter the table.
    pub first: &'static [u8],
    /// Eight headers, all of them from the tables, behind the first block.
    pub indexed: &'static [u8],
    /// Huffman codes of a path, of `traceparent` and of its value.
    pub texts: [&'static [u8]; 3],
}

/// Those of the exchange below.
pub const HTTP2_BLOCKS: Blocks = Blocks {
    // Behind the preface, the settings and the header of the frame.
    first: HTTP2_FIRST.split_at(48).1,
    indexed: b"\x82\x86\xc2\xc1\xc0\xbf\x90\xbe",
    texts: [
        HTTP2_REQUEST.split_at(14).1.split_at(30).0,
        HTTP2_REQUEST.split_at(51).1.split_at(8).0,
        HTTP2_REQUEST.split_at(60).1,
    ],
};

/// Exchanges of every protocol.
pub const EXCHANGES: &[Exchange<'static>] = &[
    Exchange {
        name: "http1",
        opening: Opening::TCP,
        first: None,
        request: HTTP1_REQUEST,
        response: b"HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Mon, 23 Nov 2026 10:00:00 GMT\r\nContent-Type: application/json\r\n\
                    Content-Length: 13\r\nConnection: keep-alive\r\n\r\n{\"open\":[42]}",
        resource: "/api/v1/shops/42/orders?status=open&page=3",
    },
    Exchange {
        name: "http2",
        opening: Opening::TCP,
        first: Some((
            HTTP2_FIRST,
            b"\0\0\0\x04\0\0\0\0\0\0\x006\x01\x04\0\0\0\x01\x88v\x89\xaacU\xe5\x80\xae!.\x1fa\x96\xd0z\xbe\x94\x13*i?u\x04\x018\xa0Ap\0\xb8\0)\x8bF\xff_\x8b\x1du\xd0b\r&=LtA\xea\x0f\r\x82\x0b?\0\0\r\0\x01\0\0\0\x01{\"open\":[42]}",
        )),
        // The request of HTTP/1 with seven of its ten headers from tables, the path and the trace in Huffman code.
        request: HTTP2_REQUEST,
        response: b"\0\0\x09\x01\x04\0\0\0\x03\x88\xc0\xbf\xbe\x0f\r\x82\x0b?\0\0\r\0\x01\0\0\0\x03{\"open\":[42]}",
        resource: "/api/v1/shops/42/orders?status=open&page=3",
    },
    Exchange {
        name: "redis",
        opening: Opening::TCP,
        first: None,
        request: b"*3\r\n$3\r\nSET\r\n$10\r\nsession:42\r\n$16\r\n0123456789abcdef\r\n",
        response: b"+OK\r\n",
        resource: "SET session:42 0123456789abcdef",
    },
    Exchange {
        name: "mysql",
        opening: Opening::TCP,
        first: None,
        request: b"\x31\0\0\0\x03SELECT name, price FROM products WHERE id = 4711",
        response: b"\x07\0\0\x01\0\0\0\x02\0\0\0",
        resource: "SELECT name, price FROM products WHERE id = 4711",
    },
    Exchange {
        name: "postgresql",
        opening: Opening::TCP,
        first: None,
        request: b"Q\0\0\0\x35SELECT name, price FROM products WHERE id = 4711\0",
        response: b"T\0\0\0\x35\0\x02name\0\0\0\x40\x01\0\x02\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0price\0\0\0\x40\x01\0\x03\0\0\0\x17\0\x04\xff\xff\xff\xff\0\0\
                    D\0\0\0\x16\0\x02\0\0\0\x04lamp\0\0\0\x041999C\0\0\0\x0dSELECT 1\0Z\0\0\0\x05I",
        resource: "SELECT name, price FROM products WHERE id = 4711",
    },
    Exchange {
        name: "dubbo",
        opening: Opening::TCP,
        first: None,
        request: b"\xda\xbb\xc2\0\0\0\0\0\0\0\x12g\0\0\0\x9f\x052.0.2\x12test.shop.Products\x051.0.0\x04find\x01J\xf9gH\x04path\x12test.shop.Products\x12remote.application\x04shop\x0btraceparent0700-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01Z",
        response: b"\xda\xbb\x02\x14\0\0\0\0\0\0\x12g\0\0\x006\x94C\x11test.shop.Product\x92\x04name\x05price`\x04lamp\xcf\x07H\x05dubbo\x052.0.2Z",
        resource: "test.shop.Products",
    },
    Exchange {
        name: "dns",
        opening: Opening::UDP,
        first: None,
        request: b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x03www\x07example\x04test\0\0\x01\0\x01",
        response: b"\x12\x34\x81\x80\0\x01\0\x01\0\0\0\0\x03www\x07example\x04test\0\0\x01\0\x01\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\x0a\0\0\x01",
        resource: "www.example.test",
    },
    Exchange {
        name: "kafka",
        opening: Opening::TCP,
        first: None,
        // Produce, version 9: one record with a trace.
        request: b"\0\0\x01&\0\0\0\x09\0\0\x12g\0\x11checkout-producer\0\0\xff\xff\0\0u0\x02\x07orders\x02\0\0\0\x03\xf2\x01\0\0\0\0\0\0\0\0\0\0\0\xe5\0\0\0\0\x02\x96\x61\x83\xac\0\0\0\0\0\0\0\0\x01\x8b\xcf\xe5h\0\0\0\x01\x8b\xcf\xe5h\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\0\0\0\x01\xe4\x02\0\0\0\x01\xce\x01{\x22order\x22:4711,\x22customer\x22:42,\x22items\x22:[{\x22sku\x22:\x22A-100\x22,\x22count\x22:2},{\x22sku\x22:\x22B-7\x22,\x22count\x22:1}],\x22total\x22:129.90}\x02\x16traceparentn00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\0\0\0",
        response: b"\0\0\0\x35\0\0\x12g\0\x02\x07orders\x02\0\0\0\x03\0\0\0\0\0\0\0\x01`b\xff\xff\xff\xff\xff\xff\xff\xff\0\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\0",
        resource: "orders",
    },
];
