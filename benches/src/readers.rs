//! The readers of single protocols, each over the same bytes as a reader of another project.

use std::hint::black_box;

use bytes::{Bytes, BytesMut};
use kafka_protocol::protocol::Decodable;
use mysql_common::constants::{CapabilityFlags, StatusFlags};
use mysql_common::io::ParseBuf;
use mysql_common::packets::{CommonOkPacket, OkPacket, OkPacketDeserializer};
use mysql_common::proto::MyDeserialize;
use protocol_parsers::http1::wire::{Headers, RequestLine, split_line};
use protocol_parsers::{dns, http2, mysql, postgresql, redis, sql};
use redis_protocol::resp2::types::RangeFrame;

use crate::messages::{EXCHANGES, Exchange, HTTP1_REQUEST, HTTP2_BLOCKS};

/// Two readers. Each reads the same bytes so many times, and tells a number about what it found the last time, the same for both.
#[derive(Clone, Copy, Debug)]
pub struct Pair {
    /// Name of our figure.
    pub ours: &'static str,
    /// Name of the peer's figure.
    pub peer: &'static str,
    /// Name of the ratio.
    pub ratio: &'static str,
    /// Our reader.
    pub our_reader: fn(u64) -> usize,
    /// The peer's.
    pub peer_reader: fn(u64) -> usize,
}

macro_rules! pair {
    ($protocol:literal, $ours:literal, $peer:literal, $ratio:literal, $our_reader:ident, $peer_reader:ident) => {
        Pair {
            ours: concat!("parsers.", $protocol, ".", $ours, "_ns"),
            peer: concat!("parsers.", $protocol, ".", $peer, "_ns"),
            ratio: concat!("parsers.", $protocol, ".", $ratio),
            our_reader: $our_reader,
            peer_reader: $peer_reader,
        }
    };
}

/// All of them. What each peer does and does not do stands in the README.
pub const PAIRS: &[Pair] = &[
    pair!("http1", "fields", "httparse", "vs_httparse", http1, httparse),
    pair!("hpack", "indexed", "indexed_fluke", "indexed_vs_fluke", hpack_indexed, fluke_indexed),
    pair!("hpack", "huffman", "huffman_fluke", "huffman_vs_fluke", hpack_huffman, fluke_huffman),
    pair!("hpack", "texts", "texts_httlib", "huffman_vs_httlib", hpack_texts, httlib_texts),
    pair!("redis", "value", "redis_protocol", "vs_redis_protocol", redis, redis_protocol),
    pair!("postgresql", "frames", "postgres_protocol", "vs_postgres_protocol", postgresql, postgres_protocol),
    pair!("mysql", "ok", "mysql_common", "vs_mysql_common", mysql, mysql_common),
    pair!("sql", "redact", "sqlparser", "vs_sqlparser", sql, sqlparser),
    pair!("dns", "records", "simple_dns", "vs_simple_dns", dns, simple_dns),
    pair!("kafka", "exchange", "kafka_protocol", "vs_kafka_protocol", kafka, kafka_protocol),
];

fn exchange(name: &str) -> &'static Exchange<'static> {
    EXCHANGES.iter().find(|exchange| exchange.name == name).expect("an exchange of this protocol")
}

/// Method, path and host: what rate, errors and delay need of a request.
fn http1(times: u64) -> usize {
    let mut found = 0;
    for _ in 0..times {
        let (line, rest) = split_line(black_box(HTTP1_REQUEST)).expect("a line");
        let line = RequestLine::parse(line).expect("a request line");
        let host = Headers::new(rest).find(|(name, _)| name.eq_ignore_ascii_case(b"host"));
        let (_, host) = black_box(host).expect("a host");
        found = black_box(line.method.len() + line.target.len() + host.len());
    }
    found
}

fn httparse(times: u64) -> usize {
    let mut found = 0;
    for _ in 0..times {
        let mut headers = [httparse::EMPTY_HEADER; 32];
        let mut request = httparse::Request::new(&mut headers);
        request.parse(black_box(HTTP1_REQUEST)).expect("a request");
        let host = request.headers.iter().find(|header| header.name.eq_ignore_ascii_case("host")).expect("a host");
        found = request.method.map_or(0, str::len) + request.path.map_or(0, str::len) + host.value.len();
        black_box(found);
    }
    found
}

fn hpack(block: &[u8], times: u64) -> usize {
    let mut decoder = http2::hpack::Decoder::new(4096);
    decoder.decode(HTTP2_BLOCKS.first, |_| ()).expect("a block");
    let mut found = 0;
    for _ in 0..times {
        found = 0;
        decoder.decode(black_box(block), |header| found += header.text.len() + header.value.len()).expect("a block");
        black_box(found);
    }
    found
}

fn fluke(block: &[u8], times: u64) -> usize {
    let mut decoder = fluke_hpack::Decoder::new();
    decoder.decode_with_cb(HTTP2_BLOCKS.first, |_, _| ()).expect("a block");
    let mut found = 0;
    for _ in 0..times {
        found = 0;
        decoder.decode_with_cb(black_box(block), |name, value| found += name.len() + value.len()).expect("a block");
        black_box(found);
    }
    found
}

fn hpack_indexed(times: u64) -> usize {
    hpack(HTTP2_BLOCKS.indexed, times)
}

fn fluke_indexed(times: u64) -> usize {
    fluke(HTTP2_BLOCKS.indexed, times)
}

fn hpack_huffman(times: u64) -> usize {
    hpack(HTTP2_BLOCKS.first, times)
}

fn fluke_huffman(times: u64) -> usize {
    fluke(HTTP2_BLOCKS.first, times)
}

/// The path and the context of a trace, as literals that enter no table.
fn hpack_texts(times: u64) -> usize {
    let [path, name, value] = HTTP2_BLOCKS.texts;
    // The path has its name from the static table, the other one brings it along.
    let length = |text: &[u8]| 0x80 | text.len() as u8;
    let block = [&[4, length(path)], path, &[0, length(name)], name, &[length(value)], value].concat();
    hpack(&block, times) - ":path".len()
}

fn httlib_texts(times: u64) -> usize {
    let mut room = Vec::new();
    for _ in 0..times {
        room.clear();
        for text in black_box(HTTP2_BLOCKS.texts) {
            httlib_huffman::decode(text, &mut room, httlib_huffman::DecoderSpeed::FiveBits).expect("a text");
        }
    }
    room.len()
}

/// The strings of a command.
fn redis(times: u64) -> usize {
    let command = exchange("redis").request;
    let mut found = 0;
    for _ in 0..times {
        let command = black_box(command);
        let mut scan = redis::wire::Scan::START;
        assert_eq!(scan.advance(command), Ok(redis::wire::Progress::Done));
        found = black_box(redis::wire::strings(command).map(<[u8]>::len).sum());
    }
    found
}

fn redis_protocol(times: u64) -> usize {
    let command = exchange("redis").request;
    let mut found = 0;
    for _ in 0..times {
        let frame = redis_protocol::resp2::decode::decode_range(black_box(command)).expect("a command");
        let Some((RangeFrame::Array(strings), _)) = frame else { return 0 };
        let length = |frame: &RangeFrame| match frame {
            RangeFrame::BulkString((start, end)) => end - start,
            _ => 0,
        };
        found = black_box(strings.iter().map(length).sum());
    }
    found
}

/// The messages of an answer: how many there are.
fn postgresql(times: u64) -> usize {
    let answer = exchange("postgresql").response;
    let mut found = 0;
    for _ in 0..times {
        found = 0;
        let mut rest = black_box(answer);
        while let Some(message) = postgresql::wire::Message::parse(rest) {
            rest = rest.get(message.length..).expect("a whole message");
            found += usize::from(black_box(message).is_whole());
        }
    }
    found
}

fn postgres_protocol(times: u64) -> usize {
    let answer = exchange("postgresql").response;
    let mut buffer = BytesMut::new();
    let mut found = 0;
    for _ in 0..times {
        found = 0;
        buffer.extend_from_slice(black_box(answer));
        while let Some(message) = postgres_protocol::message::backend::Message::parse(&mut buffer).expect("a message") {
            black_box(message);
            found += 1;
        }
    }
    found
}

/// Whether another result follows an OK.
fn mysql(times: u64) -> usize {
    let answer = exchange("mysql").response;
    let mut found = 0;
    for _ in 0..times {
        let packet = mysql::wire::Packet::parse(black_box(answer)).expect("a packet");
        found = black_box(usize::from(mysql::wire::more_results(packet.payload)));
    }
    found
}

fn mysql_common(times: u64) -> usize {
    let answer = exchange("mysql").response;
    let mut found = 0;
    for _ in 0..times {
        let mut payload = ParseBuf(&black_box(answer)[4..]);
        let packet =
            OkPacketDeserializer::<CommonOkPacket>::deserialize(CapabilityFlags::CLIENT_PROTOCOL_41, &mut payload);
        let packet = OkPacket::from(packet.expect("an OK"));
        found = black_box(usize::from(packet.status_flags().contains(StatusFlags::SERVER_MORE_RESULTS_EXISTS)));
    }
    found
}

const STATEMENT: &str = "SELECT name, price FROM products WHERE id = 4711 AND shelf IN ('A', 'B')";

/// A statement without its three literals: those in the list become one.
fn sql(times: u64) -> usize {
    let (mut statement, mut summary) = (String::new(), String::new());
    for _ in 0..times {
        statement.clear();
        summary.clear();
        sql::redact(black_box(STATEMENT).as_bytes(), sql::Dialect::MySql, &mut statement, &mut summary);
        black_box((&statement, &summary));
    }
    assert_eq!(summary, "SELECT products");
    statement.matches('?').count() + 1
}

fn sqlparser(times: u64) -> usize {
    use sqlparser::dialect::MySqlDialect;
    use sqlparser::tokenizer::{Token, Tokenizer};
    let mut found = 0;
    for _ in 0..times {
        let tokens = Tokenizer::new(&MySqlDialect {}, black_box(STATEMENT)).tokenize().expect("tokens");
        let is_literal = |token: &&Token| matches!(token, Token::Number(..) | Token::SingleQuotedString(_));
        found = black_box(tokens.iter().filter(is_literal).count());
    }
    found
}

/// The length of the name that was asked for, and the number of records.
fn dns(times: u64) -> usize {
    let answer = exchange("dns").response;
    let mut found = 0;
    for _ in 0..times {
        let answer = black_box(answer);
        let header = dns::wire::Header::parse(answer).expect("a header");
        let mut reader = dns::wire::Reader::new(answer);
        let question = reader.question().expect("a question");
        let length: usize = question.name.labels().map(<[u8]>::len).sum();
        let records = (0..header.counts[1]).map_while(|_| black_box(reader.record())).count();
        found = black_box(length + records);
    }
    found
}

fn simple_dns(times: u64) -> usize {
    let answer = exchange("dns").response;
    let mut found = 0;
    for _ in 0..times {
        let packet = simple_dns::Packet::parse(black_box(answer)).expect("a message");
        let name = packet.questions[0].qname.get_labels().iter().map(|label| label.as_ref().len());
        found = black_box(name.sum::<usize>() + packet.answers.len());
    }
    found
}

/// All of an exchange up to the call, here with everything that the engine does around the reading.
fn kafka(times: u64) -> usize {
    crate::parsers::read(exchange("kafka"), times as u32, true);
    exchange("kafka").resource.len()
}

fn kafka_protocol(times: u64) -> usize {
    use kafka_protocol::messages::{ProduceRequest, ProduceResponse, RequestHeader, ResponseHeader};
    use kafka_protocol::records::RecordBatchDecoder;
    let Exchange { request, response, .. } = *exchange("kafka");
    let mut found = 0;
    for _ in 0..times {
        let mut bytes = Bytes::from_static(black_box(&request[4..]));
        RequestHeader::decode(&mut bytes, 2).expect("a header");
        let asked = ProduceRequest::decode(&mut bytes, 9).expect("a request");
        let topic = asked.topic_data.into_iter().next().expect("a topic");
        let mut records = topic.partition_data.into_iter().next().and_then(|data| data.records).expect("records");
        black_box(RecordBatchDecoder::decode(&mut records).expect("a batch"));
        let mut bytes = Bytes::from_static(black_box(&response[4..]));
        ResponseHeader::decode(&mut bytes, 1).expect("a header");
        black_box(ProduceResponse::decode(&mut bytes, 9).expect("a response"));
        found = topic.name.len();
    }
    found
}
