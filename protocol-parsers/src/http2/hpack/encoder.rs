//! An encoder, for tests.

use alloc::vec::Vec;

use super::huffman::{LENGTHS, LONGEST, SORTED, STARTS};

/// The Huffman code of a text.
pub(super) fn huffman(text: &[u8]) -> Vec<u8> {
    let mut code = Vec::new();
    let (mut window, mut bits) = (0_u64, 0);
    for byte in text {
        let length = usize::from(LENGTHS[usize::from(*byte)]);
        assert!(length <= LONGEST);
        let place = SORTED.iter().position(|symbol| *symbol == u16::from(*byte)).unwrap_or_default();
        let (before, first) = STARTS[length];
        window = window << length | u64::from(first + place as u32 - u32::from(before));
        bits += length;
        while bits >= 8 {
            bits -= 8;
            code.push((window >> bits) as u8);
        }
    }
    if bits > 0 {
        code.push((window << (8 - bits)) as u8 | 0xff >> bits);
    }
    code
}

/// An integer behind a prefix (RFC 7541, 5.1).
pub(super) fn integer(block: &mut Vec<u8>, first: u8, prefix: u32, mut value: usize) {
    let most = (1 << prefix) - 1;
    if value < most {
        block.push(first | value as u8);
        return;
    }
    block.push(first | most as u8);
    value -= most;
    while value >= 128 {
        block.push(value as u8 | 0x80);
        value >>= 7;
    }
    block.push(value as u8);
}

/// A text, as it is or in Huffman code.
pub(super) fn text(block: &mut Vec<u8>, text: &[u8], coded: bool) {
    let (bytes, first) = if coded { (huffman(text), 0x80) } else { (text.to_vec(), 0) };
    integer(block, first, 7, bytes.len());
    block.extend(bytes);
}

/// How a header is written.
#[derive(Clone, Copy, Debug)]
pub(super) enum Way {
    Indexed,
    Kept,
    NotKept,
    NeverKept,
}

/// An encoder with a table of its own, as simple as can be.
pub(super) struct Encoder {
    table: Vec<(Vec<u8>, Vec<u8>)>,
    pub(super) most: usize,
}

impl Encoder {
    pub(super) fn new() -> Self {
        Self { table: Vec::new(), most: 4096 }
    }

    pub(super) fn resize(&mut self, block: &mut Vec<u8>, most: usize) {
        integer(block, 0x20, 5, most);
        self.most = most;
        self.evict();
    }

    fn evict(&mut self) {
        let size = |table: &[(Vec<u8>, Vec<u8>)]| table.iter().map(|(n, v)| n.len() + v.len() + 32).sum::<usize>();
        while size(&self.table) > self.most {
            self.table.pop();
        }
    }

    fn find(&self, test: impl Fn(&[u8], &[u8]) -> bool) -> Option<usize> {
        let fixed = super::table::STATIC.iter().map(|(name, value, _)| (name.as_bytes(), value.as_bytes()));
        let own = self.table.iter().map(|(name, value)| (name.as_slice(), value.as_slice()));
        fixed.chain(own).position(|(name, value)| test(name, value)).map(|position| position + 1)
    }

    pub(super) fn header(&mut self, block: &mut Vec<u8>, name: &[u8], value: &[u8], way: Way, coded: bool) {
        let (first, prefix) = match way {
            Way::Indexed => match self.find(|n, v| n == name && v == value) {
                Some(index) => return integer(block, 0x80, 7, index),
                None => (0x40, 6),
            },
            Way::Kept => (0x40, 6),
            Way::NotKept => (0x00, 4),
            Way::NeverKept => (0x10, 4),
        };
        match self.find(|n, _| n == name) {
            Some(index) => integer(block, first, prefix, index),
            None => {
                block.push(first);
                text(block, name, coded);
            }
        }
        text(block, value, coded);
        if first == 0x40 {
            self.table.insert(0, (name.to_vec(), value.to_vec()));
            self.evict();
        }
    }
}
