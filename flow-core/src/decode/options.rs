//! What is used of the options of a TCP header (RFC 9293 §3.1).

const END: u8 = 0;
const NO_OPERATION: u8 = 1;
const WINDOW_SCALE: u8 = 3;
const TIMESTAMPS: u8 = 8;
/// The largest shift there is: more mean this (RFC 7323 §2.3).
const MOST_SCALE: u8 = 14;

/// The options of a segment, as far as they were captured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct TcpOptions<'a>(pub(super) &'a [u8]);

/// The clock of a segment's sender, and what of the other's clock it echoes (RFC 7323 §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Timestamps {
    pub(crate) value: u32,
    pub(crate) echo: u32,
}

impl<'a> TcpOptions<'a> {
    /// By how many bits the sender's windows are shifted: said in a SYN.
    pub(crate) fn window_scale(self) -> Option<u8> {
        let [scale] = self.find(WINDOW_SCALE)?.try_into().ok()?;
        Some(scale.min(MOST_SCALE))
    }

    pub(crate) fn timestamps(self) -> Option<Timestamps> {
        let [a, b, c, d, e, f, g, h] = self.find(TIMESTAMPS)?.try_into().ok()?;
        Some(Timestamps { value: u32::from_be_bytes([a, b, c, d]), echo: u32::from_be_bytes([e, f, g, h]) })
    }

    /// What the first option of this kind says.
    fn find(self, wanted: u8) -> Option<&'a [u8]> {
        let mut rest = self.0;
        loop {
            rest = match rest {
                [] | [END, ..] => return None,
                [NO_OPERATION, rest @ ..] => rest,
                [kind, length, rest @ ..] => {
                    let (said, behind) = rest.split_at_checked(usize::from(*length).checked_sub(2)?)?;
                    if *kind == wanted {
                        return Some(said);
                    }
                    behind
                }
                [_] => return None,
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_found_behind_others() {
        // Those of a SYN of Linux: maximum segment size, SACK permitted, timestamps, window scale.
        let syn = [2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 0, 9, 0, 0, 0, 0, 1, 3, 3, 7];
        assert_eq!(TcpOptions(&syn).window_scale(), Some(7));
        assert_eq!(TcpOptions(&syn).timestamps(), Some(Timestamps { value: 9, echo: 0 }));
    }

    #[test]
    fn options_that_lie_about_their_length_say_nothing() {
        for bytes in
            [&[3, 3][..], &[3], &[3, 0, 7], &[3, 1, 7], &[3, 2, 7], &[3, 4, 7, 7], &[0, 3, 3, 7], &[2, 9, 3, 3, 7]]
        {
            assert_eq!(TcpOptions(bytes).window_scale(), None, "{bytes:?}");
        }
        assert_eq!(TcpOptions(&[3, 3, 255]).window_scale(), Some(14));
        assert_eq!(TcpOptions(&[8, 10, 1, 2, 3, 4]).timestamps(), None);
    }
}
