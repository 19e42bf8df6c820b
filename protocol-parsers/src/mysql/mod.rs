//! MySQL and MariaDB
//! ([client/server protocol](https://dev.mysql.com/doc/dev/mysql-server/latest/PAGE_PROTOCOL.html),
//! [MariaDB](https://mariadb.com/kb/en/clientserver-protocol/)).
//!
//! | field | value |
//! |---|---|
//! | `request_type` | `COM_QUERY`, `COM_STMT_EXECUTE` …; `LOGIN` for the handshake |
//! | `domain` | schema, where it was seen |
//! | `resource` | SQL text on one line, without its literals (for an execute, the prepared text); name of the schema or table for the commands about those |
//! | `endpoint` | operations with their targets, such as `SELECT orders` |
//! | `status_code`, `exception` | `0`, or number and text of the error, without values that it repeats |
//! | matched by | order |
//!
//! A call lasts to the end of its result, over several result sets. LOGIN runs from the client's login packet to OK or the error. Quit,
//! close and long data are `one_way`. Attributes: `db.mysql.statement_id` of an execute whose text was not seen, `db.user` of a login.
//!
//! Recognised by the server's greeting, a login packet, a command that holds together, and in a connection joined late by an answer that
//! does. Not read: rows, compressed connections, what follows a change to TLS.

mod answer;
mod parser;
mod statements;
pub mod wire;

use alloc::boxed::Box;

use crate::{Options, Parser, Probe, Protocol, ProtocolSpec, Verdict};
use wire::Start;

/// Recognises and reads MySQL.
#[derive(Clone, Copy, Debug)]
pub struct MySql;

impl ProtocolSpec for MySql {
    fn protocol(&self) -> Protocol {
        Protocol::MYSQL
    }

    fn infer(&self, probe: &Probe<'_>) -> Verdict {
        probe.each_side(|side, bytes| match wire::recognise(bytes, probe.from_start) {
            Start::Client => probe.yes(side),
            Start::Server => probe.yes(side.other()),
            Start::Perhaps => Verdict::Unsure,
            Start::Neither => Verdict::No,
        })
    }

    fn parser(&self, _options: &Options) -> Box<dyn Parser> {
        Box::new(parser::MySqlParser::default())
    }
}
