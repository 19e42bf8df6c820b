//! Cuts SQL into words, literals and the rest. Every byte is looked at once, whatever they are.

use memchr::{memchr, memmem};

/// Where the dialects differ in what a quote means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// Double quotes and single quotes enclose strings, backslashes escape, `#` begins a comment.
    MySql,
    /// Double quotes enclose names, `$tag$` encloses strings, comments nest.
    PostgreSql,
}

/// A piece of SQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// White space.
    Blank,
    /// What stands within a comment.
    Comment(&'a [u8]),
    /// A keyword or a name without quotes.
    Word(&'a [u8]),
    /// A name with its quotes.
    Quoted(&'a [u8]),
    /// A string or a number.
    Literal,
    /// A place for a value: `?`, `$1`.
    Parameter(&'a [u8]),
    /// Anything else, one byte.
    Symbol(u8),
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Lexer<'a> {
    sql: &'a [u8],
    position: usize,
    dialect: Dialect,
}

impl<'a> Lexer<'a> {
    pub(super) const fn new(sql: &'a [u8], dialect: Dialect) -> Self {
        Self { sql, position: 0, dialect }
    }

    fn rest(&self) -> &'a [u8] {
        self.sql.get(self.position..).unwrap_or_default()
    }

    fn take(&mut self, length: usize) -> &'a [u8] {
        let rest = self.rest();
        let taken = rest.get(..length).unwrap_or(rest);
        self.position += taken.len();
        taken
    }

    fn take_while(&mut self, test: impl Fn(u8) -> bool) -> &'a [u8] {
        let rest = self.rest();
        self.take(rest.iter().position(|byte| !test(*byte)).unwrap_or(rest.len()))
    }

    /// Passes a string that began with `quote`, which was taken.
    fn string(&mut self, quote: u8, backslash: bool) {
        loop {
            let rest = self.rest();
            let end = if backslash { memchr::memchr2(quote, b'\\', rest) } else { memchr(quote, rest) };
            let Some(end) = end else {
                self.position = self.sql.len();
                return;
            };
            match rest.get(end..) {
                Some([b'\\', _, ..]) => self.position += end + 2,
                Some([byte, next, ..]) if byte == next && *byte == quote => self.position += end + 2,
                _ => {
                    self.position += end + 1;
                    return;
                }
            }
        }
    }

    /// Passes a comment whose `/*` was taken and returns what stands in it.
    fn comment(&mut self) -> &'a [u8] {
        let start = self.position;
        let mut depth = 1;
        while depth > 0 {
            let rest = self.rest();
            let Some(end) = memmem::find(rest, b"*/") else {
                self.position = self.sql.len();
                return self.sql.get(start..).unwrap_or_default();
            };
            let opened = match self.dialect {
                Dialect::PostgreSql => memmem::find_iter(rest.get(..end).unwrap_or_default(), b"/*").count(),
                Dialect::MySql => 0,
            };
            depth = depth + opened - 1;
            self.position += end + 2;
        }
        self.sql.get(start..self.position - 2).unwrap_or_default()
    }

    fn word(&mut self) -> Token<'a> {
        let word = self.take_while(is_part_of_word);
        if self.sql.get(self.position) == Some(&b'\'') { self.before_quote(word) } else { Token::Word(word) }
    }

    /// Bits, hexadecimal digits, national characters, escapes: the prefix belongs to the string. Behind any other word a string begins.
    #[cold]
    fn before_quote(&mut self, word: &'a [u8]) -> Token<'a> {
        let postgres = self.dialect == Dialect::PostgreSql;
        let backslash = match word {
            [b'x' | b'X' | b'b' | b'B' | b'n' | b'N'] => !postgres,
            [b'e' | b'E'] if postgres => true,
            _ => return Token::Word(word),
        };
        self.take(1);
        self.string(b'\'', backslash);
        Token::Literal
    }

    fn number(&mut self) -> Token<'a> {
        if matches!(self.rest(), [b'0', b'x' | b'X' | b'b' | b'B' | b'o' | b'O', ..]) {
            self.take_while(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
            return Token::Literal;
        }
        self.take_while(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'_'));
        if let [b'e' | b'E', rest @ ..] = self.rest()
            && let [b'0'..=b'9', ..] | [b'+' | b'-', b'0'..=b'9', ..] = rest
        {
            self.take(2);
            self.take_while(|byte| byte.is_ascii_digit());
        }
        // A name that begins with digits is one in MySQL.
        let tail = self.take_while(|byte| is_word(byte) || byte.is_ascii_digit());
        if tail.is_empty() { Token::Literal } else { Token::Word(tail) }
    }

    /// `$1`, `$tag$string$tag$`, or a lone dollar.
    fn dollar(&mut self) -> Token<'a> {
        let rest = self.rest();
        let digits = rest.iter().skip(1).take_while(|byte| byte.is_ascii_digit()).count();
        if digits > 0 {
            return Token::Parameter(self.take(1 + digits));
        }
        let tag = rest.iter().skip(1).take_while(|byte| is_word(**byte) || byte.is_ascii_digit()).count() + 2;
        match rest.get(..tag) {
            Some(delimiter @ [.., b'$']) if tag >= 2 => {
                self.take(tag);
                match memmem::find(self.rest(), delimiter) {
                    Some(end) => self.position += end + tag,
                    None => self.position = self.sql.len(),
                }
                Token::Literal
            }
            _ => {
                self.take(1);
                Token::Symbol(b'$')
            }
        }
    }
}

impl<'a> Iterator for Lexer<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        let rest = self.rest();
        let (byte, next) = (*rest.first()?, rest.get(1));
        let mysql = self.dialect == Dialect::MySql;
        Some(match byte {
            // Most of a statement is words and what stands between them.
            b'a'..=b'z' | b'A'..=b'Z' | b'_' | 0x80.. => self.word(),
            b' ' | b'\t' | b'\r' | b'\n' | b'\x0b' | b'\x0c' => {
                self.blanks();
                Token::Blank
            }
            b'/' if next == Some(&b'*') => {
                self.take(2);
                Token::Comment(self.comment())
            }
            b'-' if next == Some(&b'-') => match rest.get(2) {
                Some(after) if mysql && !after.is_ascii_whitespace() => self.symbol(byte),
                _ => Token::Comment(self.line()),
            },
            b'#' if mysql => Token::Comment(self.line()),
            b'\'' => {
                self.take(1);
                self.string(b'\'', mysql);
                Token::Literal
            }
            b'"' if mysql => {
                self.take(1);
                self.string(b'"', true);
                Token::Literal
            }
            b'"' | b'`' => {
                let start = self.position;
                self.take(1);
                self.string(byte, false);
                Token::Quoted(self.sql.get(start..self.position).unwrap_or_default())
            }
            b'$' => self.dollar(),
            b'?' => Token::Parameter(self.take(1)),
            b'0'..=b'9' => self.number(),
            b'.' if next.is_some_and(u8::is_ascii_digit) => self.number(),
            _ => self.symbol(byte),
        })
    }
}

impl<'a> Lexer<'a> {
    /// Passes blanks. Says whether there were any.
    pub(super) fn blanks(&mut self) -> bool {
        !self.take_while(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | b'\x0b' | b'\x0c')).is_empty()
    }

    /// Where the next token begins.
    pub(super) const fn position(&self) -> usize {
        self.position
    }

    fn symbol(&mut self, byte: u8) -> Token<'a> {
        self.position += 1;
        Token::Symbol(byte)
    }

    fn line(&mut self) -> &'a [u8] {
        let rest = self.rest();
        self.take(memchr(b'\n', rest).unwrap_or(rest.len()))
    }
}

/// What a word begins with.
fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || byte >= 0x80
}

/// For every byte, whether a word can go on with it.
static PARTS_OF_WORDS: [bool; 256] = {
    let mut parts = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        let ascii = byte as u8;
        parts[byte] = byte >= 0x80 || ascii.is_ascii_alphanumeric() || ascii == b'_' || ascii == b'$';
        byte += 1;
    }
    parts
};

fn is_part_of_word(byte: u8) -> bool {
    PARTS_OF_WORDS[usize::from(byte)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn tokens(sql: &str, dialect: Dialect) -> Vec<Token<'_>> {
        Lexer::new(sql.as_bytes(), dialect).filter(|token| *token != Token::Blank).collect()
    }

    #[test]
    fn strings_end_where_the_dialect_says() {
        use Token::{Literal, Quoted, Word};
        assert_eq!(tokens("'a''b' x", Dialect::MySql), [Literal, Word(b"x")]);
        assert_eq!(tokens(r"'a\'b' x", Dialect::MySql), [Literal, Word(b"x")]);
        assert_eq!(tokens(r"'a\' x", Dialect::PostgreSql), [Literal, Word(b"x")]);
        assert_eq!(tokens(r"E'a\'b' x", Dialect::PostgreSql), [Literal, Word(b"x")]);
        assert_eq!(tokens("\"a\" x", Dialect::MySql), [Literal, Word(b"x")]);
        assert_eq!(tokens("\"a\" x", Dialect::PostgreSql), [Quoted(b"\"a\""), Word(b"x")]);
        assert_eq!(tokens("$$a'b$$ $t$ $$ $t$ x", Dialect::PostgreSql), [Literal, Literal, Word(b"x")]);
        assert_eq!(tokens("'cut", Dialect::MySql), [Literal]);
        assert_eq!(tokens("x'1F' b'01' 0x1f 1.5e-3 .5", Dialect::MySql), [Literal; 5]);
    }

    #[test]
    fn comments_nest_where_the_dialect_says() {
        use Token::{Comment, Symbol, Word};
        assert_eq!(tokens("/*a*/x", Dialect::MySql), [Comment(b"a"), Word(b"x")]);
        assert_eq!(tokens("/*a/*b*/c*/x", Dialect::PostgreSql), [Comment(b"a/*b*/c"), Word(b"x")]);
        assert_eq!(
            tokens("x -- y\nz # w", Dialect::MySql),
            [Word(b"x"), Comment(b"-- y"), Word(b"z"), Comment(b"# w")]
        );
        assert_eq!(tokens("x--y", Dialect::MySql), [Word(b"x"), Symbol(b'-'), Symbol(b'-'), Word(b"y")]);
    }

    #[test]
    fn parameters_are_no_literals() {
        use Token::{Parameter, Symbol, Word};
        assert_eq!(tokens("$1 ? a$b", Dialect::PostgreSql), [Parameter(b"$1"), Parameter(b"?"), Word(b"a$b")]);
        assert_eq!(tokens("t1 $", Dialect::PostgreSql), [Word(b"t1"), Symbol(b'$')]);
    }
}
