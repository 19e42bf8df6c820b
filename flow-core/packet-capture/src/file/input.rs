//! Where the bytes of a capture file come from: from a mapping, or through a buffer.

use std::fs::File;
use std::io::{self, BufReader, Cursor, Read, Seek};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::bufread::MultiGzDecoder;
use memmap2::{Advice, Mmap, UncheckedAdvice};

use super::Compression;
use crate::limits::Limits;

/// The bytes of a capture, the next of which are always at hand as one slice.
pub(super) enum Input {
    Mapped(Mapped),
    Stream(Stream),
}

/// A regular file, mapped into memory.
pub(super) struct Mapped {
    file: File,
    map: Mmap,
    /// Bytes that may be touched: what the file had when it was opened, less when it has become shorter since.
    len: usize,
    position: usize,
    /// Up to here the pages have been brought in.
    ready: usize,
    /// Up to here the pages have been given back.
    released: usize,
}

impl Mapped {
    /// Pages are brought in and given back in pieces of this size, so that a file of any length costs little memory.
    const PIECE: usize = 4 << 20;
    /// The next piece is brought in when the walk has come as near to its beginning: more than a batch.
    const NEAR: usize = 1 << 20;

    /// Maps a file, or says why not: some file systems cannot.
    pub(super) fn new(file: &File) -> io::Result<Self> {
        let file = file.try_clone()?;
        // SAFETY: the mapping is read only and private to this value. What Rust cannot know is whether somebody else
        // changes the file meanwhile: changed bytes are arbitrary input like all others and every use of them is
        // checked on its own copy; for a file that becomes shorter see `refresh`.
        let map = unsafe { Mmap::map(&file)? };
        // Only a hint: a file that is not in the page cache yet comes in large pages then.
        let _ = map.advise(Advice::HugePage);
        let len = map.len();
        let mut mapped = Self { file, map, len, position: 0, ready: 0, released: 0 };
        mapped.refresh()?;
        Ok(mapped)
    }

    pub(super) fn rest(&self) -> &[u8] {
        &self.map[self.position..self.len]
    }

    fn advance(&mut self, used: usize) {
        self.position += used;
        let end = self.position / Self::PIECE * Self::PIECE;
        if end > self.released {
            // SAFETY: the range lies before `position`, of which no borrow exists; the pages of a file mapping that is
            // never written come back as they are in the file.
            let released = unsafe {
                self.map.unchecked_advise_range(UncheckedAdvice::DontNeed, self.released, end - self.released)
            };
            // When the system refuses, the pages stay: they are the page cache's and it takes them when it needs to.
            let _ = released;
            self.released = end;
        }
    }

    /// Looks whether the file has become shorter, for touching a page behind its end would end the process (SIGBUS),
    /// and brings in the pages that come next: faster at once than one by one, and one that cannot be read, which
    /// would end the process too, is an error here.
    fn refresh(&mut self) -> io::Result<()> {
        let now = self.file.metadata()?.len();
        if now < self.len as u64 {
            self.len = self.position.max(now as usize);
        }
        while self.ready < self.len.min(self.position + Self::NEAR) {
            let piece = Self::PIECE.min(self.len - self.ready);
            match self.map.advise_range(Advice::PopulateRead, self.ready, piece) {
                // Linux before 5.14 cannot; then each page comes when it is touched.
                Err(error) if error.raw_os_error() == Some(libc::EINVAL) => self.ready = usize::MAX,
                result => {
                    result?;
                    self.ready += piece;
                }
            }
        }
        Ok(())
    }

    /// The rest of the file by reading, which says what is wrong when pages do not come.
    fn read_on(&self) -> io::Result<Stream> {
        let mut file = self.file.try_clone()?;
        file.seek(io::SeekFrom::Start(self.position as u64))?;
        let mut stream = Stream::new(file);
        stream.position = self.position as u64;
        stream.taken.store(stream.position, Ordering::Relaxed);
        Ok(stream)
    }
}

/// Anything that can be read, by way of a buffer that grows only when it is full of data.
pub(super) struct Stream {
    input: Box<dyn Read + Send>,
    buffer: Vec<u8>,
    /// `buffer[start..end]` is read and not yet used.
    start: usize,
    end: usize,
    /// Uncompressed bytes before `start`.
    position: u64,
    /// Most that is asked for at once.
    piece: usize,
    /// Bytes taken from the file or pipe, still compressed.
    taken: Arc<AtomicU64>,
    /// The compressed data ended before they said that they do.
    ended_early: bool,
}

impl Stream {
    const FIRST_BUFFER: usize = 256 << 10;
    /// A decompressor that meets damage keeps back what it made in the same call, so that is little.
    const UNCOMPRESSED_PIECE: usize = 4 << 10;

    pub(super) fn new(input: impl Read + Send + 'static) -> Self {
        let taken = Arc::new(AtomicU64::new(0));
        let input = Box::new(Counted { input, taken: Arc::clone(&taken) });
        Self {
            input,
            buffer: vec![0; Self::FIRST_BUFFER],
            start: 0,
            end: 0,
            position: 0,
            piece: usize::MAX,
            taken,
            ended_early: false,
        }
    }

    /// Goes on with what the bytes mean when they are uncompressed. Nothing of them may have been used yet.
    pub(super) fn uncompress(self, compression: Compression, limits: &Limits) -> io::Result<Self> {
        let Self { input, buffer, end, taken, .. } = self;
        let packed = Cursor::new(buffer[..end].to_vec()).chain(BufReader::with_capacity(64 << 10, input));
        let input: Box<dyn Read + Send> = match compression {
            Compression::Gzip => Box::new(MultiGzDecoder::new(packed)),
            Compression::Zstd => {
                let mut decoder = zstd::Decoder::with_buffer(packed)?;
                decoder.window_log_max(limits.zstd_window_log)?;
                Box::new(decoder)
            }
        };
        let piece = Self::UNCOMPRESSED_PIECE;
        Ok(Self { input, buffer, start: 0, end: 0, position: 0, piece, taken, ended_early: false })
    }

    pub(super) fn rest(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    fn advance(&mut self, used: usize) {
        self.start += used;
        self.position += used as u64;
    }

    /// Reads once; `need` bytes are wanted in all. Returns how many came, 0 at the end.
    pub(super) fn fill(&mut self, need: usize) -> io::Result<usize> {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
        if self.start > 0 && (self.end == self.buffer.len() || self.start + need > self.buffer.len()) {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        if self.end == self.buffer.len() {
            self.buffer.resize(self.buffer.len() * 2, 0);
        }
        let room = self.buffer.len().min(self.end.saturating_add(self.piece));
        loop {
            match self.input.read(&mut self.buffer[self.end..room]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    self.ended_early = true;
                    return Ok(0);
                }
                Ok(count) => {
                    self.end += count;
                    return Ok(count);
                }
                Err(error) => return Err(error),
            }
        }
    }
}

impl Input {
    /// The next bytes, as many as are at hand.
    pub(super) fn rest(&self) -> &[u8] {
        match self {
            Self::Mapped(mapped) => mapped.rest(),
            Self::Stream(stream) => stream.rest(),
        }
    }

    /// Where the next byte stands in the uncompressed stream.
    pub(super) fn position(&self) -> u64 {
        match self {
            Self::Mapped(mapped) => mapped.position as u64,
            Self::Stream(stream) => stream.position,
        }
    }

    /// Bytes of the file that have been read, still compressed.
    pub(super) fn taken(&self) -> u64 {
        match self {
            Self::Mapped(mapped) => mapped.position as u64,
            Self::Stream(stream) => stream.taken.load(Ordering::Relaxed),
        }
    }

    /// Whether the bytes end before they should: a compressed file cut short, a mapped one that has become shorter.
    pub(super) fn ended_early(&self) -> bool {
        match self {
            Self::Mapped(mapped) => mapped.len < mapped.map.len(),
            Self::Stream(stream) => stream.ended_early,
        }
    }

    /// Steps over bytes of `rest`.
    pub(super) fn advance(&mut self, used: usize) {
        match self {
            Self::Mapped(mapped) => mapped.advance(used),
            Self::Stream(stream) => stream.advance(used),
        }
    }

    /// To be called before each batch: what `rest` says afterwards is safe to touch as far as can be known.
    pub(super) fn refresh(&mut self) -> io::Result<()> {
        if let Self::Mapped(mapped) = self
            && mapped.refresh().is_err()
        {
            *self = Self::Stream(mapped.read_on()?);
        }
        Ok(())
    }

    /// Gets more bytes towards `need`; 0 at the end.
    pub(super) fn fill(&mut self, need: usize) -> io::Result<usize> {
        match self {
            Self::Mapped(_) => Ok(0),
            Self::Stream(stream) => stream.fill(need),
        }
    }
}

/// Counts what is read.
struct Counted<R> {
    input: R,
    taken: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(buffer)?;
        self.taken.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}
