//! Reads DNS messages: one per datagram, or behind a length over TCP (RFC 1035, 4.2.2).

use alloc::string::String;
use core::fmt::Write as _;
use core::net::Ipv6Addr;

use super::wire::{self, Fit, Header, Question, Reader, Record};
use crate::decimal::push_number;
use crate::fields::Text;
use crate::{
    Body, Field, Input, Key, MessageWriter, ParseError, ParseErrorKind, Parser, Part, Resync, Side, Status, Step,
};

const A: u16 = 1;
const NS: u16 = 2;
const CNAME: u16 = 5;
const SOA: u16 = 6;
const OPT: u16 = 41;
const PTR: u16 = 12;
const AAAA: u16 = 28;
const IXFR: u16 = 251;
const AXFR: u16 = 252;
/// Answers taken down.
const MOST_ANSWERS: u16 = 16;

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct DnsParser {
    /// A zone transfer that the server is in the middle of, and the client.
    transfers: [Option<u64>; 2],
}

impl Parser for DnsParser {
    fn parse(&mut self, from: Side, input: Input<'_>, message: &mut MessageWriter<'_>) -> Result<Step, ParseError> {
        if message.is_datagram() {
            return self.message(from, input.bytes, 0, message);
        }
        let Some(prefix) = input.bytes.first_chunk::<2>() else { return Ok(Step::NeedMore { at_least: 2 }) };
        let length = usize::from(u16::from_be_bytes(*prefix));
        match input.bytes.get(2..2 + length) {
            Some(bytes) => self.message(from, bytes, 2, message),
            None if input.more() => Ok(Step::NeedMore { at_least: 2 + length }),
            None => {
                // The end is missing: what is there may still say what was asked.
                message.incomplete();
                let rest = (2 + length - input.bytes.len()) as u64;
                let used = input.bytes.len();
                match self.message(from, input.bytes.get(2..).unwrap_or_default(), 2, message)? {
                    Step::Message { .. } => Ok(Step::Message { used, body: Body::Sized(rest) }),
                    Step::Part { of, last, .. } => Ok(Step::Part { used: used as u64 + rest, of, last }),
                    other => Ok(other),
                }
            }
        }
    }

    fn gap(&mut self, from: Side) {
        self.transfers[from as usize] = None;
    }

    fn resync(&mut self, _from: Side, input: &[u8]) -> Resync {
        let Some((prefix, message)) = input.split_first_chunk::<2>() else { return Resync::Perhaps(0) };
        let length = usize::from(u16::from_be_bytes(*prefix));
        let fit = match message.get(..length) {
            Some(message) => wire::recognise(message, false),
            None => wire::recognise_beginning(message, length),
        };
        match fit {
            Fit::No => Resync::Nowhere,
            Fit::Perhaps => Resync::Perhaps(0),
            Fit::Query | Fit::Response => Resync::At(0),
        }
    }

    fn is_as_new(&self) -> bool {
        *self == Self::default()
    }

    fn memory(&self) -> usize {
        size_of::<Self>()
    }
}

impl DnsParser {
    fn message(
        &mut self,
        from: Side,
        bytes: &[u8],
        before: usize,
        message: &mut MessageWriter<'_>,
    ) -> Result<Step, ParseError> {
        let whole = Step::Message { used: before + bytes.len(), body: Body::None };
        let Some(header) = Header::parse(bytes) else {
            return Err(ParseError::at(ParseErrorKind::Length, before));
        };
        let mut reader = Reader::new(bytes);
        let question = if header.counts[0] > 0 { reader.question() } else { None };
        for _ in 1..header.counts[0] {
            reader.question();
        }
        if header.counts[0] > 0 && question.is_none() {
            if reader.runs_out() {
                // What was kept of it still says that there was a query or an answer, and which belong together.
                message.incomplete();
            } else {
                return Err(ParseError::at(ParseErrorKind::Length, before + wire::HEADER));
            }
        }
        let key = key(&header, question.as_ref());
        let same_id = |key: u64| key & 0xffff == u64::from(header.id);
        if !header.is_response() {
            // Without its question, it is the one asked before with its id, if there is one.
            let before = if question.is_none() { message.find_waiting(same_id) } else { None };
            message.request_again(before.unwrap_or(Key::Id(key)));
            asked(message, &header, question.as_ref());
            return Ok(whole);
        }
        let transfer = &mut self.transfers[from as usize];
        if let Some(running) = *transfer
            && running & 0xffff == u64::from(header.id)
        {
            let last = header.rcode() != 0 || last_record(&mut reader, header.counts[1]).is_none_or(|kind| kind == SOA);
            if last {
                *transfer = None;
            }
            return Ok(Step::Part { used: (before + bytes.len()) as u64, of: Part::Response(Key::Id(running)), last });
        }
        // An answer without its question belongs to whatever was asked with its id.
        let key = match question {
            Some(_) => Key::Id(key),
            None => message.find_unanswered(same_id).unwrap_or(Key::Id(key)),
        };
        message.response(key);
        // The request has said it already, where it was seen.
        if message.context_of_request(key).is_none() {
            asked(message, &header, question.as_ref());
        }
        let code = whole_rcode(&header, reader, bytes);
        message.field_number(Field::StatusCode, code);
        message.status(match code {
            0 => Status::Ok,
            1 | 3 => Status::ClientError,
            _ => Status::ServerError,
        });
        if header.counts[1] > 0 {
            message.attribute_with("dns.answers", |text| answers(text, reader, header.counts[1]));
        }
        let transfers = question.is_some_and(|question| matches!(question.kind, AXFR | IXFR)) && before > 0;
        if transfers && header.rcode() == 0 && header.counts[1] > 0 {
            let last = header.counts[1] > 1 && last_record(&mut reader, header.counts[1]) == Some(SOA);
            if let (false, Key::Id(key)) = (last, key) {
                *transfer = Some(key);
                return Ok(Step::Message { used: before + bytes.len(), body: Body::Open });
            }
        }
        Ok(whole)
    }
}

/// What identifies a question: id, type and name.
fn key(header: &Header, question: Option<&Question<'_>>) -> u64 {
    let rest = question.map_or(0, |question| question.name.hash().wrapping_add(u64::from(question.kind) << 1));
    u64::from(header.id) | rest << 16
}

fn asked(message: &mut MessageWriter<'_>, header: &Header, question: Option<&Question<'_>>) {
    message.field_number(Field::RequestId, u64::from(header.id));
    if let Some(question) = question {
        match wire::type_name(question.kind) {
            Some(name) => message.text(Field::RequestType, Text::Valid(name)),
            None => message.field_number(Field::RequestType, u64::from(question.kind)),
        }
        message.field_with(Field::Domain, |text| question.name.write(text));
        for field in [Field::Resource, Field::Endpoint] {
            message.field_within(field, Field::Domain, |name| 0..name.len());
        }
    }
    if header.opcode() != 0 && !header.is_response() {
        message.attribute_number("dns.opcode", i64::from(header.opcode()));
    }
}

/// The response code with the upper bits that EDNS adds to it (RFC 6891, 6.1.3): they only come where there is no answer.
fn whole_rcode(header: &Header, mut reader: Reader<'_>, bytes: &[u8]) -> u64 {
    let low = u64::from(header.rcode());
    let [_, 0, 0, _] = header.counts else { return low };
    // The first byte of what is elsewhere the time to live, six bytes before the data.
    let upper = reader.record().filter(|record| record.kind == OPT).and_then(|record| bytes.get(record.position - 6));
    upper.map_or(low, |upper| u64::from(*upper) << 4 | low)
}

fn last_record(reader: &mut Reader<'_>, count: u16) -> Option<u16> {
    let mut last = None;
    for _ in 0..count {
        last = Some(reader.record()?.kind);
    }
    last
}

/// Appends the addresses and names of the answer section.
fn answers(text: &mut String, mut reader: Reader<'_>, count: u16) {
    let start = text.len();
    for _ in 0..count.min(MOST_ANSWERS) {
        let Some(record) = reader.record() else { return };
        let separator = if text.len() > start { "," } else { "" };
        let written = text.len();
        text.push_str(separator);
        if !write_data(text, &reader, &record) {
            text.truncate(written);
        }
    }
}

fn write_data(text: &mut String, reader: &Reader<'_>, record: &Record<'_>) -> bool {
    match record.kind {
        A => record.data.try_into().is_ok_and(|data: [u8; 4]| {
            for (position, byte) in data.into_iter().enumerate() {
                if position > 0 {
                    text.push('.');
                }
                push_number(text, i64::from(byte));
            }
            true
        }),
        AAAA => record.data.try_into().is_ok_and(|data: [u8; 16]| write!(text, "{}", Ipv6Addr::from(data)).is_ok()),
        CNAME | PTR | NS => {
            reader.name_at(record.position).write(text);
            true
        }
        _ => false,
    }
}
