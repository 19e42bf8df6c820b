use datafusion::sql::parser::{DFParserBuilder, Statement as Parsed};
use datafusion::sql::sqlparser::ast::Statement as Sql;
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer};

use crate::error::{Known, Position, QueryError};
use crate::limits::QueryLimits;

/// Deepest nesting of parentheses, subqueries and the like.
const DEEPEST: usize = 50;

/// One statement, parsed.
#[derive(Debug, Clone)]
pub struct Statement {
    pub(crate) parsed: Parsed,
    pub(crate) words: Words,
}

/// Where the words of a statement stand.
#[derive(Debug, Clone, Default)]
pub(crate) struct Words(Vec<(String, Position)>);

/// What a statement is to a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum StatementKind {
    /// A question.
    Query,
    /// Begins a transaction; nothing is ever written, so it is only acknowledged.
    Begin,
    /// Ends a transaction.
    Commit,
    /// Abandons a transaction.
    Rollback,
    /// Sets a variable of the connection.
    Set,
    /// Asks for a variable of the connection.
    Show(String),
    /// Forgets what the connection has prepared.
    Discard,
}

impl Statement {
    /// Reads the statements of a text; none in an empty one.
    ///
    /// # Errors
    /// When the text is too large or is not SQL.
    pub fn parse(sql: &str, limits: &QueryLimits) -> Result<Vec<Self>, QueryError> {
        if sql.len() > limits.statement_bytes {
            let (size, limit) = (sql.len(), limits.statement_bytes);
            return Err(QueryError::TooLarge { size, limit, unit: "bytes" });
        }
        let dialect = PostgreSqlDialect {};
        let tokens = Tokenizer::new(&dialect, sql).tokenize_with_location().map_err(|error| QueryError::Syntax {
            message: error.message.to_lowercase(),
            position: Some(Position { line: error.location.line, column: error.location.column }),
        })?;
        let size = tokens.iter().filter(|token| nests(&token.token)).count();
        if size > limits.statement_tokens {
            return Err(QueryError::TooLarge { size, limit: limits.statement_tokens, unit: "words and signs" });
        }
        let words = Words(tokens.iter().filter_map(word).collect());
        let parsed = DFParserBuilder::new(sql)
            .with_dialect(&dialect)
            .with_recursion_limit(DEEPEST)
            .build()
            .and_then(|mut parser| parser.parse_statements())
            .map_err(|error| QueryError::from_engine(&error, &|word| words.find(word), &Known::default()))?;
        Ok(parsed.into_iter().map(|parsed| Self { parsed, words: words.clone() }).collect())
    }

    /// What the statement is to a connection.
    #[must_use]
    pub fn kind(&self) -> StatementKind {
        let Parsed::Statement(sql) = &self.parsed else { return StatementKind::Query };
        match &**sql {
            Sql::StartTransaction { .. } => StatementKind::Begin,
            Sql::Commit { .. } => StatementKind::Commit,
            Sql::Rollback { .. } => StatementKind::Rollback,
            Sql::Set(_) | Sql::Reset(_) => StatementKind::Set,
            Sql::ShowVariable { variable } => {
                let name: Vec<_> = variable.iter().map(|word| word.value.to_lowercase()).collect();
                StatementKind::Show(name.join("_"))
            }
            Sql::Discard { .. } | Sql::Deallocate { .. } => StatementKind::Discard,
            _ => StatementKind::Query,
        }
    }
}

impl Words {
    pub(crate) fn find(&self, wanted: &str) -> Option<Position> {
        self.0.iter().find(|(word, _)| word.eq_ignore_ascii_case(wanted)).map(|(_, position)| *position)
    }
}

/// Elements of a list stand side by side however many they are; anything else may nest.
fn nests(token: &Token) -> bool {
    !matches!(token, Token::Whitespace(_) | Token::Comma | Token::Number(..) | Token::SingleQuotedString(_))
}

fn word(token: &TokenWithSpan) -> Option<(String, Position)> {
    let Token::Word(word) = &token.token else { return None };
    let start = token.span.start;
    Some((word.value.clone(), Position { line: start.line, column: start.column }))
}
