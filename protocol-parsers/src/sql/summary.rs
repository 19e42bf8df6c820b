//! What a statement does, to what: `SELECT songs`, `INSERT orders SELECT carts`.

use alloc::string::String;

use super::lexer::{Dialect, Lexer, Token};
use crate::fields::push_escaped;

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
pub(super) fn write(text: &mut String, sql: &[u8], dialect: Dialect) {
    let start = text.len();
    let mut expect = Expect::Nothing;
    let mut name_goes_on = false;
    let mut first = true;
    // A definition names what it defines; what stands in its body is another statement's business.
    let mut definition = false;
    for token in Lexer::new(sql, dialect) {
        if text.len() - start > LONGEST {
            break;
        }
        match token {
            Token::Blank | Token::Comment(_) => continue,
            Token::Symbol(b'.') if name_goes_on => {
                text.push('.');
                continue;
            }
            Token::Word(word) if !(name_goes_on && text.ends_with('.')) => {
                name_goes_on = false;
                match operation(word) {
                    Some(Word::Operation(next)) if !definition || first => {
                        push(text, start, word, true);
                        definition = next == Expect::Kind;
                        expect = next;
                    }
                    Some(Word::Preposition) if !definition => expect = Expect::Target,
                    Some(Word::Filler) => {}
                    None if expect == Expect::Target && word.eq_ignore_ascii_case(b"TABLE") => {}
                    Some(Word::End) => expect = Expect::Nothing,
                    _ if expect == Expect::Kind => {
                        push(text, start, word, true);
                        expect = Expect::Target;
                    }
                    _ if expect == Expect::Target => {
                        push(text, start, word, false);
                        name_goes_on = true;
                        expect = Expect::More;
                    }
                    // An operation we do not know stands alone.
                    _ if first => push(text, start, word, true),
                    _ => {}
                }
            }
            Token::Word(name) if name_goes_on => {
                push_escaped(text, name, LONGEST);
                continue;
            }
            Token::Quoted(name) if name_goes_on && text.ends_with('.') => {
                push_escaped(text, unquoted(name), LONGEST);
                continue;
            }
            Token::Quoted(name) if expect == Expect::Target => {
                push(text, start, unquoted(name), false);
                name_goes_on = true;
                expect = Expect::More;
            }
            Token::Symbol(b',') if expect == Expect::More && !definition => {
                name_goes_on = false;
                expect = Expect::Target;
            }
            Token::Symbol(b'(' | b')') => {
                name_goes_on = false;
                expect = Expect::Nothing;
            }
            _ => name_goes_on = false,
        }
        first = false;
    }
    let end = text.floor_char_boundary((start + LONGEST).min(text.len()));
    text.truncate(end);
}

fn push(text: &mut String, start: usize, word: &[u8], upper: bool) {
    if text.len() > start {
        text.push(' ');
    }
    let from = text.len();
    push_escaped(text, word, LONGEST);
    if upper {
        text.get_mut(from..).unwrap_or_default().make_ascii_uppercase();
    }
}

fn unquoted(name: &[u8]) -> &[u8] {
    match name {
        [open, inner @ .., close] if open == close => inner,
        _ => name,
    }
}

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
    let mut upper = [0; 12];
    let upper = upper.get_mut(..word.len())?;
    for (to, from) in upper.iter_mut().zip(word) {
        *to = from.to_ascii_uppercase();
    }
    Some(match &*upper {
        b"SELECT" | b"DELETE" | b"INSERT" | b"REPLACE" | b"MERGE" => Word::Operation(Expect::Nothing),
        b"UPDATE" | b"TRUNCATE" | b"CALL" | b"EXEC" | b"EXECUTE" | b"COPY" | b"USE" | b"DESCRIBE" => {
            Word::Operation(Expect::Target)
        }
        b"CREATE" | b"ALTER" | b"DROP" => Word::Operation(Expect::Kind),
        b"FROM" | b"INTO" | b"JOIN" => Word::Preposition,
        b"LOW_PRIORITY" | b"IGNORE" | b"IF" | b"NOT" | b"EXISTS" | b"OR" | b"TEMPORARY" | b"TEMP" | b"UNIQUE"
        | b"ONLY" | b"LATERAL" | b"CONCURRENTLY" | b"DELAYED" | b"QUICK" | b"UNLOGGED" => Word::Filler,
        b"WHERE" | b"SET" | b"VALUES" | b"ON" | b"GROUP" | b"ORDER" | b"LIMIT" | b"HAVING" | b"USING" | b"AS"
        | b"UNION" | b"STDIN" | b"STDOUT" => Word::End,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(sql: &str) -> String {
        let mut text = String::new();
        write(&mut text, sql.as_bytes(), Dialect::MySql);
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
        ] {
            assert_eq!(summary(sql), text, "{sql}");
        }
    }
}
