//! A stretch of a packet: what was captured of it and how long it really is.

/// Bytes on the wire of which the first ones were captured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Region<'a> {
    /// What was captured: never longer than `len`.
    pub(crate) bytes: &'a [u8],
    /// How long it was on the wire.
    pub(crate) len: u32,
}

impl<'a> Region<'a> {
    #[inline(always)]
    pub(crate) fn new(bytes: &'a [u8], len: u32) -> Self {
        let kept = bytes.get(..len as usize).unwrap_or(bytes);
        Self { bytes: kept, len }
    }

    /// What follows the first `count` bytes, if these were captured.
    #[inline(always)]
    pub(crate) fn skip(self, count: usize) -> Option<Self> {
        let bytes = self.bytes.get(count..)?;
        Some(Self { bytes, len: self.len.saturating_sub(count as u32) })
    }

    /// What follows the first `count` bytes, captured or not.
    #[inline(always)]
    pub(crate) fn behind(self, count: u32) -> Self {
        Self { bytes: self.bytes.get(count as usize..).unwrap_or_default(), len: self.len.saturating_sub(count) }
    }

    /// The first `N` bytes, if these were captured.
    #[inline(always)]
    pub(crate) fn array<const N: usize>(self, at: usize) -> Option<[u8; N]> {
        self.bytes.get(at..at + N)?.try_into().ok()
    }

    #[inline(always)]
    pub(crate) fn u8(self, at: usize) -> Option<u8> {
        self.bytes.get(at).copied()
    }

    #[inline(always)]
    pub(crate) fn u16(self, at: usize) -> Option<u16> {
        self.array(at).map(u16::from_be_bytes)
    }

    #[inline(always)]
    pub(crate) fn u32(self, at: usize) -> Option<u32> {
        self.array(at).map(u32::from_be_bytes)
    }

    /// Bytes that were not captured.
    #[inline(always)]
    pub(crate) fn missing(self) -> u32 {
        self.len.saturating_sub(self.bytes.len() as u32)
    }
}
