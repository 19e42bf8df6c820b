use alloc::string::{String, ToString};
use alloc::vec::Vec;

use proptest::prelude::*;

use super::encoder::{Encoder, Way};
use super::*;

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len() / 2).map(|at| u8::from_str_radix(&hex[at * 2..at * 2 + 2], 16).unwrap()).collect()
}

fn read(decoder: &mut Decoder, block: &[u8]) -> (Vec<String>, Result<(), Flaw>) {
    let mut headers = Vec::new();
    let result = decoder.decode(block, |header| {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).to_string();
        headers.push(text(header.text) + ": " + &text(header.value));
    });
    (headers, result)
}

#[track_caller]
fn blocks(limit: usize, first_size: Option<usize>, blocks: &[(&str, &str)]) {
    let mut decoder = Decoder::new(limit);
    if let Some(size) = first_size {
        decoder.table.resize(size);
    }
    for (block, headers) in blocks {
        let expected: Vec<_> = headers.lines().map(|line| line.trim().to_string()).collect();
        assert_eq!(read(&mut decoder, &bytes(block)), (expected, Ok(())));
    }
}

const REQUESTS: [&str; 3] = [
    ":method: GET\n:scheme: http\n:path: /\n:authority: www.example.com",
    ":method: GET\n:scheme: http\n:path: /\n:authority: www.example.com\ncache-control: no-cache",
    ":method: GET\n:scheme: https\n:path: /index.html\n:authority: www.example.com\ncustom-key: custom-value",
];

const RESPONSES: [&str; 3] = [
    ":status: 302\ncache-control: private\ndate: Mon, 21 Oct 2013 20:13:21 GMT\nlocation: https://www.example.com",
    ":status: 307\ncache-control: private\ndate: Mon, 21 Oct 2013 20:13:21 GMT\nlocation: https://www.example.com",
    ":status: 200\ncache-control: private\ndate: Mon, 21 Oct 2013 20:13:22 GMT\nlocation: https://www.example.com\n\
     content-encoding: gzip\nset-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1",
];

#[test]
fn integers_of_the_specification() {
    for (block, prefix, value) in [("0a", 5, 10), ("1f9a0a", 5, 1337), ("2a", 8, 42)] {
        let block = bytes(block);
        let mut rest = block.as_slice();
        assert_eq!((integer(&mut rest, prefix), rest), (Ok(value), &[][..]));
    }
    assert_eq!(integer(&mut &bytes("1fffffffffff00")[..], 5), Err(Flaw::Invalid));
    assert_eq!(integer(&mut &bytes("1fff")[..], 5), Err(Flaw::Cut));
}

#[test]
fn single_headers_of_the_specification() {
    for (block, header) in [
        ("400a637573746f6d2d6b65790d637573746f6d2d686561646572", "custom-key: custom-header"),
        ("040c2f73616d706c652f70617468", ":path: /sample/path"),
        ("100870617373776f726406736563726574", "password: secret"),
        ("82", ":method: GET"),
    ] {
        blocks(4096, None, &[(block, header)]);
    }
}

#[test]
fn requests_of_the_specification() {
    let plain = [
        "828684410f7777772e6578616d706c652e636f6d",
        "828684be58086e6f2d6361636865",
        "828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565",
    ];
    let coded = [
        "828684418cf1e3c2e5f23a6ba0ab90f4ff",
        "828684be5886a8eb10649cbf",
        "828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf",
    ];
    for form in [plain, coded] {
        blocks(4096, None, &[(form[0], REQUESTS[0]), (form[1], REQUESTS[1]), (form[2], REQUESTS[2])]);
    }
}

#[test]
fn responses_of_the_specification_in_a_small_table() {
    let plain = [
        "4803333032580770726976617465611d4d6f6e2c203231204f637420323031332032303a31333a323120474d546e1768747470733a2f2f7777\
         772e6578616d706c652e636f6d",
        "4803333037c1c0bf",
        "88c1611d4d6f6e2c203231204f637420323031332032303a31333a323220474d54c05a04677a69707738666f6f3d4153444a4b48514b425a58\
         4f5157454f50495541585157454f49553b206d61782d6167653d333630303b2076657273696f6e3d31",
    ];
    let coded = [
        "488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f0b97c8e9ae82ae43d3",
        "4883640effc1c0bf",
        "88c16196d07abe941054d444a8200595040b8166e084a62d1bffc05a839bd9ab77ad94e7821dd7f2e6c7b335dfdfcd5b3960d5af27087f3672\
         c1ab270fb5291f9587316065c003ed4ee5b1063d5007",
    ];
    for form in [plain, coded] {
        let rows = [(form[0], RESPONSES[0]), (form[1], RESPONSES[1]), (form[2], RESPONSES[2])];
        blocks(4096, Some(256), &rows);
        // The sender keeps more than we do: what we have dropped is unknown, not something else.
        blocks(256, None, &rows);
    }
}

#[test]
fn entries_that_nobody_saw_are_unknown_and_new_ones_are_right() {
    let mut decoder = Decoder::new(4096);
    let (headers, result) = read(&mut decoder, &bytes("82be40016101627f000163bfbe"));
    assert_eq!(result, Ok(()));
    assert_eq!(
        headers,
        [":method: GET", ": ", "a: b", ": c", "a: b", ": c"],
        "index 62 before any entry; an entry; one named by an index nobody saw; both again"
    );
}

#[test]
fn flaws() {
    for (block, flaw) in [
        ("80", Flaw::Invalid),
        ("4082ffff0161", Flaw::Invalid),
        ("41", Flaw::Cut),
        ("410561", Flaw::Cut),
        ("00", Flaw::Cut),
        ("ffffffffffff", Flaw::Invalid),
    ] {
        let (headers, result) = read(&mut Decoder::new(4096), &bytes(block));
        assert_eq!((headers.as_slice(), result), (&[][..], Err(flaw)), "{block}");
    }
}

#[test]
fn a_table_holds_no_more_than_its_limit_and_says_what_it_dropped() {
    let mut decoder = Decoder::new(4096);
    let mut encoder = Encoder::new();
    let mut block = Vec::new();
    encoder.resize(&mut block, 1 << 20);
    for number in 0..50_000 {
        encoder.header(&mut block, b"n", number.to_string().as_bytes(), Way::Kept, true);
        // One entry at a time is looked up, or the encoder of the test would be slow.
        encoder.resize(&mut Vec::new(), 1 << 10);
        encoder.most = 1 << 20;
        assert_eq!(decoder.decode(&block, |_| {}), Ok(()));
        block.clear();
    }
    assert!(decoder.memory() <= 3 * 4096 + 6 * 1024, "{}", decoder.memory());
    assert!(decoder.take_dropped() > 49_000);
    assert_eq!(decoder.table.get(62), Some((Name::Other, &b"n"[..], &b"49999"[..])));
}

#[test]
fn short_references_to_a_long_name_do_not_multiply_it() {
    let mut decoder = Decoder::new(16 << 10);
    let mut block = bytes("3fe17f");
    encoder::integer(&mut block, 0x40, 6, 0);
    encoder::text(&mut block, &[b'x'; 4000], false);
    block.push(0);
    for _ in 0..10_000 {
        block.extend([0x7e, 0]);
    }
    assert_eq!(decoder.decode(&block, |header| assert!(header.text.len() <= 4000)), Ok(()));
    assert!(decoder.memory() < 64 << 10, "{}", decoder.memory());
}

fn headers() -> impl Strategy<Value = Vec<(Vec<u8>, Vec<u8>, u8, bool)>> {
    let name = prop_oneof![
        prop::sample::select(table::STATIC.map(|(name, ..)| name.as_bytes().to_vec()).to_vec()),
        prop::collection::vec(any::<u8>(), 1..40),
    ];
    let value = prop_oneof![
        prop::sample::select(table::STATIC.map(|(_, value, _)| value.as_bytes().to_vec()).to_vec()),
        prop::collection::vec(any::<u8>(), 0..200),
    ];
    prop::collection::vec((name, value, 0..5_u8, any::<bool>()), 0..60)
}

proptest! {
    #[test]
    fn what_was_encoded_comes_back(headers in headers(), sizes in prop::collection::vec(0..8192_usize, 0..6)) {
        let (mut encoder, mut decoder) = (Encoder::new(), Decoder::new(16 << 10));
        let mut sizes = sizes.into_iter();
        for group in headers.chunks(7) {
            let mut block = Vec::new();
            if let Some(size) = sizes.next() {
                encoder.resize(&mut block, size);
            }
            for (name, value, way, coded) in group {
                let way = [Way::Indexed, Way::Indexed, Way::Kept, Way::NotKept, Way::NeverKept][usize::from(*way)];
                encoder.header(&mut block, name, value, way, *coded);
            }
            let mut found = Vec::new();
            prop_assert_eq!(decoder.decode(&block, |header| {
                assert_eq!(header.name, Name::of(header.text));
                found.push((header.text.to_vec(), header.value.to_vec()));
            }), Ok(()));
            let sent: Vec<_> = group.iter().map(|(name, value, ..)| (name.clone(), value.clone())).collect();
            prop_assert_eq!(found, sent);
        }
    }

    /// Whoever joins late gets every header as it is or as unknown.
    #[test]
    fn who_joins_late_knows_less_but_nothing_wrong(headers in headers(), missed in 0..5_usize) {
        let (mut encoder, mut decoder) = (Encoder::new(), Decoder::new(16 << 10));
        for (number, group) in headers.chunks(7).enumerate() {
            let mut block = Vec::new();
            for (name, value, way, coded) in group {
                let way = [Way::Indexed, Way::Indexed, Way::Kept, Way::NotKept, Way::NeverKept][usize::from(*way)];
                encoder.header(&mut block, name, value, way, *coded);
            }
            if number < missed {
                continue;
            }
            let mut found = Vec::new();
            prop_assert_eq!(decoder.decode(&block, |header| {
                found.push((header.name, header.text.to_vec(), header.value.to_vec()));
            }), Ok(()));
            prop_assert_eq!(found.len(), group.len());
            for ((known, name, value), (sent_name, sent_value, ..)) in found.into_iter().zip(group) {
                if known == Name::Unknown {
                    prop_assert!(name.is_empty() && (value.is_empty() || value == *sent_value));
                } else {
                    prop_assert_eq!((&name, &value), (sent_name, sent_value));
                }
            }
        }
    }

    #[test]
    fn any_bytes_are_no_reason_to_panic(blocks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..20)) {
        let mut decoder = Decoder::new(1024);
        for block in blocks {
            let _ = decoder.decode(&block, |_| {});
            prop_assert!(decoder.memory() < 8192);
        }
    }
}
