//! How much of each message is wanted, by what is spoken.

use protocol_parsers::Protocol;

use crate::args::Head;

/// Bytes of each message, if nothing else is asked for.
const DEFAULT: u32 = 4096;

/// Bytes of each message. The kernel does not know what is spoken: it captures as much as is wanted of any protocol, and what is more than
/// wanted of this one is left out as soon as a call of a conversation says which it is.
#[derive(Clone, Debug, Default)]
pub(crate) struct Heads(Vec<Head>);

impl Heads {
    /// The last that was said of a protocol counts.
    pub(crate) fn new(heads: &[Head]) -> Self {
        Self(heads.to_vec())
    }

    /// What the kernel captures.
    pub(super) fn most(&self) -> u32 {
        self.0.iter().map(|head| head.bytes).chain(self.of_others()).max().unwrap_or(DEFAULT)
    }

    /// What is wanted of a protocol, if it is less.
    pub(super) fn less(&self, protocol: Protocol) -> Option<u32> {
        if self.0.iter().all(|head| head.protocol.is_none()) {
            return None;
        }
        let of = self.said(Some(protocol)).or_else(|| self.of_others())?;
        (of < self.most()).then_some(of)
    }

    fn of_others(&self) -> Option<u32> {
        self.said(None).or(Some(DEFAULT))
    }

    fn said(&self, of: Option<Protocol>) -> Option<u32> {
        self.0.iter().rfind(|head| head.protocol == of).map(|head| head.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_captures_what_any_protocol_wants_and_the_others_get_less() {
        let head = |protocol, bytes| Head { protocol, bytes };
        let [http1, redis, mysql] = [Protocol::HTTP1, Protocol::REDIS, Protocol::MYSQL];
        for (said, most, less) in [
            (vec![], DEFAULT, [None; 3]),
            (vec![head(None, 100)], 100, [None; 3]),
            (vec![head(Some(redis), 9000)], 9000, [Some(DEFAULT), None, Some(DEFAULT)]),
            (vec![head(Some(redis), 10)], DEFAULT, [None, Some(10), None]),
            (vec![head(None, 5), head(Some(redis), 10), head(Some(mysql), 20)], 20, [Some(5), Some(10), None]),
            (vec![head(None, 5), head(None, 7)], 7, [None; 3]),
        ] {
            let heads = Heads::new(&said);
            assert_eq!((heads.most(), [http1, redis, mysql].map(|of| heads.less(of))), (most, less), "{said:?}");
        }
    }
}
