use std::fmt;
use std::io;

use metaflow_query::QueryError;

/// Why the program ends, in one line that says what to do, and its exit code (one table for all of MetaFlow's programs).
#[derive(Debug)]
pub struct Failure {
    code: u8,
    text: String,
}

impl Failure {
    /// 1: a check found something.
    pub(crate) fn check(text: impl Into<String>) -> Self {
        Self { code: 1, text: text.into() }
    }

    /// 2: the command line, or the SQL on it, is wrong.
    pub(crate) fn usage(text: impl Into<String>) -> Self {
        Self { code: 2, text: text.into() }
    }

    /// 65: a file is damaged.
    pub(crate) fn damaged(text: impl Into<String>) -> Self {
        Self { code: 65, text: text.into() }
    }

    /// 69: a service, a port or a directory is not to be had now.
    pub(crate) fn unavailable(text: impl Into<String>) -> Self {
        Self { code: 69, text: text.into() }
    }

    /// 77: the user may not do this.
    pub(crate) fn permission(text: impl Into<String>) -> Self {
        Self { code: 77, text: text.into() }
    }

    /// 78: settings contradict each other or are unsafe.
    pub(crate) fn configuration(text: impl Into<String>) -> Self {
        Self { code: 78, text: text.into() }
    }

    /// 130: interrupted by the user.
    pub(crate) fn interrupted() -> Self {
        Self { code: 130, text: "interrupted".to_owned() }
    }

    /// From a failure of the system without more to say.
    #[must_use]
    pub fn from_io(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::PermissionDenied => Self::permission(error.to_string()),
            _ => Self::unavailable(error.to_string()),
        }
    }

    /// From a question without an answer.
    pub(crate) fn query(error: &QueryError) -> Self {
        match error {
            QueryError::Storage(_) => Self::damaged(error.to_string()),
            QueryError::Timeout(_) | QueryError::Memory | QueryError::Internal(_) => {
                Self::unavailable(error.to_string())
            }
            _ => Self::usage(error.to_string()),
        }
    }

    /// What the process ends with.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        self.code
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Failure {}

/// Says why the program ends.
#[expect(clippy::print_stderr, reason = "the last line of a program")]
pub fn complain(failure: &Failure) {
    eprintln!("metaflow-server: {failure}");
}
