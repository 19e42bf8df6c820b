//! What a conversation is called, and what else fits into the same word.

use crate::key::End;

/// The number of a conversation, and by how many bits each end shifts the windows that it offers (RFC 7323 §2).
///
/// ```text
/// 63     56       52       48                               0
/// │ shard │ High's │ Low's  │ counted from 1                │
/// ```
///
/// A million conversations that begin in every second need nine years to count beyond their bits.
#[derive(Clone, Copy, Default)]
pub(crate) struct Tag(u64);

impl Tag {
    /// Where the number of the engine stands.
    pub(crate) const SHARD: u32 = 56;
    const SCALES: u32 = 48;
    const SCALE_BITS: u32 = 4;
    const BOTH_SCALES: u64 = 0xff << Self::SCALES;

    pub(crate) fn new(id: u64) -> Self {
        Self(id & !Self::BOTH_SCALES)
    }

    /// The number; 0 is no conversation's.
    pub(crate) fn id(self) -> u64 {
        self.0 & !Self::BOTH_SCALES
    }

    /// By how many bits this end shifts its windows.
    #[inline(always)]
    pub(crate) fn shift(self, end: End) -> u32 {
        self.told(end).saturating_sub(1)
    }

    /// What this end's SYN says of it.
    pub(crate) fn set_scale(&mut self, end: End, scale: Option<u8>) {
        let told = scale.map_or(0, |scale| u64::from(scale) + 1);
        self.0 = (self.0 & !(0xf << Self::place(end))) | (told << Self::place(end));
    }

    /// Both have told: windows are shifted only if both want that (RFC 7323 §2.2).
    pub(crate) fn settle_scales(&mut self) {
        if End::BOTH.iter().any(|end| self.told(*end) == 0) {
            self.0 &= !Self::BOTH_SCALES;
        }
    }

    /// The shift and one more; 0 if none was told.
    #[inline(always)]
    fn told(self, end: End) -> u32 {
        (self.0 >> Self::place(end)) as u32 & 0xf
    }

    #[inline(always)]
    fn place(end: End) -> u32 {
        Self::SCALES + Self::SCALE_BITS * end as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_leave_the_number_alone() {
        let id = 200 << Tag::SHARD | 0xffff_ffff_ffff;
        let mut tag = Tag::new(id);
        tag.set_scale(End::High, Some(14));
        tag.set_scale(End::Low, Some(7));
        tag.set_scale(End::Low, Some(3));
        tag.settle_scales();
        assert_eq!((tag.id(), tag.shift(End::High), tag.shift(End::Low)), (id, 14, 3));
        tag.set_scale(End::High, None);
        tag.settle_scales();
        assert_eq!((tag.id(), tag.shift(End::High), tag.shift(End::Low)), (id, 0, 0));
    }
}
