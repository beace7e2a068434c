//! [`Wire`]: what requests and their replies go over, one after the other.

use crate::error::{Error, ErrorKind, Result};
use std::ops::{Deref, DerefMut};
use tokio::sync::{Mutex, MutexGuard};

/// A stream, or anything else, over which each request waits for its own reply. Calls come at the same
/// time, and each can be dropped in the middle: by a deadline, or because its caller is gone. A wire
/// gives each its turn, and a turn that was not brought to its end breaks the wire, so that the next
/// call never reads the reply of another.
///
/// ```
/// use jackfield_plugin_api::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
/// use jackfield_plugin_api::{Result, Stream, Wire};
///
/// async fn ask(wire: &Wire<BufReader<Stream>>, request: &str) -> Result<String> {
///     let mut turn = wire.turn().await?;
///     turn.write_all(request.as_bytes()).await?;
///     turn.flush().await?;
///     let mut reply = String::new();
///     turn.read_line(&mut reply).await?;
///     turn.done();
///     Ok(reply)
/// }
/// ```
#[derive(Debug)]
pub struct Wire<T>(Mutex<Option<T>>);

impl<T> Wire<T> {
    /// Requests go over `io`.
    pub fn new(io: T) -> Self {
        Wire(Mutex::new(Some(io)))
    }

    /// Waits for its turn, in the order of the calls. Cancel safe.
    ///
    /// # Errors
    /// [`ErrorKind::Closed`] if a turn before was not brought to its end, or the wire was closed.
    pub async fn turn(&self) -> Result<Turn<'_, T>> {
        let mut place = self.0.lock().await;
        let text = "the wire was closed in the middle of a request";
        let io = place.take().ok_or_else(|| Error::new(ErrorKind::Closed, text))?;
        Ok(Turn { place, io: Some(io) })
    }

    /// Takes the wire out, after the turns that have begun; `None` if it is closed. Later turns fail.
    pub async fn close(&self) -> Option<T> {
        self.0.lock().await.take()
    }
}

/// The right to one request and its reply. Dropped without [`Turn::done`], it closes the wire.
#[derive(Debug)]
pub struct Turn<'a, T> {
    place: MutexGuard<'a, Option<T>>,
    io: Option<T>,
}

impl<T> Turn<'_, T> {
    /// The reply was read to its end, whatever it said: the next may ask.
    pub fn done(mut self) {
        *self.place = self.io.take();
    }
}

impl<T> Deref for Turn<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        match &self.io {
            Some(io) => io,
            None => unreachable!("only `done` takes it, which ends the turn"),
        }
    }
}

impl<T> DerefMut for Turn<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        match &mut self.io {
            Some(io) => io,
            None => unreachable!("only `done` takes it, which ends the turn"),
        }
    }
}
