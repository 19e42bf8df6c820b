//! SQL as it passes: words and literals told apart in one linear pass, without a grammar.
//!
//! What is shown of a statement follows the
//! [database conventions of OpenTelemetry](https://opentelemetry.io/docs/specs/semconv/database/database-spans/): literals become `?`,
//! and the summary is its operations with their targets.

#[cfg(test)]
mod compared;
pub(crate) mod error;
mod lexer;
mod sanitize;
mod summary;

use alloc::string::String;
use alloc::vec::Vec;

use crate::fields::Text;
use crate::trace_context::{self, Header};
use crate::{Field, MessageWriter};
use lexer::{Lexer, Token};
use sanitize::Sanitizer;
use summary::Summary;

pub use lexer::Dialect;

/// Sets resource and endpoint to a statement and its summary, and takes the trace context out of its comments. `cut` says that
/// the statement goes on.
pub(crate) fn write(message: &mut MessageWriter<'_>, sql: &[u8], dialect: Dialect, cut: bool) {
    if message.options().redact {
        return write_redacted(message, sql, dialect, cut);
    }
    if memchr::memchr3(b'\n', b'\r', b'\t', sql).is_some() {
        // A resource is one line, whatever its statement's shape.
        let blank = |byte: &u8| if matches!(byte, b'\n' | b'\r' | b'\t') { b' ' } else { *byte };
        message.field(Field::Resource, &sql.iter().map(blank).collect::<Vec<_>>());
    } else {
        message.field(Field::Resource, sql);
    }
    if cut {
        message.mark_cut(Field::Resource);
    }
    message.field_with(Field::Endpoint, |text| summary(text, sql, dialect));
    trace_comments(message, sql, dialect);
}

/// The same without literals, in one pass.
fn write_redacted(message: &mut MessageWriter<'_>, sql: &[u8], dialect: Dialect, cut: bool) {
    // The summary waits until the statement is written: both are parts of one text.
    let mut endpoint = core::mem::take(message.scratch);
    endpoint.clear();
    let mut comments = false;
    message.field_with(Field::Resource, |text| comments = redact(sql, dialect, text, &mut endpoint));
    if cut {
        message.mark_cut(Field::Resource);
    }
    message.text(Field::Endpoint, Text::Valid(&endpoint));
    *message.scratch = endpoint;
    if comments {
        trace_comments(message, sql, dialect);
    }
}

/// Appends a statement without its literals and comments to `statement`, and its operations with their targets to `summary`. Says
/// whether it has comments.
pub fn redact(sql: &[u8], dialect: Dialect, statement: &mut String, summary: &mut String) -> bool {
    let valid = core::str::from_utf8(sql).ok();
    let mut summary = Summary::new(valid, summary);
    let mut sanitizer = Sanitizer::new(valid.map_or(Text::Bytes(sql), Text::Valid), statement);
    let mut comments = false;
    let mut lexer = Lexer::new(sql, dialect);
    loop {
        // Every second token is a blank: it is worth a way of its own.
        if lexer.blanks() {
            sanitizer.gap();
        }
        let Some(token) = lexer.next() else { break };
        if let Token::Comment(_) = token {
            comments = true;
            sanitizer.gap();
        } else {
            summary.take(&token);
            sanitizer.take(&token, lexer.position());
        }
    }
    sanitizer.finish();
    summary.finish();
    comments
}

/// `/*key='value',…*/` as sqlcommenter writes it: values are URL-encoded.
fn trace_comments(message: &mut MessageWriter<'_>, sql: &[u8], dialect: Dialect) {
    if memchr::memmem::find(sql, b"/*").is_none() {
        return;
    }
    for token in Lexer::new(sql, dialect) {
        let Token::Comment(comment) = token else { continue };
        for pair in comment.split(|byte| *byte == b',') {
            let Some(equals) = memchr::memchr(b'=', pair) else { continue };
            let (name, value) = (pair.get(..equals).unwrap_or_default(), pair.get(equals + 1..).unwrap_or_default());
            let value = value.trim_ascii().trim_ascii_start();
            let value = value.strip_prefix(b"'").and_then(|value| value.strip_suffix(b"'")).unwrap_or(value);
            if let Some(header) = Header::chosen(name.trim_ascii(), message.options) {
                trace_context::write(message, header, value);
            }
        }
    }
}

/// Appends the operations of a statement with their targets.
pub(crate) fn summary(text: &mut String, sql: &[u8], dialect: Dialect) {
    let mut summary = Summary::new(core::str::from_utf8(sql).ok(), text);
    for token in Lexer::new(sql, dialect) {
        if summary.is_full() {
            break;
        }
        summary.take(&token);
    }
    summary.finish();
}

/// What some text begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Beginning {
    /// A statement.
    Statement,
    /// What could become one.
    Perhaps,
    /// Something else.
    Neither,
}

/// Words that statements begin with.
const STATEMENTS: &[&str] = &[
    "ALTER",
    "ANALYZE",
    "BEGIN",
    "CALL",
    "CHANGE",
    "CHECK",
    "CHECKPOINT",
    "CLOSE",
    "COMMENT",
    "COMMIT",
    "COPY",
    "CREATE",
    "DEALLOCATE",
    "DECLARE",
    "DELETE",
    "DESC",
    "DESCRIBE",
    "DISCARD",
    "DO",
    "DROP",
    "END",
    "EXEC",
    "EXECUTE",
    "EXPLAIN",
    "FETCH",
    "FLUSH",
    "GRANT",
    "HANDLER",
    "INSERT",
    "KILL",
    "LISTEN",
    "LOAD",
    "LOCK",
    "MERGE",
    "MOVE",
    "NOTIFY",
    "OPTIMIZE",
    "PREPARE",
    "PURGE",
    "REFRESH",
    "REINDEX",
    "RELEASE",
    "RENAME",
    "REPLACE",
    "RESET",
    "REVOKE",
    "ROLLBACK",
    "SAVEPOINT",
    "SECURITY",
    "SELECT",
    "SET",
    "SHOW",
    "SHUTDOWN",
    "START",
    "STOP",
    "TABLE",
    "TRUNCATE",
    "UNLISTEN",
    "UNLOCK",
    "UPDATE",
    "USE",
    "VACUUM",
    "VALUES",
    "WITH",
    "XA",
];

/// Whether a text begins like a statement, behind blanks, comments and parentheses.
pub(crate) fn begins(sql: &[u8]) -> Beginning {
    let mut length = 0;
    for token in Lexer::new(sql.get(..sql.len().min(4096)).unwrap_or(sql), Dialect::PostgreSql) {
        match token {
            Token::Blank | Token::Symbol(b'(') => length += 1,
            Token::Comment(comment) => length += comment.len(),
            Token::Word(word) => {
                let is = |known: &&str| word.eq_ignore_ascii_case(known.as_bytes());
                let begins = |known: &&str| {
                    known.as_bytes().get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word))
                };
                // A word at the very end may go on.
                let at_end = sql.ends_with(word);
                return match () {
                    () if STATEMENTS.iter().any(is) => Beginning::Statement,
                    () if at_end && STATEMENTS.iter().any(begins) => Beginning::Perhaps,
                    () => Beginning::Neither,
                };
            }
            _ => return Beginning::Neither,
        }
    }
    if sql.len() <= 4096 && (length > 0 || sql.is_empty()) { Beginning::Perhaps } else { Beginning::Neither }
}

/// The schema that a USE statement changes to.
pub(crate) fn used_schema(sql: &[u8]) -> Option<&[u8]> {
    let sql = sql.trim_ascii();
    let (word, rest) = sql.split_at_checked(4)?;
    (word.trim_ascii_end().eq_ignore_ascii_case(b"USE") && word.ends_with(b" ")).then(|| rest.trim_ascii())
}
