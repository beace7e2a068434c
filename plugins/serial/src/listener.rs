//! [`LineListener`]: a line whose other end begins, such as the master of a field bus. It has one session at a time, which
//! is there as soon as the line is open, since nobody can be heard to come.

use crate::line::Line;
use crate::options::SerialOptions;
use crate::session;
use jackfield_plugin_api::sync::{OwnedSemaphorePermit, Semaphore};
use jackfield_plugin_api::{Accept, Error, ErrorKind, Host, Info, Level, Result, Session};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The least time from one session to the next: whatever ends them at once does not do so without a pause. It is also how
/// often a line that is not there is looked for.
const PAUSE: Duration = Duration::from_secs(1);

/// Says that a line is in use, until it is dropped.
pub(crate) type Use = OwnedSemaphorePermit;

/// The listener.
pub(crate) struct LineListener {
    host: Host,
    path: String,
    options: SerialOptions,
    /// The line as it was opened first.
    first: Mutex<Option<Line>>,
    free: Arc<Semaphore>,
    last: Mutex<Option<Duration>>,
}

impl LineListener {
    /// Opens the line.
    ///
    /// # Errors
    /// It cannot be opened.
    pub(crate) async fn new(host: Host, path: String, options: SerialOptions) -> Result<Self> {
        let line = open(host, &path, &options).await?;
        let free = Arc::new(Semaphore::new(1));
        Ok(LineListener {
            host,
            path,
            options,
            first: Mutex::new(Some(line)),
            free,
            last: Mutex::default(),
        })
    }

    /// Waits until a pause has passed since the last session began.
    async fn pause(&self) {
        let last = *self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(last) = last else { return };
        self.host.timer((last + PAUSE).saturating_sub(self.host.now())).await;
    }

    /// The line, once it can be opened.
    async fn line(&self) -> Line {
        let first = self.first.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(line) = first {
            return line;
        }
        let mut told = false;
        loop {
            let error = match open(self.host, &self.path, &self.options).await {
                Ok(line) => return line,
                Err(error) => error,
            };
            if !told {
                let text = format!("the line cannot be opened, and is looked for: {error}");
                self.host.log(Level::Warn, "serial", &text);
                told = true;
            }
            self.host.timer(PAUSE).await;
        }
    }
}

async fn open(host: Host, path: &str, options: &SerialOptions) -> Result<Line> {
    let (device, wanted) = (path.to_owned(), options.clone());
    host.blocking(move || Line::open(&device, &wanted)).await?
}

impl Accept for LineListener {
    fn info(&self) -> Info {
        Info::new().local(self.path.clone())
    }

    async fn accept(&self) -> Result<Session> {
        let closed = |_| Error::new(ErrorKind::Closed, "the listener has ended");
        let used = Arc::clone(&self.free).acquire_owned().await.map_err(closed)?;
        self.pause().await;
        let mut line = self.line().await;
        line.keep(used);
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(self.host.now());
        session::over(self.host, self.path.clone(), line, &self.options)
    }
}
