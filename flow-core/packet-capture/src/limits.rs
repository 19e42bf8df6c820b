//! What a capture file may ask for.

/// The bounds of reading a capture file. A file that wants more is damaged: [`ReadError::Damaged`](crate::ReadError)
/// says where. With the default bounds the reader stays below 32 MiB of resident memory, whatever the file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Captured bytes of one packet. Default 256 KiB, the longest snap length that tcpdump and Wireshark know.
    pub packet: u32,
    /// Bytes of one pcapng block. Default 16 MiB.
    pub block: u32,
    /// Interface descriptions in one pcapng section. Default 65,536.
    pub interfaces: usize,
    /// Base-two logarithm of the window that unpacking zstd may need, 10 to 31. Default 23 (8 MiB), which holds what
    /// `zstd -19` makes; what `--ultra` or `--long` make may need more.
    pub zstd_window_log: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { packet: 256 << 10, block: 16 << 20, interfaces: 1 << 16, zstd_window_log: 23 }
    }
}
