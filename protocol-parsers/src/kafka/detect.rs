//! Recognising Kafka. Its messages begin with a length and small numbers, as those of many protocols do: what is believed has to hold
//! together to its last byte.

use super::api::Api;
use super::errors;
use super::shape::{Number, Text};
use super::walk::{Sink, Stop, Walk};
use super::wire::{self, Cursor, Fault, RequestHeader, ResponseHeader};

/// What some bytes begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    Yes,
    Perhaps,
    No,
}

/// A connection does not begin with a longer message.
const LONGEST: u64 = 16 << 20;
/// With so many bytes there, a message that is not whole is believed or not.
const ENOUGH: usize = 512;
/// APIs whose answers are told from their fields alone, with the versions tried: ApiVersions, Metadata, Produce, Fetch.
const ANSWERS: [(u16, u16, u16); 4] = [(18, 0, 4), (3, 0, 13), (0, 0, 12), (1, 4, 18)];

/// Whether a stream or a segment begins with a request.
pub(super) fn request(bytes: &[u8]) -> Start {
    let header = match RequestHeader::parse(bytes) {
        Ok(header) if header.whole <= LONGEST => header,
        // The upper half of the number of an API is always zero, that of a length here too.
        Err(Fault::More)
            if !bytes.is_empty() && [0, 4, 6].iter().all(|at| bytes.get(*at).is_none_or(|byte| *byte == 0)) =>
        {
            return Start::Perhaps;
        }
        _ => return Start::No,
    };
    let Some(api) = Api::of(header.key) else { return Start::No };
    let named = header.client.is_some_and(|client| !client.is_empty());
    let shape = api.request(header.version);
    let body = bytes.get(header.length..).unwrap_or_default();
    let left = header.whole - header.length as u64;
    let mut walk = Walk::new(shape, header.version as u8, api.is_flexible(header.version), left).strictly();
    let mut evidence = Evidence::default();
    let (_, stop) = walk.advance(body, &mut evidence);
    let there = bytes.len() as u64 >= header.whole;
    match stop {
        _ if evidence.against => Start::No,
        Stop::Wrong => Start::No,
        Stop::End if walk.left() > 0 && api.is_whole(header.version) => Start::No,
        // A null or empty client id is found in zeros, too.
        Stop::End if walk.left() == 0 && (named || evidence.speaks() || is_first(&header)) => Start::Yes,
        _ if !named => Start::No,
        Stop::End if there => {
            if ends_well(bytes, header.whole) {
                Start::Yes
            } else {
                Start::No
            }
        }
        Stop::End => Start::Perhaps,
        _ if bytes.len() < ENOUGH && !evidence.speaks() => Start::Perhaps,
        Stop::More | Stop::Pass(_) => Start::Yes,
    }
}

/// Whether a message is all there is, or another one follows it.
fn ends_well(bytes: &[u8], whole: u64) -> bool {
    let behind = usize::try_from(whole).ok().and_then(|whole| bytes.get(whole..));
    behind.is_some_and(|next| RequestHeader::parse(next) != Err(Fault::Wrong))
}

/// Clients without a name begin with an ApiVersions without fields.
fn is_first(header: &RequestHeader<'_>) -> bool {
    header.key == 18 && header.client.is_none() && header.correlation <= 1
}

/// Whether a segment begins with a response. What it answers is not known, so it has to be one that no other protocol sends.
pub(super) fn response(bytes: &[u8]) -> Start {
    let header = match ResponseHeader::parse(bytes) {
        Ok(header) if header.whole <= LONGEST && header.correlation >= 0 => header,
        Err(Fault::More) if bytes.first() == Some(&0) => return Start::Perhaps,
        _ => return Start::No,
    };
    let mut answer = Start::No;
    for (key, first, last) in ANSWERS {
        let Some(api) = Api::of(key) else { continue };
        for version in first..=last {
            match is_answer(bytes, &header, api, version) {
                Start::Yes => return Start::Yes,
                Start::Perhaps => answer = Start::Perhaps,
                Start::No => {}
            }
        }
    }
    let there = bytes.len() as u64;
    // A request may follow, and then this is its neighbour.
    let neighbour = there == header.whole || there < header.whole && header.whole <= ENOUGH as u64;
    if neighbour { Start::Perhaps } else { answer }
}

fn is_answer(bytes: &[u8], header: &ResponseHeader, api: &'static Api, version: u16) -> Start {
    let mut cursor = Cursor(bytes.get(ResponseHeader::LENGTH..).unwrap_or_default());
    if api.has_tags_in_response(version) && cursor.byte() != Ok(0) {
        return Start::No;
    }
    let Some(left) = header.whole.checked_sub((bytes.len() - cursor.0.len()) as u64) else { return Start::No };
    let mut walk = Walk::new(api.response(version), version as u8, api.is_flexible(version), left).strictly();
    let mut evidence = Evidence::default();
    let (_, stop) = walk.advance(cursor.0, &mut evidence);
    if evidence.against || !evidence.speaks() {
        return Start::No;
    }
    match stop {
        Stop::End if walk.left() == 0 => Start::Yes,
        Stop::More | Stop::Pass(_) if evidence.batches > 0 => Start::Yes,
        Stop::More | Stop::Pass(_) => Start::Perhaps,
        Stop::End | Stop::Wrong => Start::No,
    }
}

/// What speaks for and against.
#[derive(Debug, Default)]
pub(super) struct Evidence {
    against: bool,
    topics: u32,
    batches: u32,
    apis: u32,
}

impl Evidence {
    /// Whether something was there that is not found by chance.
    fn speaks(&self) -> bool {
        self.topics > 0 || self.batches > 0 || self.apis >= 4
    }
}

impl Sink for Evidence {
    fn text(&mut self, what: Text, value: &[u8]) {
        let of_topic = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        match what {
            Text::Topic if value.is_empty() => {}
            Text::Topic => {
                self.topics += 1;
                self.against |= value.len() > 249 || !value.iter().all(of_topic);
            }
            _ => self.against |= wire::text(value).is_err(),
        }
    }

    fn number(&mut self, what: Number, value: i64) {
        self.against |= match what {
            Number::Error => value != 0 && errors::error(value as i16).is_none(),
            Number::Acks => !(-1..=1).contains(&value),
            Number::Partition => value < 0,
            Number::Offset => value < -5,
            Number::KeyType => !(0..=2).contains(&value),
            Number::ApiKey => {
                self.apis += 1;
                !(0..=200).contains(&value)
            }
        };
    }

    fn topic_id(&mut self, _id: &[u8; 16]) {}

    fn element(&mut self) {}

    fn batch(&mut self, _records: u32) {
        self.batches += 1;
    }

    fn wants_records(&self) -> bool {
        false
    }

    fn record(&mut self) {}

    fn wants_header(&self, _name: &[u8]) -> bool {
        false
    }

    fn header(&mut self, _name: &[u8], _value: &[u8]) {}
}
