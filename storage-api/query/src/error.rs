use std::fmt;
use std::time::Duration;

use datafusion::common::{DataFusionError, Diagnostic, SchemaError};

use crate::suggest::near;

/// Why a question has no answer. The text is one line that says what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum QueryError {
    /// Not SQL.
    #[error("{message}{}", At(*position))]
    Syntax {
        /// What was expected, and what stands there.
        message: String,
        /// Where.
        position: Option<Position>,
    },
    /// Nobody knows this name.
    #[error("there is no {what} `{name}`{}{}", At(*position), Near(near))]
    Unknown {
        /// Table, column or function.
        what: Named,
        /// The name.
        name: String,
        /// Where it stands.
        position: Option<Position>,
        /// Names that may have been meant, nearest first.
        near: Vec<String>,
    },
    /// SQL that has no meaning here: types that do not go together, an unsupported clause.
    #[error("{message}{}", At(*position))]
    Invalid {
        /// What is wrong.
        message: String,
        /// Where.
        position: Option<Position>,
    },
    /// A statement that would change something.
    #[error("this service only answers questions: {what}")]
    ReadOnly {
        /// Which statement.
        what: String,
    },
    /// The statement is longer or deeper than [`crate::QueryLimits`] allow.
    #[error("the statement has {size} {unit}, at most {limit} are allowed")]
    TooLarge {
        /// Its size.
        size: usize,
        /// The bound.
        limit: usize,
        /// Of what.
        unit: &'static str,
    },
    /// The time was not enough.
    #[error("no answer within {} s: ask for less time or fewer rows", .0.as_secs_f32())]
    Timeout(Duration),
    /// The memory was not enough.
    #[error("the query needs more memory than is free: ask for less time or fewer groups")]
    Memory,
    /// The answer has more rows than allowed.
    #[error("the answer has more than {0} rows: add a LIMIT")]
    TooManyRows(usize),
    /// A value could not be computed.
    #[error("{0}")]
    Value(String),
    /// The store could not be read.
    #[error("{0}")]
    Storage(String),
    /// A fault of this program.
    #[error("internal error: {0}")]
    Internal(String),
}

/// Kind of a name that nobody knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Named {
    /// A table.
    Table,
    /// A column.
    Column,
    /// A function.
    Function,
}

/// A place in a statement, both from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Line.
    pub line: u64,
    /// Character in the line.
    pub column: u64,
}

impl QueryError {
    /// Where in the statement, if the error has a place.
    #[must_use]
    pub fn position(&self) -> Option<Position> {
        match self {
            Self::Syntax { position, .. } | Self::Unknown { position, .. } | Self::Invalid { position, .. } => {
                *position
            }
            _ => None,
        }
    }

    /// The code that PostgreSQL gives to this kind of error (its documentation, appendix A).
    #[must_use]
    pub fn sqlstate(&self) -> &'static str {
        match self {
            Self::Syntax { .. } => "42601",
            Self::Unknown { what: Named::Table, .. } => "42P01",
            Self::Unknown { what: Named::Column, .. } => "42703",
            Self::Unknown { what: Named::Function, .. } => "42883",
            Self::Invalid { .. } => "42000",
            Self::ReadOnly { .. } => "25006",
            Self::TooLarge { .. } | Self::TooManyRows(_) => "54000",
            Self::Timeout(_) => "57014",
            Self::Memory => "53200",
            Self::Value(_) => "22000",
            Self::Storage(_) => "58030",
            Self::Internal(_) => "XX000",
        }
    }

    /// What the engine says, for the reader of one line. `words` finds where a name stands in the statement.
    pub(crate) fn from_engine(
        error: &DataFusionError,
        words: &dyn Fn(&str) -> Option<Position>,
        known: &Known,
    ) -> Self {
        match error {
            DataFusionError::Diagnostic(diagnostic, inner) => {
                Self::from_engine(inner, words, known).or_position(position_of(diagnostic))
            }
            DataFusionError::Context(_, inner) => Self::from_engine(inner, words, known),
            DataFusionError::Shared(inner) => Self::from_engine(inner, words, known),
            DataFusionError::Collection(errors) => match errors.first() {
                Some(first) => Self::from_engine(first, words, known),
                None => Self::Internal("an empty list of errors".to_owned()),
            },
            DataFusionError::SQL(parser, _) => syntax(&parser.to_string()),
            DataFusionError::SchemaError(schema, _) => match &**schema {
                SchemaError::FieldNotFound { field, valid_fields } => {
                    let valid = valid_fields.iter().map(|column| column.name.as_str());
                    let position = words(&field.name);
                    Self::Unknown {
                        what: Named::Column,
                        name: field.name.clone(),
                        position,
                        near: near(&field.name, valid),
                    }
                }
                SchemaError::AmbiguousReference { field } => {
                    let message = format!("column `{}` is in several tables: write table.column", field.name);
                    Self::Invalid { message, position: words(&field.name) }
                }
                other => Self::Invalid { message: one_line(&other.to_string()), position: None },
            },
            DataFusionError::Plan(message) => plan(message, words, known),
            DataFusionError::NotImplemented(message) | DataFusionError::Configuration(message) => {
                Self::Invalid { message: unsupported(message), position: None }
            }
            DataFusionError::ResourcesExhausted(_) => Self::Memory,
            DataFusionError::Execution(message) => Self::Value(one_line(message)),
            DataFusionError::ArrowError(error, _) => Self::Value(one_line(&error.to_string())),
            DataFusionError::External(error) => Self::Storage(one_line(&error.to_string())),
            DataFusionError::ObjectStore(_) | DataFusionError::IoError(_) | DataFusionError::ParquetError(_) => {
                Self::Storage(one_line(&error.to_string()))
            }
            other => Self::Internal(one_line(&other.to_string())),
        }
    }

    fn or_position(mut self, found: Option<Position>) -> Self {
        if let Self::Syntax { position, .. } | Self::Unknown { position, .. } | Self::Invalid { position, .. } =
            &mut self
        {
            *position = position.or(found);
        }
        self
    }
}

/// Names for suggestions.
#[derive(Debug, Default)]
pub(crate) struct Known {
    pub(crate) tables: Vec<String>,
    pub(crate) functions: Vec<String>,
}

fn plan(message: &str, words: &dyn Fn(&str) -> Option<Position>, known: &Known) -> QueryError {
    let quoted = |before: &str| {
        let rest = message.split_once(before)?.1;
        Some(rest.split('\'').next().unwrap_or(rest).to_owned())
    };
    if message.contains("' not found")
        && let Some(path) = quoted("table '")
    {
        let name = path.rsplit('.').next().unwrap_or(&path).to_owned();
        let near = near(&name, known.tables.iter().map(String::as_str));
        return QueryError::Unknown { what: Named::Table, position: words(&name), name, near };
    }
    if let Some(name) = quoted("Invalid function '") {
        let near = near(&name, known.functions.iter().map(String::as_str));
        return QueryError::Unknown { what: Named::Function, position: words(&name), name, near };
    }
    if message.contains("not supported: ") && ["DDL", "DML", "Statement"].iter().any(|kind| message.starts_with(kind)) {
        return QueryError::ReadOnly { what: one_line(message.split_once(": ").map_or(message, |(_, what)| what)) };
    }
    QueryError::Invalid { message: one_line(message), position: None }
}

/// The engine names what it cannot do by dumping its syntax tree: the first word of it is enough.
fn unsupported(message: &str) -> String {
    match message.split_once("Unsupported ast node in sqltorel: ") {
        Some((_, dump)) => {
            let node: String = dump.chars().take_while(|character| character.is_alphanumeric()).collect();
            format!("{} is not supported", node.to_uppercase())
        }
        None => one_line(message),
    }
}

/// The parser says its place at the end of its text.
fn syntax(text: &str) -> QueryError {
    let text = text.trim_start_matches("sql parser error: ");
    let (message, place) = text.split_once(" at Line: ").unwrap_or((text, ""));
    let position = place.split_once(", Column: ").and_then(|(line, column)| {
        let digits = |text: &str| text.trim().chars().take_while(char::is_ascii_digit).collect::<String>().parse().ok();
        Some(Position { line: digits(line)?, column: digits(column)? })
    });
    let mut message = one_line(message);
    if let Some(first) = message.get(..1).map(str::to_lowercase) {
        message.replace_range(..1, &first);
    }
    QueryError::Syntax { message, position }
}

fn position_of(diagnostic: &Diagnostic) -> Option<Position> {
    let start = diagnostic.span?.start;
    (start.line > 0).then_some(Position { line: start.line, column: start.column })
}

/// Engine texts run over several lines and may be long: a reader wants the first of it.
fn one_line(text: &str) -> String {
    const LONGEST: usize = 500;
    let mut line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some((cut, _)) = line.char_indices().nth(LONGEST) {
        line.truncate(cut);
        line.push('…');
    }
    line
}

struct At(Option<Position>);

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |at| write!(f, " at line {}, column {}", at.line, at.column))
    }
}

struct Near<'a>(&'a [String]);

impl fmt::Display for Near<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            [] => Ok(()),
            names => write!(
                f,
                ": did you mean {}?",
                names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" or ")
            ),
        }
    }
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Table => "table",
            Self::Column => "column",
            Self::Function => "function",
        })
    }
}
