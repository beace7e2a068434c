//! [`Handlers`]: what a program does with each message of the peer, by stream and function.

use crate::header::{HEADER, Header};
use crate::item::{Item, Limits};
use crate::sml;
use crate::users::message;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, SinkExt, StreamExt};
use jackfield_plugin_api::{Error, ErrorKind, Message, Messages, Result, Session};
use serde_json::json;
use std::collections::BTreeMap;
use std::fmt;
use std::panic::AssertUnwindSafe;

/// A message that has come, for its handler.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Received {
    /// Its session, stream, function, W, and system bytes.
    pub header: Header,
    /// Its item, if it has one.
    pub item: Option<Item>,
}

/// What a handler gives: the item of the answer, where one is asked for.
pub type Answer = Result<Option<Item>>;

type Handler = Box<dyn Fn(Received) -> BoxFuture<'static, Answer> + Send + Sync>;
type Failed = Box<dyn Fn(Header, &Error) + Send + Sync>;

/// Handlers of a program, by stream and function: `S5F1`. What a handler gives is the answer; where it fails or panics,
/// the message is aborted (SxF0). A handler may send and wait for answers of its own; the next message waits for it.
#[derive(Default)]
pub struct Handlers {
    all: BTreeMap<(u8, u8), Handler>,
    failed: Option<Failed>,
}

impl fmt::Debug for Handlers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.all.keys()).finish()
    }
}

impl Handlers {
    /// None yet.
    pub fn new() -> Self {
        Handlers::default()
    }

    /// Takes a message such as `S5F1`. The handler that was there for it before is gone.
    ///
    /// # Errors
    /// It is not the name of a message that begins a transaction.
    pub fn on<F, A>(mut self, title: &str, handler: F) -> Result<Self>
    where
        F: Fn(Received) -> A + Send + Sync + 'static,
        A: Future<Output = Answer> + Send + 'static,
    {
        let of = sml::title(title).filter(|(_, function)| function % 2 == 1).ok_or_else(|| {
            let text =
                format!("expected a message with an odd function, such as S5F1, not {title:?}");
            Error::new(ErrorKind::Config, text)
        })?;
        self.all.insert(of, Box::new(move |received| handler(received).boxed()));
        Ok(self)
    }

    /// Is told which message failed, and why.
    pub fn on_error(mut self, failed: impl Fn(Header, &Error) + Send + Sync + 'static) -> Self {
        self.failed = Some(Box::new(failed));
        self
    }

    /// Serves a session of `hsms` or `secs1` until it ends: over a stream that shares it, which is given those messages
    /// alone.
    ///
    /// # Errors
    /// The stream cannot be opened, or the session has ended by an error.
    pub async fn serve(&self, session: &Session) -> Result<()> {
        let titles: Vec<_> = self.all.keys().map(|(s, f)| format!("S{s}F{f}")).collect();
        if titles.is_empty() {
            return Err(Error::new(ErrorKind::Config, "there are no handlers"));
        }
        let stream = session.open_stream(&json!({ "receives": titles })).await?;
        let mut messages = stream.take_messages().ok_or_else(|| Error::unsupported("messages"))?;
        while let Some(message) = messages.next().await {
            self.one(&mut messages, message?).await?;
        }
        Ok(())
    }

    async fn one(&self, messages: &mut Messages, received: Message) -> Result<()> {
        let header = received.metadata.first_chunk::<HEADER>().map(|it| Header::of(*it));
        let Some(header) = header.filter(|header| header.is_primary()) else { return Ok(()) };
        let answer = match self.answer(header, &received.payload).await {
            Ok(item) => item.as_ref().map_or(Ok(Bytes::new()), Item::write).map_err(wrong),
            Err(error) => Err(error),
        };
        if let (Err(error), Some(failed)) = (&answer, &self.failed) {
            failed(header, error);
        }
        if !header.waits() {
            return Ok(());
        }
        let answer = match answer {
            Ok(body) => message(header.answer(header.function().wrapping_add(1)), body),
            Err(_) => message(header.answer(0), Bytes::new()),
        };
        messages.send(answer).await
    }

    async fn answer(&self, header: Header, body: &Bytes) -> Answer {
        let Some(handler) = self.all.get(&(header.stream(), header.function())) else {
            return Err(wrong(format!("{} has no handler", header.title())));
        };
        let item = Item::read(body, Limits::default()).map_err(wrong)?;
        // The handler is called within, so that what it does before its first await counts too.
        let done = async { handler(Received { header, item }).await };
        let panicked = |_| Err(wrong(format!("the handler of {} has panicked", header.title())));
        AssertUnwindSafe(done).catch_unwind().await.unwrap_or_else(panicked)
    }
}

fn wrong(text: String) -> Error {
    Error::new(ErrorKind::Other, text)
}
