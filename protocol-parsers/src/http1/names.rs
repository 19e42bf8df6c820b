//! Which header lines matter.

/// For every first byte of a line, the lengths of the names that matter, one bit each: most lines are told apart by them.
pub(super) type Lengths = [u32; 256];

pub(super) static WANTED_OF_REQUEST: Lengths = lengths(&[
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
pub(super) static WANTED_OF_RESPONSE: Lengths = lengths(&["content-length", "transfer-encoding", "upgrade"]);

const fn lengths(names: &[&str]) -> Lengths {
    let (mut lengths, mut position) = ([0; 256], 0);
    while position < names.len() {
        let name = names[position].as_bytes();
        lengths[name[0] as usize] |= 1 << name.len();
        lengths[name[0].to_ascii_uppercase() as usize] |= 1 << name.len();
        position += 1;
    }
    lengths
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
    fn a_line_is_told_apart_by_its_first_letter_and_the_place_of_its_colon() {
        let within = |line: &[u8], wanted: &Lengths| length(line, wanted[usize::from(*line.first()?)]);
        let of_request = |line: &[u8]| within(line, &WANTED_OF_REQUEST);
        assert_eq!(of_request(b"Host: a"), Some(4));
        assert_eq!(of_request(b"X-B3-ParentSpanId:0"), Some(17));
        assert_eq!(of_request(b"uPGRADE: h2c"), Some(7));
        for other in [&b""[..], b"H", b"Accept: a", b"Cookie: a", b"\x80ost: a", b": a", b"Host : a"] {
            assert_eq!(of_request(other), None);
        }
        assert_eq!(within(b"Host: a", &WANTED_OF_RESPONSE), None);
    }
}
