//! What stands in a body, however it is written.

use alloc::string::String;

use super::hessian::Hessian;
use super::json::Json;
use super::jsonb::Jsonb;
use super::kryo::Kryo;
use super::wire::{Header, OK, serialization_name, status_of};
use crate::trace_context::{self, Header as TraceHeader};
use crate::{Field, Key, MessageWriter, Part, Status};

/// Names are not longer.
const NAME: usize = 1024;

/// A text as it stands in a body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Text<'a> {
    pub(super) start: &'a [u8],
    /// Its last character, where that is marked as such.
    pub(super) last: Option<u8>,
}

impl<'a> Text<'a> {
    pub(super) const fn plain(start: &'a [u8]) -> Self {
        Self { start, last: None }
    }

    pub(super) fn push_to(self, text: &mut String) {
        crate::fields::push_escaped(text, self.start, usize::MAX);
        if let Some(last) = self.last {
            crate::fields::push_escaped(text, &[last], usize::MAX);
        }
    }

    /// Whether it can be a name: not long, and without control characters.
    fn is_name(&self) -> bool {
        self.start.len() < NAME && self.start.iter().chain(&self.last).all(|byte| *byte >= b' ')
    }
}

/// Takes names and values of attachments.
pub(super) type Attachments<'f> = &'f mut dyn FnMut(&[u8], &[u8]);

/// A way to write values one behind the other. Every method takes what comes next, or says `None` where it is not what was expected or
/// not all of it is there; what follows is lost then.
pub(super) trait Values<'a> {
    /// A text. One that is absent is empty.
    fn text(&mut self) -> Option<Text<'a>>;

    /// Appends a text that may be long.
    fn long_text(&mut self, into: &mut String) -> Option<()> {
        self.text()?.push_to(into);
        Some(())
    }

    /// A small number.
    fn number(&mut self) -> Option<i32>;

    /// The types of the arguments, the arguments, and the attachments: a map, whose texts are handed to `each`.
    fn attachments(&mut self, each: Attachments<'_>) -> Option<()>;

    /// Appends class and message of something that was thrown.
    fn thrown(&mut self, into: &mut String) -> Option<()>;
}

/// Takes down what the body of a request says. Says whether the names were there.
pub(super) fn request(header: &Header, body: &[u8], message: &mut MessageWriter<'_>) -> bool {
    match header.serialization() {
        2 | 10 => invocation(header, &mut Hessian::new(body), message).is_some(),
        6 | 16 => invocation(header, &mut Json::new(body), message).is_some(),
        8 | 25 => invocation(header, &mut Kryo::new(body), message).is_some(),
        23 => invocation(header, &mut Jsonb::new(body), message).is_some(),
        _ => true,
    }
}

/// Version of the protocol, service, its version, method, and then what the attachments stand behind.
fn invocation<'a>(header: &Header, values: &mut impl Values<'a>, message: &mut MessageWriter<'_>) -> Option<()> {
    let mut name = || values.text().filter(Text::is_name);
    let (version, service, service_version, method) = (name()?, name()?, name()?, name()?);
    message.field_with(Field::RequestType, |text| method.push_to(text));
    message.field_with(Field::Resource, |text| service.push_to(text));
    message.field_with(Field::Endpoint, |text| {
        service.push_to(text);
        text.push('/');
        method.push_to(text);
    });
    message.attribute_with("rpc.dubbo.version", |text| version.push_to(text));
    // Where a service has no version, this is what stands in its place.
    message.attribute_with("rpc.dubbo.service_version", |text| {
        let start = text.len();
        service_version.push_to(text);
        if text.get(start..) == Some("0.0.0") {
            text.truncate(start);
        }
    });
    let of = Part::Request(if header.is_two_way() { Key::Id(header.id) } else { Key::Order });
    values.attachments(&mut |name, value| attachment(of, name, value, message));
    Some(())
}

fn attachment(of: Part, name: &[u8], value: &[u8], message: &mut MessageWriter<'_>) {
    if let Some(tap) = message.tap.as_deref_mut() {
        tap.header(of, name, value);
    }
    if name == b"remote.application" {
        message.attribute("rpc.dubbo.remote_application", value);
    } else if let Some(header) = TraceHeader::chosen(name, message.options) {
        trace_context::write(message, header, value);
    }
}

/// How many arguments a row of Java type descriptors stands for.
pub(super) fn arguments(types: &[u8]) -> Option<usize> {
    let mut types = types.iter();
    let mut count = 0;
    while let Some(kind) = types.next() {
        match kind {
            b'[' => continue,
            b'L' => {
                types.find(|byte| **byte == b';')?;
            }
            b'B' | b'C' | b'D' | b'F' | b'I' | b'J' | b'S' | b'Z' => {}
            _ => return None,
        }
        count += 1;
    }
    Some(count)
}

/// Takes down what the body of an answer says. Says whether what was needed of it was there.
pub(super) fn answer(header: &Header, body: &[u8], message: &mut MessageWriter<'_>) -> bool {
    message.status(status_of(header.status).unwrap_or_default());
    match header.serialization() {
        2 | 10 => outcome(header, &mut Hessian::new(body), message).is_some(),
        6 | 16 => outcome(header, &mut Json::new(body), message).is_some(),
        8 | 25 => outcome(header, &mut Kryo::new(body), message).is_some(),
        23 => outcome(header, &mut Jsonb::new(body), message).is_some(),
        _ => true,
    }
}

/// What went wrong; or the kind of result, and what was thrown.
fn outcome<'a>(header: &Header, values: &mut impl Values<'a>, message: &mut MessageWriter<'_>) -> Option<()> {
    let mut read = None;
    if header.status != OK {
        message.field_with(Field::Exception, |text| read = values.long_text(text));
        return read;
    }
    // 0 to 2: something thrown, a value, nothing; 3 to 5: the same with attachments behind it.
    if matches!(values.number()?, 0 | 3) {
        message.status(Status::ServerError);
        message.field_with(Field::Exception, |text| read = values.thrown(text));
        return read;
    }
    Some(())
}

/// Whether all of an answer is wanted: where its beginning does not say that it is a plain result.
pub(super) fn is_wanted_whole(header: &Header, body: &[u8]) -> bool {
    let first = match header.serialization() {
        2 | 10 => Hessian::new(body).number(),
        6 | 16 => Json::new(body).number(),
        8 | 25 => Kryo::new(body).number(),
        23 => Jsonb::new(body).number(),
        _ => Some(1),
    };
    header.status != OK || !matches!(first, Some(1 | 2 | 4 | 5))
}

/// What to call the way a body is written, where it is not the usual one.
pub(super) fn unusual(header: &Header) -> Option<&'static str> {
    serialization_name(header.serialization()).filter(|name| *name != "hessian2")
}

#[cfg(test)]
mod tests {
    use super::arguments;

    #[test]
    fn descriptors_are_counted() {
        for (types, count) in [
            (&b""[..], Some(0)),
            (b"Ljava/lang/String;Ljava/lang/String;", Some(2)),
            (b"I[Ljava/lang/String;J[[B", Some(4)),
            (b"Ljava/lang/String", None),
            (b"String", None),
        ] {
            assert_eq!(arguments(types), count, "{}", types.escape_ascii());
        }
    }
}
