use std::time::Duration;

/// Bounds of what questions may cost. Each is answered with an error that names it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueryLimits {
    /// Longest statement in bytes.
    pub statement_bytes: usize,
    /// Most words and signs of a statement, without the elements of lists: bounds how deep it can nest, and planning takes
    /// time with the square of the depth.
    pub statement_tokens: usize,
    /// Longest time from the question to the last row.
    pub timeout: Duration,
    /// Memory that all running queries share, in bytes.
    pub memory_bytes: usize,
    /// Most rows of an answer.
    pub answer_rows: usize,
    /// Queries that run at once; further ones wait, and their waiting counts as their time.
    pub concurrent: usize,
}

impl Default for QueryLimits {
    fn default() -> Self {
        Self {
            statement_bytes: 1 << 20,
            statement_tokens: 4_000,
            timeout: Duration::from_secs(60),
            memory_bytes: 1 << 30,
            answer_rows: 10_000_000,
            concurrent: 8,
        }
    }
}

macro_rules! setters {
    ($($setter:ident $field:ident: $type:ty, $what:literal;)*) => {
        impl QueryLimits {$(
            #[doc = concat!("The same limits with another ", $what, ".")]
            #[must_use]
            pub fn $setter(mut self, value: $type) -> Self {
                self.$field = value;
                self
            }
        )*}
    };
}
setters!(
    with_statement_bytes statement_bytes: usize, "longest statement";
    with_statement_tokens statement_tokens: usize, "number of words and signs";
    with_timeout timeout: Duration, "timeout";
    with_memory_bytes memory_bytes: usize, "memory bound";
    with_answer_rows answer_rows: usize, "number of rows";
    with_concurrent concurrent: usize, "number of queries at once";
);
