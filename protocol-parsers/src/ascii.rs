//! Bytes compared and found many at a time.

/// Whether `name` is `known` in any case. `known` is in lower case, and a constant wherever this is called: with its length known to the
/// compiler, the comparison is one of many bytes at a time.
#[inline]
pub(crate) fn is<const N: usize>(name: &[u8], known: &[u8; N]) -> bool {
    let Ok(name) = <&[u8; N]>::try_from(name) else { return false };
    let mut difference = 0;
    for (byte, known) in name.iter().zip(known) {
        // Only letters have another case: the bit that tells the cases apart counts everywhere else.
        let case = if known.is_ascii_lowercase() { 0x20 } else { 0 };
        difference |= (byte | case) ^ known;
    }
    difference == 0
}

/// Where the line ends. Many lines are too short for `memchr` to pay.
pub(crate) fn line_feed(bytes: &[u8]) -> Option<usize> {
    let (start, rest) = bytes.split_at_checked(16).unwrap_or((bytes, &[]));
    match start.iter().position(|byte| *byte == b'\n') {
        None if rest.is_empty() => None,
        None => Some(start.len() + memchr::memchr(b'\n', rest)?),
        found => found,
    }
}

/// For every place of a block, the bit of the row of eight it stands in.
const ROWS: [u8; 64] = {
    let (mut rows, mut place) = ([0; 64], 0);
    while place < 64 {
        rows[place] = 1 << (place / 8);
        place += 1;
    }
    rows
};

/// Where `byte` stands, one bit per place.
// On its own, the compiler sees that it is straight through.
#[inline(never)]
pub(crate) fn places(block: &[u8; 64], byte: u8) -> u64 {
    // Written so that the compiler makes it one of 16 bytes at a time.
    let mut rows = [0; 64];
    for ((row, other), bit) in rows.iter_mut().zip(block).zip(ROWS) {
        *row = if *other == byte { bit } else { 0 };
    }
    // One byte per column, one bit of it per row …
    let (words, _) = rows.as_chunks::<8>();
    let columns = words.iter().fold(0, |columns, word| columns | u64::from_le_bytes(*word));
    // … become one byte per row: a square of 8 by 8 bits is mirrored by swapping parts of 1, 2 and 4 bits.
    let mut square = columns;
    for (shift, part) in [(7, 0x00aa_00aa_00aa_00aa), (14, 0x0000_cccc_0000_cccc), (28, 0xf0f0_f0f0)] {
        let different = (square ^ (square >> shift)) & part;
        square ^= different ^ (different << shift);
    }
    square
}

#[cfg(test)]
mod tests {
    use super::{is, line_feed, places};

    #[test]
    fn line_feeds_near_and_far() {
        for at in 0..64 {
            let mut bytes = [b'x'; 64];
            assert_eq!(line_feed(&bytes[..at]), None);
            bytes[at] = b'\n';
            assert_eq!(line_feed(&bytes), Some(at));
        }
    }

    #[test]
    fn places_are_those_of_the_byte() {
        let mut random = 1_u64;
        for byte in [0, b'\n', 0x7f, 0x80, 0xff] {
            for _ in 0..1000 {
                let block: [u8; 64] = core::array::from_fn(|_| {
                    random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    // Many of the byte, its neighbours, and those with other upper bits.
                    [byte, byte ^ 1, byte ^ 0x80, byte.wrapping_sub(1), (random >> 40) as u8]
                        [(random >> 60) as usize % 5]
                });
                let expected = (0..64).fold(0, |bits, at| bits | u64::from(block[at] == byte) << at);
                assert_eq!(places(&block, byte), expected);
            }
        }
    }

    #[test]
    fn only_letters_have_another_case() {
        assert!(is(b"X-B3-TraceId", b"x-b3-traceid") && is(b"", b""));
        assert!(!is(b"X\rB3-TraceId", b"x-b3-traceid") && !is(b"x-b\x133", b"x-b33") && !is(b"hos", b"host"));
        for byte in 0..=u8::MAX {
            assert_eq!(is(&[byte], b"k"), byte.eq_ignore_ascii_case(&b'k'));
            assert_eq!(is(&[byte], b"`"), byte == b'`');
        }
    }
}
