//! What stays hidden whatever is observed.

use protocol_parsers::{Opening, Options, Protocol};

use crate::frames::{END_HEADERS, END_STREAM, WHOLE, data, greeting, headers};
use crate::talk::Talk;

/// The protocol must be recognised, and the secret in none of its calls, in whatever pieces it comes.
#[track_caller]
fn hides(protocol: Protocol, talks: impl IntoIterator<Item = Talk>) {
    for talk in talks {
        // Datagrams are not cut.
        let parts = if talk.opening.transport.is_datagram() { &[usize::MAX][..] } else { &[1, 16, usize::MAX] };
        for most in parts.iter().copied() {
            let calls = talk.calls_with(Options::default(), most);
            assert!(calls.iter().any(|call| call.starts_with(protocol.name())), "{calls:#?}");
            assert!(!calls.concat().contains("hunter2"), "{calls:#?}");
        }
    }
}

#[test]
fn in_http() {
    const SECRETS: &str = "Authorization: Bearer hunter2\r\nProxy-Authorization: Basic hunter2\r\nCookie: sid=hunter2\r\n\
                           X-Api-Key: hunter2\r\nX-Auth-Token: hunter2\r\n";
    let http1 = |line: &str| {
        let request = format!("{line} HTTP/1.1\r\nHost: ann:hunter2@h\r\n{SECRETS}Content-Length: 7\r\n\r\nhunter2");
        let response = "HTTP/1.1 200 OK\r\nSet-Cookie: sid=hunter2\r\nContent-Length: 7\r\n\r\nhunter2";
        Talk::tcp().client(request).server(response)
    };
    let http2 = |path: &str, kind: &str| {
        let list = [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", path),
            (":authority", "ann:hunter2@h"),
            ("content-type", kind),
            ("authorization", "Bearer hunter2"),
            ("cookie", "sid=hunter2"),
            ("x-api-key", "hunter2"),
        ];
        let answer = [(":status", "200"), ("content-type", kind), ("set-cookie", "sid=hunter2")];
        let end = [("grpc-status", "0"), ("x-token", "hunter2")];
        Talk::tcp()
            .client([greeting(), headers(END_HEADERS, 1, &list), data(END_STREAM, 1, b"\0\0\0\0\x07hunter2")].concat())
            .server(
                [headers(END_HEADERS, 1, &answer), data(0, 1, b"\0\0\0\0\x07hunter2"), headers(WHOLE, 1, &end)]
                    .concat(),
            )
    };
    hides(
        Protocol::HTTP1,
        [
            http1("GET /a?token=hunter2&x=1"),
            http1("GET /a?x=1&Password=hunter2"),
            http1("GET /a?X-Amz-Signature=hunter2"),
            http1("GET http://ann:hunter2@h/a?api_key=hunter2"),
            http1("CONNECT ann:hunter2@h:443"),
        ],
    );
    hides(Protocol::HTTP2, [http2("/a?access_token=hunter2", "text/plain")]);
    hides(
        Protocol::GRPC,
        [http2("/s.S/M", "application/grpc"), http2("/s.S/M?token=hunter2", "application/grpc+proto")],
    );
    hides(Protocol::TRIPLE, [http2("/s.S/M", "application/triple")]);
}

#[test]
fn in_redis() {
    let redis = |command: &str| Talk::tcp().client(command).server("+hunter2\r\n");
    let words = |words: &[&str]| {
        words.iter().fold(format!("*{}\r\n", words.len()), |text, word| format!("{text}${}\r\n{word}\r\n", word.len()))
    };
    let get = words(&["GET", "a"]);
    hides(
        Protocol::REDIS,
        [
            redis(&words(&["AUTH", "hunter2"])),
            redis(&words(&["AUTH", "ann", "hunter2"])),
            redis(&words(&["HELLO", "3", "AUTH", "ann", "hunter2"])),
            redis(&words(&["CONFIG", "SET", "requirepass", "hunter2"])),
            redis(&words(&["ACL", "SETUSER", "ann", ">hunter2"])),
            redis(&words(&["MIGRATE", "h", "1", "k", "0", "1", "AUTH", "hunter2"])),
            redis(&words(&["SET", "k", "hunter2"])),
            redis(&words(&["EVAL", "return 'hunter2'", "0"])),
            redis(&words(&["auth", "hunter2"])),
            redis("AUTH hunter2\r\n"),
            Talk::tcp()
                .client(words(&["NOPE", "hunter2"]) + &get)
                .server("-ERR unknown command 'NOPE', with args beginning with: 'hunter2' \r\n$7\r\nhunter2\r\n"),
        ],
    );
}

const STATEMENTS: [&str; 8] = [
    "ALTER USER ann IDENTIFIED BY 'hunter2'",
    "SET PASSWORD FOR 'ann' = 'hunter2'",
    "SELECT * FROM t WHERE a = 'it''s hunter2' -- hunter2",
    "INSERT INTO t VALUES ('hunter2', 'x')/* hunter2 */",
    "SELECT 1; ALTER USER ann PASSWORD 'hunter2'",
    "SELECT 'hunter2",
    "SELECT * FROM t WHERE a IN ('hunter2', 'hunter2')",
    "SELECT E'\\'hunter2'",
];

#[test]
fn in_mysql() {
    let packet = |sequence: u8, payload: &[u8]| [&[payload.len() as u8, 0, 0, sequence], payload].concat();
    let query = |sql: &str| packet(0, &[b"\x03", sql.as_bytes()].concat());
    let failed =
        |number: u16, text: &str| packet(1, &[b"\xff", &number.to_le_bytes()[..], b"#42000", text.as_bytes()].concat());
    let errors = [
        (1064, "You have an error in your SQL syntax; check near ''hunter2', 'x')' at line 1"),
        (1062, "Duplicate entry 'hunter2' for key 'a'"),
        (1366, "Incorrect integer value: 'hunter2' for column 'a' at row 1"),
        (1292, "Truncated incorrect DOUBLE value: 'hunter2'"),
    ];
    let talks = STATEMENTS.iter().map(|sql| Talk::tcp().client(query(sql)));
    hides(Protocol::MYSQL, talks.chain([Talk::tcp().client(query("SELECT * FROM t WHERE a = \"hunter2\""))]));
    hides(
        Protocol::MYSQL,
        errors
            .map(|(number, text)| Talk::tcp().client(query("UPDATE t SET a = 'hunter2'")).server(failed(number, text))),
    );
}

#[test]
fn in_postgresql() {
    let message = |kind: u8, body: &[u8]| [&[kind][..], &(body.len() as u32 + 4).to_be_bytes(), body].concat();
    let startup = b"\0\0\0\x30\0\x03\0\0user\0ann\0database\0shop\0password\0hunter2\0".to_vec();
    let startup = || [&(startup.len() as u32 + 1).to_be_bytes()[..], &startup[4..], b"\0"].concat();
    let welcome = || b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I".to_vec();
    let query = |sql: &str| message(b'Q', &[sql.as_bytes(), b"\0"].concat());
    let failed = |code: &str, text: &str| message(b'E', format!("SERROR\0C{code}\0M{text}\0Dhunter2\0\0").as_bytes());
    let login = Talk::tcp()
        .client(startup())
        .server(b"R\0\0\0\x08\0\0\0\x03")
        .client(message(b'p', b"hunter2\0"))
        .server(welcome());
    hides(Protocol::POSTGRESQL, [login]);
    let late = || Talk::tcp().client(startup()).server(welcome());
    let dollars = ["DO $$ SELECT 'hunter2' $$", "SELECT $x$hunter2$x$", "SELECT U&'hunter2'", "SELECT X'hunter2'"];
    hides(Protocol::POSTGRESQL, STATEMENTS.iter().chain(&dollars).map(|sql| late().client(query(sql))));
    let prepared = |sql: &str| {
        let parse = message(b'P', &[b"\0", sql.as_bytes(), b"\0\0\0"].concat());
        let bind = message(b'B', b"\0\0\0\0\0\x01\0\0\0\x07hunter2\0\0");
        late().client([parse, bind, message(b'E', b"\0\0\0\0\0"), message(b'S', b"")].concat())
    };
    hides(Protocol::POSTGRESQL, STATEMENTS.iter().chain(&dollars).map(|sql| prepared(sql)));
    let copy = late()
        .client(query("COPY t FROM STDIN"))
        .server(message(b'G', b"\0\0\x01\0\0"))
        .client([message(b'd', b"hunter2\n"), message(b'c', b"")].concat())
        .server([message(b'C', b"COPY 1\0"), message(b'Z', b"I")].concat());
    hides(Protocol::POSTGRESQL, [copy]);
    for (code, text) in [
        ("22P02", "invalid input syntax for type integer: \"hunter2\""),
        ("42601", "syntax error at or near \"hunter2\""),
        ("42601", "unterminated quoted string at or near \"'hunter2\""),
    ] {
        hides(Protocol::POSTGRESQL, [late().client(query("SELECT 'hunter2'")).server(failed(code, text))]);
    }
}

#[test]
fn in_dubbo() {
    let frame = |flags: u8, status: u8, body: &[u8]| {
        [&[0xda, 0xbb, flags, status, 0, 0, 0, 0, 0, 0, 0, 1][..], &(body.len() as u32).to_be_bytes(), body].concat()
    };
    let block = |bytes: &[u8]| [&(bytes.len() as u32).to_be_bytes()[..], bytes].concat();
    let names = ["2.0.2", "com.test.Orders", "1.0.0", "place", "Ljava/lang/String;"];
    let hessian: Vec<u8> = names.iter().flat_map(|name| [&[name.len() as u8], name.as_bytes()].concat()).collect();
    let hessian = [&hessian[..], b"\x07hunter2H\x05token\x07hunter2\x08password\x07hunter2Z"].concat();
    let json: String = names.iter().map(|name| format!("{name:?}\n")).collect();
    let json = format!("{json}\"hunter2\"\n{{\"token\":\"hunter2\"}}\n");
    let kryo = |text: &str| {
        let (last, start) = text.as_bytes().split_last().unwrap();
        [start, &[last | 0x80]].concat()
    };
    let written: Vec<u8> = names.iter().flat_map(|name| kryo(name)).collect();
    let text = |text: &str| [b"\x03\x01", &kryo(text)[..]].concat();
    let written = [&written[..], &text("hunter2"), b"\x0f\x01\x01", &text("token"), &text("hunter2")].concat();
    let jsonb = |text: &str| [&[0x49 + text.len() as u8], text.as_bytes()].concat();
    let blocks: Vec<u8> = names.iter().chain(&["hunter2"]).flat_map(|name| block(&jsonb(name))).collect();
    let blocks = [&blocks[..], &block(&[b"\xa6", &jsonb("token")[..], &jsonb("hunter2"), b"\xa5"].concat())].concat();
    hides(
        Protocol::DUBBO,
        [
            (2, hessian, &b"\x91\x07hunter2"[..]),
            (6, json.into_bytes(), b"1\n\"hunter2\"\n"),
            (8, written, b"\x01\x03\x01hunter\xb2"),
            (23, blocks, b"\0\0\0\x01\x01\0\0\0\x08\x50hunter2"),
            // A form that is not read.
            (12, b"hunter2".to_vec(), b"hunter2"),
        ]
        .map(|(form, request, answer)| {
            Talk::tcp().client(frame(0xc0 | form, 0, &request)).server(frame(form, 20, answer))
        }),
    );
}

#[test]
fn in_kafka() {
    let frame = |content: &[u8]| [&(content.len() as u32).to_be_bytes()[..], content].concat();
    let request = |key: u8, version: u8, id: u8, body: &[u8]| {
        frame(&[&[0, key, 0, version, 0, 0, 0, id][..], b"\0\x04shop", body].concat())
    };
    let response = |id: u8, body: &[u8]| frame(&[&[0, 0, 0, id][..], body].concat());
    // One record with key, value and a header of its own name.
    let record = b"\x3e\0\0\0\x0ehunter2\x0ehunter2\x02\x02t\x0ehunter2";
    let batch = |record: &[u8]| {
        let counted = [&[0; 4][..], &[2], &[0; 40], &[0, 0, 0, 1], record].concat();
        [&[0; 8][..], &(counted.len() as u32).to_be_bytes(), &counted].concat()
    };
    let records = batch(record);
    let produce = [
        &b"\xff\xff\0\x01\0\0\x05\xdc\0\0\0\x01\0\x06orders\0\0\0\x01\0\0\0\0"[..],
        &(records.len() as u32).to_be_bytes(),
        &records,
    ]
    .concat();
    let create = b"\0\0\0\x01\0\x06orders\0\0\0\x01\0\x01\0\0\0\0\0\0\0\x01\0\x01p\0\x07hunter2\0\0\x05\xdc";
    hides(
        Protocol::KAFKA,
        [
            Talk::tcp().client(request(0, 3, 1, &produce)),
            Talk::tcp().client(request(19, 0, 1, create)),
            // SaslHandshake, then a token within SaslAuthenticate, and one without any header.
            Talk::tcp()
                .client(request(17, 1, 1, b"\0\x05PLAIN"))
                .server(response(1, b"\0\0\0\0\0\x01\0\x05PLAIN"))
                .client(request(36, 0, 2, b"\0\0\0\x0c\0ann\0hunter2"))
                .server(response(2, b"\0\0\xff\xff\0\0\0\x07hunter2")),
            Talk::tcp()
                .client(request(17, 0, 1, b"\0\x05PLAIN"))
                .server(response(1, b"\0\0\0\0\0\x01\0\x05PLAIN"))
                .client(frame(b"\0ann\0hunter2"))
                .server(frame(b"")),
        ],
    );
}

#[test]
fn in_dns() {
    let question = b"\x01a\x04test\0\0\x10\0\x01";
    let ask = [&b"\0\x01\x01\0\0\x01\0\0\0\0\0\0"[..], question].concat();
    let answer =
        [&b"\0\x01\x81\x80\0\x01\0\x01\0\0\0\0"[..], question, b"\xc0\x0c\0\x10\0\x01\0\0\0\0\0\x08\x07hunter2"]
            .concat();
    hides(Protocol::DNS, [Talk::new(Opening::UDP).client(ask).server(answer)]);
}
