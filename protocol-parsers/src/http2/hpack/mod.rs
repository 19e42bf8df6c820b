//! HPACK ([RFC 7541](https://www.rfc-editor.org/rfc/rfc7541)), for one who only watches.

#[cfg(test)]
mod encoder;
mod huffman;
mod table;

use alloc::vec::Vec;

use super::name::Name;
use table::{Label, Table};

/// Room for decoded texts that a connection keeps between two blocks.
const KEPT: usize = 512;

/// What is wrong with a header block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// It ends within a header.
    Cut,
    /// No continuation makes a header of it.
    Invalid,
}

/// A header, as it was sent. Of one that refers to an entry nobody saw, name or both texts are empty.
#[derive(Clone, Copy, Debug)]
pub struct Header<'a> {
    /// What it is.
    pub(super) name: Name,
    /// The name's text; the first 64 bytes of it where it comes from a table.
    pub text: &'a [u8],
    /// The value.
    pub value: &'a [u8],
}

/// Decodes the header blocks of one direction.
#[derive(Debug)]
pub struct Decoder {
    table: Table,
    name: Vec<u8>,
    value: Vec<u8>,
}

impl Decoder {
    /// Keeps at most `limit` bytes of headers, counted as RFC 7541, 4.1 does.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { table: Table::new(limit), name: Vec::new(), value: Vec::new() }
    }

    /// A block was missed: what the table holds is not known any more.
    pub(super) fn forget(&mut self) {
        self.table.clear();
    }

    /// How many entries the limit has driven out since this was last asked.
    pub(super) fn take_dropped(&mut self) -> u64 {
        self.table.take_dropped()
    }

    pub(super) fn memory(&self) -> usize {
        self.table.memory() + self.name.capacity() + self.value.capacity()
    }

    /// Reads a block and hands out its headers. With a flaw, those before it have been handed out.
    ///
    /// # Errors
    /// When the block ends within a header, or holds what is none.
    pub fn decode(&mut self, block: &[u8], mut each: impl FnMut(Header<'_>)) -> Result<(), Flaw> {
        let mut rest = block;
        let mut result = Ok(());
        while result.is_ok()
            && let Some((first, behind)) = rest.split_first()
        {
            // Most headers are a byte: an entry of a table.
            if (0x81..0xff).contains(first) {
                each(view(&self.table, usize::from(*first & 0x7f)));
                rest = behind;
            } else {
                result = self.header(&mut rest, &mut each);
            }
        }
        for room in [&mut self.name, &mut self.value] {
            room.truncate(KEPT);
            room.shrink_to(KEPT);
        }
        result
    }

    /// One representation (RFC 7541, 6).
    fn header(&mut self, rest: &mut &[u8], each: &mut impl FnMut(Header<'_>)) -> Result<(), Flaw> {
        let first = rest.first().copied().unwrap_or_default();
        let kept = match first {
            0x80.. => {
                let index = integer(rest, 7)?;
                if index == 0 {
                    return Err(Flaw::Invalid);
                }
                each(view(&self.table, index));
                return Ok(());
            }
            0x40.. => true,
            0x20.. => {
                // A table that grows must be announced, whatever the settings allowed before: they need not be read.
                self.table.resize(integer(rest, 5)?);
                return Ok(());
            }
            _ => false,
        };
        let index = integer(rest, if kept { 6 } else { 4 })?;
        let name = if index == 0 { Some(string(rest, &mut self.name)?) } else { None };
        let value = string(rest, &mut self.value)?;
        let Header { name: known, text, .. } = match name {
            Some(text) => Header { name: Name::of(text), text, value: b"" },
            None => view(&self.table, index),
        };
        each(Header { name: known, text, value });
        if kept {
            self.table.insert(name.map_or(Label::Indexed(index), Label::Text), value);
        }
        Ok(())
    }
}

/// The entry of a table.
#[inline]
fn view(table: &Table, index: usize) -> Header<'_> {
    let (name, text, value) = table.get(index).unwrap_or((Name::Unknown, b"", b""));
    Header { name, text, value }
}

/// An integer whose first bits stand in the lowest `prefix` bits of the first byte (RFC 7541, 5.1).
fn integer(rest: &mut &[u8], prefix: u32) -> Result<usize, Flaw> {
    let (first, mut bytes) = rest.split_first().ok_or(Flaw::Cut)?;
    let most = (1 << prefix) - 1;
    let mut value = usize::from(*first) & most;
    if value == most {
        let mut shift = 0;
        loop {
            let (byte, behind) = bytes.split_first().ok_or(Flaw::Cut)?;
            bytes = behind;
            value += usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
            // More than any length or index there can be.
            if shift > 21 {
                return Err(Flaw::Invalid);
            }
        }
    }
    *rest = bytes;
    Ok(value)
}

/// A text; in `room`, if it is in Huffman code (RFC 7541, 5.2).
fn string<'a, 'b: 'a>(rest: &mut &'b [u8], room: &'a mut Vec<u8>) -> Result<&'a [u8], Flaw> {
    let coded = rest.first().ok_or(Flaw::Cut)? & 0x80 != 0;
    let length = integer(rest, 7)?;
    let (text, behind) = rest.split_at_checked(length).ok_or(Flaw::Cut)?;
    *rest = behind;
    if !coded {
        return Ok(text);
    }
    huffman::decode(text, room)
}

#[cfg(test)]
mod tests {
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
}
