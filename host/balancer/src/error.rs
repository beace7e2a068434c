//! [`OpenError`]: why a target gave no session, and whether that counts against it.

use jackfield_plugin_api::{Error, ErrorKind};

/// Why there is no session.
#[derive(Clone, Debug)]
pub enum OpenError {
    /// The target failed, or there is a mistake on our side.
    Failed(Error),
    /// The target has no place free. That does not count against it.
    Busy(Error),
}

impl OpenError {
    /// Whether the session that failed was closed.
    pub fn is_closed(&self) -> bool {
        matches!(self, OpenError::Failed(error) if error.kind() == ErrorKind::Closed)
    }
}

impl From<Error> for OpenError {
    fn from(error: Error) -> Self {
        OpenError::Failed(error)
    }
}

impl From<OpenError> for Error {
    fn from(error: OpenError) -> Self {
        let (OpenError::Failed(error) | OpenError::Busy(error)) = error;
        error
    }
}
