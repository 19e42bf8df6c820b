//! Reads a Kafka connection message by message.

use alloc::boxed::Box;

use super::api::Api;
use super::detect::{self, Start};
use super::findings::{Collector, Findings};
use super::names::Names;
use super::shape::Shape;
use super::walk::{Stop, Walk};
use super::wire::{Cursor, Fault, RequestHeader, ResponseHeader, SIZE};
use crate::decimal::push_number;
use crate::fields::Text;
use crate::{
    Body, Field, Input, Key, MessageWriter, ParseError, ParseErrorKind, Parser, Part, Resync, Side, Status, Step,
};

/// A message up to this length is waited for; a longer one is read as it comes.
const SHORT: u64 = 8 << 10;
/// Raw tokens of authentication are not longer.
const LONGEST_TOKEN: u64 = 1 << 20;
/// Kept with a request: number of the API, above these bits its version.
const KEY_BITS: u32 = 16;
/// After a loss, a response is believed whose correlation id is this near to that of the last request.
const NEAR: u32 = 1024;
const SASL_HANDSHAKE: u16 = 17;

#[derive(Debug, Default)]
pub(super) struct KafkaParser {
    lanes: [Lane; 2],
    names: Option<Box<Names>>,
    /// Client id of the last request.
    client: Option<Box<[u8]>>,
    /// Correlation id of the last request.
    last: Option<i32>,
    /// After SaslHandshake version 0 both sides send tokens without any header until the client is known.
    tokens: bool,
}

#[derive(Debug, Default)]
struct Lane {
    /// While a message is read.
    findings: Option<Box<Findings>>,
    /// A long message whose beginning was reported.
    long: Option<Box<Long>>,
}

#[derive(Debug)]
struct Long {
    walk: Walk,
    of: Part,
    api: &'static Api,
    /// Bytes in front of the input that the walk has gone through.
    ahead: usize,
    interrupted: bool,
}

/// A message of which the header was read.
struct Begun {
    api: &'static Api,
    version: u16,
    shape: Shape,
    key: Key,
    /// Bytes of the header, and of all.
    header: usize,
    whole: u64,
}

impl Parser for KafkaParser {
    fn parse(&mut self, from: Side, input: Input<'_>, message: &mut MessageWriter<'_>) -> Result<Step, ParseError> {
        let step = match self.lanes.get_mut(from.index()).and_then(|lane| lane.long.take()) {
            Some(long) => Ok(self.go_on(from, long, input, message)),
            None if from == Side::Client => self.request(input, message),
            None => self.response(input, message),
        };
        let lane = self.lane(from);
        if lane.long.is_none()
            && let Some(findings) = lane.findings.take()
        {
            message.kafka.take_back(findings);
        }
        step
    }

    fn gap(&mut self, from: Side) {
        if let Some(long) = self.lane(from).long.as_deref_mut() {
            long.interrupted = true;
        }
    }

    fn resync(&mut self, from: Side, input: &[u8]) -> Resync {
        match from {
            Side::Client => self.resync_request(input),
            Side::Server => self.resync_response(input),
        }
    }

    fn memory(&self) -> usize {
        let lanes: usize = self
            .lanes
            .iter()
            .map(|lane| {
                lane.findings.as_ref().map_or(0, |findings| findings.memory())
                    + lane.long.as_ref().map_or(0, |_| size_of::<Long>())
            })
            .sum();
        size_of::<Self>()
            + lanes
            + self.names.as_ref().map_or(0, |names| names.memory())
            + self.client.as_ref().map_or(0, |client| client.len())
    }
}

impl KafkaParser {
    fn lane(&mut self, side: Side) -> &mut Lane {
        let [client, server] = &mut self.lanes;
        match side {
            Side::Client => client,
            Side::Server => server,
        }
    }

    fn request(&mut self, input: Input<'_>, message: &mut MessageWriter<'_>) -> Result<Step, ParseError> {
        let (header, cut) = match RequestHeader::parse(input.bytes) {
            Ok(header) => (header, false),
            Err(Fault::More) if input.more() => return Ok(Step::NeedMore { at_least: input.bytes.len() + 1 }),
            Err(Fault::More) => match RequestHeader::cut(input.bytes) {
                Ok(header) => (header, true),
                Err(_) => return Err(ParseError::at(ParseErrorKind::Cut, input.bytes.len())),
            },
            Err(Fault::Wrong) => return self.token(input.bytes),
        };
        let api = Api::of(header.key).ok_or(ParseError::at(ParseErrorKind::UnknownType, SIZE))?;
        self.tokens = header.key == SASL_HANDSHAKE && header.version == 0;
        self.last = Some(header.correlation);
        if header.client.is_some() && self.client.as_deref() != header.client {
            self.client = header.client.map(Into::into);
        }
        let key = key_of(header.correlation);
        message.request(key);
        message.context(u64::from(header.key) | u64::from(header.version) << KEY_BITS);
        message.text(Field::RequestType, Text::Valid(api.name));
        if let Some(client) = header.client.filter(|client| !client.is_empty()) {
            message.field(Field::Domain, client);
        }
        write_id(message, header.correlation);
        message.attribute_number("messaging.kafka.api_version", i64::from(header.version));
        let shape = if cut { &[] } else { api.request(header.version) };
        let begun = Begun { api, version: header.version, shape, key, header: header.length, whole: header.whole };
        self.lane(Side::Client).findings = Some(message.kafka.findings());
        if cut {
            message.incomplete();
        }
        Ok(self.body(Side::Client, begun, input, message))
    }

    /// A token of authentication, if there may be some.
    fn token(&mut self, bytes: &[u8]) -> Result<Step, ParseError> {
        let size = Cursor(bytes).int32().ok().and_then(|size| u64::try_from(size).ok());
        match size {
            Some(size) if self.tokens && size <= LONGEST_TOKEN => Ok(Step::Skip { used: size + SIZE as u64 }),
            _ => Err(ParseError::at(ParseErrorKind::UnknownType, 0)),
        }
    }

    fn response(&mut self, input: Input<'_>, message: &mut MessageWriter<'_>) -> Result<Step, ParseError> {
        let header = match ResponseHeader::parse(input.bytes) {
            Ok(header) => header,
            Err(Fault::More) if input.more() => return Ok(Step::NeedMore { at_least: ResponseHeader::LENGTH }),
            Err(Fault::More) => return Err(ParseError::at(ParseErrorKind::Cut, input.bytes.len())),
            Err(Fault::Wrong) => return self.token(input.bytes),
        };
        let key = key_of(header.correlation);
        let asked = message.context_of_request(key);
        if asked.is_none() && (self.tokens || !self.is_believable(&header, input.bytes)) {
            return self.token(input.bytes);
        }
        message.response(key);
        write_id(message, header.correlation);
        let api = asked.and_then(|asked| Api::of(asked as u16));
        let Some((api, version)) = api.zip(asked.map(|asked| (asked >> KEY_BITS) as u16)) else {
            // To a request that was not seen: nothing says what it answers.
            let used = ResponseHeader::LENGTH;
            return Ok(Step::Message { used, body: Body::Sized(header.whole - used as u64) });
        };
        let mut length = ResponseHeader::LENGTH;
        let mut shape = api.response(version);
        if api.has_tags_in_response(version) {
            let mut cursor = Cursor(input.bytes.get(length..).unwrap_or_default());
            match cursor.tags() {
                Ok(()) => length = input.bytes.len() - cursor.0.len(),
                Err(Fault::More) if input.more() && (input.bytes.len() as u64) < header.whole => {
                    return Ok(Step::NeedMore { at_least: input.bytes.len() + 1 });
                }
                Err(_) => shape = &[],
            }
        }
        if length as u64 > header.whole {
            (shape, length) = (&[], ResponseHeader::LENGTH);
        }
        let begun = Begun { api, version, shape, key, header: length, whole: header.whole };
        let mut findings = message.kafka.findings();
        findings.told.asked = message.field_of_request(key, Field::Resource).is_some();
        self.lane(Side::Server).findings = Some(findings);
        Ok(self.body(Side::Server, begun, input, message))
    }

    /// What follows a header.
    fn body(&mut self, from: Side, begun: Begun, input: Input<'_>, message: &mut MessageWriter<'_>) -> Step {
        let Begun { api, version, shape, key, header, whole } = begun;
        let left = whole.saturating_sub(header as u64);
        let flexible = api.is_flexible(version);
        let mut walk = Walk::new(shape, u8::try_from(version).unwrap_or(u8::MAX), flexible, left);
        let bytes = input.bytes.get(header..).unwrap_or_default();
        let there = input.bytes.len() as u64;
        if message.tap.is_some() && input.more() && there < whole && whole <= SHORT {
            // What is read again would be shown again.
            return Step::NeedMore { at_least: whole as usize };
        }
        let of = match from {
            Side::Client => Part::Request(key),
            Side::Server => Part::Response(key),
        };
        let (used, stop) = self.walk(of, &mut walk, api, bytes, message);
        let unfinished = matches!(stop, Stop::More | Stop::Pass(_));
        // What has no answer has to be known at once.
        let undecided = from == Side::Client && api.is_produce() && self.acks(from).is_none();
        // A short one in all cases, so that what is known when does not depend on how its bytes came.
        let waits = if whole <= SHORT { !shape.is_empty() } else { unfinished && (undecided || bytes.is_empty()) };
        if waits && input.more() && there < whole {
            let at_least = if whole <= SHORT { whole as usize } else { input.bytes.len() + 1 };
            return Step::NeedMore { at_least };
        }
        let one_way = from == Side::Client && self.acks(from) == Some(0);
        let of = if one_way { Part::Request(Key::Order) } else { of };
        if one_way {
            message.one_way();
            message.status(Status::Ok);
        }
        if unfinished && input.more() && !bytes.is_empty() {
            self.lane(from).long = Some(Box::new(Long { walk, of, api, ahead: used, interrupted: false }));
            return Step::Message { used: header, body: Body::Open };
        }
        let known = !shape.is_empty() || left == 0;
        self.finish(from, api, &walk, if known { stop } else { Stop::Wrong }, message);
        let used = header + used;
        Step::Message { used, body: Body::Sized(whole.saturating_sub(used as u64)) }
    }

    /// Bytes of a message whose beginning was reported. One byte is always held back, so that a loss behind it finds this place: from
    /// here it is known how long the message is.
    fn go_on(&mut self, from: Side, mut long: Box<Long>, input: Input<'_>, message: &mut MessageWriter<'_>) -> Step {
        let of = long.of;
        if long.interrupted {
            self.finish(from, long.api, &long.walk, Stop::More, message);
            return Step::Part { used: 0, of, last: true };
        }
        let bytes = input.bytes.get(long.ahead..).unwrap_or_default();
        let (used, stop) = self.walk(of, &mut long.walk, long.api, bytes, message);
        let used = long.ahead + used;
        match stop {
            Stop::Pass(count) if input.more() => {
                long.walk.pass();
                long.ahead = 0;
                self.lane(from).long = Some(long);
                Step::Part { used: used as u64 + count, of, last: false }
            }
            Stop::More if input.more() => {
                let reported = used.min(input.bytes.len().saturating_sub(1));
                long.ahead = used - reported;
                self.lane(from).long = Some(long);
                match reported {
                    0 => Step::NeedMore { at_least: input.bytes.len() + 1 },
                    _ => Step::Part { used: reported as u64, of, last: false },
                }
            }
            _ => {
                self.finish(from, long.api, &long.walk, stop, message);
                Step::Part { used: used as u64 + long.walk.left(), of, last: true }
            }
        }
    }

    /// How many acknowledgements the message being read asks for.
    fn acks(&mut self, from: Side) -> Option<i16> {
        self.lane(from).findings.as_ref().and_then(|findings| findings.told.acks)
    }

    fn walk(
        &mut self,
        of: Part,
        walk: &mut Walk,
        api: &Api,
        bytes: &[u8],
        message: &mut MessageWriter<'_>,
    ) -> (usize, Stop) {
        let [client, server] = &mut self.lanes;
        let (findings, lists_topics) = match of {
            Part::Request(_) => (&mut client.findings, true),
            Part::Response(_) => (&mut server.findings, api.is_fetch()),
        };
        let findings = findings.get_or_insert_with(|| message.kafka.findings());
        walk.advance(bytes, &mut Collector { findings, names: &mut self.names, message, lists_topics, of })
    }

    /// Nothing more is read of a message.
    fn finish(&mut self, from: Side, api: &Api, walk: &Walk, stop: Stop, message: &mut MessageWriter<'_>) {
        match stop {
            Stop::End => {}
            Stop::Wrong => message.attribute_flag("messaging.kafka.unread", true),
            Stop::More | Stop::Pass(_) => message.incomplete(),
        }
        let Some(findings) = &self.lane(from).findings else { return };
        match from {
            Side::Client => findings.write_request(api, message),
            Side::Server => {
                // With every error code read, the answer is known, whatever else is missing.
                let known = stop == Stop::End || stop != Stop::Wrong && !walk.has_errors_ahead();
                findings.write_response(api, known, message);
            }
        }
    }

    fn resync_request(&self, input: &[u8]) -> Resync {
        let begins = |at: usize| RequestHeader::parse(input.get(at..).unwrap_or_default());
        match begins(0) {
            Ok(header) if self.is_near(header.correlation) => return Resync::At(0),
            Err(Fault::More) => return Resync::Perhaps(0),
            _ => {}
        }
        // Requests of one connection mostly carry the same client id.
        let Some(client) = self.client.as_deref().filter(|client| client.len() > 3) else { return Resync::Nowhere };
        let before = ResponseHeader::LENGTH + 6;
        memchr::memmem::find_iter(input, client)
            .filter_map(|at| at.checked_sub(before))
            .find(|at| {
                begins(*at).is_ok_and(|header| header.client == Some(client) && self.is_near(header.correlation))
            })
            .map_or(Resync::Nowhere, Resync::At)
    }

    fn resync_response(&self, input: &[u8]) -> Resync {
        if self.last.is_none() {
            return if input.len() < ResponseHeader::LENGTH { Resync::Perhaps(0) } else { Resync::Nowhere };
        }
        // At the start of the bytes, or in the middle if it ends where they end.
        let begins = |at: usize, bytes: &[u8]| {
            ResponseHeader::parse(bytes).is_ok_and(|header| {
                let ends = at as u64 + header.whole == input.len() as u64;
                (at == 0 || ends) && self.is_near(header.correlation)
            })
        };
        match input.windows(ResponseHeader::LENGTH).enumerate().find(|(at, bytes)| begins(*at, bytes)) {
            Some((at, _)) => Resync::At(at),
            None if input.len() < ResponseHeader::LENGTH => Resync::Perhaps(0),
            None => Resync::Nowhere,
        }
    }

    /// Whether a response to a request that was not seen is one.
    fn is_believable(&self, header: &ResponseHeader, bytes: &[u8]) -> bool {
        match self.last {
            Some(_) => self.is_near(header.correlation),
            None => detect::response(bytes) != Start::No,
        }
    }

    /// Clients count their requests.
    fn is_near(&self, correlation: i32) -> bool {
        self.last.is_none_or(|last| correlation.wrapping_sub(last).unsigned_abs() <= NEAR)
    }
}

fn key_of(correlation: i32) -> Key {
    Key::Id(u64::from(correlation.cast_unsigned()))
}

fn write_id(message: &mut MessageWriter<'_>, correlation: i32) {
    message.field_with(Field::RequestId, |text| push_number(text, i64::from(correlation)));
}
