//! PostgreSQL and what speaks like it, protocol version 3
//! ([frontend/backend protocol](https://www.postgresql.org/docs/current/protocol.html)).
//!
//! | field | value |
//! |---|---|
//! | `request_type` | `QUERY`, `PARSE`, `EXECUTE`, `COPY` (either of the first and third, by its statement), `FUNCTION_CALL`, `STARTUP`, `SSL_REQUEST`, `GSSENC_REQUEST`, `CANCEL_REQUEST` |
//! | `domain` | database, where the startup message was seen |
//! | `resource` | SQL text on one line, without its literals (for an execute, the prepared text) |
//! | `endpoint` | operations with their targets, such as `SELECT orders` |
//! | `status_code` | `00000` or the SQLSTATE; for a request for encryption the letter of its answer |
//! | `exception` | text of the error, without values that it repeats |
//! | matched by | order |
//!
//! A query lasts to its last CommandComplete (or EmptyQueryResponse, or the error), over several statements; a parse to its
//! ParseComplete; an execute to CommandComplete, PortalSuspended or the error; a startup to the last message before the server is
//! ready, or to the error. An error in a Bind or Describe belongs to the execute that follows. What the server passes over after an
//! error is `request_only` with the attribute `error.type` = `pipeline_aborted`. A cancel request is `one_way`.
//!
//! Attributes: `db.user` of a startup; `db.postgresql.statement` or `db.postgresql.portal` of an execute whose text was not seen;
//! `db.postgresql.function_oid` of a function call.
//!
//! Recognised by a startup message or a request for encryption, and in a connection joined late by messages of either side that hold
//! together; there the answers to parses and executes are marked as incomplete until the connection was quiet once. Trace ids in a comment of a statement that is parsed also count for its execution in the same pipeline. Not read: values,
//! rows, notices and notifications, what follows a change to encryption.

mod backend;
mod parser;
mod recognise;
mod statements;
pub mod wire;

use alloc::boxed::Box;

use crate::{Options, Parser, Probe, Protocol, ProtocolSpec, Side, Verdict};
use recognise::Start;

/// Recognises and reads PostgreSQL.
#[derive(Clone, Copy, Debug)]
pub struct PostgreSql;

impl ProtocolSpec for PostgreSql {
    fn protocol(&self) -> Protocol {
        Protocol::POSTGRESQL
    }

    fn infer(&self, probe: &Probe<'_>) -> Verdict {
        probe.each_side(|side, bytes| {
            let (may_ask, may_answer) = (side == Side::Client, side == Side::Server);
            let (may_ask, may_answer) = (may_ask || !probe.sides_known, may_answer || !probe.sides_known);
            match recognise::start(bytes, may_ask, may_answer) {
                Start::Client => Verdict::Yes { client: side },
                Start::Server => Verdict::Yes { client: side.other() },
                Start::Perhaps => Verdict::Unsure,
                Start::Neither => Verdict::No,
            }
        })
    }

    fn parser(&self, _options: &Options) -> Box<dyn Parser> {
        Box::new(parser::PostgreSqlParser::default())
    }
}
