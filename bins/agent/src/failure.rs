use std::fmt;
use std::io::{self, Write};

/// Why the program ends, in one line that says what to do, and its exit code (one table for all of MetaFlow's programs).
#[derive(Debug)]
pub struct Failure {
    code: u8,
    text: String,
}

impl Failure {
    /// 1: nothing was found, or not everything was taken.
    pub(crate) fn nothing(text: impl Into<String>) -> Self {
        Self { code: 1, text: text.into() }
    }

    /// 2: the command line is wrong.
    pub(crate) fn usage(text: impl Into<String>) -> Self {
        Self { code: 2, text: text.into() }
    }

    /// 65: a file is damaged.
    pub(crate) fn damaged(text: impl Into<String>) -> Self {
        Self { code: 65, text: text.into() }
    }

    /// 69: a server or an interface is not to be had now.
    pub(crate) fn unavailable(text: impl Into<String>) -> Self {
        Self { code: 69, text: text.into() }
    }

    /// 77: the user may not do this.
    pub(crate) fn permission(text: impl Into<String>) -> Self {
        Self { code: 77, text: text.into() }
    }

    /// 130: interrupted by the user, who needs no line about it.
    pub(crate) fn interrupted() -> Self {
        Self { code: 130, text: String::new() }
    }

    /// From a failure of the system without more to say.
    pub(crate) fn from_io(what: &str, error: &io::Error) -> Self {
        let text = format!("{what}: {error}");
        match error.kind() {
            io::ErrorKind::PermissionDenied => Self::permission(text),
            _ => Self::unavailable(text),
        }
    }

    /// The same, of which the user has been told.
    pub(crate) fn said(mut self) -> Self {
        self.text.clear();
        self
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
pub fn complain(failure: &Failure) {
    if !failure.text.is_empty() {
        say(failure);
    }
}

/// A line for the user on stderr: stdout is for records alone. What others wrote (file names, a server's words) cannot steer the terminal.
pub(crate) fn say(text: impl fmt::Display) {
    // Nobody is left to tell that stderr is gone.
    _ = writeln!(io::stderr(), "metaflow-agent: {}", crate::output::escaped(&text.to_string()));
}
