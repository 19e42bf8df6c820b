//! What was found in a message, and how it is written down.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use super::api::Api;
use super::errors;
use super::names::Names;
use super::shape::{Number, Text};
use super::walk::Sink;
use crate::decimal::push_number;
use crate::dissector::{POOL, Pool};
use crate::fields::Text::Valid;
use crate::fields::push_escaped;
use crate::trace_context::{self, Header};
use crate::{Field, Key, MessageWriter, Part, Status};

/// Bytes of a name; Kafka allows no longer ones.
const NAME: usize = 249;
/// Bytes of room for their names that stay from message to message.
const KEPT: usize = 1024;
/// Records that are searched for the context of a trace.
const RECORDS: u32 = 32;

/// What a message said so far.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// Names of topics, joined by commas.
    topics: String,
    /// Where each of them ends.
    ends: Vec<u32>,
    /// The name in the structure being read.
    name: String,
    pub(super) told: Told,
}

/// What all connections of a dissector share.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    /// What connections told each other.
    names: Names,
    /// Room for what is found, for the next messages.
    spare: Pool<Findings>,
}

impl Shared {
    /// Room for what will be found in a message.
    pub(super) fn findings(&mut self) -> Box<Findings> {
        self.spare.pop().unwrap_or_default()
    }

    /// Takes back what is not needed any more.
    pub(super) fn take_back(&mut self, mut findings: Box<Findings>) {
        if self.spare.len() < POOL {
            findings.clear();
            self.spare.push(findings);
        }
    }
}

/// What fits into numbers.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub(super) acks: Option<i16>,
    /// The request that this answers has named its topics.
    pub(super) asked: bool,
    /// There are more topics than are listed.
    cut: bool,
    /// Some of them are ids.
    unnamed: bool,
    /// The first error.
    error: i16,
    /// The text that comes next explains it.
    explained: bool,
    partitions: u32,
    partition: i64,
    offset: Option<i64>,
    records: u64,
    /// Records whose headers were looked at, and whether one had the context of a trace.
    searched: u32,
    traced: bool,
    key_type: i64,
    /// A group, and a transactional id, were written down.
    grouped: bool,
    transactional: bool,
}

impl Findings {
    fn clear(&mut self) {
        self.topics.clear();
        if self.topics.capacity() > KEPT {
            self.topics.shrink_to(KEPT);
        }
        self.ends.clear();
        self.name.clear();
        self.told = Told::default();
    }

    pub(super) fn memory(&self) -> usize {
        size_of::<Self>() + self.topics.capacity() + self.ends.capacity() * 4 + self.name.capacity()
    }

    /// Writes down what a request said.
    pub(super) fn write_request(&self, api: &Api, message: &mut MessageWriter<'_>) {
        self.write_topics(message);
        // An incremental fetch names no topics; its answer does.
        if !self.ends.is_empty() || !api.is_fetch() {
            self.write_endpoint(api, message);
        }
        self.write_partition(message);
        self.write_count(message);
    }

    /// Writes down what a response said. `known`: every error code was there.
    pub(super) fn write_response(&self, api: &Api, known: bool, message: &mut MessageWriter<'_>) {
        if api.is_fetch() && !self.told.asked {
            self.write_topics(message);
            self.write_endpoint(api, message);
            self.write_partition(message);
        } else if api.is_produce() {
            self.write_offset(message);
        }
        self.write_count(message);
        if self.told.error == 0 {
            if known {
                message.field(Field::StatusCode, b"0");
                message.status(Status::Ok);
            }
            return;
        }
        message.field_with(Field::StatusCode, |text| push_number(text, self.told.error.into()));
        let meaning = errors::error(self.told.error);
        if let Some((name, _)) = meaning {
            message.text(Field::Exception, Valid(name));
        }
        message.status(meaning.map_or(Status::ServerError, |(_, status)| status));
    }

    fn write_topics(&self, message: &mut MessageWriter<'_>) {
        if !self.ends.is_empty() {
            message.text(Field::Resource, Valid(&self.topics));
        }
        if self.told.cut {
            message.mark_cut(Field::Resource);
        }
        if self.told.unnamed {
            message.attribute_flag("messaging.kafka.topic_id_unknown", true);
        }
    }

    fn write_endpoint(&self, api: &Api, message: &mut MessageWriter<'_>) {
        message.field_with(Field::Endpoint, |text| {
            text.push_str(api.name);
            if self.ends.len() == 1 && !self.told.unnamed {
                text.push(' ');
                text.push_str(&self.topics);
            }
        });
    }

    fn write_partition(&self, message: &mut MessageWriter<'_>) {
        if self.told.partitions == 1 {
            message.attribute_with("messaging.destination.partition.id", |text| push_number(text, self.told.partition));
            self.write_offset(message);
        }
    }

    fn write_offset(&self, message: &mut MessageWriter<'_>) {
        if let Some(offset) = self.told.offset
            && self.told.partitions == 1
        {
            message.attribute_number("messaging.kafka.offset", offset);
        }
    }

    fn write_count(&self, message: &mut MessageWriter<'_>) {
        if self.told.records > 0 {
            let count = i64::try_from(self.told.records).unwrap_or(i64::MAX);
            message.attribute_number("messaging.batch.message_count", count);
        }
    }

    /// Adds a topic, unless it is listed already or there are too many.
    fn add(&mut self, name: &str, most: usize) {
        if self.told.cut || name.is_empty() {
            return;
        }
        let listed = self.topics.len();
        if listed > 0 {
            self.topics.push(',');
        }
        let start = self.topics.len();
        self.topics.push_str(name);
        if self.is_listed(start) {
            self.topics.truncate(listed);
        } else if self.ends.len() >= most {
            self.topics.truncate(listed);
            self.told.cut = true;
        } else {
            self.ends.push(u32::try_from(self.topics.len()).unwrap_or(u32::MAX));
        }
    }

    /// Whether the name that begins here stands before already.
    fn is_listed(&self, start: usize) -> bool {
        let all = self.topics.as_bytes();
        let new = all.get(start..).unwrap_or_default();
        let mut begin = 0;
        self.ends.iter().any(|end| {
            let listed = all.get(begin..*end as usize).unwrap_or_default();
            begin = *end as usize + 1;
            listed == new
        })
    }
}

/// Collects what a message says.
pub(super) struct Collector<'a, 'b> {
    pub(super) findings: &'a mut Findings,
    pub(super) names: &'a mut Option<Box<Names>>,
    pub(super) message: &'a mut MessageWriter<'b>,
    /// The topics of this message are those of the call.
    pub(super) lists_topics: bool,
    /// Whose headers a tap is shown.
    pub(super) of: Part,
}

impl Collector<'_, '_> {
    fn group(&mut self, value: &[u8]) {
        // Of several, the first is kept.
        if !value.is_empty() && !core::mem::replace(&mut self.findings.told.grouped, true) {
            self.message.attribute("messaging.consumer.group.name", value);
        }
    }
}

impl Sink for Collector<'_, '_> {
    fn text(&mut self, what: Text, value: &[u8]) {
        match what {
            Text::Topic => {
                let mut name = core::mem::take(&mut self.findings.name);
                name.clear();
                push_escaped(&mut name, value, NAME);
                if self.lists_topics {
                    self.findings.add(&name, self.message.options.limits.topics);
                }
                self.findings.name = name;
            }
            Text::Group => self.group(value),
            Text::CoordinatorKey if self.findings.told.key_type == 0 => self.group(value),
            Text::CoordinatorKey => {}
            Text::TransactionalId => {
                if !value.is_empty() && !core::mem::replace(&mut self.findings.told.transactional, true) {
                    self.message.attribute("messaging.kafka.transactional_id", value);
                }
            }
            Text::ErrorMessage if self.findings.told.explained && !value.is_empty() => {
                self.message.field_with(Field::Exception, |text| {
                    text.push_str(errors::error(self.findings.told.error).map_or("", |(name, _)| name));
                    text.push_str(": ");
                    push_escaped(text, value, usize::MAX);
                });
            }
            Text::ErrorMessage => {}
            Text::Mechanism => self.message.attribute("messaging.kafka.sasl_mechanism", value),
            Text::SoftwareName => self.message.attribute("user_agent.name", value),
            Text::SoftwareVersion => self.message.attribute("user_agent.version", value),
        }
    }

    fn number(&mut self, what: Number, value: i64) {
        match what {
            Number::Error => {
                self.findings.told.explained = self.findings.told.error == 0 && value != 0;
                if self.findings.told.explained {
                    self.findings.told.error = value as i16;
                }
            }
            Number::Acks => self.findings.told.acks = Some(value as i16),
            Number::Partition => {
                self.findings.told.partitions = self.findings.told.partitions.saturating_add(1);
                self.findings.told.partition = value;
            }
            Number::Offset => self.findings.told.offset = Some(value).filter(|offset| *offset >= 0),
            Number::KeyType => self.findings.told.key_type = value,
            Number::ApiKey => {}
        }
    }

    fn topic_id(&mut self, id: &[u8; 16]) {
        if id == &[0; 16] {
            return;
        }
        let limits = &self.message.options.limits;
        if !self.findings.name.is_empty() {
            let dropped = self.names.get_or_insert_default().learn(id, &self.findings.name, limits.topic_names)
                + self.message.kafka.names.learn(id, &self.findings.name, limits.shared_topic_names);
            self.message.stats.topic_names_dropped += dropped;
        } else if self.lists_topics {
            // What this connection said goes before what others said.
            match self.names.as_ref().and_then(|names| names.get(id)).or_else(|| self.message.kafka.names.get(id)) {
                Some(name) => self.findings.add(name, limits.topics),
                None => {
                    self.findings.told.unnamed = true;
                    let mut name = core::mem::take(&mut self.findings.name);
                    push_id(&mut name, id);
                    self.findings.add(&name, limits.topics);
                    name.clear();
                    self.findings.name = name;
                }
            }
        }
    }

    fn element(&mut self) {
        self.findings.name.clear();
    }

    fn batch(&mut self, records: u32) {
        self.findings.told.records += u64::from(records);
    }

    fn wants_records(&self) -> bool {
        (self.message.tap.is_some() || !self.findings.told.traced) && self.findings.told.searched < RECORDS
    }

    fn record(&mut self) {
        self.findings.told.searched += 1;
    }

    fn wants_header(&self, name: &[u8]) -> bool {
        self.message.tap.is_some() || Header::chosen(name, self.message.options).is_some()
    }

    fn header(&mut self, name: &[u8], value: &[u8]) {
        if let Some(tap) = self.message.tap.as_deref_mut() {
            // What is not answered has no number of its own; that is known before the records come.
            let one_way = self.findings.told.acks == Some(0);
            tap.header(if one_way { Part::Request(Key::Order) } else { self.of }, name, value);
        }
        if self.findings.told.traced {
            return;
        }
        if let Some(header) = Header::chosen(name, self.message.options) {
            trace_context::write(self.message, header, value);
            self.findings.told.traced |= self.message.has(Field::TraceId);
        }
    }
}

/// Appends an id as Kafka's own tools print it: Base64 for URLs, without padding.
fn push_id(text: &mut String, id: &[u8; 16]) {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let number = u128::from_be_bytes(*id);
    text.extend((0..22).map(|place| {
        // Six bits from the front; the last digit has two of the id and four zeros.
        let bits = if place < 21 { number >> (122 - 6 * place) } else { number << 4 };
        DIGITS.get(bits as usize & 0x3f).copied().map_or('A', char::from)
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_as_kafka_prints_them() {
        for (id, text) in [
            (&[0; 16], "AAAAAAAAAAAAAAAAAAAAAA"),
            (&[0xff; 16], "_____________________w"),
            (b"\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f", "AAECAwQFBgcICQoLDA0ODw"),
        ] {
            let mut written = String::new();
            push_id(&mut written, id);
            assert_eq!(written, text);
        }
    }

    #[test]
    fn topics_are_listed_once_and_not_without_end() {
        let mut findings = Findings::default();
        for name in ["a", "b", "a", "", "ab"] {
            findings.add(name, 128);
        }
        assert_eq!((findings.topics.as_str(), findings.ends.len()), ("a,b,ab", 3));
        for number in 0..1_000 {
            findings.add(&alloc::format!("topic-{number}"), 128);
        }
        assert_eq!((findings.ends.len(), findings.told.cut), (128, true));
    }
}
