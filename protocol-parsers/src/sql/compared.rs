//! The lexer beside a tokenizer that somebody else wrote: both must cut statements at the same places.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use std::format;

use proptest::prelude::*;
use sqlparser::dialect::{Dialect as Grammar, MySqlDialect, PostgreSqlDialect};
use sqlparser::tokenizer::{Token as Theirs, Tokenizer, Whitespace};

use super::lexer::{Dialect, Lexer, Token};

/// What both know about a token.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Common {
    Word(String),
    Quoted(String),
    Literal,
    Parameter(String),
    Comment,
    Symbol(u8),
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn ours(sql: &str, dialect: Dialect) -> Vec<Common> {
    let common = |token| {
        Some(match token {
            Token::Blank => return None,
            Token::Comment(_) => Common::Comment,
            Token::Word(word) => Common::Word(text(word)),
            Token::Quoted(name) => Common::Quoted(text(name)),
            Token::Literal => Common::Literal,
            Token::Parameter(name) => Common::Parameter(text(name)),
            Token::Symbol(symbol) => Common::Symbol(symbol),
        })
    };
    Lexer::new(sql.as_bytes(), dialect).filter_map(common).collect()
}

/// `None` for what they call no SQL.
fn theirs(sql: &str, dialect: Dialect) -> Option<Vec<Common>> {
    let grammar: &dyn Grammar = match dialect {
        Dialect::MySql => &MySqlDialect {},
        Dialect::PostgreSql => &PostgreSqlDialect {},
    };
    let mut common = Vec::new();
    for token in Tokenizer::new(grammar, sql).with_unescape(false).tokenize().ok()? {
        match token {
            Theirs::Whitespace(Whitespace::SingleLineComment { .. } | Whitespace::MultiLineComment(_)) => {
                common.push(Common::Comment);
            }
            Theirs::Whitespace(_) | Theirs::EOF => {}
            // Variables are words with a sign before them; here the sign stands alone.
            Theirs::Word(word) if word.quote_style.is_none() => {
                let name = word.value.trim_start_matches('@');
                common.extend((name.len()..word.value.len()).map(|_| Common::Symbol(b'@')));
                if !name.is_empty() {
                    common.push(Common::Word(name.to_string()));
                }
            }
            quoted @ Theirs::Word(_) => common.push(Common::Quoted(quoted.to_string())),
            Theirs::Number(..)
            | Theirs::SingleQuotedString(_)
            | Theirs::DoubleQuotedString(_)
            | Theirs::DollarQuotedString(_)
            | Theirs::SingleQuotedByteStringLiteral(_)
            | Theirs::NationalStringLiteral(_)
            | Theirs::EscapedStringLiteral(_)
            | Theirs::HexStringLiteral(_) => common.push(Common::Literal),
            Theirs::Placeholder(name) => common.push(Common::Parameter(name)),
            operator => common.extend(operator.to_string().bytes().map(Common::Symbol)),
        }
    }
    Some(common)
}

#[track_caller]
fn compare(sql: &str, dialect: Dialect) {
    let theirs = theirs(sql, dialect).expect(sql);
    assert_eq!(ours(sql, dialect), theirs, "{dialect:?}: {sql}");
}

/// Statements that both dialects read alike.
const BOTH: &[&str] = &[
    "SELECT a, b.c AS d FROM t1 JOIN s.t2 u ON t1.id = u.id WHERE a <> 5 AND b >= -1.5e3 OR c IN (1, 2, 3)",
    "select count(*) from orders where name = 'o''brien' and note like '%x_' limit 10 offset 20;",
    "INSERT INTO t (a, b) VALUES (1, 'two'), (3, 'four') -- the end\n",
    "UPDATE t SET a = a + 1, b = NULL WHERE id = 7 /* hint */ AND c BETWEEN .5 AND 6.",
    "DELETE FROM t WHERE a IS NOT NULL AND b < 0x1F",
    "WITH x AS (SELECT 1 UNION ALL SELECT 2) SELECT * FROM x ORDER BY 1 DESC",
    "CREATE TABLE IF NOT EXISTS t (id INT PRIMARY KEY, name VARCHAR(255) DEFAULT '', price DECIMAL(10,2))",
    "CREATE INDEX i ON t (a, b)",
    "ALTER TABLE t ADD COLUMN c INTEGER",
    "BEGIN; COMMIT; ROLLBACK TO SAVEPOINT s1;",
    "SELECT CASE WHEN a = 'x' THEN 1 ELSE 2 END, N'text', X'1F' FROM t",
    "SELECT 'multi\nline', 'tab\t' /* c1 */ /* c2 */ FROM t -- c3",
    "SELECT größe, naïve FROM straße WHERE a = 'ß'",
    "SELECT 1",
    "",
];

const MYSQL: &[&str] = &[
    "SELECT `a``b`, `c d` FROM `t` WHERE x = \"double \\\" quoted\" AND y = 'it\\'s'",
    "SELECT @a, @@global.x := 5 # comment\n FROM t WHERE a = ? AND b = ?",
    "SELECT a->'$.x', a->>'$.y' FROM t",
    "INSERT INTO t VALUES (?, ?, 'a\\\\') ON DUPLICATE KEY UPDATE a = VALUES(a)",
    "SELECT 5-1, 5- 1, a--1",
    "SHOW TABLES LIKE 'x%'",
    "SELECT 1e5, 2E-3, 4.5E+6",
];

const POSTGRESQL: &[&str] = &[
    "SELECT \"a\"\"b\", \"c d\" FROM \"T\" WHERE x = $1 AND y = $22",
    "SELECT E'it\\'s', 'it\\', x FROM t",
    "SELECT $$it's$$, $tag$ $$ $tag$, a::text, b::numeric(10,2)[] FROM t",
    "SELECT a /* one /* two */ one */ FROM t",
    "SELECT a->>'x', b #> '{a,b}', c @> '{}', d || 'e', f ~* 'g', h !~ 'i'",
    "SELECT B'0101', X'1F', 1_000 FROM t",
    "SELECT ARRAY[1,2,3], (ROW(1,2)).a, a[1:2] FROM t WHERE b = ANY($1)",
    "INSERT INTO t VALUES ($1, $2) RETURNING id",
    "COPY t (a, b) FROM STDIN",
    "SELECT 5-1, 5--1\n+2",
];

#[test]
fn statements_of_both_dialects_are_cut_alike() {
    for sql in BOTH {
        compare(sql, Dialect::MySql);
        compare(sql, Dialect::PostgreSql);
    }
    MYSQL.iter().for_each(|sql| compare(sql, Dialect::MySql));
    POSTGRESQL.iter().for_each(|sql| compare(sql, Dialect::PostgreSql));
}

/// Code in comments is shown no more than other comments are; a number in bits is one (MySQL manual, 11.1.5), not a name; drivers write
/// `?` for a parameter also where PostgreSQL has an operator of that name.
#[test]
fn where_they_differ_it_is_on_purpose() {
    let sql = "SELECT /*! STRAIGHT_JOIN */ 0b01";
    assert_eq!(ours(sql, Dialect::MySql), [Common::Word("SELECT".to_string()), Common::Comment, Common::Literal]);
    assert_ne!(theirs(sql, Dialect::MySql), Some(ours(sql, Dialect::MySql)));
    assert_eq!(ours("?", Dialect::PostgreSql), [Common::Parameter("?".to_string())]);
    assert_eq!(theirs("?", Dialect::PostgreSql), Some([Common::Symbol(b'?')].to_vec()));
}

/// A piece of a statement that is whole in itself.
fn piece(dialect: Dialect) -> BoxedStrategy<String> {
    let both = prop_oneof![
        "[a-zA-Z_][a-zA-Z0-9_]{0,8}",
        "[1-9][0-9]{0,6}",
        "[0-9]{1,3}\\.[0-9]{1,3}",
        "[1-9]e[+-]?[1-9]",
        "'([a-z0-9 \"$#?;/*-]|'')*'",
        "-- [a-z'\"$ ]{0,8}\n",
        "/\\*[a-z '\"$#-]{0,8}\\*/",
        "[(),;=<>+*%.]",
        Just("<>".to_string()),
        Just(">=".to_string()),
    ];
    match dialect {
        Dialect::MySql => prop_oneof![
            4 => both,
            1 => prop_oneof![
                "'([a-z ]|\\\\['\\\\n])*'",
                "\"([a-z' ]|\\\\[\"\\\\n])*\"",
                "`[a-z 0-9'\"]{1,6}`",
                "#[a-z'\"` ]{0,6}\n",
                Just("?".to_string()),
            ],
        ]
        .boxed(),
        Dialect::PostgreSql => prop_oneof![
            4 => both,
            1 => prop_oneof![
                "E'([a-z ]|\\\\['\\\\n])*'",
                "'[a-z\\\\ ]*'",
                "\"[a-z 0-9']{1,6}\"",
                "\\$[1-9][0-9]{0,2}",
                "\\$\\$[a-z'\" ]{0,6}\\$\\$",
                "\\$t\\$[a-z'\" ]{0,6}\\$t\\$",
                "/\\*[a-z]{0,3}/\\*[a-z']{0,3}\\*/[a-z']{0,3}\\*/",
            ],
        ]
        .boxed(),
    }
}

fn statement(dialect: Dialect) -> impl Strategy<Value = String> {
    proptest::collection::vec(piece(dialect), 0..24).prop_map(|pieces| pieces.join(" "))
}

proptest! {
    #[test]
    fn random_statements_of_mysql_are_cut_alike(sql in statement(Dialect::MySql)) {
        compare(&sql, Dialect::MySql);
    }

    #[test]
    fn random_statements_of_postgresql_are_cut_alike(sql in statement(Dialect::PostgreSql)) {
        compare(&sql, Dialect::PostgreSql);
    }

    /// Whatever the bytes are, every one of them belongs to one token.
    #[test]
    fn no_byte_is_left_out_or_looked_at_twice(sql in "[a-z0-9'\"`$#?;/*\\\\E \n-]{0,64}") {
        for dialect in [Dialect::MySql, Dialect::PostgreSql] {
            let tokens = Lexer::new(sql.as_bytes(), dialect).count();
            prop_assert!(tokens <= sql.len(), "{}", format!("{tokens} tokens of {sql:?}"));
        }
    }
}
