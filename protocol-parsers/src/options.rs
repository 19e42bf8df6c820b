//! What a user may choose.

use crate::Limits;

/// Choices of one [`Dissector`](crate::Dissector).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// Leave literals and secrets out: SQL values, Redis arguments, credentials in URLs. On unless switched off.
    pub redact: bool,
    /// Bounds.
    pub limits: Limits,
}

impl Default for Options {
    fn default() -> Self {
        Self { redact: true, limits: Limits::default() }
    }
}
