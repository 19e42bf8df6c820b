//! Where a message ends, as its header lines say (RFC 9112, 6.3).

use crate::{MessageWriter, Next};

/// A number in decimal.
fn number(digits: &[u8]) -> Option<u64> {
    let add = |number: u64, digit: &u8| {
        let digit = digit.checked_sub(b'0').filter(|digit| *digit < 10)?;
        number.checked_mul(10)?.checked_add(u64::from(digit))
    };
    if digits.is_empty() { None } else { digits.iter().try_fold(0, add) }
}

/// What the header lines say about the body.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Framing {
    pub(super) length: Option<u64>,
    /// There is a transfer coding, and the last one is chunks.
    pub(super) coded: bool,
    pub(super) chunked: bool,
    /// There are several lengths, or one that is none.
    lengths_differ: bool,
    pub(super) upgrade: Option<Next>,
}

impl Framing {
    /// A `Content-Length`. A list of equal lengths is one length (RFC 9110, 8.6); of others the first is taken.
    pub(super) fn add_lengths(&mut self, value: &[u8]) {
        for length in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
            match number(length) {
                Some(length) if self.length.is_none_or(|known| known == length) => self.length = Some(length),
                _ => self.lengths_differ = true,
            }
        }
    }

    /// A `Transfer-Encoding`: the last coding of the last one counts.
    pub(super) fn add_codings(&mut self, value: &[u8]) {
        let last = value.rsplit(|byte| *byte == b',').next().unwrap_or_default().trim_ascii();
        self.chunked = last.eq_ignore_ascii_case(b"chunked");
        self.coded = true;
    }

    /// Receivers may disagree about where the message ends. Says so where that is how requests are smuggled (RFC 9112, 11.2).
    pub(super) fn warn(&self, message: &mut MessageWriter<'_>) {
        if self.lengths_differ || self.coded && self.length.is_some() || self.coded != self.chunked {
            message.attribute_flag("http.framing_conflict", true);
        }
    }
}
