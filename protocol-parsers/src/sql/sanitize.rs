//! Statements without their literals.

use alloc::string::String;
use core::ops::Range;

use super::lexer::Token;
use crate::fields::Text;

/// Appends a statement with `?` for every literal, without comments, with single blanks. A list of values behind `IN` becomes one `?`.
pub(super) struct Sanitizer<'s, 't> {
    sql: Text<'s>,
    text: &'t mut String,
    /// Length of the text before the statement.
    start: usize,
    /// The part of the statement that comes next as it stands. Most of a statement does, and it is copied in few pieces.
    run: Range<usize>,
    list: List,
    blank: bool,
}

impl<'s, 't> Sanitizer<'s, 't> {
    pub(super) fn new(sql: Text<'s>, text: &'t mut String) -> Self {
        let start = text.len();
        Self { sql, text, start, run: 0..0, list: List::No, blank: false }
    }

    /// Takes a blank or a comment.
    pub(super) fn gap(&mut self) {
        self.blank = self.text.len() > self.start || !self.run.is_empty();
    }

    /// Takes the token that ends at `end`.
    // Called from one place, the loop over tokens.
    #[inline(always)]
    pub(super) fn take(&mut self, token: &Token<'_>, end: usize) {
        let length = match token {
            Token::Blank | Token::Comment(_) => return self.gap(),
            Token::Word(bytes) | Token::Quoted(bytes) | Token::Parameter(bytes) => bytes.len(),
            Token::Literal => 0,
            Token::Symbol(_) => 1,
        };
        self.list = self.list.after(token);
        match self.list {
            List::Comma => {
                // Whether it stays is known with what follows.
                self.blank = false;
                return;
            }
            List::Again => {
                self.list = List::Value;
                self.blank = false;
                return;
            }
            List::Other { comma } => {
                if comma {
                    self.push(", ", end - length);
                    self.blank = false;
                }
                self.list = List::No;
            }
            _ => {}
        }
        let blank = core::mem::take(&mut self.blank);
        if *token == Token::Literal {
            self.push(if blank { " ?" } else { "?" }, end);
            return;
        }
        let start = end - length;
        let goes_on = match self.sql.bytes().get(self.run.end..start) {
            Some([]) => !blank,
            Some(b" ") => blank,
            _ => false,
        };
        if !goes_on {
            self.push(if blank { " " } else { "" }, start);
        }
        self.run.end = end;
    }

    /// Appends the run and what is not copied. The next run begins at `next`.
    fn push(&mut self, text: &str, next: usize) {
        self.sql.part(self.run.clone()).push_to(self.text, usize::MAX);
        self.text.push_str(text);
        self.run = next..next;
    }

    /// The statement ends.
    pub(super) fn finish(mut self) {
        self.push("", 0);
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
    use crate::sql::{Dialect, Lexer};

    fn sanitized(sql: &str) -> String {
        let mut text = String::new();
        let mut lexer = Lexer::new(sql.as_bytes(), Dialect::MySql);
        let mut sanitizer = Sanitizer::new(Text::Valid(sql), &mut text);
        while let Some(token) = lexer.next() {
            sanitizer.take(&token, lexer.position());
        }
        sanitizer.finish();
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
            ("1abc  d 'x' 'y'\t, ?", "abc d ? ? , ?"),
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
