//! The Huffman code of header texts (RFC 7541, 5.2 and Appendix B).
//!
//! The code is canonical: sorted by length and then by symbol, the codes count upwards. So the lengths alone are the table, and a code
//! longer than what one lookup covers is found by comparing with the last code of every length.

use alloc::vec::Vec;

use super::Flaw;

/// The length of every symbol's code in bits; the last one is the end of string, which never stands in a text.
pub(super) const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28,
    28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12,
    10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6,
    5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22,
    22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20,
    22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28,
    27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28,
    27, 27, 27, 27, 27, 26, 30,
];
pub(super) const LONGEST: usize = 30;
const SHORTEST: usize = 5;
/// Bits that one lookup covers: two codes of six bits, or one of up to twelve.
const WINDOW: usize = 12;

/// The symbols, sorted by length and then by number.
pub(super) const SORTED: [u16; 257] = sorted();
/// Per length: how many symbols have shorter codes, and the first code of this length.
pub(super) const STARTS: [(u16, u32); LONGEST + 2] = starts();

/// The codes that twelve bits begin with, as many as fit, at most two: from the lowest byte on the bits that they take, how many there
/// are, and their symbols. [`LONG`] where the first one is longer.
static CODES: [u32; 1 << WINDOW] = pairs(&singles());
/// Takes more bits than there ever are.
const LONG: u32 = 0xff;

const fn codes(bits: u32, count: u32, first: u32, second: u32) -> u32 {
    bits | count << 8 | first << 16 | second << 24
}

/// The first code of every window.
const fn singles() -> [u32; 1 << WINDOW] {
    let mut singles = [LONG; 1 << WINDOW];
    let mut length = SHORTEST;
    while length <= WINDOW {
        let (before, code) = STARTS[length];
        let mut window = (code as usize) << (WINDOW - length);
        let mut place = before;
        while place < STARTS[length + 1].0 {
            let end = window + (1 << (WINDOW - length));
            while window < end {
                singles[window] = codes(length as u32, 1, SORTED[place as usize] as u32, 0);
                window += 1;
            }
            place += 1;
        }
        length += 1;
    }
    singles
}

/// And the second ones.
const fn pairs(singles: &[u32; 1 << WINDOW]) -> [u32; 1 << WINDOW] {
    let mut pairs = *singles;
    let mut window = 0;
    while window < pairs.len() {
        let first = singles[window];
        if first != LONG {
            let second = singles[window << (first & 0xff) & (pairs.len() - 1)];
            let bits = (first & 0xff) + (second & 0xff);
            if bits as usize <= WINDOW {
                pairs[window] = codes(bits, 2, first >> 16, second >> 16);
            }
        }
        window += 1;
    }
    pairs
}

const fn sorted() -> [u16; 257] {
    let mut sorted = [0; 257];
    let mut count = 0;
    let mut length = 0;
    while length <= LONGEST {
        let mut symbol = 0;
        while symbol < LENGTHS.len() {
            if LENGTHS[symbol] as usize == length {
                sorted[count] = symbol as u16;
                count += 1;
            }
            symbol += 1;
        }
        length += 1;
    }
    sorted
}

const fn starts() -> [(u16, u32); LONGEST + 2] {
    let mut starts = [(0, 0); LONGEST + 2];
    let mut length = 1;
    while length <= LONGEST + 1 {
        let (before, code) = starts[length - 1];
        let mut here = 0;
        let mut symbol = 0;
        while symbol < LENGTHS.len() {
            here += (LENGTHS[symbol] as usize == length - 1) as u16;
            symbol += 1;
        }
        starts[length] = (before + here, (code + here as u32) << 1);
        length += 1;
    }
    starts
}

/// The text that `code` stands for, in `room`: at most eight fifths of its length.
pub(super) fn decode<'t>(mut code: &[u8], room: &'t mut Vec<u8>) -> Result<&'t [u8], Flaw> {
    // What stands in the room is written over. A lookup writes two bytes, also where it finds one.
    let most = code.len() * 8 / SHORTEST + 2;
    if room.len() < most {
        room.resize(most, 0);
    }
    let mut length = 0;
    // The next bits, at the upper end, turned over: what is shifted in behind the last ones are ones then, like the padding, which is the
    // beginning of the end of string. Below those that are counted may stand some that come again with the next bytes.
    let mut window = 0_u64;
    let mut bits = 0_usize;
    loop {
        let next = code.first_chunk().map_or_else(|| last(code), |eight| u64::from_be_bytes(*eight));
        window |= !next >> bits;
        let whole = ((63 - bits) / 8).min(code.len());
        bits += whole * 8;
        code = code.get(whole..).unwrap_or_default();
        while bits >= WINDOW || code.is_empty() {
            let mut codes = CODES[(!window >> (64 - WINDOW)) as usize];
            if usize::from(codes as u8) > bits {
                if bits < LONGEST && !code.is_empty() {
                    break;
                }
                if window == 0 && bits < 8 {
                    return room.get(..length).ok_or(Flaw::Invalid);
                }
                codes = long((!window >> 32) as u32)?;
                if usize::from(codes as u8) > bits {
                    return Err(Flaw::Invalid);
                }
            }
            if let Some(places) = room.get_mut(length..).and_then(<[u8]>::first_chunk_mut) {
                *places = ((codes >> 16) as u16).to_le_bytes();
            }
            length += usize::from((codes >> 8) as u8);
            window <<= codes as u8;
            bits -= usize::from(codes as u8);
        }
    }
}

/// Fewer than eight bytes, with ones behind them.
fn last(code: &[u8]) -> u64 {
    code.iter().rev().fold(u64::MAX, |bits, byte| bits >> 8 | u64::from(*byte) << 56)
}

/// The first code, where it is longer than a lookup covers, or the second one ends behind the bits.
#[cold]
fn long(window: u32) -> Result<u32, Flaw> {
    for length in SHORTEST..=LONGEST {
        let (Some((before, first)), Some((behind, _))) = (STARTS.get(length), STARTS.get(length + 1)) else { break };
        let number = (window >> (32 - length)).wrapping_sub(*first);
        if number < u32::from(behind - before) {
            let symbol = SORTED.get(usize::from(*before) + number as usize).copied().unwrap_or(256);
            // The end of string may not stand in a text.
            let symbol = u8::try_from(symbol).map_err(|_| Flaw::Invalid)?;
            return Ok(codes(length as u32, 1, u32::from(symbol), 0));
        }
    }
    Err(Flaw::Invalid)
}

#[cfg(test)]
mod tests {
    use super::super::encoder::huffman as encode;
    use super::*;
    use proptest::prelude::*;

    fn decoded(code: &[u8]) -> Result<Vec<u8>, Flaw> {
        let mut text = Vec::new();
        decode(code, &mut text).map(<[u8]>::to_vec)
    }

    #[test]
    fn texts_of_the_specification() {
        for (code, text) in [
            (&b"\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff"[..], &b"www.example.com"[..]),
            (b"\xa8\xeb\x10\x64\x9c\xbf", b"no-cache"),
            (b"\x25\xa8\x49\xe9\x5b\xb8\xe8\xb4\xbf", b"custom-value"),
            (b"\x64\x02", b"302"),
            (b"", b""),
        ] {
            assert_eq!(decoded(code), Ok(text.to_vec()));
            assert_eq!(encode(text), code);
        }
    }

    #[test]
    fn padding_must_be_short_and_of_ones() {
        assert_eq!(decoded(b"\x64\x02\xff"), Err(Flaw::Invalid));
        assert_eq!(decoded(b"\x07"), Ok(b"0".to_vec()));
        assert_eq!(decoded(b"\x00\x00\xf0"), Err(Flaw::Invalid));
        assert_eq!(decoded(b"\xff\xff\xff\xff"), Err(Flaw::Invalid), "the end of string");
    }

    proptest! {
        #[test]
        fn what_was_encoded_comes_back(text in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert_eq!(decoded(&encode(&text)), Ok(text));
        }

        #[test]
        fn any_bytes_are_no_reason_to_panic(code in prop::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(text) = decoded(&code) {
                prop_assert!(text.len() <= code.len() * 8 / 5);
                prop_assert_eq!(encode(&text), code);
            }
        }
    }
}
