//! Kafka ([protocol guide](https://kafka.apache.org/protocol.html)), all versions up to those of Kafka 4.1.
//!
//! | field | value |
//! |---|---|
//! | `request_type` | name of the API: `Produce`, `Fetch`, `JoinGroup` … |
//! | `domain` | client id |
//! | `resource` | topics, joined by commas, at most [so many](crate::Limits::topics); of an incremental fetch those that its answer carries |
//! | `endpoint` | API, with the topic if it is one |
//! | `request_id` | correlation id |
//! | `status_code`, `exception` | first error code that is not zero, or `0`; its name, and the broker's words where it adds some |
//! | matched by | correlation id |
//!
//! A Produce that asks for no acknowledgement is `one_way`. Codes by which a broker sends the client to another broker or back into its
//! group are no errors. Ids of traces come from the headers of the first record that carries some, of the first 32 records of a message
//! and unless compressed. Where a message names topics by id alone, the names are those that metadata gave, on the same connection or
//! else on any other that the same [`Dissector`](crate::Dissector) reads; else the id stands for the name and
//! `messaging.kafka.topic_id_unknown` is set.
//!
//! Attributes: `messaging.kafka.api_version`, `messaging.consumer.group.name`, `messaging.kafka.transactional_id`,
//! `messaging.batch.message_count`, and where it is about one partition `messaging.destination.partition.id` and
//! `messaging.kafka.offset`; `user_agent.name` and `.version` of ApiVersions, `messaging.kafka.sasl_mechanism`.
//! `messaging.kafka.unread` says that the fields are of no known form: an API or version that is newer than this crate, or
//! one that brokers use among themselves.
//!
//! Recognised by a request that holds together, and in a connection joined late by an answer that does. Not read: keys and values of
//! records, credentials.

mod api;
mod detect;
mod errors;
mod findings;
mod messages;
mod names;
mod parser;
mod records;
mod shape;
mod walk;
pub mod wire;

use alloc::boxed::Box;

use crate::{Options, Parser, Probe, Protocol, ProtocolSpec, Side, Verdict};
use detect::Start;

pub use api::Api;
pub(crate) use findings::Shared;

/// Recognises and reads Kafka.
#[derive(Clone, Copy, Debug)]
pub struct Kafka;

impl ProtocolSpec for Kafka {
    fn protocol(&self) -> Protocol {
        Protocol::KAFKA
    }

    fn infer(&self, probe: &Probe<'_>) -> Verdict {
        if probe.transport.is_datagram() {
            return Verdict::No;
        }
        let mut answer = Verdict::No;
        for side in [probe.first, probe.first.other()] {
            let may_ask = side == Side::Client || !probe.sides_known;
            let may_answer = side == Side::Server || !probe.sides_known;
            let bytes = probe.of(side);
            let starts = [
                (side, if may_ask { detect::request(bytes) } else { Start::No }),
                // A broker never speaks first.
                (side.other(), if may_answer && !probe.from_start { detect::response(bytes) } else { Start::No }),
            ];
            for (client, start) in starts {
                match start {
                    Start::Yes => return Verdict::Yes { client },
                    Start::Perhaps => answer = Verdict::Unsure,
                    Start::No => {}
                }
            }
        }
        answer
    }

    fn parser(&self, _options: &Options) -> Box<dyn Parser> {
        Box::new(parser::KafkaParser::default())
    }
}
