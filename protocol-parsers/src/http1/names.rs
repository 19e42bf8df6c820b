//! Which header lines matter.

/// For every byte, the lengths of the names that matter and begin with it, and of those whose third byte it is, one bit each: most lines
/// are told apart by them.
pub(super) struct Names([(u32, u32); 256]);

pub(super) static WANTED_OF_REQUEST: Names = Names::new(&[
    "b3",
    "content-length",
    "host",
    "sw8",
    "traceparent",
    "tracestate",
    "transfer-encoding",
    "uber-trace-id",
    "upgrade",
    "user-agent",
    "x-b3-parentspanid",
    "x-b3-spanid",
    "x-b3-traceid",
    "x-forwarded-for",
    "x-request-id",
]);
pub(super) static WANTED_OF_RESPONSE: Names = Names::new(&["content-length", "transfer-encoding", "upgrade"]);

impl Names {
    const fn new(wanted: &[&str]) -> Self {
        let (mut lengths, mut position) = ([(0, 0); 256], 0);
        while position < wanted.len() {
            let name = wanted[position].as_bytes();
            // Behind the name stands a colon.
            let third = if name.len() == 2 { b':' } else { name[2] };
            lengths[name[0] as usize].0 |= 1 << name.len();
            lengths[name[0].to_ascii_uppercase() as usize].0 |= 1 << name.len();
            lengths[third as usize].1 |= 1 << name.len();
            lengths[third.to_ascii_uppercase() as usize].1 |= 1 << name.len();
            position += 1;
        }
        Self(lengths)
    }

    /// What lengths the name of a line with these bytes may have, one bit each.
    #[inline]
    pub(super) fn lengths(&self, first: u8, third: u8) -> u32 {
        self.0[usize::from(first)].0 & self.0[usize::from(third)].1
    }
}

/// The length of a line's name, if it is one of these.
#[inline]
pub(super) fn length(line: &[u8], mut lengths: u32) -> Option<usize> {
    // Rising: a colon behind the first one belongs to the value.
    while lengths != 0 {
        let length = lengths.trailing_zeros() as usize;
        if line.get(length) == Some(&b':') {
            return Some(length);
        }
        lengths &= lengths - 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_told_apart_by_two_letters_and_the_place_of_its_colon() {
        let within = |line: &[u8], names: &Names| length(line, names.lengths(*line.first()?, *line.get(2)?));
        let of_request = |line: &[u8]| within(line, &WANTED_OF_REQUEST);
        assert_eq!(of_request(b"Host: a"), Some(4));
        assert_eq!(of_request(b"X-B3-ParentSpanId:0"), Some(17));
        assert_eq!(of_request(b"uPGRADE: h2c"), Some(7));
        assert_eq!(of_request(b"B3:0"), Some(2));
        assert_eq!(of_request(b"SW8:"), Some(3));
        for other in [&b""[..], b"H", b"Accept: a", b"Cookie: a", b"\x80ost: a", b": a", b"Host : a"] {
            assert_eq!(of_request(other), None);
        }
        assert_eq!(within(b"Host: a", &WANTED_OF_RESPONSE), None);
    }
}
