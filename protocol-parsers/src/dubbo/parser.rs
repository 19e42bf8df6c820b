//! Reads a Dubbo connection message by message.

use super::body;
use super::wire::{HEADER, Header, MAGIC, may_become_header};
use crate::fields::Text;
use crate::{
    Body, Field, Input, Key, MessageWriter, ParseError, ParseErrorKind, Parser, Resync, Side, Status, Step, Then,
};

/// Nothing is kept between two messages: everything about one stands in it.
#[derive(Debug)]
pub(super) struct DubboParser;

impl Parser for DubboParser {
    fn parse(&mut self, _from: Side, input: Input<'_>, message: &mut MessageWriter<'_>) -> Result<Step, ParseError> {
        let Some(header) = Header::parse(input.bytes) else {
            let kind = if may_become_header(input.bytes) { ParseErrorKind::Cut } else { ParseErrorKind::UnknownType };
            return match (kind, input.more()) {
                (ParseErrorKind::Cut, true) => Ok(Step::NeedMore { at_least: HEADER }),
                _ => Err(ParseError::at(kind, 0)),
            };
        };
        let length = HEADER + header.length as usize;
        if header.is_event() {
            return Ok(Step::Skip { used: length as u64 });
        }
        let content = input.bytes.get(HEADER..length.min(input.bytes.len())).unwrap_or_default();
        let cut = HEADER + content.len() < length;
        if cut && input.more() && (header.is_request() || body::is_wanted_whole(&header, content)) {
            return Ok(Step::NeedMore { at_least: length });
        }
        let read = if header.is_request() {
            request(&header, content, message)
        } else {
            message.response(Key::Id(header.id));
            message.field_number(Field::StatusCode, u64::from(header.status));
            body::answer(&header, content, message)
        };
        message.field_number(Field::RequestId, header.id);
        if cut && !read && input.then == Then::Gap {
            message.incomplete();
        }
        Ok(Step::Message {
            used: HEADER + content.len(),
            body: if cut { Body::Sized((length - HEADER - content.len()) as u64) } else { Body::None },
        })
    }

    fn gap(&mut self, _from: Side) {}

    fn resync(&mut self, _from: Side, input: &[u8]) -> Resync {
        for position in memchr::memchr_iter(MAGIC[0], input) {
            let rest = input.get(position..).unwrap_or_default();
            if may_become_header(rest) {
                return if rest.len() >= HEADER { Resync::At(position) } else { Resync::Perhaps(position) };
            }
        }
        Resync::Nowhere
    }

    fn is_as_new(&self) -> bool {
        true
    }

    fn memory(&self) -> usize {
        size_of::<Self>()
    }
}

/// Says whether what was needed of the body was there.
fn request(header: &Header, content: &[u8], message: &mut MessageWriter<'_>) -> bool {
    if header.is_two_way() {
        message.request(Key::Id(header.id));
    } else {
        message.one_way();
        message.status(Status::Ok);
    }
    if let Some(name) = body::unusual(header) {
        message.attribute_text("rpc.dubbo.serialization", Text::Valid(name));
    }
    body::request(header, content, message)
}
