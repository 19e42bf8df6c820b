use std::error::Error;
use std::fmt;

use storage_api::{AppendError, BackendError};

/// Why a store could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The server did not do what was asked.
    #[error("{address}: {source}")]
    Request {
        /// Where.
        address: String,
        /// What happened.
        source: RequestError,
    },
    /// The server cannot do something without which there is no store.
    #[error("{address}: the server (version {version}) does not {what}")]
    Unsupported {
        /// Where.
        address: String,
        /// What the server calls itself.
        version: String,
        /// What it cannot do, as an infinitive.
        what: &'static str,
    },
    /// The server knows no such cluster.
    #[error("{address}: the server knows no cluster `{cluster}`")]
    UnknownCluster {
        /// Where.
        address: String,
        /// The name.
        cluster: String,
    },
}

impl OpenError {
    /// Whether it may go better later.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Request { source, .. } if source.is_retryable())
    }
}

/// Why a server did not do what was asked.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// No host could be reached.
    #[error("no answer from {host}: {reason}")]
    Unreachable {
        /// The last that was tried.
        host: String,
        /// What the system says.
        reason: String,
    },
    /// A server said nothing for too long. What was asked may have been done.
    #[error("{host} said nothing for {seconds} s")]
    Silent {
        /// Which.
        host: String,
        /// How long was waited.
        seconds: u64,
    },
    /// The answer ended before its end. What was asked may have been done.
    #[error("the answer of {host} ended early: {reason}")]
    Cut {
        /// Which.
        host: String,
        /// What is known of it.
        reason: String,
    },
    /// The server refused or failed, and said why.
    #[error("the server says: {message} (code {code})")]
    Refused {
        /// The number of ClickHouse's `ErrorCodes`.
        code: u32,
        /// The server's words, at most 2,000 characters.
        message: String,
    },
    /// The answer is not what a ClickHouse answers.
    #[error("{host} answers nonsense: {reason}")]
    Nonsense {
        /// Which.
        host: String,
        /// What is wrong.
        reason: String,
    },
    /// The answer comes in larger pieces than are held.
    #[error("the answer has a piece of more than {limit} bytes")]
    TooLarge {
        /// The bound.
        limit: usize,
    },
}

/// Numbers of ClickHouse's `ErrorCodes` (src/Common/ErrorCodes.cpp; they never change their meaning).
pub(crate) mod codes {
    pub(crate) const UNKNOWN_TABLE: u32 = 60;
    pub(crate) const UNKNOWN_DATABASE: u32 = 81;
    pub(crate) const UNKNOWN_SETTING: u32 = 115;
    /// That a limit of the server or a passing state is behind the refusal: timeouts, too many queries, network, Keeper,
    /// memory, disk, parts, replicas, shutting down, queues.
    pub(crate) const PASSING: &[u32] = &[
        74, 75, 76, 159, 160, 173, 198, 201, 202, 203, 209, 210, 225, 236, 241, 242, 243, 252, 254, 255, 265, 279, 285,
        286, 289, 290, 297, 319, 341, 364, 369, 373, 394, 410, 416, 425, 439, 529, 574, 677, 692, 696, 700, 722, 733,
        745, 749, 762, 776, 777, 778, 904, 999,
    ];
    /// Memory, queries, parts, load.
    pub(crate) const BUSY: &[u32] = &[173, 201, 202, 241, 252, 439, 745, 776, 777, 778];
    /// The disk, and the bounds of a table.
    pub(crate) const FULL: &[u32] = &[243];
}

impl RequestError {
    /// Whether the same request may succeed later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Silent { .. } | Self::Cut { .. } => true,
            Self::Refused { code, message } => codes::PASSING.contains(code) || is_full(message),
            // What answers there may be replaced by a ClickHouse, or be a proxy that has a bad day.
            Self::Nonsense { .. } => true,
            Self::TooLarge { .. } => false,
        }
    }

    /// Whether what was asked may have been done all the same.
    pub(crate) fn is_ambiguous(&self) -> bool {
        match self {
            Self::Refused { code, .. } => codes::PASSING.contains(code),
            _ => true,
        }
    }

    pub(crate) fn has_code(&self, codes: &[u32]) -> bool {
        matches!(self, Self::Refused { code, .. } if codes.contains(code))
    }

    pub(crate) fn into_append(self) -> AppendError {
        match self {
            Self::Refused { code, message } if codes::FULL.contains(&code) || is_full(&message) => {
                AppendError::Full { reason: message }
            }
            Self::Refused { code, message } if codes::BUSY.contains(&code) => AppendError::Busy { reason: message },
            other => AppendError::Backend(other.into()),
        }
    }
}

fn is_full(message: &str) -> bool {
    message.contains("No space left on device")
}

impl From<RequestError> for BackendError {
    fn from(error: RequestError) -> Self {
        if error.is_retryable() { Self::retryable(error) } else { Self::permanent(error) }
    }
}

/// The words of an error and of all that caused it.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !words.contains(&more) {
            words.push_str(": ");
            words.push_str(&more);
        }
        cause = error.source();
    }
    words
}

/// What a server said, as the error it stands for: `Code: 60. DB::Exception: …`, wherever in the bytes it begins.
pub(crate) fn exception(said: &[u8]) -> Option<RequestError> {
    let said = String::from_utf8_lossy(said);
    let begin = said.rfind("Code: ")?;
    let words = &said[begin + "Code: ".len()..];
    let digits = words.len() - words.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let code = words[..digits].parse().ok()?;
    let message = words[digits..].trim_start_matches(['.', ',']).trim_start();
    let (_, message) = message.split_once("DB::Exception: ")?;
    let end = message.find("(version ").or_else(|| message.find("\r\n")).unwrap_or(message.len());
    let message = message[..end].trim_end();
    Some(RequestError::Refused { code, message: Short(message).to_string() })
}

/// Text of a length that fits into an error.
pub(crate) struct Short<'a>(pub(crate) &'a str);

impl fmt::Display for Short<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const LONGEST: usize = 2000;
        let end = self.0.char_indices().nth(LONGEST).map_or(self.0.len(), |(at, _)| at);
        f.write_str(&self.0[..end])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_words_are_found_in_every_form() {
        let new = "\r\n__exception__\r\nabcd\r\nCode: 395. DB::Exception: Value passed. (FUNCTION_THROW_IF_VALUE_IS_NON_ZERO) \
                   (version 26.7.2.1)\r\n275 abcd\r\n__exception__\r\n";
        let old = "Code: 60, e.displayText() = DB::Exception: Table default.x doesn't exist., e.what() = DB::Exception";
        for (said, expected, words) in [(new, 395, "Value passed."), (old, 60, "Table default.x doesn't exist.")] {
            let error = exception(said.as_bytes()).unwrap();
            assert!(error.has_code(&[expected]) && error.to_string().contains(words), "{error}");
        }
        for none in ["", "Code: ", "Code: x. DB::Exception: y", "Code: 99999999999. DB::Exception: y", "Code: 1. y"] {
            assert!(exception(none.as_bytes()).is_none(), "{none}");
        }
    }

    #[test]
    fn a_full_disk_and_a_busy_server_are_told_apart_from_what_will_never_go_well() {
        let refused = |code, message: &str| RequestError::Refused { code, message: message.to_owned() };
        assert!(matches!(refused(243, "x").into_append(), AppendError::Full { .. }));
        assert!(matches!(refused(76, "write: No space left on device").into_append(), AppendError::Full { .. }));
        assert!(matches!(refused(252, "too many parts").into_append(), AppendError::Busy { .. }));
        for (code, retryable) in [(62, false), (164, false), (497, false), (516, false), (242, true), (279, true)] {
            assert_eq!(refused(code, "x").into_append().is_retryable(), retryable, "{code}");
        }
    }
}
