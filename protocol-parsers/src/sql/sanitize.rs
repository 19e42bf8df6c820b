//! Statements without their literals.

use alloc::string::String;

use super::lexer::{Dialect, Lexer, Token};
use crate::fields::Text;

/// Appends the statement with `?` for every literal, without comments, with single blanks. A list of values behind `IN` becomes one `?`.
pub(super) fn write(text: &mut String, sql: &[u8], dialect: Dialect) {
    let start = text.len();
    let valid = core::str::from_utf8(sql).ok();
    let mut list = List::No;
    let mut blank = false;
    for token in Lexer::new(sql, dialect) {
        if matches!(token, Token::Blank | Token::Comment(_)) {
            blank = text.len() > start;
            continue;
        }
        list = list.after(&token);
        match list {
            List::Comma => {
                // Whether it stays is known with what follows.
                blank = false;
                continue;
            }
            List::Again => {
                list = List::Value;
                blank = false;
                continue;
            }
            List::Other { comma } => {
                if comma {
                    text.push_str(", ");
                    blank = false;
                }
                list = List::No;
            }
            _ => {}
        }
        if core::mem::take(&mut blank) {
            text.push(' ');
        }
        match token {
            Token::Literal => text.push('?'),
            Token::Word(bytes) | Token::Quoted(bytes) | Token::Parameter(bytes) => {
                Text::within(valid, bytes).push_to(text, usize::MAX);
            }
            // Bytes above belong to words.
            Token::Symbol(byte) => text.push(char::from(byte)),
            Token::Blank | Token::Comment(_) => {}
        }
    }
}

/// Where a list behind `IN` stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum List {
    No,
    /// Behind the word.
    In,
    /// Behind the parenthesis.
    Open,
    /// Behind a value.
    Value,
    /// Behind a comma that follows a value.
    Comma,
    /// A value behind a comma.
    Again,
    /// Something that is no plain list, perhaps behind a comma that was held back.
    Other {
        comma: bool,
    },
}

impl List {
    fn after(self, token: &Token<'_>) -> Self {
        let value = matches!(token, Token::Literal);
        match (self, token) {
            (_, Token::Word(word)) if self != Self::Comma && word.eq_ignore_ascii_case(b"IN") => Self::In,
            (Self::In, Token::Symbol(b'(')) => Self::Open,
            (Self::Open, _) if value => Self::Value,
            (Self::Value, Token::Symbol(b',')) => Self::Comma,
            (Self::Comma, _) if value => Self::Again,
            (Self::Comma, _) => Self::Other { comma: true },
            _ => Self::No,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sanitized(sql: &str) -> String {
        let mut text = String::new();
        write(&mut text, sql.as_bytes(), Dialect::MySql);
        text
    }

    #[test]
    fn literals_become_question_marks() {
        for (sql, text) in [
            ("SELECT * FROM t WHERE a = 'x' AND b=1.5", "SELECT * FROM t WHERE a = ? AND b=?"),
            ("  select\n\t1 -- one\n+ 2 ", "select ? + ?"),
            ("SELECT a/* secret */FROM t1", "SELECT a FROM t1"),
            ("INSERT INTO t VALUES (1, 'a'), (2, 'b')", "INSERT INTO t VALUES (?, ?), (?, ?)"),
            ("SELECT 1 FROM t WHERE a IN (1, 2,3) AND b in ('x')", "SELECT ? FROM t WHERE a IN (?) AND b in (?)"),
            ("SELECT 1 WHERE a IN (1, b, 2)", "SELECT ? WHERE a IN (?, b, ?)"),
            ("SELECT 1 WHERE a IN (SELECT 1, 2)", "SELECT ? WHERE a IN (SELECT ?, ?)"),
            ("SELECT 'unfinished", "SELECT ?"),
            ("SELECT `a b` FROM \u{e4}", "SELECT `a b` FROM \u{e4}"),
            ("", ""),
        ] {
            assert_eq!(sanitized(sql), text);
        }
    }

    #[test]
    fn twice_is_once() {
        for sql in ["SELECT 1 WHERE a IN (1, 2) -- x", "a 'b' \"c\" 0x1f"] {
            let once = sanitized(sql);
            assert_eq!(sanitized(&once), once);
        }
    }
}
