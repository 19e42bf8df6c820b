//! Redis and its relatives: RESP2 and RESP3
//! ([protocol specification](https://redis.io/docs/latest/develop/reference/protocol-spec/)), inline commands included.
//!
//! | field | value |
//! |---|---|
//! | `request_type`, `endpoint` | command, upper case |
//! | `resource` | command with its arguments; values as `?` unless wanted |
//! | `exception` | text of an error reply, without arguments that it repeats |
//! | matched by | order, pipelining included |
//!
//! Every command is a call, also inside MULTI. What the server sends unasked (messages of subscriptions, invalidations) is `one_way`, its
//! `request_type` the kind of push and its `resource` the channel. Under `CLIENT REPLY OFF` or `SKIP` commands are `one_way`. A
//! SUBSCRIBE ends with the confirmation of its last channel.
//!
//! Recognised by an array of strings that names a command, by an inline command that only Redis knows or that is answered in RESP, and
//! in a connection joined late by a reply that holds together. Not read: values, what follows PSYNC, the stream of MONITOR, streamed
//! strings and aggregates of RESP3 (which no server sends).
//!
//! After a loss while CLIENT REPLY is OFF or SKIP nobody knows whether replies are wanted again: until CLIENT REPLY or a reply tells, commands
//! are `one_way` and say that they are incomplete. `REPLCONF ACK` is `one_way`.

mod command;
mod outcome;
mod parser;
pub mod wire;

use alloc::boxed::Box;

use crate::{Options, Parser, Probe, Protocol, ProtocolSpec, Side, Verdict};

/// Recognises and reads Redis.
#[derive(Clone, Copy, Debug)]
pub struct Redis;

impl ProtocolSpec for Redis {
    fn protocol(&self) -> Protocol {
        Protocol::REDIS
    }

    fn infer(&self, probe: &Probe<'_>) -> Verdict {
        if probe.transport.is_datagram() {
            return Verdict::No;
        }
        let mut answer = Verdict::No;
        for side in [probe.first, probe.first.other()] {
            if side == Side::Server && probe.sides_known {
                continue;
            }
            let greeted = side != probe.first;
            let may_answer = !probe.from_start && !probe.sides_known;
            let theirs = probe.of(side.other());
            match recognise_command(probe.of(side), theirs, greeted, probe.from_start, may_answer) {
                Verdict::No => {}
                Verdict::Unsure => answer = Verdict::Unsure,
                Verdict::Yes { .. } => return Verdict::Yes { client: side },
            }
        }
        // Joined late, a reply may come first.
        let side = probe.first;
        let may_be_server = side == Side::Server || !probe.sides_known;
        if answer == Verdict::No && !probe.from_start && may_be_server {
            match wire::is_whole_reply(probe.of(side)) {
                Some(true) => return Verdict::Yes { client: side.other() },
                Some(false) => {}
                None => return Verdict::Unsure,
            }
        }
        answer
    }

    fn parser(&self, _options: &Options) -> Box<dyn Parser> {
        Box::new(parser::RedisParser::default())
    }
}

/// `may_answer`: these bytes may as well be a reply.
fn recognise_command(bytes: &[u8], answer: &[u8], greeted: bool, from_start: bool, may_answer: bool) -> Verdict {
    match bytes {
        [] => Verdict::No,
        [b'*', ..] => match wire::command_name(bytes) {
            wire::Name::Is(name) if may_answer && command::is_confirmation(name) => {
                match wire::is_confirmation(bytes) {
                    Some(true) => Verdict::No,
                    Some(false) => Verdict::Yes { client: Side::Client },
                    None => Verdict::Unsure,
                }
            }
            // A list of strings: of a command that is not common, or of values. The other side knows.
            wire::Name::Is(name) if may_answer && !command::is_known(name) => match wire::command_name(answer) {
                _ if command::is_message(name) => Verdict::No,
                wire::Name::Is(other) if command::is_known(other) => Verdict::No,
                _ if !command::is_name(name) => Verdict::No,
                wire::Name::Perhaps => Verdict::Unsure,
                _ if answer.is_empty() => Verdict::Unsure,
                _ => Verdict::Yes { client: Side::Client },
            },
            wire::Name::Is(name) if command::is_name(name) => Verdict::Yes { client: Side::Client },
            wire::Name::Perhaps => Verdict::Unsure,
            _ => Verdict::No,
        },
        // Other protocols of lines have words in common; where the server greets first, it is one of those.
        _ if greeted => Verdict::No,
        _ => match wire::inline_name(bytes) {
            wire::Name::Is(name) if command::is_of_redis_alone(name) => Verdict::Yes { client: Side::Client },
            wire::Name::Is(name) if command::is_known(name) && from_start => match answer {
                [] => Verdict::Unsure,
                [b'+' | b'-' | b':' | b'$' | b'*' | b'_' | b'%', ..] => Verdict::Yes { client: Side::Client },
                _ => Verdict::No,
            },
            wire::Name::Perhaps if command::begins_known(bytes) => Verdict::Unsure,
            _ => Verdict::No,
        },
    }
}
