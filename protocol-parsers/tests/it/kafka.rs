use protocol_parsers::{Connection, Dissector, Limits, Opening, Options, Side, StreamChunk, Timestamp};

use crate::talk::Talk;

const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const TRACED: &str = "trace_id=\"4bf92f3577b34da6a3ce929d0e0e4736\" span_id=\"00f067aa0ba902b7\"";
const ID: [u8; 16] = *b"0123456789abcdef";

fn cat(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

fn frame(content: &[u8]) -> Vec<u8> {
    cat(&[&(content.len() as u32).to_be_bytes(), content])
}

/// A request of the client `shop`; `tags` is what a flexible version has behind the client id.
fn request(key: u16, version: u16, id: i32, tags: &[u8], body: &[u8]) -> Vec<u8> {
    frame(&cat(&[&key.to_be_bytes(), &version.to_be_bytes(), &id.to_be_bytes(), b"\0\x04shop", tags, body]))
}

fn response(id: i32, body: &[u8]) -> Vec<u8> {
    frame(&cat(&[&id.to_be_bytes(), body]))
}

fn text(text: &str) -> Vec<u8> {
    cat(&[&(text.len() as u16).to_be_bytes(), text.as_bytes()])
}

fn array(elements: &[Vec<u8>]) -> Vec<u8> {
    cat(&[&(elements.len() as u32).to_be_bytes(), &elements.concat()])
}

/// A number of variable length, as records have it.
fn signed(number: i64) -> Vec<u8> {
    unsigned(((number << 1) ^ (number >> 63)) as u64)
}

fn unsigned(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

fn record(value: &[u8], headers: &[(&str, &str)]) -> Vec<u8> {
    let mut content = cat(&[b"\0\0\0", &signed(1), b"k", &signed(value.len() as i64), value]);
    content.extend(signed(headers.len() as i64));
    for (name, value) in headers {
        content.extend(cat(&[
            &signed(name.len() as i64),
            name.as_bytes(),
            &signed(value.len() as i64),
            value.as_bytes(),
        ]));
    }
    cat(&[&signed(content.len() as i64), &content])
}

fn batch(attributes: u16, records: &[Vec<u8>]) -> Vec<u8> {
    let head = cat(&[&[0; 4], b"\x02", &[0; 4], &attributes.to_be_bytes(), &[0; 34]]);
    let content = cat(&[&head, &(records.len() as u32).to_be_bytes(), &records.concat()]);
    cat(&[&[0; 8], &(content.len() as u32).to_be_bytes(), &content])
}

/// Produce version 7 with one partition per topic.
fn produce(id: i32, acks: i16, topics: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let topics: Vec<_> = topics
        .iter()
        .map(|(name, records)| {
            cat(&[&text(name), &array(&[cat(&[&[0; 4], &(records.len() as u32).to_be_bytes(), records])])])
        })
        .collect();
    request(0, 7, id, b"", &cat(&[b"\xff\xff", &acks.to_be_bytes(), b"\0\0\x75\x30", &array(&topics)]))
}

fn produced(id: i32, topics: &[(&str, i16)]) -> Vec<u8> {
    let topics: Vec<_> = topics
        .iter()
        .map(|(name, error)| {
            let partition = cat(&[&[0; 4], &error.to_be_bytes(), &7_i64.to_be_bytes(), &[0xff; 8], &[0; 8]]);
            cat(&[&text(name), &array(&[partition])])
        })
        .collect();
    response(id, &cat(&[&array(&topics), &[0; 4]]))
}

fn heartbeat(id: i32) -> Vec<u8> {
    request(12, 1, id, b"", &cat(&[&text("billing"), &[0; 4], &text("member")]))
}

fn heartbeat_answer(id: i32, error: i16) -> Vec<u8> {
    response(id, &cat(&[&[0; 4], &error.to_be_bytes()]))
}

const HEARTBEAT: &str = "messaging.kafka.api_version=Number(1) messaging.consumer.group.name=Text(\"billing\")";

fn line(kind: &str, bytes: (usize, usize), rest: &str) -> String {
    format!("kafka {kind} bytes {}/{} {rest}", bytes.0, bytes.1)
}

#[test]
fn a_record_with_a_trace_is_produced() {
    let records = [record(b"value", &[]), record(b"value", &[("n", "1"), ("traceparent", TRACE)])];
    let (ask, answer) = (produce(7, -1, &[("orders", batch(0, &records))]), produced(7, &[("orders", 0)]));
    Talk::tcp().client(&ask).server(&answer).expect(&[&line(
        "request_response ok at 1000 for 1000",
        (ask.len(), answer.len()),
        &format!(
            "request_type=\"Produce\" domain=\"shop\" resource=\"orders\" endpoint=\"Produce orders\" request_id=\"7\" \
             status_code=\"0\" {TRACED} messaging.kafka.api_version=Number(7) messaging.destination.partition.id=Text(\"0\") \
             messaging.batch.message_count=Number(2) messaging.kafka.offset=Number(7)"
        ),
    )]);
}

#[test]
fn compressed_records_are_counted_but_not_read() {
    let records = batch(1, &[record(b"value", &[("traceparent", TRACE)])]);
    let calls = Talk::tcp().client(produce(1, 1, &[("orders", records)])).calls();
    assert!(calls[0].contains("message_count=Number(1)") && !calls[0].contains("trace_id"), "{calls:?}");
}

#[test]
fn nothing_answers_a_produce_without_acknowledgement() {
    let records = || batch(0, &[record(b"value", &[])]);
    let first = produce(1, 0, &[("orders", records())]);
    let (second, answer) = (produce(2, 1, &[("orders", records())]), produced(2, &[("orders", 0)]));
    let calls = Talk::tcp().client([first.clone(), second].concat()).server(answer).calls();
    assert_eq!(calls.len(), 2, "{calls:?}");
    assert!(calls[0].starts_with(&format!("kafka one_way ok at 1000 bytes {}/0", first.len())), "{calls:?}");
    assert!(calls[1].starts_with("kafka request_response ok at 1000 for 1000"), "{calls:?}");
}

#[test]
fn a_request_that_cannot_be_read_is_the_same_however_its_bytes_come() {
    let mut ask = produce(2, 1, &[("orders", batch(0, &[record(b"value", &[])]))]);
    // No list has so many topics.
    ask[26..30].copy_from_slice(b"\xff\xff\xff\x07");
    let begun = &ask[..ask.len() - 20];
    let talk = Talk::tcp().client(heartbeat(1)).server(heartbeat_answer(1, 0)).client(begun).server(produced(2, &[]));
    let calls = talk.calls();
    assert!(calls.iter().any(|call| call.contains("kafka.unread")), "{calls:?}");
    talk.expect(&calls.iter().map(String::as_str).collect::<Vec<_>>());
}

#[test]
fn answers_in_another_order_than_the_requests() {
    let requests: Vec<_> = (1..=3).map(heartbeat).collect();
    let bytes = (requests[0].len(), heartbeat_answer(1, 0).len());
    let call = |id: i32, start: u32, code: &str, status: &str, exception: &str| {
        line(
            &format!("request_response {status} at 1000 for {start}000"),
            bytes,
            &format!(
                "request_type=\"Heartbeat\" domain=\"shop\" endpoint=\"Heartbeat\" request_id=\"{id}\" status_code=\"{code}\"{exception} {HEARTBEAT}"
            ),
        )
    };
    Talk::tcp()
        .client(requests.concat())
        .server(heartbeat_answer(3, 0))
        .server([heartbeat_answer(1, 27), heartbeat_answer(2, 30)].concat())
        .expect(&[
            &call(3, 1, "0", "ok", ""),
            &call(1, 2, "27", "ok", " exception=\"REBALANCE_IN_PROGRESS\""),
            &call(2, 2, "30", "client_error", " exception=\"GROUP_AUTHORIZATION_FAILED\""),
        ]);
}

#[test]
fn the_first_error_of_several_topics() {
    let records = || batch(0, &[record(b"value", &[])]);
    let ask = produce(1, 1, &[("a", records()), ("b", records()), ("a", records())]);
    let answer = produced(1, &[("a", 0), ("b", 19), ("a", 3)]);
    let calls = Talk::tcp().client(ask).server(answer).calls();
    assert!(calls[0].starts_with("kafka request_response server_error"), "{calls:?}");
    assert!(calls[0].contains("resource=\"a,b\" endpoint=\"Produce\""), "{calls:?}");
    assert!(calls[0].contains("status_code=\"19\" exception=\"NOT_ENOUGH_REPLICAS\""), "{calls:?}");
}

#[test]
fn topics_known_by_their_ids() {
    // Metadata version 12 with no brokers and one topic, then a Fetch version 13 of two topics, one of them never named.
    let metadata = request(3, 12, 1, b"\0", b"\x02\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x07orders\0\x01\0\0");
    let topic = cat(&[b"\0\0\x07orders", &ID, b"\0\x01\x80\0\0\0\0"]);
    let named = response(1, &cat(&[b"\0\0\0\0\0\x01\0\0\0\0\x01\x02", &topic, b"\0"]));
    let partition = cat(&[&[0; 4], &[0xff; 4], &42_i64.to_be_bytes(), &[0xff; 12], b"\0\0\x10\0\0"]);
    let fetch = |id: i32, topics: &[[u8; 16]]| {
        let topics: Vec<_> = topics.iter().map(|topic| cat(&[topic, b"\x02", &partition, b"\0"])).collect();
        let count = [topics.len() as u8 + 1];
        request(1, 13, id, b"\0", &cat(&[&[0xff; 4], &[0; 21], &count, &topics.concat(), b"\x01\x01\0"]))
    };
    let calls =
        Talk::tcp().client(metadata).server(named).client(fetch(2, &[ID])).client(fetch(3, &[ID, [7; 16]])).calls();
    assert!(calls[0].contains("resource=\"orders\" endpoint=\"Metadata orders\""), "{calls:?}");
    assert!(
        calls[1].ends_with(
            "resource=\"orders\" endpoint=\"Fetch orders\" request_id=\"2\" messaging.kafka.api_version=Number(13) \
             messaging.destination.partition.id=Text(\"0\") messaging.kafka.offset=Number(42)"
        ),
        "{calls:?}"
    );
    assert!(calls[2].contains("resource=\"orders,BwcHBwcHBwcHBwcHBwcHBw\" endpoint=\"Fetch\""), "{calls:?}");
    assert!(calls[2].contains("messaging.kafka.topic_id_unknown=Flag(true)"), "{calls:?}");
}

#[test]
fn topics_known_by_their_ids_from_another_connection() {
    let metadata = request(3, 12, 1, b"\0", b"\x02\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x07orders\0\x01\0\0");
    let topic = |name: &str| cat(&[b"\0\0\x07", name.as_bytes(), &ID, b"\0\x01\x80\0\0\0\0"]);
    let named = |name: &str| response(1, &cat(&[b"\0\0\0\0\0\x01\0\0\0\0\x01\x02", &topic(name), b"\0"]));
    let partition = cat(&[&[0; 4], &[0xff; 4], &42_i64.to_be_bytes(), &[0xff; 12], b"\0\0\x10\0\0"]);
    let fetch =
        request(1, 13, 2, b"\0", &cat(&[&[0xff; 4], &[0; 21], b"\x02", &ID, b"\x02", &partition, b"\0\x01\x01\0"]));
    let mut dissector = Dissector::new(Options::default());
    let mut topics = |pieces: &[(Side, &[u8])]| {
        let mut connection = Connection::new(Opening::TCP);
        let mut sent = [0; 2];
        for (side, bytes) in pieces {
            let offset = sent[*side as usize];
            sent[*side as usize] += bytes.len() as u64;
            let chunk = StreamChunk { side: *side, time: Timestamp::ZERO, offset, bytes, missing: 0 };
            dissector.push(&mut connection, chunk);
        }
        dissector.close(&mut connection);
        let mut last = String::new();
        while let Some(call) = dissector.poll() {
            last = call.resource().unwrap_or_default().to_owned();
        }
        last
    };
    assert_eq!(topics(&[(Side::Client, &fetch)]), "MDEyMzQ1Njc4OWFiY2RlZg");
    assert_eq!(topics(&[(Side::Client, &metadata), (Side::Server, &named("orders"))]), "orders");
    assert_eq!(topics(&[(Side::Client, &fetch)]), "orders");
    // What a connection says itself goes before what others said.
    let own = named("others");
    assert_eq!(topics(&[(Side::Client, &metadata), (Side::Server, &own), (Side::Client, &fetch)]), "others");
}

/// Fetch version 11 of no topics: those of the session.
fn fetch(id: i32) -> Vec<u8> {
    request(1, 11, id, b"", &cat(&[&[0xff; 4], &[0; 21], &array(&[]), &array(&[]), &text("")]))
}

fn fetched(id: i32, topics: &[(&str, i16, Vec<u8>)]) -> Vec<u8> {
    let topics: Vec<_> = topics
        .iter()
        .map(|(name, error, records)| {
            let head = cat(&[&[0; 4], &error.to_be_bytes(), &[0; 24], &[0xff; 4], &[0xff; 4]]);
            cat(&[&text(name), &array(&[cat(&[&head, &(records.len() as u32).to_be_bytes(), records])])])
        })
        .collect();
    response(id, &cat(&[&[0; 10], &array(&topics)]))
}

#[test]
fn an_incremental_fetch_has_the_topics_of_its_answer() {
    let answer = fetched(5, &[("orders", 0, batch(0, &[record(b"v", &[("traceparent", TRACE)])]))]);
    let calls = Talk::tcp().client(fetch(5)).server(answer).calls();
    assert!(
        calls[0].contains("resource=\"orders\" endpoint=\"Fetch orders\" request_id=\"5\" status_code=\"0\""),
        "{calls:?}"
    );
    assert!(calls[0].contains(TRACED), "{calls:?}");
}

#[test]
fn long_messages_are_read_to_their_end_however_they_are_cut() {
    let long = || batch(0, &[record(&[b'x'; 150_000], &[]), record(&[b'y'; 150_000], &[("traceparent", TRACE)])]);
    let ask = produce(1, 1, &[("a", long()), ("b", long())]);
    let answer = produced(1, &[("a", 0), ("b", 7)]);
    let many = fetched(2, &[("a", 0, long()), ("b", 3, long())]);
    let talk = Talk::tcp().client(&ask).server(&answer).client(fetch(2)).server(&many);
    let whole = talk.calls();
    assert!(whole[0].contains(&format!("for 1000 bytes {}/{}", ask.len(), answer.len())), "{whole:?}");
    assert!(whole[0].contains("resource=\"a,b\"") && whole[0].contains("status_code=\"7\""), "{whole:?}");
    assert!(whole[0].contains(TRACED) && whole[0].contains("message_count=Number(4)"), "{whole:?}");
    assert!(whole[1].contains(&format!("bytes {}/{}", fetch(2).len(), many.len())), "{whole:?}");
    assert!(whole[1].contains("resource=\"a,b\"") && whole[1].contains("status_code=\"3\""), "{whole:?}");
    for most in [7, 61, 1460, 65_536] {
        assert_eq!(talk.calls_with(Options::default(), most), whole, "in parts of {most} bytes");
    }
}

#[test]
fn a_long_message_is_not_kept() {
    let ask = produce(1, 1, &[("a", batch(0, &[record(&vec![b'x'; 4 << 20], &[])]))]);
    let mut dissector = Dissector::new(Options::default());
    let mut connection = Connection::new(Opening::TCP);
    let mut most = 0;
    for (number, bytes) in ask.chunks(1000).enumerate() {
        let chunk =
            StreamChunk { side: Side::Client, time: Timestamp::ZERO, offset: number as u64 * 1000, bytes, missing: 0 };
        dissector.push(&mut connection, chunk);
        most = most.max(connection.memory());
    }
    assert!(most < 16 << 10, "{most} bytes");
    assert_eq!(dissector.stats().messages, 1);
}

#[test]
fn a_loss_within_records_is_bridged() {
    let ask = produce(1, 1, &[("a", batch(0, &[record(&[b'x'; 100_000], &[])])), ("b", vec![])]);
    let answer = produced(1, &[("a", 0), ("b", 0)]);
    let calls = Talk::tcp()
        .client(&ask[..2000])
        .gap(Side::Client, 90_000)
        .client(&ask[92_000..])
        .server(&answer)
        .client(heartbeat(2))
        .server(heartbeat_answer(2, 0))
        .calls();
    assert_eq!(calls.len(), 2, "{calls:?}");
    assert!(calls[0].contains(&format!("bytes {}/{}", ask.len(), answer.len())), "{calls:?}");
    assert!(calls[0].contains("resource=\"a,b\"") && !calls[0].contains("incomplete"), "{calls:?}");
    assert!(calls[1].contains("request_type=\"Heartbeat\""), "{calls:?}");
}

#[test]
fn a_loss_beyond_the_records_is_said_and_the_next_request_is_found() {
    let ask = produce(1, 1, &[("a", batch(0, &[record(&[b'x'; 100_000], &[])])), ("b", vec![])]);
    let lost = ask.len() as u64 - 2000 + 10;
    let behind = [&heartbeat(2)[10..], &heartbeat(3)].concat();
    let calls = Talk::tcp()
        .client(&ask[..2000])
        .gap(Side::Client, lost)
        .client(behind)
        .server([produced(1, &[("a", 0), ("b", 0)]), heartbeat_answer(2, 0), heartbeat_answer(3, 0)].concat())
        .calls();
    assert_eq!(calls.len(), 3, "{calls:?}");
    assert!(calls[0].contains("resource=\"a\"") && calls[0].ends_with("incomplete"), "{calls:?}");
    assert!(calls[1].starts_with("kafka response_only unknown") && calls[1].contains("request_id=\"2\""), "{calls:?}");
    assert!(calls[2].starts_with("kafka request_response ok") && calls[2].contains("request_id=\"3\""), "{calls:?}");
}

#[test]
fn a_capture_that_kept_the_beginnings_of_packets() {
    let ask = produce(1, 1, &[("a", batch(0, &[record(&[b'x'; 5_000], &[])]))]);
    let talk = Talk::tcp().piece(Side::Client, &ask[..200], ask.len() as u64 - 200).server(produced(1, &[("a", 0)]));
    let calls = talk.client(heartbeat(2)).server(heartbeat_answer(2, 0)).calls();
    assert_eq!(calls.len(), 2, "{calls:?}");
    assert!(calls[0].contains(&format!("bytes {}/", ask.len())) && calls[0].ends_with("incomplete"), "{calls:?}");
    assert!(calls[0].contains("resource=\"a\" endpoint=\"Produce a\""), "{calls:?}");
}

#[test]
fn an_answer_of_which_only_the_beginning_was_kept() {
    let records = || batch(0, &[record(&[b'x'; 20_000], &[])]);
    let cut = |topics: &[(&str, i16, Vec<u8>)]| {
        let answer = fetched(1, topics);
        let missing = answer.len() as u64 - 1000;
        let talk = Talk::tcp().client(fetch(1)).piece(Side::Server, &answer[..1000], missing);
        let calls = talk.client(heartbeat(2)).server(heartbeat_answer(2, 0)).calls();
        assert_eq!(calls.len(), 2, "{calls:?}");
        assert!(calls[1].starts_with("kafka request_response ok"), "{calls:?}");
        calls[0].clone()
    };
    let one = cut(&[("a", 0, records())]);
    assert!(one.starts_with("kafka request_response ok") && one.contains("status_code=\"0\""), "{one}");
    assert!(one.contains("resource=\"a\"") && one.ends_with("incomplete"), "{one}");
    let two = cut(&[("a", 0, records()), ("b", 0, records())]);
    assert!(two.starts_with("kafka request_response unknown") && !two.contains("status_code"), "{two}");
}

#[test]
fn joined_late_at_an_answer_or_in_the_middle_of_one() {
    let rest = line(
        "request_response ok at 2000 for 1000",
        (heartbeat(2).len(), heartbeat_answer(2, 0).len()),
        &format!(
            "request_type=\"Heartbeat\" domain=\"shop\" endpoint=\"Heartbeat\" request_id=\"2\" status_code=\"0\" {HEARTBEAT} turned"
        ),
    );
    let joined = |first: Vec<u8>| {
        Talk::new(Opening::TCP_JOINED).client(first).server(heartbeat(2)).client(heartbeat_answer(2, 0))
    };
    let alone = line("response_only unknown at 1000", (0, 14), "request_id=\"1\" turned");
    joined(heartbeat_answer(1, 0)).expect(&[&alone, &rest]);
    let cut = joined(fetched(1, &[("a", 0, batch(0, &[record(b"value", &[])]))])[30..].to_vec());
    for most in [usize::MAX, 64, 16] {
        assert_eq!(cut.calls_with(Options::default(), most), std::slice::from_ref(&rest), "in parts of {most} bytes");
    }
}

#[test]
fn answers_alone_are_recognised_by_what_they_say() {
    let answer = fetched(9, &[("orders", 0, batch(0, &[record(b"value", &[])]))]);
    let expected = line("response_only unknown at 1000", (0, answer.len()), "request_id=\"9\" turned");
    for most in [usize::MAX, 64, 16] {
        let calls = Talk::new(Opening::TCP_JOINED).client(&answer).calls_with(Options::default(), most);
        assert_eq!(calls, std::slice::from_ref(&expected), "in parts of {most} bytes");
    }
    Talk::new(Opening::TCP_JOINED).client(heartbeat_answer(9, 0)).expect(&[]);
}

#[test]
fn an_answer_that_begins_as_a_request_does() {
    // The correlation id is the version of a Produce, the first topic the client's id, and the partitions a list without topics.
    let placed = |topic: &str| cat(&[&text(topic), b"\0\0\0\x01", &[0; 6], &[0; 8], &[0xff; 8], &[0; 8]]);
    let produced = response(2, &cat(&[b"\0\0\0\x02", &placed("orders"), &placed("news"), &[0; 4]]));
    let expected = line("response_only unknown at 1000", (0, produced.len()), "request_id=\"2\" turned");
    for most in [usize::MAX, 64, 16] {
        let calls = Talk::new(Opening::TCP_JOINED).client(&produced).calls_with(Options::default(), most);
        assert_eq!(calls, std::slice::from_ref(&expected), "in parts of {most} bytes");
    }
}

#[test]
fn versions_too_new_for_the_broker_and_for_this_crate() {
    // ApiVersions version 4 is answered in version 0: an error, and what the broker can do.
    let versions = request(18, 4, 1, b"\0", b"\x02x\x021\0");
    let refused = response(1, b"\0\x23\0\0\0\x01\0\x12\0\0\0\x03");
    let unknown = request(3, 20, 2, b"\0", b"whatever");
    let calls = Talk::tcp().client(versions).server(refused).client(unknown).server(response(2, b"\0whatever")).calls();
    assert!(calls[0].contains("client_error") && calls[0].contains("exception=\"UNSUPPORTED_VERSION\""), "{calls:?}");
    assert!(calls[1].contains("request_type=\"Metadata\"") && !calls[1].contains("status_code"), "{calls:?}");
    assert!(calls[1].contains("messaging.kafka.unread=Flag(true)"), "{calls:?}");
}

#[test]
fn a_login_shows_its_mechanism_and_no_secret() {
    let handshake = request(17, 1, 1, b"", &text("PLAIN"));
    let secret = request(36, 0, 2, b"", &cat(&[b"\0\0\0\x0f", b"\0user\0password!"]));
    let refused = response(2, &cat(&[b"\0\x3a", &text("Invalid credentials"), &[0; 4]]));
    let calls =
        Talk::tcp().client(handshake).server(response(1, b"\0\0\0\0\0\0")).client(secret).server(refused).calls();
    assert!(calls[0].contains("request_type=\"SaslHandshake\"") && calls[0].contains("sasl_mechanism=Text(\"PLAIN\")"));
    assert!(calls[1].contains("exception=\"SASL_AUTHENTICATION_FAILED: Invalid credentials\""), "{calls:?}");
    assert!(!calls.concat().contains("password"), "{calls:?}");
}

#[test]
fn tokens_without_headers_behind_the_first_handshake() {
    let calls = Talk::tcp()
        .client(request(17, 0, 1, b"", &text("GSSAPI")))
        .server(response(1, b"\0\0\0\0\0\0"))
        .client(frame(b"\x60\x82token of the client"))
        .server(frame(b"\x60\x82token of the server"))
        .client(heartbeat(2))
        .server(heartbeat_answer(2, 0))
        .calls();
    assert_eq!(calls.len(), 2, "{calls:?}");
    assert!(calls[1].contains("request_type=\"Heartbeat\"") && calls[1].contains("for 1000"), "{calls:?}");
}

#[test]
fn groups_and_topics_of_other_apis() {
    let member = text("member");
    let cases: [(u16, u16, Vec<u8>, &str); 8] = [
        (10, 1, cat(&[&text("billing"), b"\0"]), "group.name=Text(\"billing\")"),
        (11, 0, cat(&[&text("billing"), &[0; 4], &member, &text("consumer"), &[0; 4]]), "group.name=Text(\"billing\")"),
        (14, 0, cat(&[&text("billing"), &[0; 4], &member, &[0; 4]]), "group.name=Text(\"billing\")"),
        (13, 0, cat(&[&text("billing"), &member]), "group.name=Text(\"billing\")"),
        (
            8,
            2,
            cat(&[&text("billing"), &[0; 4], &member, &[0; 8], &array(&[cat(&[&text("a"), &[0; 4]])])]),
            "resource=\"a\"",
        ),
        (
            2,
            1,
            cat(&[&[0xff; 4], &array(&[cat(&[&text("a"), &[0; 4]]), cat(&[&text("b"), &[0; 4]])])]),
            "resource=\"a,b\"",
        ),
        (20, 1, cat(&[&array(&[text("a"), text("b")]), &[0; 4]]), "resource=\"a,b\" endpoint=\"DeleteTopics\""),
        (22, 0, cat(&[&text("ledger"), &[0; 4]]), "messaging.kafka.transactional_id=Text(\"ledger\")"),
    ];
    for (key, version, body, expected) in cases {
        let calls = Talk::tcp().client(request(key, version, 1, b"", &body)).calls();
        assert!(calls.len() == 1 && calls[0].contains(expected), "{key} version {version}: {calls:?}");
        assert!(!calls[0].contains("unread"), "{key} version {version}: {calls:?}");
    }
}

#[test]
fn numbers_that_lie_are_not_believed() {
    let lies = [
        request(2, 1, 2, b"", b"\xff\xff\xff\xff\x7f\xff\xff\xff\0\x01a"),
        request(2, 6, 3, b"\0", b"\xff\xff\xff\xff\0\xff\xff\xff\xff\x0f\x02a"),
        request(12, 1, 4, b"", b"\x7f\xffbilling"),
        request(
            0,
            7,
            5,
            b"",
            &cat(&[b"\xff\xff\0\x01\0\0\0\0", &array(&[cat(&[&text("a"), b"\0\0\0\x01\0\0\0\0\x7f\xff\xff\xffx"])])]),
        ),
    ];
    for lie in lies {
        let calls = Talk::tcp().client(heartbeat(1)).client(&lie).client(heartbeat(6)).calls();
        assert_eq!(calls.len(), 3, "{calls:?}");
        assert!(calls[1].contains("messaging.kafka.unread=Flag(true)"), "{calls:?}");
        assert!(calls[2].contains("request_id=\"6\""), "{calls:?}");
    }
}

#[test]
fn more_topics_than_are_listed() {
    let topics: Vec<_> = (0..20_000).map(|number| text(&format!("topic-{number}"))).collect();
    let ask = request(20, 1, 1, b"", &cat(&[&array(&topics), &[0; 4]]));
    let calls = Talk::tcp().client(&ask).calls();
    assert!(calls[0].contains(&format!("bytes {}/0", ask.len())) && calls[0].contains("topic-127\""), "{calls:?}");
    assert!(calls[0].contains("truncated=Text(\"resource\")"), "{calls:?}");
}

#[test]
fn a_flood_of_requests_without_answers() {
    let mut options = Options::default();
    options.limits.open_requests = 100;
    let mut dissector = Dissector::new(options);
    let mut connection = Connection::new(Opening::TCP);
    let mut offset = 0;
    for id in 0..10_000 {
        let bytes = heartbeat(id);
        let chunk = StreamChunk { side: Side::Client, time: Timestamp::ZERO, offset, bytes: &bytes, missing: 0 };
        offset += bytes.len() as u64;
        dissector.push(&mut connection, chunk);
        while dissector.poll().is_some() {}
    }
    assert!(connection.memory() <= Limits::default().connection_bytes);
    assert_eq!(dissector.stats().requests_evicted, 9_900);
    dissector.close(&mut connection);
    assert_eq!(dissector.stats().calls, 10_000);
}

#[test]
fn clients_without_a_name() {
    let null = frame(b"\0\x12\0\0\0\0\0\x01\xff\xff");
    let empty = frame(&cat(&[b"\0\x03\0\x01\0\0\0\x02\0\0", &array(&[text("orders")])]));
    let calls = Talk::tcp().client(null).client(empty).calls();
    assert_eq!(calls.len(), 2, "{calls:?}");
    assert!(!calls.concat().contains("domain"), "{calls:?}");
    assert!(calls[1].contains("request_type=\"Metadata\" resource=\"orders\""), "{calls:?}");
}

#[test]
fn others_that_begin_with_a_length() {
    let others: [&[u8]; 7] = [
        // ZooKeeper: a connect request, and a read.
        b"\0\0\0\x2d\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x75\x30\0\0\0\0\0\0\0\0\0\0\0\x10\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
        b"\0\0\0\x12\0\0\0\x02\0\0\0\x04\0\0\0\x05/test\0",
        // PostgreSQL: a startup message.
        b"\0\0\0\x29\0\x03\0\0user\0postgres\0database\0postgres\0\0",
        // Thrift, framed, in the older form.
        b"\0\0\0\x15\0\0\0\x04ping\x01\0\0\0\x01\x0b\0\x01\0\0\0\0\0",
        // SMPP: a bind.
        b"\0\0\0\x1f\0\0\0\x09\0\0\0\0\0\0\0\x01user\0secret\0\0\x34\0\0\0",
        // Pulsar: a ping.
        b"\0\0\0\x09\0\0\0\x05\x08\x12\x92\x01\0",
        // HTTP/2: settings, then zeros.
        b"\0\0\x12\x04\0\0\0\0\0\0\x03\0\0\0\x80\0\x04\0\x01\0\0\0\x05\0\xff\xff\xff",
    ];
    for other in others {
        for opening in [Opening::TCP, Opening::TCP_JOINED] {
            let calls = Talk::new(opening).client(other).server(other).client(other).calls();
            assert!(calls.iter().all(|call| !call.starts_with("kafka")), "{}: {calls:?}", other.escape_ascii());
        }
    }
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len() / 2).map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap_or_default()).collect()
}

/// Plays what stands in a golden file and compares the calls with those that stand there.
#[test]
fn what_a_client_and_a_broker_said() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/kafka/librdkafka.golden");
    let golden = std::fs::read_to_string(path).expect("readable");
    let mut played = String::new();
    for conversation in golden.split("\n\n") {
        let lines = || conversation.lines().filter(|line| !line.starts_with('='));
        let talk = lines().fold(Talk::tcp(), |talk, line| match line.split_at(2) {
            ("C ", hex) => talk.client(bytes(hex)),
            ("S ", hex) => talk.server(bytes(hex)),
            _ => talk,
        });
        let calls = talk.calls();
        for most in [7, 64, 1460] {
            assert_eq!(talk.calls_with(Options::default(), most), calls, "in parts of {most} bytes");
        }
        played.extend(lines().map(|line| format!("{line}\n")));
        played.extend(calls.iter().map(|call| format!("= {call}\n")));
        played.push('\n');
    }
    let played = format!("{}\n", played.trim_end());
    if std::env::var("METAFLOW_BLESS").is_ok_and(|bless| bless == "1") {
        std::fs::write(path, &played).expect("writable");
    }
    assert_eq!(std::fs::read_to_string(path).expect("readable"), played);
}

#[test]
fn every_version_is_read_to_its_last_byte() {
    let golden = include_str!("../../testdata/kafka/versions.golden");
    for line in golden.lines().filter(|line| !line.starts_with('#')) {
        let fields: Vec<_> = line.split(' ').collect();
        let [api, version, topics, error, request, response] = fields[..] else { panic!("six fields: {line}") };
        let (request, response) = (bytes(request), bytes(response));
        let calls = Talk::tcp().client(&request).server(&response).calls();
        let situation = format!("{api} version {version}: {calls:?}");
        assert_eq!(calls.len(), 1, "{situation}");
        assert!(calls[0].contains(&format!(" bytes {}/{} ", request.len(), response.len())), "{situation}");
        assert!(calls[0].contains(&format!(" status_code=\"{error}\"")), "{error}: {situation}");
        assert!(!calls[0].contains("unread") && !calls[0].contains("incomplete"), "{situation}");
        match topics {
            "?" => {}
            "-" => assert!(!calls[0].contains("resource"), "{situation}"),
            _ => assert!(calls[0].contains(&format!(" resource=\"{topics}\"")), "{topics}: {situation}"),
        }
    }
}
