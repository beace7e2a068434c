//! [`AcquireError`]: why a caller got no member.

use std::time::Duration;

use jackfield_plugin_api::{Error, ErrorKind, Origin, Retry};

/// Why a caller got no member.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AcquireError {
    /// The caller's time was up. The figures are those of that moment.
    #[error(
        "no member of the pool became free in {waited:?}: {in_use} of {max_size} in use, \
         {opening} being opened, {waiting} callers waiting"
    )]
    TimedOut {
        /// How long this caller had waited.
        waited: Duration,
        /// Members in use.
        in_use: usize,
        /// Members being opened.
        opening: usize,
        /// Callers that still wait.
        waiting: usize,
        /// Members at most.
        max_size: usize,
    },
    /// As many callers wait as may.
    #[error(
        "too many callers wait for a member of the pool: {waiting}, with {in_use} of {max_size} \
         in use"
    )]
    TooManyWaiters {
        /// Callers that wait.
        waiting: usize,
        /// Members in use.
        in_use: usize,
        /// Members at most.
        max_size: usize,
    },
    /// The pool has been closed.
    #[error("the pool is closed")]
    Closed,
    /// A member was to be opened for this caller, and that failed.
    #[error("{0}")]
    Open(Error),
}

impl From<AcquireError> for Error {
    fn from(error: AcquireError) -> Self {
        let text = error.to_string();
        match error {
            AcquireError::Open(error) => error,
            AcquireError::TimedOut { .. } => {
                Error::new(ErrorKind::TimedOut, text).with_origin(Origin::Internal)
            }
            AcquireError::TooManyWaiters { .. } => {
                Error::new(ErrorKind::Limit, text).with_retry(Retry::Now)
            }
            AcquireError::Closed => {
                let closed = Error::new(ErrorKind::Closed, text);
                closed.with_origin(Origin::Internal).with_retry(Retry::Never)
            }
        }
    }
}
