//! Functions of TLS libraries.

/// What a function of a TLS library does: bits of the number with which the programs are attached to it.
pub struct TlsFunction;

impl TlsFunction {
    /// It receives; otherwise it sends.
    pub const RECEIVES: u64 = 1;
    /// It returns 1, and how many bytes there were in the number that its fourth argument points to; otherwise it returns that number.
    pub const EXTENDED: u64 = 2;
}
