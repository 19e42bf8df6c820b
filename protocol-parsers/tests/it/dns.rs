use protocol_parsers::{Opening, Side};

use crate::talk::Talk;

const MDNS: Opening = Opening { server_port: Some(5353), ..Opening::UDP };

/// A message: header flags, a question, and answers as raw records.
fn message(id: u16, flags: u16, name: &[&str], kind: u16, answers: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for word in [id, flags, 1, answers.len() as u16, 0, 0] {
        bytes.extend(word.to_be_bytes());
    }
    for label in name {
        bytes.push(label.len() as u8);
        bytes.extend(label.as_bytes());
    }
    bytes.push(0);
    bytes.extend([kind.to_be_bytes(), 1_u16.to_be_bytes()].concat());
    answers.iter().for_each(|answer| bytes.extend(*answer));
    bytes
}

fn query(id: u16, name: &[&str], kind: u16) -> Vec<u8> {
    message(id, 0x0100, name, kind, &[])
}

/// A record of the name in the question.
fn record(kind: u16, data: &[u8]) -> Vec<u8> {
    let head = [0xc00c, kind, 1, 0, 60, data.len() as u16].map(u16::to_be_bytes).concat();
    [head.as_slice(), data].concat()
}

fn framed(message: &[u8]) -> Vec<u8> {
    [&(message.len() as u16).to_be_bytes(), message].concat()
}

#[test]
fn addresses_and_names_of_the_answer() {
    let name = ["www", "a", "test"];
    let alias = record(5, b"\x01x\xc0\x10");
    Talk::new(Opening::UDP)
        .client(query(7, &name, 1))
        .server(message(7, 0x8180, &name, 1, &[&alias, &record(1, &[10, 0, 0, 1])]))
        .expect(&["dns request_response ok at 1000 for 1000 bytes 28/60 request_type=\"A\" domain=\"www.a.test\" resource=\"www.a.test\" \
                   endpoint=\"www.a.test\" request_id=\"7\" status_code=\"0\" dns.answers=Text(\"x.a.test,10.0.0.1\")"]);
}

#[test]
fn one_id_for_two_types_and_answers_out_of_order() {
    let name = ["a", "test"];
    let calls = Talk::new(Opening::UDP)
        .client(query(7, &name, 1))
        .client(query(7, &name, 28))
        .server(message(7, 0x8183, &["A", "tesT"], 28, &[]))
        .server(message(7, 0x8182, &name, 1, &[]))
        .calls();
    assert!(
        calls[0].starts_with("dns request_response client_error at 2000 for 1000 bytes 24/24 request_type=\"AAAA\""),
        "{calls:?}"
    );
    assert!(
        calls[1].starts_with("dns request_response server_error at 1000 for 3000 bytes 24/24 request_type=\"A\""),
        "{calls:?}"
    );
}

#[test]
fn a_query_sent_again_is_the_same_call() {
    let name = ["a", "test"];
    Talk::new(Opening::UDP)
        .client(query(7, &name, 65))
        .client(query(7, &name, 65))
        .server(message(7, 0x8180, &name, 65, &[]))
        .expect(&["dns request_response ok at 1000 for 2000 bytes 24/24 request_type=\"65\" domain=\"a.test\" resource=\"a.test\" \
                   endpoint=\"a.test\" request_id=\"7\" status_code=\"0\" retries=Number(1)"]);
}

#[test]
fn an_error_without_its_question() {
    let name = ["a", "test"];
    let opening = Opening { server_port: Some(53), ..Opening::UDP };
    Talk::new(opening).client(query(9, &name, 1)).server(b"\0\x09\x80\x01\0\0\0\0\0\0\0\0").expect(&[
        "dns request_response client_error at 1000 for 1000 bytes 24/12 request_type=\"A\" domain=\"a.test\" resource=\"a.test\" \
         endpoint=\"a.test\" request_id=\"9\" status_code=\"1\"",
    ]);
}

#[test]
fn several_over_tcp_with_a_gap() {
    let name = ["a", "test"];
    let calls = Talk::tcp()
        .client([framed(&query(1, &name, 1)), framed(&query(2, &name, 28))].concat())
        .server(framed(&message(2, 0x8180, &name, 28, &[])))
        .gap(Side::Server, 30)
        .client(framed(&query(3, &name, 1)))
        .server(framed(&message(3, 0x8180, &name, 1, &[])))
        .calls();
    assert!(
        calls[0].starts_with("dns request_response ok at 1000 for 1000 bytes 26/26 request_type=\"AAAA\""),
        "{calls:?}"
    );
    assert!(
        calls[1].starts_with("dns request_response ok at 3000 for 1000 bytes 26/26 request_type=\"A\""),
        "{calls:?}"
    );
    assert!(calls[2].starts_with("dns request_only unknown at 1000 bytes 26/0 request_type=\"A\""), "{calls:?}");
}

#[test]
fn however_a_stream_is_cut() {
    let name = ["a", "test"];
    Talk::tcp().client(framed(&query(1, &name, 1))).server(framed(&message(1, 0x8180, &name, 1, &[]))).expect(&[
        "dns request_response ok at 1000 for 1000 bytes 26/26 request_type=\"A\" domain=\"a.test\" resource=\"a.test\" \
         endpoint=\"a.test\" request_id=\"1\" status_code=\"0\"",
    ]);
}

#[test]
fn a_zone_transfer_is_one_call() {
    let name = ["a", "test"];
    let (soa, address) = (record(6, &[0; 22]), record(1, &[10, 0, 0, 1]));
    let part = |records: &[&[u8]]| framed(&message(5, 0x8400, &name, 252, records));
    let parts = [part(&[&soa]), part(&[&address, &address]), part(&[&address, &soa])];
    let length: usize = parts.iter().map(Vec::len).sum();
    let mut talk = Talk::tcp().client(framed(&query(5, &name, 252)));
    for part in &parts {
        talk = talk.server(part);
    }
    talk.client(framed(&query(6, &name, 1))).expect(&[
        &format!(
            "dns request_response ok at 1000 for 3000 bytes 26/{length} request_type=\"AXFR\" domain=\"a.test\" resource=\"a.test\" \
             endpoint=\"a.test\" request_id=\"5\" status_code=\"0\""
        ),
        "dns request_only unknown at 5000 bytes 26/0 request_type=\"A\" domain=\"a.test\" resource=\"a.test\" endpoint=\"a.test\" \
         request_id=\"6\"",
    ]);
}

#[test]
fn who_asks_is_the_client_also_when_the_answer_is_seen_first() {
    let name = ["a", "test"];
    let calls = Talk::new(Opening::UDP).client(message(7, 0x8180, &name, 1, &[])).client(query(8, &name, 1)).calls();
    assert!(calls[0].starts_with("dns response_only ok at 1000") && calls[0].ends_with("turned"), "{calls:?}");
    assert!(calls[1].starts_with("dns request_only unknown at 2000") && !calls[1].contains("initiator"), "{calls:?}");
}

#[test]
fn multicast_goes_by_its_own_name() {
    let answer = b"\0\0\x84\0\0\0\0\x01\0\0\0\0\x01a\x05local\0\0\x01\x80\x01\0\0\0\x78\0\x04\x0a\0\0\x01";
    let calls = Talk::new(MDNS).client(query(0, &["a", "local"], 1)).client(answer).calls();
    assert!(calls.iter().all(|call| call.starts_with("mdns")), "{calls:?}");
    assert!(calls.iter().any(|call| call.contains("response_only ok") && call.contains("10.0.0.1")), "{calls:?}");
}

#[test]
fn datagrams_of_other_protocols() {
    for bytes in [
        &b"hello world, this is no DNS"[..],
        &[0; 40],
        &[0xff; 40],
        b"\x16\xfe\xfd\0\0\0\0\0\0\0\0\0\x50\x01\0\0\x44\0\0",
    ] {
        Talk::new(Opening::UDP).client(bytes).expect(&[]);
    }
}

#[test]
fn an_error_that_only_edns_has_a_code_for() {
    let name = ["a", "test"];
    // No name, type OPT, 4096 bytes of room, 1 in the upper bits of the code, version 0, nothing behind it.
    let edns = [&[0][..], &41_u16.to_be_bytes(), &4096_u16.to_be_bytes(), &[1, 0, 0, 0, 0, 0]].concat();
    for (flags, code) in [(0x8180, 16), (0x8187, 23)] {
        let mut answer = [message(7, flags, &name, 1, &[]), edns.clone()].concat();
        answer[11] = 1;
        let calls = Talk::new(Opening::UDP).client(query(7, &name, 1)).server(answer).calls();
        assert!(calls[0].starts_with("dns request_response server_error "), "{calls:?}");
        assert!(calls[0].contains(&format!("status_code=\"{code}\"")), "{calls:?}");
    }
}
