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
/// Bits that one lookup covers: a short code, and two of them.
const FIRST: usize = 8;
const SECOND: usize = 12;

/// The symbols, sorted by length and then by number.
pub(super) const SORTED: [u16; 257] = sorted();
/// Per length: how many symbols have shorter codes, and the first code of this length.
pub(super) const STARTS: [(u16, u32); LONGEST + 2] = starts();
/// Symbol and length (in the upper byte) of the code that these eight bits begin with; 0 if it is longer.
static SHORT: [u16; 1 << FIRST] = short();

/// What these bits begin with: two symbols (the lower bytes), if two codes fit, and the bits that they take; else 0.
static PAIRS: [u32; 1 << SECOND] = pairs();

const fn pairs() -> [u32; 1 << SECOND] {
    let mut pairs = [0; 1 << SECOND];
    let mut window = 0;
    while window < pairs.len() {
        let first = SHORT[window >> (SECOND - FIRST)];
        let length = first >> 8;
        let behind = window << length & (pairs.len() - 1);
        let second = SHORT[behind >> (SECOND - FIRST)];
        let both = length + (second >> 8);
        if first != 0 && second != 0 && both as usize <= SECOND {
            pairs[window] = (first & 0xff) as u32 | ((second & 0xff) as u32) << 8 | (both as u32) << 16;
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

const fn short() -> [u16; 1 << FIRST] {
    let mut short = [0; 1 << FIRST];
    let mut length = 1;
    while length <= FIRST {
        let (before, code) = STARTS[length];
        let count = STARTS[length + 1].0 - before;
        let mut number = 0;
        while number < count {
            let first = (code as usize + number as usize) << (FIRST - length);
            let mut window = first;
            while window < first + (1 << (FIRST - length)) {
                short[window] = SORTED[(before + number) as usize] | (length as u16) << 8;
                window += 1;
            }
            number += 1;
        }
        length += 1;
    }
    short
}

/// Makes `text` the text that `code` stands for: at most eight fifths of its length.
pub(super) fn decode(mut code: &[u8], text: &mut Vec<u8>) -> Result<(), Flaw> {
    text.clear();
    text.resize(code.len() * 8 / SHORTEST + 1, 0);
    let mut length = 0;
    // The next bits, at the upper end.
    let mut window = 0_u64;
    let mut bits = 0_usize;
    loop {
        if let Some((four, rest)) = code.split_first_chunk::<4>() {
            window |= u64::from(u32::from_be_bytes(*four)) << (32 - bits);
            bits += 32;
            code = rest;
        } else {
            for byte in core::mem::take(&mut code) {
                window |= u64::from(*byte) << (56 - bits);
                bits += 8;
            }
        }
        // As long as the longest code fits, and at the end as long as one does.
        while bits > LONGEST || code.is_empty() {
            let pair = PAIRS[(window >> (64 - SECOND)) as usize];
            let taken = (pair >> 16) as usize;
            if pair != 0 && taken <= bits {
                if let Some(places) = text.get_mut(length..length + 2) {
                    places.copy_from_slice(&(pair as u16).to_le_bytes());
                }
                length += 2;
                window <<= taken;
                bits -= taken;
                continue;
            }
            let entry = SHORT[usize::from((window >> 56) as u8)];
            let (symbol, taken) =
                if entry == 0 { long((window >> 32) as u32)? } else { (entry as u8, usize::from(entry >> 8)) };
            if taken > bits {
                // What is left are the first bits of the end of string, which are ones, and less than a byte of them.
                let padding = bits < 8 && window == !(u64::MAX >> bits);
                text.truncate(length);
                return if padding { Ok(()) } else { Err(Flaw::Invalid) };
            }
            if let Some(place) = text.get_mut(length) {
                *place = symbol;
            }
            length += 1;
            window <<= taken;
            bits -= taken;
        }
    }
}

/// The symbol of a code that is longer than the first lookup covers, and its length.
#[cold]
fn long(window: u32) -> Result<(u8, usize), Flaw> {
    for length in FIRST + 1..=LONGEST {
        let (Some((before, first)), Some((behind, _))) = (STARTS.get(length), STARTS.get(length + 1)) else { break };
        let number = (window >> (32 - length)).wrapping_sub(*first);
        if number < u32::from(behind - before) {
            let symbol = SORTED.get(usize::from(*before) + number as usize).copied().unwrap_or(256);
            // The end of string may not stand in a text.
            return u8::try_from(symbol).map(|symbol| (symbol, length)).map_err(|_| Flaw::Invalid);
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
        decode(code, &mut text).map(|()| text)
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
