use std::fmt;

use tonic::{Code, Status};

/// Whether sending the same batch again may help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// The fault may pass: keep the batch and send it again, later and later.
    Later,
    /// It will never be taken: drop it and count it.
    Never,
}

impl Retry {
    /// What an answer of the server, or of anything between, says about trying again.
    #[must_use]
    pub fn of(status: &Status) -> Self {
        match status.code() {
            Code::InvalidArgument
            | Code::Unimplemented
            | Code::FailedPrecondition
            | Code::OutOfRange
            | Code::DataLoss
            | Code::AlreadyExists
            | Code::NotFound => Self::Never,
            // Also what is not the batch's fault, such as a missing permission: an operator may mend it.
            _ => Self::Later,
        }
    }
}

/// Why a server does not take a batch: the only reasons it gives, so that agents know what each means.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// The request is malformed: `INVALID_ARGUMENT`, never try again.
    Malformed(String),
    /// Table or schema version is unknown here: `UNIMPLEMENTED`, never try again.
    Unknown(String),
    /// The batch is larger than this server takes: `OUT_OF_RANGE`, never try again.
    TooLarge(String),
    /// Too much at once: `RESOURCE_EXHAUSTED`, try later.
    Busy(String),
    /// The store does not take it now: `UNAVAILABLE`, try later.
    Unavailable(String),
    /// The store will never take it: `FAILED_PRECONDITION`, never try again.
    Rejected(String),
}

impl Refusal {
    /// Whether sending the same batch again may help.
    #[must_use]
    pub fn retry(&self) -> Retry {
        match self {
            Self::Busy(_) | Self::Unavailable(_) => Retry::Later,
            _ => Retry::Never,
        }
    }

    fn parts(&self) -> (Code, &str) {
        match self {
            Self::Malformed(text) => (Code::InvalidArgument, text),
            Self::Unknown(text) => (Code::Unimplemented, text),
            Self::TooLarge(text) => (Code::OutOfRange, text),
            Self::Busy(text) => (Code::ResourceExhausted, text),
            Self::Unavailable(text) => (Code::Unavailable, text),
            Self::Rejected(text) => (Code::FailedPrecondition, text),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.parts().1)
    }
}

impl std::error::Error for Refusal {}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        let (code, text) = refusal.parts();
        Self::new(code, text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_means_the_same_on_both_sides() {
        let text = || "x".to_owned();
        for refusal in [
            Refusal::Malformed(text()),
            Refusal::Unknown(text()),
            Refusal::TooLarge(text()),
            Refusal::Busy(text()),
            Refusal::Unavailable(text()),
            Refusal::Rejected(text()),
        ] {
            assert_eq!(Retry::of(&Status::from(refusal.clone())), refusal.retry(), "{refusal:?}");
        }
    }

    #[test]
    fn what_a_broken_connection_gives_is_tried_again() {
        for code in [Code::Unknown, Code::Cancelled, Code::Internal, Code::DeadlineExceeded, Code::PermissionDenied] {
            assert_eq!(Retry::of(&Status::new(code, "")), Retry::Later);
        }
    }
}
