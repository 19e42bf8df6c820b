//! Borrowed views of DNS messages.

use alloc::string::String;

use crate::fields::push_escaped;

/// Length of a header (RFC 1035, 4.1.1).
pub const HEADER: usize = 12;
/// A name has at most so many bytes (RFC 1035, 2.3.4), so at most so many labels.
const LONGEST_NAME: usize = 255;
const MOST_LABELS: usize = 128;
/// Questions in one multicast message that are believed.
const MOST_QUESTIONS: u16 = 64;

/// Opcode of an update of a zone (RFC 2136).
const UPDATE: u8 = 5;

/// What some bytes look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// A message from who asks.
    Query,
    /// A message from who answers.
    Response,
    /// The beginning of either.
    Perhaps,
    /// Something else.
    No,
}

/// The header of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Transaction id.
    pub id: u16,
    /// Flags with opcode and RCODE.
    pub flags: u16,
    /// Questions, answers, authorities, additional records.
    pub counts: [u16; 4],
}

impl Header {
    /// Reads the first 12 bytes.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; HEADER] = bytes.first_chunk()?;
        let word = |at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
        Some(Self { id: word(0), flags: word(2), counts: [word(4), word(6), word(8), word(10)] })
    }

    /// Whether this is an answer.
    #[must_use]
    pub const fn is_response(&self) -> bool {
        self.flags & 0x8000 != 0
    }

    /// What is asked for: 0 is a standard query.
    #[must_use]
    pub const fn opcode(&self) -> u8 {
        (self.flags >> 11 & 0xf) as u8
    }

    /// Response code.
    #[must_use]
    pub const fn rcode(&self) -> u8 {
        (self.flags & 0xf) as u8
    }
}

/// A question: a name, a type, a class.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The name asked for.
    pub name: Name<'a>,
    /// Type of record.
    pub kind: u16,
    /// Class, with the unicast bit of multicast DNS.
    pub class: u16,
}

/// A resource record.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Type of record.
    pub kind: u16,
    /// Its data.
    pub data: &'a [u8],
    /// Where the data begins in the message.
    pub position: usize,
}

/// A domain name within a message.
#[derive(Clone, Copy, Debug)]
pub struct Name<'a> {
    message: &'a [u8],
    start: usize,
}

impl<'a> Name<'a> {
    /// The labels, following compression (RFC 1035, 4.1.4). Ends where the name is damaged.
    pub fn labels(self) -> impl Iterator<Item = &'a [u8]> {
        let Self { message, start } = self;
        let mut position = start;
        // Every pointer leads to before the place it was found in, so there is no loop.
        let mut before = start;
        let mut left = MOST_LABELS;
        core::iter::from_fn(move || {
            loop {
                let length = usize::from(*message.get(position)?);
                left = left.checked_sub(1)?;
                match length {
                    0 => return None,
                    1..0x40 => {
                        let label = message.get(position + 1..position + 1 + length)?;
                        position += 1 + length;
                        return Some(label);
                    }
                    0xc0.. => {
                        position = (length & 0x3f) << 8 | usize::from(*message.get(position + 1)?);
                        if position >= before {
                            return None;
                        }
                        before = position;
                    }
                    _ => return None,
                }
            }
        })
    }

    /// Appends the name with dots between its labels; the root is a single dot. A dot within a label is written `\.`.
    pub fn write(self, text: &mut String) {
        let mut room = [0; LONGEST_NAME];
        match self.plain(&mut room).map(core::str::from_utf8) {
            Some(Ok(name)) => text.push_str(name),
            _ => self.write_escaped(text),
        }
    }

    /// The name as most are: short, and without a dot in a label. All of it is then looked through for UTF-8 at once.
    fn plain(self, room: &mut [u8; LONGEST_NAME]) -> Option<&[u8]> {
        let mut length = 0;
        for label in self.labels() {
            let end = length + label.len();
            room.get_mut(length..end)?.copy_from_slice(label);
            *room.get_mut(end)? = b'.';
            length = end + 1;
            if label.contains(&b'.') {
                return None;
            }
        }
        room.get(..length.checked_sub(1)?)
    }

    #[cold]
    fn write_escaped(self, text: &mut String) {
        let mut first = true;
        for label in self.labels() {
            if !first {
                text.push('.');
            }
            first = false;
            for (position, part) in label.split(|byte| *byte == b'.').enumerate() {
                if position > 0 {
                    text.push_str("\\.");
                }
                push_escaped(text, part, usize::MAX);
            }
        }
        if first {
            text.push('.');
        }
    }

    /// A number that is the same for the same name in any case.
    #[must_use]
    pub fn hash(self) -> u64 {
        // As FNV-1a, eight bytes at a time: it tells the few names apart that one transaction id is used for at the same time, and no table
        // stands on it. That a few characters count as the same ones does no harm.
        let step = |hash: u64, word: u64| (hash ^ (word | 0x2020_2020_2020_2020)).wrapping_mul(0x0100_0000_01b3);
        self.labels().fold(0xcbf2_9ce4_8422_2325_u64, |hash, label| {
            let (words, rest) = label.as_chunks();
            let hash = words.iter().fold(hash, |hash, word| step(hash, u64::from_be_bytes(*word)));
            step(hash.rotate_left(29), rest.iter().fold(label.len() as u64, |word, byte| word << 8 | u64::from(*byte)))
        })
    }
}

/// Walks through the sections of a message.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    message: &'a [u8],
    position: usize,
}

impl<'a> Reader<'a> {
    /// At the first question.
    #[must_use]
    pub const fn new(message: &'a [u8]) -> Self {
        Self { message, position: HEADER }
    }

    /// Whether every byte was read.
    #[must_use]
    pub fn at_end(&self) -> bool {
        self.position == self.message.len()
    }

    /// The name at a place of the message.
    #[must_use]
    pub const fn name_at(&self, start: usize) -> Name<'a> {
        Name { message: self.message, start }
    }

    fn word(&mut self) -> Option<u16> {
        let bytes: &[u8; 2] = self.message.get(self.position..)?.first_chunk()?;
        self.position += 2;
        Some(u16::from_be_bytes(*bytes))
    }

    fn name(&mut self) -> Option<Name<'a>> {
        let start = self.position;
        let mut position = start;
        loop {
            let length = usize::from(*self.message.get(position)?);
            match length {
                0 => {
                    self.position = position + 1;
                    break;
                }
                1..0x40 => position += 1 + length,
                0xc0.. => {
                    let low = usize::from(*self.message.get(position + 1)?);
                    let target = (length & 0x3f) << 8 | low;
                    if target >= start || target < HEADER {
                        return None;
                    }
                    self.position = position + 2;
                    break;
                }
                _ => return None,
            }
            if position - start > LONGEST_NAME {
                return None;
            }
        }
        Some(Name { message: self.message, start })
    }

    /// Reads a question; stays where it is when not all of it is there.
    pub fn question(&mut self) -> Option<Question<'a>> {
        let mut reader = *self;
        let question = Question { name: reader.name()?, kind: reader.word()?, class: reader.word()? };
        *self = reader;
        Some(question)
    }

    /// Whether a question that is no whole one holds together as far as it is there.
    #[must_use]
    pub fn runs_out(&self) -> bool {
        let mut position = self.position;
        loop {
            match self.message.get(position) {
                None => return true,
                Some(length @ 1..0x40) => position += 1 + usize::from(*length),
                Some(0) => return position + 5 > self.message.len(),
                Some(0xc0..) => return position + 6 > self.message.len(),
                Some(_) => return false,
            }
        }
    }

    /// Reads a resource record.
    pub fn record(&mut self) -> Option<Record<'a>> {
        self.name()?;
        let kind = self.word()?;
        self.position += 6;
        let length = usize::from(self.word()?);
        let position = self.position;
        let data = self.message.get(position..position + length)?;
        self.position += length;
        Some(Record { kind, data, position })
    }
}

/// Whether a whole message holds together. On a port that DNS usually has, it may be cut short or have something behind it.
#[must_use]
pub fn recognise(message: &[u8], usual_port: bool) -> Fit {
    let Some(header) = Header::parse(message) else { return Fit::No };
    if !is_plausible(&header, usual_port) {
        return Fit::No;
    }
    let mut reader = Reader::new(message);
    for _ in 0..header.counts[0] {
        match reader.question() {
            Some(question) if is_question(&question, usual_port) => {}
            // The capture kept only the beginning.
            None if usual_port && reader.runs_out() => return fit(&header),
            _ => return Fit::No,
        }
    }
    let records: u32 = header.counts[1..].iter().map(|count| u32::from(*count)).sum();
    let whole = (0..records).all(|_| reader.record().is_some());
    if usual_port || whole && reader.at_end() { fit(&header) } else { Fit::No }
}

/// Whether the first bytes of a message of this length can be one.
#[must_use]
pub fn recognise_beginning(bytes: &[u8], length: usize) -> Fit {
    let Some(header) = Header::parse(bytes) else {
        return if length > HEADER { Fit::Perhaps } else { Fit::No };
    };
    if header.counts[0] != 1 || length <= HEADER || !is_plausible(&header, false) {
        return Fit::No;
    }
    match Reader::new(bytes).question() {
        Some(question) if is_question(&question, false) => fit(&header),
        Some(_) => Fit::No,
        None if bytes.len() < HEADER + LONGEST_NAME + 4 => Fit::Perhaps,
        None => Fit::No,
    }
}

fn fit(header: &Header) -> Fit {
    if header.is_response() { Fit::Response } else { Fit::Query }
}

fn is_plausible(header: &Header, usual_port: bool) -> bool {
    let [questions, answers, ..] = header.counts;
    let reserved = header.flags & 0x0040 != 0;
    if !matches!(header.opcode(), 0 | 2 | 4 | UPDATE) || reserved && !usual_port || header.rcode() > 11 {
        return false;
    }
    if header.is_response() {
        // Some errors come without their question.
        let bare = questions == 0 && usual_port && (header.rcode() != 0 || answers > 0);
        return questions == 1 || bare || usual_port && questions <= MOST_QUESTIONS && questions > 0;
    }
    let asks = questions == 1 || usual_port && (1..=MOST_QUESTIONS).contains(&questions);
    asks && header.rcode() == 0 && (answers == 0 || usual_port || header.opcode() == UPDATE)
}

fn is_question(question: &Question<'_>, usual_port: bool) -> bool {
    // Internet, Chaos, Hesiod, none, any; the upper bit asks for a unicast answer (RFC 6762, 5.4).
    let class = if usual_port { question.class & 0x7fff } else { question.class };
    question.kind != 0 && matches!(class, 1 | 3 | 4 | 254 | 255)
}

/// The name of a type of record; `None` for those that go by their number.
#[must_use]
pub const fn type_name(kind: u16) -> Option<&'static str> {
    Some(match kind {
        1 => "A",
        2 => "NS",
        5 => "CNAME",
        6 => "SOA",
        12 => "PTR",
        15 => "MX",
        16 => "TXT",
        28 => "AAAA",
        29 => "LOC",
        33 => "SRV",
        35 => "NAPTR",
        41 => "OPT",
        43 => "DS",
        46 => "RRSIG",
        47 => "NSEC",
        48 => "DNSKEY",
        252 => "AXFR",
        255 => "ANY",
        257 => "CAA",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUERY: &[u8] =
        b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03www\x07example\x03com\x00\x00\x01\x00\x01";

    fn name(message: &[u8], start: usize) -> String {
        let mut text = String::new();
        Name { message, start }.write(&mut text);
        text
    }

    #[test]
    fn a_query_holds_together_to_its_last_byte() {
        assert_eq!(recognise(QUERY, false), Fit::Query);
        for cut in 0..QUERY.len() {
            assert_ne!(recognise(&QUERY[..cut], false), Fit::Query);
            assert!(matches!(recognise_beginning(&QUERY[..cut], QUERY.len()), Fit::Perhaps), "{cut}");
        }
        assert_eq!(recognise(&[QUERY, b"x"].concat(), false), Fit::No);
        assert_eq!(recognise(&[QUERY, b"x"].concat(), true), Fit::Query);
    }

    #[test]
    fn names_are_written_with_dots_and_without_loops() {
        assert_eq!(name(QUERY, 12), "www.example.com");
        assert_eq!(name(b"\x00", 0), ".");
        assert_eq!(name(b"\x03a.b\xc0\x00", 0), "a\\.b");
        assert_eq!(name(b"\xc0\x00", 0), ".");
        assert_eq!(name(b"\x01a\xc0\x02", 0), "a");
        assert_eq!(name(b"\x01a\x00\x01b\xc0\x00", 3), "b.a");
        assert_eq!(name(b"\x02\xff\xfe\x00", 0), "\\xff\\xfe");
    }

    #[test]
    fn the_hash_of_a_name_ignores_case_and_compression() {
        let hash = |message: &'static [u8], start| Name { message, start }.hash();
        assert_eq!(hash(b"\x01A\x01b\x00", 0), hash(b"\x01a\x01B\x00", 0));
        assert_eq!(hash(b"\x01b\x00\x01a\xc0\x00", 3), hash(b"\x01a\x01b\x00", 0));
        assert_ne!(hash(b"\x02ab\x00", 0), hash(b"\x01a\x01b\x00", 0));
    }
}
