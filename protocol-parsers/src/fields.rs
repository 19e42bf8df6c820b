//! The text of a call: fields and attributes one behind the other in one string, so that a call costs no allocation of its own.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::{self, Write as _};

use crate::decimal::push_number;

/// A text field of a call. The meaning of each per protocol stands in the protocol's documentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Field {
    /// Method, command, API name, query type.
    RequestType,
    /// Host, database, client id.
    Domain,
    /// Path, SQL text, key, topic.
    Resource,
    /// Low-cardinality form of the resource, for grouping.
    Endpoint,
    /// The protocol's own correlation id.
    RequestId,
    /// The protocol's own status code.
    StatusCode,
    /// The protocol's error text.
    Exception,
    /// Id of the distributed trace the request belongs to.
    TraceId,
    /// The sender's span.
    SpanId,
    /// The parent of the sender's span, where the format carries one.
    ParentSpanId,
    /// An id that proxies hand on from request to request.
    XRequestId,
}

impl Field {
    /// Every field, in the order of records.
    pub const ALL: &[Self] = &[
        Self::RequestType,
        Self::Domain,
        Self::Resource,
        Self::Endpoint,
        Self::RequestId,
        Self::StatusCode,
        Self::Exception,
        Self::TraceId,
        Self::SpanId,
        Self::ParentSpanId,
        Self::XRequestId,
    ];

    /// The field's name in records.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::RequestType => "request_type",
            Self::Domain => "domain",
            Self::Resource => "resource",
            Self::Endpoint => "endpoint",
            Self::RequestId => "request_id",
            Self::StatusCode => "status_code",
            Self::Exception => "exception",
            Self::TraceId => "trace_id",
            Self::SpanId => "span_id",
            Self::ParentSpanId => "parent_span_id",
            Self::XRequestId => "x_request_id",
        }
    }
}

/// The value of an attribute.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// Text.
    Text(&'a str),
    /// An integer.
    Number(i64),
    /// A truth value.
    Flag(bool),
}

impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Number(number) => number.fmt(f),
            Self::Flag(flag) => flag.fmt(f),
        }
    }
}

/// Bytes of a message, known to be UTF-8 or not.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Text<'a> {
    Valid(&'a str),
    Bytes(&'a [u8]),
}

impl<'a> Text<'a> {
    /// The part of a larger text that `bytes` are. With all of a message looked through at once, its parts need not be again.
    #[inline]
    pub(crate) fn within(whole: Option<&'a str>, bytes: &'a [u8]) -> Self {
        let start = |whole: &str| (bytes.as_ptr() as usize).wrapping_sub(whole.as_ptr() as usize);
        let part = whole.and_then(|whole| whole.get(start(whole)..start(whole).wrapping_add(bytes.len())));
        part.map_or(Self::Bytes(bytes), Self::Valid)
    }

    pub(crate) fn bytes(self) -> &'a [u8] {
        match self {
            Self::Valid(text) => text.as_bytes(),
            Self::Bytes(bytes) => bytes,
        }
    }

    /// A part of it; nothing where the range is none.
    #[inline]
    pub(crate) fn part(self, range: core::ops::Range<usize>) -> Self {
        match self {
            Self::Valid(text) => {
                text.get(range.clone()).map_or_else(|| Self::Bytes(text.as_bytes()).part(range), Self::Valid)
            }
            Self::Bytes(bytes) => Self::Bytes(bytes.get(range).unwrap_or_default()),
        }
    }

    /// Appends it, at most `limit` bytes. Says whether something was cut.
    #[inline]
    pub(crate) fn push_to(self, text: &mut String, limit: usize) -> bool {
        match self {
            Self::Valid(valid) if valid.len() <= limit => {
                text.push_str(valid);
                false
            }
            other => push_escaped(text, other.bytes(), limit),
        }
    }
}

/// What an entry of [`Fields`] is: a field's number, or one of these.
const KEY: u8 = 0x40;
const TEXT: u8 = 0x41;
const NUMBER: u8 = 0x42;
const FLAG: u8 = 0x43;
/// What a field was before another message said better.
const REPLACED: u8 = 0x44;
const LENGTH_BITS: u32 = 24;

/// Texts with their tags, in the order in which they were written.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fields {
    text: String,
    /// Tag in the upper 8 bits, length of the text in the lower 24: where it begins is the sum of the lengths before it.
    entries: Vec<u32>,
    /// One bit per [`Field`] that is set.
    present: u16,
    /// One bit per [`Field`] that was cut.
    cut: u16,
    /// One bit per [`Field`] that replaces what it is merged into.
    prevails: u16,
    attributes: u8,
}

impl Fields {
    pub(crate) fn clear(&mut self) {
        self.text.clear();
        self.entries.clear();
        self.present = 0;
        self.cut = 0;
        self.prevails = 0;
        self.attributes = 0;
    }

    /// Bytes on the heap.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.text.capacity() + self.entries.capacity() * size_of::<u32>()
    }

    /// Gives memory back that one unusually long text has claimed.
    #[inline]
    pub(crate) fn shrink(&mut self, most: usize) {
        if self.text.capacity() > most {
            self.text.shrink_to(most);
        }
        if self.entries.capacity() > most / size_of::<u32>() {
            self.entries.shrink_to(most / size_of::<u32>());
        }
    }

    pub(crate) fn attribute_count(&self) -> usize {
        usize::from(self.attributes)
    }

    /// Sets `field` to `value`, escaped where they are no UTF-8, cut at `limit`. Says whether it was cut. A field that is
    /// already set stays as it is.
    pub(crate) fn set(&mut self, field: Field, value: Text<'_>, limit: usize) -> bool {
        self.set_with(field, usize::MAX, |text| value.push_to(text, limit))
    }

    /// The same with text that is known to be short enough.
    pub(crate) fn set_valid(&mut self, field: Field, value: &str) {
        if !self.has(field) && !value.is_empty() {
            self.append(field as u8, value);
            self.present |= 1 << field as u8;
        }
    }

    /// Appends text made by `write` as the value of `field`, cut at `limit`. `write` says whether it cut something itself. Nothing
    /// appended is no value.
    #[inline]
    pub(crate) fn set_with(&mut self, field: Field, limit: usize, write: impl FnOnce(&mut String) -> bool) -> bool {
        if self.has(field) {
            return false;
        }
        let start = self.text.len();
        let cut = write(&mut self.text) | cut_at(&mut self.text, start.saturating_add(limit));
        if self.text.len() == start {
            return cut;
        }
        self.enter(field as u8, start);
        self.present |= 1 << field as u8;
        self.cut |= u16::from(cut) << field as u8;
        cut
    }

    /// Sets `field` to a part of the text of another one.
    pub(crate) fn set_within(&mut self, field: Field, of: Field, part: impl FnOnce(&str) -> core::ops::Range<usize>) {
        let place = self.place_of(of);
        let Some(whole) = place.and_then(|place| Some((place.start, self.text.get(place)?))) else { return };
        let range = part(whole.1);
        if !self.has(field) && whole.1.get(range.clone()).is_some() {
            let from = whole.0;
            let start = self.text.len();
            // The end of what was cut is cut.
            let cut = self.cut & 1 << of as u8 != 0 && range.end == whole.1.len();
            self.text.extend_from_within(from + range.start..from + range.end);
            self.enter(field as u8, start);
            self.present |= 1 << field as u8;
            self.cut |= u16::from(cut) << field as u8;
        }
    }

    /// What this says of `field` replaces what it is merged into.
    pub(crate) fn prevail(&mut self, field: Field) {
        self.prevails |= 1 << field as u8;
    }

    pub(crate) fn mark_cut(&mut self, field: Field) {
        self.cut |= 1 << field as u8;
    }

    pub(crate) fn attribute(&mut self, key: &str, value: Text<'_>, limit: usize) -> bool {
        self.key(key);
        let start = self.text.len();
        let cut = value.push_to(&mut self.text, limit);
        self.enter(TEXT, start);
        cut
    }

    /// Adds an attribute, unless `write` appends nothing.
    pub(crate) fn attribute_with(&mut self, key: &str, limit: usize, write: impl FnOnce(&mut String)) -> bool {
        let before = self.text.len();
        self.key(key);
        let start = self.text.len();
        write(&mut self.text);
        if self.text.len() == start {
            self.text.truncate(before);
            self.entries.pop();
            self.attributes -= 1;
            return false;
        }
        let cut = cut_at(&mut self.text, start.saturating_add(limit));
        self.enter(TEXT, start);
        cut
    }

    pub(crate) fn attribute_number(&mut self, key: &str, value: i64) {
        self.key(key);
        let start = self.text.len();
        push_number(&mut self.text, value);
        self.enter(NUMBER, start);
    }

    pub(crate) fn attribute_flag(&mut self, key: &str, value: bool) {
        self.key(key);
        let start = self.text.len();
        self.text.push_str(if value { "true" } else { "false" });
        self.enter(FLAG, start);
    }

    fn key(&mut self, key: &str) {
        self.append(KEY, key);
        self.attributes = self.attributes.saturating_add(1);
    }

    /// Sets `field` to text that [`join`](Self::join) brings, so many bytes.
    pub(crate) fn announce(&mut self, field: Field, length: usize) {
        self.entries.push(entry(field as u8, length));
        self.present |= 1 << field as u8;
    }

    /// Adds an attribute that [`join`](Self::join) brings: so many bytes of name, so many of text.
    pub(crate) fn announce_attribute(&mut self, key: usize, value: usize) {
        self.entries.extend([entry(KEY, key), entry(TEXT, value)]);
        self.attributes = self.attributes.saturating_add(1);
    }

    /// Brings the texts that were announced, in their order, escaped where they are no UTF-8 and then cut at `limit` each. Says how many
    /// were cut. None of them begins within a character, so that together they are UTF-8 only if each of them is.
    pub(crate) fn join(&mut self, texts: &[u8], limit: usize) -> u64 {
        match core::str::from_utf8(texts) {
            Ok(texts) => {
                self.text.push_str(texts);
                0
            }
            Err(_) => self.join_escaped(texts, limit),
        }
    }

    #[cold]
    fn join_escaped(&mut self, mut texts: &[u8], limit: usize) -> u64 {
        let (mut announced, mut length) = (self.entries.len(), 0);
        while length < texts.len() && announced > 0 {
            announced -= 1;
            length += length_of(self.entries[announced]);
        }
        let mut cut = 0;
        for entry in self.entries.get_mut(announced..).unwrap_or_default() {
            let (text, rest) = texts.split_at_checked(length_of(*entry)).unwrap_or((texts, &[]));
            let (tag, start) = ((*entry >> LENGTH_BITS) as u8, self.text.len());
            let is_cut = push_escaped(&mut self.text, text, limit);
            *entry = self::entry(tag, self.text.len() - start);
            if tag < KEY {
                self.cut |= u16::from(is_cut) << tag;
            }
            cut += u64::from(is_cut);
            texts = rest;
        }
        cut
    }

    fn enter(&mut self, tag: u8, start: usize) {
        self.entries.push(entry(tag, self.text.len() - start));
    }

    /// Adds an entry with its text.
    fn append(&mut self, tag: u8, text: &str) {
        self.text.push_str(text);
        self.entries.push(entry(tag, text.len()));
    }

    fn entries(&self) -> impl Iterator<Item = (u8, &str)> {
        let mut start = 0;
        self.entries.iter().map(move |entry| {
            let length = length_of(*entry);
            let text = self.text.get(start..start + length).unwrap_or_default();
            start += length;
            ((entry >> LENGTH_BITS) as u8, text)
        })
    }

    pub(crate) fn has(&self, field: Field) -> bool {
        self.present & (1 << field as u8) != 0
    }

    /// Where the text of a field stands.
    fn place_of(&self, field: Field) -> Option<core::ops::Range<usize>> {
        let mut start = 0;
        for entry in &self.entries {
            let length = length_of(*entry);
            if entry >> LENGTH_BITS == u32::from(field as u8) {
                return Some(start..start + length);
            }
            start += length;
        }
        None
    }

    pub(crate) fn get(&self, field: Field) -> Option<&str> {
        if self.has(field) { self.text.get(self.place_of(field)?) } else { None }
    }

    pub(crate) fn attributes(&self) -> impl Iterator<Item = (&str, Value<'_>)> {
        let mut entries = self.entries();
        core::iter::from_fn(move || {
            let (_, key) = entries.find(|(tag, _)| *tag == KEY)?;
            let (tag, text) = entries.next()?;
            let value = match tag {
                NUMBER => Value::Number(text.parse().unwrap_or_default()),
                FLAG => Value::Flag(text == "true"),
                _ => Value::Text(text),
            };
            Some((key, value))
        })
    }

    /// Whether a field was cut.
    pub(crate) fn any_cut(&self) -> bool {
        self.cut != 0
    }

    /// The fields that were cut.
    pub(crate) fn cut_fields(&self) -> impl Iterator<Item = Field> {
        let cut = self.cut;
        Field::ALL.iter().copied().filter(move |field| cut & (1 << *field as u8) != 0)
    }

    /// Takes over what `other` has and `self` has not.
    pub(crate) fn merge(&mut self, other: &Self) {
        if self.present & other.present == 0 {
            self.text.push_str(&other.text);
            self.entries.extend_from_slice(&other.entries);
            self.present |= other.present;
            self.cut |= other.cut;
            self.attributes = self.attributes.saturating_add(other.attributes);
            return;
        }
        let replaced = self.present & other.present & other.prevails;
        if replaced != 0 {
            for entry in &mut self.entries {
                let tag = *entry >> LENGTH_BITS;
                if tag < u32::from(KEY) && replaced & 1 << tag != 0 {
                    *entry = u32::from(REPLACED) << LENGTH_BITS | *entry & ((1 << LENGTH_BITS) - 1);
                }
            }
            self.present &= !replaced;
            self.cut &= !replaced;
        }
        for (tag, text) in other.entries() {
            let bit = if tag < KEY { 1 << tag } else { 0 };
            if self.present & bit == 0 {
                self.append(tag, text);
                self.present |= bit;
                self.cut |= other.cut & bit;
            }
        }
        self.attributes = self.attributes.saturating_add(other.attributes);
    }
}

fn entry(tag: u8, length: usize) -> u32 {
    let most = (1 << LENGTH_BITS) - 1;
    u32::from(tag) << LENGTH_BITS | length.min(most) as u32
}

fn length_of(entry: u32) -> usize {
    (entry & ((1 << LENGTH_BITS) - 1)) as usize
}

/// Appends `bytes` as UTF-8, every invalid byte as `\xNN`, at most `limit` bytes of text. Says whether something was cut.
pub(crate) fn push_escaped(text: &mut String, bytes: &[u8], limit: usize) -> bool {
    if bytes.len() <= limit
        && let Ok(valid) = core::str::from_utf8(bytes)
    {
        text.push_str(valid);
        return false;
    }
    push_escaped_slowly(text, bytes, limit)
}

#[cold]
fn push_escaped_slowly(text: &mut String, bytes: &[u8], limit: usize) -> bool {
    let end = text.len().saturating_add(limit);
    // An escape makes one byte four, never less than one: what lies beyond the limit need not be looked at.
    let (bytes, beyond) =
        if bytes.len() > limit { (bytes.get(..limit).unwrap_or(bytes), true) } else { (bytes, false) };
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        // A character that the limit cut in two is left out, not escaped.
        let at_the_cut = beyond && chunk.invalid().len() < 4 && ends_with(bytes, chunk.invalid());
        if !at_the_cut || core::str::from_utf8(chunk.invalid()).is_err_and(|error| error.error_len().is_some()) {
            for byte in chunk.invalid() {
                let _ = write!(text, "\\x{byte:02x}");
            }
        }
    }
    cut_at(text, end) || beyond
}

fn ends_with(bytes: &[u8], end: &[u8]) -> bool {
    !end.is_empty() && bytes.as_ptr_range().end == end.as_ptr_range().end
}

/// Cuts `text` to at most `end` bytes at a character border.
fn cut_at(text: &mut String, end: usize) -> bool {
    if text.len() <= end {
        return false;
    }
    text.truncate(text.floor_char_boundary(end));
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    fn escaped(bytes: &[u8], limit: usize) -> (String, bool) {
        let mut text = String::new();
        let cut = push_escaped(&mut text, bytes, limit);
        (text, cut)
    }

    #[test]
    fn invalid_bytes_are_escaped_and_the_rest_is_kept() {
        assert_eq!(escaped(b"a\xffb\xc3\xa4", 100), ("a\\xffb\u{e4}".to_string(), false));
        assert_eq!(escaped(b"end \xc3", 100), ("end \\xc3".to_string(), false));
    }

    #[test]
    fn a_cut_never_parts_a_character() {
        assert_eq!(escaped("a\u{e4}b".as_bytes(), 2), ("a".to_string(), true));
        assert_eq!(escaped("a\u{e4}b".as_bytes(), 3), ("a\u{e4}".to_string(), true));
        assert_eq!(escaped(b"\xff\xff", 5), ("\\xff\\".to_string(), true));
    }

    #[test]
    fn fields_and_attributes_come_back() {
        let mut fields = Fields::default();
        fields.set(Field::Resource, Text::Bytes(b"/a"), 100);
        fields.attribute("x", Text::Bytes(b"1"), 100);
        fields.attribute_number("n", -5);
        fields.set(Field::RequestType, Text::Bytes(b"GET"), 100);
        fields.attribute_flag("f", true);
        assert!(!fields.set(Field::Resource, Text::Bytes(b"/second"), 100));
        assert_eq!(fields.get(Field::Resource), Some("/a"));
        assert_eq!(fields.get(Field::RequestType), Some("GET"));
        assert_eq!(fields.get(Field::Domain), None);
        let attributes: Vec<_> = fields.attributes().collect();
        assert_eq!(attributes, [("x", Value::Text("1")), ("n", Value::Number(-5)), ("f", Value::Flag(true))]);
    }

    #[test]
    fn texts_that_are_joined_are_the_same_as_each_on_its_own() {
        let values: [&[u8]; 6] = [b"a", b"\xc3", b"\xffb", "\u{e4}\u{20ac}".as_bytes(), b"b\xe2\x82", b"ccc"];
        for pick in 0..values.len().pow(3) {
            let picked = [pick % 6, pick / 6 % 6, pick / 36].map(|at| values[at]);
            let (mut joined, mut single, mut cut) = (Fields::default(), Fields::default(), 0);
            for fields in [&mut joined, &mut single] {
                fields.set(Field::Domain, Text::Valid("before"), 9);
            }
            for (field, value) in [Field::Resource, Field::Endpoint].into_iter().zip(picked) {
                joined.announce(field, value.len());
                cut += u64::from(single.set(field, Text::Bytes(value), 5));
            }
            joined.announce_attribute(1, picked[2].len());
            cut += u64::from(single.attribute("k", Text::Bytes(picked[2]), 5));
            let texts = [picked[0], picked[1], b"k", picked[2]].concat();
            assert_eq!(joined.join(&texts, 5), cut, "{picked:?}");
            assert_eq!(alloc::format!("{joined:?}"), alloc::format!("{single:?}"));
        }
    }

    #[test]
    fn merging_keeps_what_is_there() {
        let mut request = Fields::default();
        request.set(Field::Resource, Text::Bytes(b"/a"), 100);
        let mut response = Fields::default();
        response.set(Field::Resource, Text::Bytes(b"/b"), 100);
        response.set(Field::StatusCode, Text::Bytes(b"200"), 100);
        response.attribute("k", Text::Bytes(b"v"), 100);
        request.merge(&response);
        assert_eq!(request.get(Field::Resource), Some("/a"));
        assert_eq!(request.get(Field::StatusCode), Some("200"));
        assert_eq!(request.attributes().collect::<Vec<_>>(), [("k", Value::Text("v"))]);
        let mut other = Fields::default();
        other.set(Field::Domain, Text::Bytes(b"h"), 100);
        other.attribute_number("l", 7);
        request.merge(&other);
        assert_eq!((request.get(Field::Domain), request.attributes().count()), (Some("h"), 2));
        let mut correction = Fields::default();
        correction.set(Field::Resource, Text::Bytes(b"/c"), 100);
        correction.prevail(Field::Resource);
        request.merge(&correction);
        assert_eq!((request.get(Field::Resource), request.get(Field::StatusCode)), (Some("/c"), Some("200")));
    }
}
