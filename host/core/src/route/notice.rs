//! What a peer is told in words before its destination answers: that a line or a console is in use, by whom and
//! since when, whether it waits or is sent away.

use super::{Destination, Route};
use crate::connection::{Entered, Held};
use crate::device::LEASE;
use crate::lock::IgnorePoison;
use jackfield_plugin_api::{Control, Error, ErrorKind, Facets, Session, Stream};
use jackfield_timers::timeout;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, ready};
use std::time::{Duration, SystemTime};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What of an error says who uses the destination.
pub(super) const HELD: &str = "held";

/// How long a peer may take to read it.
const LIMIT: Duration = Duration::from_secs(1);

/// The way to tell a peer something in its own stream.
pub(super) struct Notice(Option<Arc<Shared>>);

struct Shared(Mutex<Stream>);

impl Notice {
    /// For the session of a peer whose destination one uses at a time. Others, and those without a stream, stay as
    /// they are.
    pub(super) fn of(session: Session, route: &Route) -> (Session, Self) {
        let wanted = route.options.tell_busy && route.destination.has_one_user();
        let Some(stream) = Some(&session).filter(|_| wanted).and_then(Session::take_stream) else {
            return (session, Notice(None));
        };
        let shared = Arc::new(Shared(Mutex::new(stream)));
        let facets = session.facets().difference(Facets::TAKE_FD);
        let stream = Stream::new(Spoken(Arc::clone(&shared)));
        let builder =
            Session::builder(NoticeSession(session)).facets(facets).stream(stream).inner_data();
        (builder.build(), Notice(Some(shared)))
    }

    /// Whether nothing can be told.
    pub(super) fn is_silent(&self) -> bool {
        self.0.is_none()
    }

    /// Tells a peer that it will have to wait, if it will.
    pub(super) async fn waits(&self, destination: &Destination) {
        if let Some(held) = destination.held() {
            let before = match held.waiting {
                0 => "you are next".to_owned(),
                1 => "1 user waits before you".to_owned(),
                count => format!("{count} users wait before you"),
            };
            self.say(&format!("{}; {before}", in_use(&held))).await;
        }
    }

    /// Tells a peer why it is sent away, where that is because its destination is in use; gives the error with who
    /// uses it, and whether the peer was told.
    pub(super) async fn refused(
        &self,
        error: Error,
        destination: &Destination,
        connection: &Entered,
    ) -> (Error, bool) {
        let late = error.kind() == ErrorKind::TimedOut;
        let refused =
            error.kind() == ErrorKind::InUse || error.context().any(|(key, _)| key == LEASE);
        if !refused || !destination.has_one_user() {
            return (error, false);
        }
        let error = match destination.held().or_else(|| connection.other_user()) {
            Some(held) => {
                let text = in_use(&held);
                let waited = if late { "; you have waited too long" } else { "" };
                self.say(&format!("{text}{waited}")).await;
                error.with(HELD, text)
            }
            None => {
                let text = "in use by another program";
                self.say(text).await;
                error.with(HELD, text)
            }
        };
        (error, !self.is_silent())
    }

    /// A line of its own.
    async fn say(&self, text: &str) {
        let Some(shared) = &self.0 else { return };
        let line = format!("\r\n{text}\r\n");
        let mut rest = line.as_bytes();
        let said = poll_fn(|cx| {
            let mut stream = shared.lock();
            while !rest.is_empty() {
                let count = ready!(Pin::new(&mut *stream).poll_write(cx, rest))?;
                rest = rest.get(count.max(1)..).unwrap_or_default();
            }
            Pin::new(&mut *stream).poll_flush(cx)
        });
        // Whoever has gone or does not read needs no words.
        let _ = timeout(LIMIT, said).await;
    }
}

fn in_use(held: &Held) -> String {
    let since = SystemTime::now().checked_sub(held.time).map(OffsetDateTime::from);
    let since = since.and_then(|since| since.replace_nanosecond(0).ok());
    let since = since.and_then(|since| since.format(&Rfc3339).ok()).unwrap_or_default();
    format!("in use by {} since {since}", held.by.owner)
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Stream> {
        self.0.lock().ignore_poison()
    }
}

/// The stream of a peer that may be told something.
struct Spoken(Arc<Shared>);

impl AsyncRead for Spoken {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0.lock()).poll_read(cx, buf)
    }
}

impl AsyncWrite for Spoken {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.0.lock()).poll_write(cx, bytes)
    }
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0.lock()).poll_flush(cx)
    }
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0.lock()).poll_shutdown(cx)
    }
}

struct NoticeSession(Session);

impl Control for NoticeSession {
    fn inner(&self) -> Option<&Session> {
        Some(&self.0)
    }
}
