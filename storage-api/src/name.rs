use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Longest name of a table or column, in bytes: what PostgreSQL keeps of an identifier (NAMEDATALEN − 1).
const LONGEST: usize = 63;

/// The name of a table: a lower-case letter or underscore, then lower-case letters, digits and underscores, 63 bytes at most.
///
/// Such a name is an SQL identifier without quotes in every dialect, and a file name on every system. Columns follow the
/// same rule. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableName(Arc<str>);

/// A name that breaks the rule of [`TableName`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{name}` is no name: lower-case letters, digits and underscores, not starting with a digit, 1 to 63 bytes")]
pub struct NameError {
    /// What was given, cut to 64 characters.
    pub name: String,
}

impl TableName {
    /// Checks and wraps a name.
    ///
    /// # Errors
    /// [`NameError`] when the name breaks the rule above.
    pub fn new(name: &str) -> Result<Self, NameError> {
        check_name(name).map(|()| Self(Arc::from(name)))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The rule for tables and columns alike.
pub(crate) fn check_name(name: &str) -> Result<(), NameError> {
    let mut bytes = name.bytes();
    let starts = bytes.next().is_some_and(|byte| byte.is_ascii_lowercase() || byte == b'_');
    let goes_on = bytes.all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    if starts && goes_on && name.len() <= LONGEST {
        Ok(())
    } else {
        Err(NameError { name: name.chars().take(64).collect() })
    }
}

impl FromStr for TableName {
    type Err = NameError;

    fn from_str(name: &str) -> Result<Self, NameError> {
        Self::new(name)
    }
}

impl Borrow<str> for TableName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_need_quotes_or_leave_the_folder_are_refused() {
        for good in ["calls", "metrics_1s", "_x", &"a".repeat(63)] {
            assert_eq!(TableName::new(good).unwrap().as_str(), good);
        }
        for bad in ["", "1a", "Calls", "a-b", "../x", "a b", "é", "a\0", &"a".repeat(64)] {
            assert!(TableName::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_hostile_name_is_cut_in_the_error() {
        assert_eq!(TableName::new(&"é".repeat(100_000)).unwrap_err().name.chars().count(), 64);
    }
}
