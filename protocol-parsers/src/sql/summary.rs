//! What a statement does, to what: `SELECT songs`, `INSERT orders SELECT carts`. Of several statements in one text, one behind the other:
//! `BEGIN SELECT songs COMMIT`. One that does the same as the one before it is left out, so that rows of statements of any length are one
//! summary.

use alloc::string::String;

use super::lexer::Token;
use crate::fields::Text;

/// A summary is at most this long (OpenTelemetry, `db.query.summary`).
const LONGEST: usize = 255;

/// What the next name would be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expect {
    Nothing,
    /// The target of an operation.
    Target,
    /// Perhaps one more target, behind a comma.
    More,
    /// The kind of object behind CREATE, ALTER, DROP.
    Kind,
}

/// Appends the operations of a statement with their targets.
pub(super) struct Summary<'s, 't> {
    /// The statement, if it is UTF-8.
    valid: Option<&'s str>,
    text: &'t mut String,
    /// Length of the text before the summary.
    start: usize,
    expect: Expect,
    name_goes_on: bool,
    first: bool,
    /// A definition names what it defines; what stands in its body is another statement's business.
    definition: bool,
    /// The body has begun: semicolons in it end no statement of the text.
    body: bool,
    /// Where in the text the summary of the statement begins, and that of the one before.
    statement: usize,
    before: usize,
}

impl<'s, 't> Summary<'s, 't> {
    pub(super) fn new(valid: Option<&'s str>, text: &'t mut String) -> Self {
        let start = text.len();
        Self {
            valid,
            text,
            start,
            expect: Expect::Nothing,
            name_goes_on: false,
            first: true,
            definition: false,
            body: false,
            statement: start,
            before: start,
        }
    }

    /// Whether nothing more has room.
    pub(super) fn is_full(&self) -> bool {
        self.text.len() - self.start > LONGEST
    }

    #[inline]
    pub(super) fn take(&mut self, token: &Token<'s>) {
        if self.is_full() {
            return;
        }
        match *token {
            Token::Blank | Token::Comment(_) => return,
            Token::Symbol(b'.') if self.name_goes_on => {
                self.text.push('.');
                return;
            }
            Token::Word(word) if !(self.name_goes_on && self.text.ends_with('.')) => self.word(word),
            Token::Word(name) if self.name_goes_on => {
                self.append(name);
                return;
            }
            Token::Quoted(name) if self.name_goes_on && self.text.ends_with('.') => {
                self.append(unquoted(name));
                return;
            }
            Token::Quoted(name) if self.expect == Expect::Target => self.target(unquoted(name)),
            Token::Symbol(b',') if self.expect == Expect::More && !self.definition => {
                self.name_goes_on = false;
                self.expect = Expect::Target;
            }
            Token::Symbol(b';') if !self.body => return self.end_statement(),
            Token::Symbol(b'(' | b')') => {
                self.name_goes_on = false;
                self.expect = Expect::Nothing;
            }
            _ => self.name_goes_on = false,
        }
        self.first = false;
    }

    fn end_statement(&mut self) {
        let own = self.text.get(self.statement..).unwrap_or_default().trim_start();
        let before = self.text.get(self.before..self.statement).unwrap_or_default().trim_start();
        if own.is_empty() || own == before {
            self.text.truncate(self.statement);
        } else {
            (self.before, self.statement) = (self.statement, self.text.len());
        }
        (self.first, self.definition) = (true, false);
        (self.expect, self.name_goes_on) = (Expect::Nothing, false);
    }

    fn word(&mut self, word: &'s [u8]) {
        self.name_goes_on = false;
        self.body |= self.definition && word.eq_ignore_ascii_case(b"BEGIN");
        match operation(word) {
            Some(Word::Operation(next)) if !self.definition || self.first => {
                self.operation(word);
                self.definition = next == Expect::Kind;
                self.expect = next;
            }
            Some(Word::Preposition) if !self.definition => self.expect = Expect::Target,
            Some(Word::Filler) => {}
            None if self.expect == Expect::Target && word.eq_ignore_ascii_case(b"TABLE") => {}
            // Statements may begin with these, too.
            Some(Word::End) if self.first => self.operation(word),
            Some(Word::End) => self.expect = Expect::Nothing,
            _ if self.expect == Expect::Kind => {
                self.operation(word);
                self.expect = Expect::Target;
            }
            _ if self.expect == Expect::Target => self.target(word),
            // An operation we do not know stands alone.
            _ if self.first => self.operation(word),
            _ => {}
        }
    }

    fn operation(&mut self, word: &'s [u8]) {
        let from = self.push(word);
        self.text.get_mut(from..).unwrap_or_default().make_ascii_uppercase();
    }

    fn target(&mut self, name: &'s [u8]) {
        self.push(name);
        self.name_goes_on = true;
        self.expect = Expect::More;
    }

    /// Appends a word and returns where it begins.
    fn push(&mut self, word: &'s [u8]) -> usize {
        if self.text.len() > self.start {
            self.text.push(' ');
        }
        let from = self.text.len();
        self.append(word);
        from
    }

    fn append(&mut self, word: &'s [u8]) {
        Text::within(self.valid, word).push_to(self.text, LONGEST);
    }

    /// The text ends. Too long a summary ends with a whole word, if there is one.
    pub(super) fn finish(mut self) {
        self.end_statement();
        if self.text.len() - self.start > LONGEST {
            let end = self.text.floor_char_boundary(self.start + LONGEST);
            let word =
                self.text.get(self.start..=end).and_then(|text| text.rfind(' ')).map_or(end, |at| self.start + at);
            self.text.truncate(word);
        }
    }
}

fn unquoted(name: &[u8]) -> &[u8] {
    match name {
        [open, inner @ .., close] if open == close => inner,
        _ => name,
    }
}

#[derive(Clone, Copy)]
enum Word {
    /// Belongs to the summary; with what follows it.
    Operation(Expect),
    /// A name of a target follows.
    Preposition,
    /// Stands between an operation and its target.
    Filler,
    /// No target follows.
    End,
}

fn operation(word: &[u8]) -> Option<Word> {
    use Expect::{Kind, Nothing, Target};
    use Word::{End, Filler, Operation, Preposition};
    // By the first letter: most words are names, and told apart by it and their length.
    let known: &[(&[u8], Word)] = match word.first()?.to_ascii_uppercase() {
        b'A' => &[(b"AS", End), (b"ALTER", Operation(Kind))],
        b'C' => &[
            (b"CREATE", Operation(Kind)),
            (b"CALL", Operation(Target)),
            (b"COPY", Operation(Target)),
            (b"CONCURRENTLY", Filler),
        ],
        b'D' => &[
            (b"DELETE", Operation(Nothing)),
            (b"DROP", Operation(Kind)),
            (b"DESCRIBE", Operation(Target)),
            (b"DELAYED", Filler),
        ],
        b'E' => &[(b"EXECUTE", Operation(Target)), (b"EXEC", Operation(Target)), (b"EXISTS", Filler)],
        b'F' => &[(b"FROM", Preposition)],
        b'G' => &[(b"GROUP", End)],
        b'H' => &[(b"HAVING", End)],
        b'I' => &[(b"INSERT", Operation(Nothing)), (b"INTO", Preposition), (b"IF", Filler), (b"IGNORE", Filler)],
        b'J' => &[(b"JOIN", Preposition)],
        b'L' => &[(b"LIMIT", End), (b"LATERAL", Filler), (b"LOW_PRIORITY", Filler)],
        b'M' => &[(b"MERGE", Operation(Nothing))],
        b'N' => &[(b"NOT", Filler)],
        b'O' => &[(b"ON", End), (b"ORDER", End), (b"OR", Filler), (b"ONLY", Filler)],
        b'Q' => &[(b"QUICK", Filler)],
        b'R' => &[(b"REPLACE", Operation(Nothing))],
        b'S' => &[(b"SELECT", Operation(Nothing)), (b"SET", End), (b"STDIN", End), (b"STDOUT", End)],
        b'T' => &[(b"TRUNCATE", Operation(Target)), (b"TEMPORARY", Filler), (b"TEMP", Filler)],
        b'U' => &[
            (b"UPDATE", Operation(Target)),
            (b"USE", Operation(Target)),
            (b"USING", End),
            (b"UNION", End),
            (b"UNIQUE", Filler),
            (b"UNLOGGED", Filler),
        ],
        b'V' => &[(b"VALUES", End)],
        b'W' => &[(b"WHERE", End)],
        _ => return None,
    };
    known.iter().find(|(known, _)| word.eq_ignore_ascii_case(known)).map(|(_, kind)| *kind)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::Dialect;

    fn summary(sql: &str) -> String {
        let mut text = String::new();
        crate::sql::summary(&mut text, sql.as_bytes(), Dialect::MySql);
        text
    }

    #[test]
    fn operations_with_their_targets() {
        for (sql, text) in [
            ("select * from wuser_table where username = ?", "SELECT wuser_table"),
            (
                "INSERT INTO shipping_details (a, b) SELECT a, b FROM orders WHERE c",
                "INSERT shipping_details SELECT orders",
            ),
            ("SELECT * FROM songs, artists s WHERE songs.a = s.b", "SELECT songs artists"),
            ("SELECT * FROM a.songs JOIN `b`.`artists` ON x", "SELECT a.songs b.artists"),
            ("SELECT 1", "SELECT"),
            ("UPDATE t SET a = 1 WHERE b IN (SELECT c FROM d)", "UPDATE t SELECT d"),
            ("DELETE FROM t WHERE a", "DELETE t"),
            ("CREATE TABLE IF NOT EXISTS t (a INT)", "CREATE TABLE t"),
            ("drop table if exists x", "DROP TABLE x"),
            ("COMMIT", "COMMIT"),
            ("SHOW VARIABLES", "SHOW"),
            ("use shop", "USE shop"),
            ("COPY t (a, b) FROM STDIN WITH (FORMAT csv)", "COPY t"),
            ("", ""),
            ("BEGIN; SELECT 1; COMMIT", "BEGIN SELECT COMMIT"),
            ("begin;; SELECT * FROM a, b; update c set d = 1;", "BEGIN SELECT a b UPDATE c"),
            ("CREATE TABLE t (a INT); INSERT INTO t VALUES (1); DROP TABLE t", "CREATE TABLE t INSERT t DROP TABLE t"),
            ("INSERT INTO t VALUES (1); INSERT INTO t VALUES (2); INSERT INTO t VALUES (3)", "INSERT t"),
            ("SELECT 1 FROM a; SELECT 1 FROM b; SELECT 1 FROM b; SELECT 2 FROM a", "SELECT a SELECT b SELECT a"),
            ("CREATE PROCEDURE two() BEGIN SELECT 1; SELECT 2 FROM t; END", "CREATE PROCEDURE two"),
            ("SET a = 1; SET b = 2; SELECT ';' FROM `x;y`", "SET SELECT x;y"),
            (";", ""),
        ] {
            assert_eq!(summary(sql), text, "{sql}");
        }
    }

    #[test]
    fn a_long_summary_ends_with_a_whole_word() {
        let names: std::vec::Vec<String> = (0..100).map(|number| std::format!("table_{number}")).collect();
        let text = summary(&std::format!("SELECT * FROM {}", names.join(", ")));
        assert!((245..=LONGEST).contains(&text.len()) && text.ends_with("table_27"), "{text}");
        // With nothing else to cut at, within the name.
        assert_eq!(summary(&"x".repeat(1_000)), "X".repeat(LONGEST));
        // Rows of statements of any length are one summary, also where they are long.
        let row = std::format!("INSERT INTO {} VALUES (1);", names.join("_")).repeat(10);
        assert!(summary(&row).starts_with("INSERT"));
    }
}
