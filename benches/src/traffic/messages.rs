//! Messages that the conversations exchange.

use fastrand::Rng;

use super::zipf::Zipf;

/// How an answer turned out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    Ok,
    ClientError,
    ServerError,
}

impl Class {
    /// Two of a hundred are errors.
    fn any(rng: &mut Rng) -> Self {
        match rng.u8(..100) {
            0 => Self::ServerError,
            1 => Self::ClientError,
            _ => Self::Ok,
        }
    }
}

/// What requests ask for.
const RESOURCES: [&str; 12] = [
    "orders",
    "products",
    "carts",
    "users",
    "sessions",
    "prices",
    "stock",
    "reviews",
    "payments",
    "shipments",
    "images",
    "search",
];

/// Draws resources by their popularity.
pub(super) struct Resources(Zipf);

impl Resources {
    pub(super) fn new() -> Self {
        Self(Zipf::new(RESOURCES.len()))
    }

    fn any(&self, rng: &mut Rng) -> &'static str {
        RESOURCES[self.0.any(rng)]
    }
}

/// The head of a request, and its body if it has one.
pub(super) fn http_request(rng: &mut Rng, resources: &Resources, host: usize) -> (Vec<u8>, Vec<u8>) {
    let (resource, number) = (resources.any(rng), rng.u32(..1_000_000));
    let body = match rng.u8(..5) {
        0 => format!("{{\"amount\":{},\"note\":\"{}\"}}", rng.u32(1..1000), "x".repeat(rng.usize(..400))),
        _ => String::new(),
    };
    let (method, length) = match body.len() {
        0 => ("GET", String::new()),
        length => ("POST", format!("Content-Type: application/json\r\nContent-Length: {length}\r\n")),
    };
    let head = format!(
        "{method} /api/v1/{resource}/{number} HTTP/1.1\r\nHost: service{host}.shop.test\r\n\
         User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n\
         Accept: application/json\r\nAccept-Encoding: gzip, deflate\r\nConnection: keep-alive\r\n{length}\
         Traceparent: 00-{:032x}-{:016x}-01\r\n\r\n",
        rng.u128(1..),
        rng.u64(1..),
    );
    (head.into_bytes(), body.into_bytes())
}

/// The head of an answer with a body of this length.
pub(super) fn http_response(rng: &mut Rng, length: usize) -> (Vec<u8>, Class) {
    let class = Class::any(rng);
    let status = match class {
        Class::Ok => "200 OK",
        Class::ClientError => "404 Not Found",
        Class::ServerError => "503 Service Unavailable",
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nServer: nginx/1.22.1\r\nDate: Mon, 23 Nov 2026 10:00:00 GMT\r\n\
         Content-Type: application/json\r\nContent-Length: {length}\r\nConnection: keep-alive\r\n\r\n"
    );
    (head.into_bytes(), class)
}

/// A command with its answer.
pub(super) fn redis(rng: &mut Rng, resources: &Resources) -> (Vec<u8>, Vec<u8>, Class) {
    let key = format!("{}:{}", resources.any(rng), rng.u32(..100_000));
    let value = "v".repeat(rng.usize(1..200));
    let class = Class::any(rng);
    let (name, request, answer) = if rng.bool() {
        ("GET", array(&["GET", &key]), format!("${}\r\n{value}\r\n", value.len()))
    } else {
        ("SET", array(&["SET", &key, &value]), "+OK\r\n".to_owned())
    };
    let answer = match class {
        Class::Ok => answer,
        Class::ClientError => format!("-ERR wrong number of arguments for '{}' command\r\n", name.to_lowercase()),
        Class::ServerError => "-LOADING Redis is loading the dataset in memory\r\n".to_owned(),
    };
    (request.into_bytes(), answer.into_bytes(), class)
}

/// A command of Redis: an array of bulk strings.
fn array(words: &[&str]) -> String {
    let words: Vec<_> = words.iter().map(|word| format!("${}\r\n{word}\r\n", word.len())).collect();
    format!("*{}\r\n{}", words.len(), words.concat())
}

/// What a MySQL server says first, the client's login, and the server's consent.
pub(super) fn mysql_login(rng: &mut Rng) -> [Vec<u8>; 3] {
    let mut greeting = b"\x0a8.0.36\0".to_vec();
    greeting.extend(rng.u32(..).to_le_bytes());
    greeting.extend(b"saltsalt\0\x00\xa2\x21\x02\x00\x08\x00\x15");
    greeting.extend([0; 10]);
    greeting.extend(b"saltsaltsalt\0mysql_native_password\0");
    // PROTOCOL_41, SECURE_CONNECTION, CONNECT_WITH_DB.
    let mut login = 0x8208_u32.to_le_bytes().to_vec();
    login.extend(0x0100_0000_u32.to_le_bytes());
    login.push(0x21);
    login.extend([0; 23]);
    login.extend(b"shop\0\x14");
    login.extend(std::iter::repeat_with(|| rng.u8(..)).take(20));
    login.extend(b"shop\0");
    [packet(0, &greeting), packet(1, &login), packet(2, OK)]
}

const OK: &[u8] = b"\0\0\0\x02\0\0\0";
const EOF: &[u8] = b"\xfe\0\0\x02\0";

/// A query with its answer.
pub(super) fn mysql(rng: &mut Rng, resources: &Resources) -> (Vec<u8>, Vec<u8>, Class) {
    let (table, number) = (resources.any(rng), rng.u32(..1_000_000));
    let is_select = rng.u8(..4) > 0;
    let text = match is_select {
        true => format!("\x03SELECT name, price FROM {table} WHERE id = {number} AND state = 'open' LIMIT 10"),
        false => format!("\x03UPDATE {table} SET price = {} WHERE id = {number}", rng.u32(..10_000)),
    };
    let class = Class::any(rng);
    let answer = match class {
        Class::Ok if is_select => result_set(rng, table),
        Class::Ok => packet(1, OK),
        Class::ClientError => packet(1, b"\xff\x7a\x04#42S02Table 'shop.coupons' doesn't exist"),
        Class::ServerError => packet(1, b"\xff\xb5\x04#40001Lock wait timeout exceeded; try restarting transaction"),
    };
    (packet(0, text.as_bytes()), answer, class)
}

fn result_set(rng: &mut Rng, table: &str) -> Vec<u8> {
    let strings = |strings: &[&str]| -> Vec<u8> {
        strings.iter().flat_map(|text| std::iter::once(text.len() as u8).chain(text.bytes())).collect()
    };
    let mut definition = strings(&["def", "shop", table, table, "name", "name"]);
    definition.extend(b"\x0c\x21\0\xff\0\0\0\xfd\0\0\0\0\0");
    let mut answer = packet(1, &[1]);
    answer.extend(packet(2, &definition));
    answer.extend(packet(3, EOF));
    let rows = rng.u8(1..10);
    for row in 0..rows {
        answer.extend(packet(4 + row, &strings(&[&format!("a thing that is number {}", rng.u16(..))])));
    }
    answer.extend(packet(4 + rows, EOF));
    answer
}

fn packet(sequence: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = (payload.len() as u32 | u32::from(sequence) << 24).to_le_bytes().to_vec();
    packet.extend(payload);
    packet
}

/// A query with its answer (RFC 1035 §4).
pub(super) fn dns(rng: &mut Rng, resources: &Resources) -> (Vec<u8>, Vec<u8>, Class) {
    let class = Class::any(rng);
    let mut question = Vec::new();
    for label in [&format!("{}{}", resources.any(rng), rng.u8(..)), "shop", "test", ""] {
        question.push(label.len() as u8);
        question.extend(label.bytes());
    }
    question.extend(b"\0\x01\0\x01");
    let id = rng.u16(..).to_be_bytes();
    let mut query = id.to_vec();
    query.extend(b"\x01\0\0\x01\0\0\0\0\0\0");
    query.extend(&question);
    let mut answer = id.to_vec();
    let (code, answers) = match class {
        Class::Ok => (0, 1),
        Class::ClientError => (3, 0),
        Class::ServerError => (2, 0),
    };
    answer.extend([0x81, 0x80 | code, 0, 1, 0, answers, 0, 0, 0, 0]);
    answer.extend(&question);
    if answers > 0 {
        answer.extend(b"\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\x0a\x01\0");
        answer.push(rng.u8(..));
    }
    (query, answer, class)
}
