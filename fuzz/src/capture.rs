//! The target over capture files.

use std::io::Read;

use metaflow_packet_capture::{CaptureFile, Limits};

/// Reads a capture file as a stream, in one piece and byte by byte: the same packets, and the same end.
pub fn capture_file(data: &[u8]) {
    let (whole, pieces) = (read(data.to_vec(), usize::MAX), read(data.to_vec(), 1));
    // How much a decompressor gives before damage depends on what it was given at a time.
    let plain = matches!(data, [0xd4 | 0x4d | 0x34 | 0xa1 | 0x0a, ..]);
    assert!(!plain || whole == pieces, "{whole:#?} {pieces:#?}");
}

/// A line per packet, and how it ended.
fn read(data: Vec<u8>, most: usize) -> Vec<String> {
    let source = Pieces { data, position: 0, most };
    let mut lines = Vec::new();
    let mut file = match CaptureFile::from_reader("input", source, Limits::default()) {
        Ok(file) => file,
        // How much of the beginning the message shows depends on the read.
        Err(error) => return vec![format!("{:?}", std::mem::discriminant(&error))],
    };
    loop {
        match file.next_batch() {
            Ok(Some(batch)) => lines.extend(batch.iter().map(|packet| format!("{packet:?}"))),
            Ok(None) => break,
            Err(error) => {
                lines.push(error.to_string());
                break;
            }
        }
    }
    lines.push(format!("{:?}", file.truncation()));
    lines
}

/// A source that gives at most so many bytes at a time.
struct Pieces {
    data: Vec<u8>,
    position: usize,
    most: usize,
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let rest = &self.data[self.position.min(self.data.len())..];
        let length = rest.len().min(buffer.len()).min(self.most);
        buffer[..length].copy_from_slice(&rest[..length]);
        self.position += length;
        Ok(length)
    }
}
