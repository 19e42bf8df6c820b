use std::io;
use std::path::{Path, PathBuf};

use storage_api::{AppendError, BackendError};

/// Why a store does not open.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process (or this one) has it open.
    #[error("the store {} is open elsewhere: only one process may have it open", path.display())]
    Locked {
        /// The store.
        path: PathBuf,
    },
    /// It was written by a newer version, whose files this one would damage.
    #[error("{} has format {found}, newer than {known}, the newest this program knows: use a newer program", path.display())]
    NewerFormat {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The newest format known.
        known: u32,
    },
    /// A file without which the store cannot be understood is damaged. Nothing was changed.
    #[error("{} is damaged: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A file that the store consists of is not there. Nothing was changed.
    #[error("{} is missing", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// Its sealed files lie in another place than the one it is opened with. Nothing was changed.
    #[error("the sealed files of {} lie in {stored}, not in {asked}", path.display())]
    Elsewhere {
        /// The store.
        path: PathBuf,
        /// Where they lie.
        stored: String,
        /// Where they were to be looked for.
        asked: String,
    },
    /// The limits contradict themselves.
    #[error("limits: {0}")]
    Limits(&'static str),
    /// The file system failed.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

impl OpenError {
    pub(crate) fn io(path: &Path, source: io::Error) -> Self {
        Self::Io { path: path.to_owned(), source }
    }
}

/// A failure inside the store, shared by all whom it concerns.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{what}: {reason}")]
pub(crate) struct Failure {
    pub(crate) what: &'static str,
    pub(crate) reason: String,
    /// No space left.
    pub(crate) full: bool,
}

impl Failure {
    pub(crate) fn new(what: &'static str, error: &(dyn std::error::Error + 'static)) -> Self {
        let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
        let mut full = false;
        while let Some(error) = cause {
            full |= error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::StorageFull);
            cause = error.source();
        }
        Self { what, reason: error.to_string(), full }
    }

    /// Whether the system may do later what it did not do now. What is not there, not allowed or not what it should be stays so.
    pub(crate) fn may_pass(error: &(dyn std::error::Error + 'static)) -> bool {
        use io::ErrorKind::{InvalidData, InvalidInput, NotFound, PermissionDenied, UnexpectedEof, Unsupported};
        let mut cause = Some(error);
        while let Some(error) = cause {
            if let Some(error) = error.downcast_ref::<io::Error>() {
                let stays = [InvalidData, InvalidInput, NotFound, PermissionDenied, UnexpectedEof, Unsupported];
                return !stays.contains(&error.kind());
            }
            cause = error.source();
        }
        false
    }

    pub(crate) fn into_append(self) -> AppendError {
        if self.full {
            AppendError::Full { reason: self.to_string() }
        } else {
            AppendError::Backend(BackendError::retryable(self))
        }
    }
}
