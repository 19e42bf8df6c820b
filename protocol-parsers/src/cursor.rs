//! Reads what is there piece by piece.

/// Reads from the front of bytes. `None` where there are not as many; then nothing is taken.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cursor<'a>(pub(crate) &'a [u8]);

impl<'a> Cursor<'a> {
    /// So many bytes.
    pub(crate) fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    /// So many bytes, as many as the type says.
    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    /// One byte.
    pub(crate) fn byte(&mut self) -> Option<u8> {
        self.array().map(|[byte]| byte)
    }

    /// A number of two bytes, the highest first.
    pub(crate) fn short(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    /// A number of four bytes, the highest first.
    pub(crate) fn long(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    /// A string that ends with a zero, without it.
    pub(crate) fn zero_string(&mut self) -> Option<&'a [u8]> {
        let text = self.0.get(..memchr::memchr(0, self.0)?)?;
        self.0 = self.0.get(text.len() + 1..)?;
        Some(text)
    }

    /// A string that ends with a zero, or with the bytes that there are. Says whether it ended with a zero.
    pub(crate) fn zero_string_or_rest(&mut self) -> (&'a [u8], bool) {
        match self.zero_string() {
            Some(text) => (text, true),
            None => (core::mem::take(&mut self.0), false),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Cursor;

    #[test]
    fn what_is_not_there_takes_nothing() {
        let mut cursor = Cursor(b"\x01\x02\x03name\0end");
        assert_eq!((cursor.byte(), cursor.short(), cursor.zero_string()), (Some(1), Some(0x0203), Some(&b"name"[..])));
        assert_eq!((cursor.long(), cursor.bytes(4), cursor.zero_string()), (None, None, None));
        assert_eq!((cursor.zero_string_or_rest(), cursor.byte()), ((&b"end"[..], false), None));
    }
}
