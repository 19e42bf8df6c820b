//! Borrowed views of what gRPC adds to HTTP/2.

use alloc::string::String;

use crate::fields::push_escaped;

/// The time that `grpc-timeout` allows, in nanoseconds, at most `u64::MAX`: up to eight digits and a unit.
#[must_use]
pub fn timeout_ns(value: &[u8]) -> Option<u64> {
    let (unit, digits) = value.split_last()?;
    let factor: u64 = match unit {
        b'H' => 3_600_000_000_000,
        b'M' => 60_000_000_000,
        b'S' => 1_000_000_000,
        b'm' => 1_000_000,
        b'u' => 1_000,
        b'n' => 1,
        _ => return None,
    };
    if digits.len() > 8 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    core::str::from_utf8(digits).ok()?.parse::<u64>().ok().map(|count| count.saturating_mul(factor))
}

/// Appends `grpc-message` without its percent encoding. What is no valid encoding stays as it is.
pub fn push_message(text: &mut String, value: &[u8]) {
    if memchr::memchr(b'%', value).is_none() {
        push_escaped(text, value, usize::MAX);
        return;
    }
    let mut decoded = alloc::vec::Vec::with_capacity(value.len());
    let mut rest = value;
    while let Some((byte, behind)) = rest.split_first() {
        rest = behind;
        let escaped = match (byte, behind) {
            (b'%', [high, low, after @ ..]) => {
                digit(*high).zip(digit(*low)).map(|(high, low)| (high << 4 | low, after))
            }
            _ => None,
        };
        if let Some((byte, after)) = escaped {
            decoded.push(byte);
            rest = after;
        } else {
            decoded.push(*byte);
        }
    }
    push_escaped(text, &decoded, usize::MAX);
}

fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

/// Counts the messages of one direction of a stream, without looking into them: each has a byte of flags and a length before it.
#[derive(Clone, Copy, Debug, Default)]
pub struct MessageCounter {
    messages: u64,
    /// Bytes of the message being passed over.
    left: u32,
    /// Bytes of its prefix that have come, and the length they say.
    prefix: u8,
    length: u32,
    /// Bytes were lost, or were no messages.
    lost: bool,
}

/// Bytes of a prefix.
const PREFIX: u8 = 5;

impl MessageCounter {
    /// Takes the bytes that come next, of which at most `bytes` are there and `most` belong to this stream. Returns how many need not be
    /// handed in again; may be more than are there.
    pub fn take(&mut self, bytes: &[u8], most: u64) -> u64 {
        let mut used = 0_u64;
        while used < most && !self.lost {
            if self.left > 0 {
                let count = u64::from(self.left).min(most - used);
                self.left -= count as u32;
                used += count;
                continue;
            }
            let Some(byte) = usize::try_from(used).ok().and_then(|at| bytes.get(at)) else { return used };
            used += 1;
            match self.prefix {
                // Compressed or not; in gRPC-Web trailers are sent like a message.
                0 => self.lost = !matches!(byte, 0 | 1 | 0x80 | 0x81),
                _ => self.length = self.length << 8 | u32::from(*byte),
            }
            if self.prefix == 0 && *byte < 0x80 {
                self.messages += 1;
            }
            self.prefix += 1;
            if self.prefix == PREFIX {
                self.left = core::mem::take(&mut self.length);
                self.prefix = 0;
            }
        }
        if self.lost { most } else { used }
    }

    /// Bytes were lost: what comes next can be anything.
    pub fn lose(&mut self) {
        self.lost = true;
    }

    /// How many messages there were; `None` when bytes were lost.
    #[must_use]
    pub fn messages(&self) -> Option<u64> {
        (!self.lost).then_some(self.messages)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts() {
        for (value, nanos) in [
            (&b"5S"[..], Some(5_000_000_000)),
            (b"100m", Some(100_000_000)),
            (b"99999999H", Some(u64::MAX)),
            (b"999999999n", None),
            (b"S", None),
            (b"5", None),
            (b"-1S", None),
            (b"", None),
        ] {
            assert_eq!(timeout_ns(value), nanos, "{}", value.escape_ascii());
        }
    }

    #[test]
    fn messages_without_their_encoding() {
        for (value, text) in
            [(&b"plain"[..], "plain"), (b"a%20b%2", "a b%2"), (b"%E2%82%AC %zz", "\u{20ac} %zz"), (b"%ff", "\\xff")]
        {
            let mut found = String::new();
            push_message(&mut found, value);
            assert_eq!(found, text);
        }
    }

    #[test]
    fn messages_are_counted_however_their_bytes_come() {
        let bytes = b"\0\0\0\0\x03abc\x01\0\0\0\0\0\0\0\x01\x00";
        for piece in 1..=bytes.len() {
            let mut counter = MessageCounter::default();
            let mut position = 0_usize;
            while position < bytes.len() {
                let rest = &bytes[position..(position + piece).min(bytes.len())];
                position += usize::try_from(counter.take(rest, (bytes.len() - position) as u64)).unwrap();
            }
            assert_eq!((counter.messages(), counter.left), (Some(3), 256), "{piece}");
        }
        let mut counter = MessageCounter::default();
        assert_eq!(counter.take(b"\x07", 100), 100);
        assert_eq!(counter.messages(), None);
    }
}
