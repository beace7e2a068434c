//! [`Code`]: what a program gives a listener to run, for each connection or for each request.

use super::request::ServedRequest;
use crate::connection::{Entered, Lasting, Live, SessionHandler, attend};
use crate::route::{RequestLine, Served};
use crate::shutdown::Stopping;
use jackfield_plugin_api::{Error, ErrorKind, Facets, Result, Serving, Session};
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;
type OnConnection = dyn Fn(Arc<Live>) -> Boxed<Result<()>> + Send + Sync;
type OnRequest = dyn Fn(ServedRequest) -> Boxed<Result<()>> + Send + Sync;

/// Requests of one peer that are under way at once; more wait.
const MOST: usize = 128;

/// What a program runs for what a listener accepts.
#[derive(Clone)]
pub enum Code {
    /// Is given each connection.
    Connections(Arc<OnConnection>),
    /// Is given each request of each connection.
    Requests(Arc<OnRequest>),
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Code::Connections(_) => "Connections",
            Code::Requests(_) => "Requests",
        })
    }
}

/// What a future of [`Code`] may end with: nothing, or a result whose error is logged.
pub trait IntoEnd {
    /// As a result.
    ///
    /// # Errors
    /// What went wrong.
    fn into_end(self) -> Result<()>;
}

impl IntoEnd for () {
    fn into_end(self) -> Result<()> {
        Ok(())
    }
}

impl IntoEnd for Result<()> {
    fn into_end(self) -> Result<()> {
        self
    }
}

/// A function of a connection or of a request, or an `Arc<dyn SessionHandler>`, as [`Code`]. `M` is found by the type
/// of the function's argument, which a closure has to name: `|connection: Arc<Live>| async move { … }`, `|request: ServedRequest| async move { … }`.
pub trait IntoCode<M> {
    /// As code.
    fn into_code(self) -> Code;
}

impl IntoCode<Code> for Code {
    fn into_code(self) -> Code {
        self
    }
}

/// Is given what each connection receives, until its end.
impl IntoCode<Arc<dyn SessionHandler>> for Arc<dyn SessionHandler> {
    fn into_code(self) -> Code {
        Code::Connections(Arc::new(move |live| {
            let handler = Arc::clone(&self);
            Box::pin(async move {
                live.set_handler(handler)?;
                live.wait_closed().await;
                Ok(())
            })
        }))
    }
}

impl<F, Fut> IntoCode<(Arc<Live>,)> for F
where
    F: Fn(Arc<Live>) -> Fut + Send + Sync + 'static,
    Fut: Future + Send + 'static,
    Fut::Output: IntoEnd,
{
    fn into_code(self) -> Code {
        Code::Connections(Arc::new(move |live| {
            let running = self(live);
            Box::pin(async move { running.await.into_end() })
        }))
    }
}

impl<F, Fut> IntoCode<(ServedRequest,)> for F
where
    F: Fn(ServedRequest) -> Fut + Send + Sync + 'static,
    Fut: Future + Send + 'static,
    Fut::Output: IntoEnd,
{
    fn into_code(self) -> Code {
        Code::Requests(Arc::new(move |request| {
            let running = self(request);
            Box::pin(async move { running.await.into_end() })
        }))
    }
}

impl Code {
    /// Whether it can serve sessions that have these facets at most.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`]: what it takes, and what they have.
    pub(crate) fn fits(&self, facets: Facets) -> Result<()> {
        let data = Facets::STREAM.union(Facets::MESSAGES).union(Facets::DATAGRAMS);
        let (wanted, fits) = match self {
            Code::Connections(_) => ("connections", facets.bits() & data.bits() != 0),
            Code::Requests(_) => ("requests", facets.contains(Facets::EXCHANGE)),
        };
        if fits || facets.bits() == 0 {
            return Ok(());
        }
        let has = facets.names().collect::<Vec<_>>().join(", ");
        Err(Error::unsupported(&format!(
            "a handler of {wanted}: sessions of this listener have {has}"
        )))
    }

    /// Runs for an accepted session until both have ended.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] if the session has nothing that this takes.
    pub(super) async fn serve(
        &self,
        session: Session,
        entered: &Entered,
        stopping: &Stopping,
    ) -> Result<Served> {
        self.fits(session.facets())?;
        let live = entered.live();
        let session = Arc::new(session);
        match self {
            Code::Connections(code) => {
                let work = async {
                    if let Err(error) = code(Arc::clone(live)).await {
                        note(live, &error);
                    }
                };
                attend(live, session, work, Lasting::UntilDone).await;
            }
            Code::Requests(code) => {
                let gone =
                    || Error::new(ErrorKind::Closed, "taking the requests of a session twice");
                let exchange = session.take_exchange().ok_or_else(gone)?;
                let route: Arc<str> = "the program".into();
                let serving = Serving::new(exchange, MOST).run(|incoming| {
                    let line = RequestLine::new(live, &route, &incoming.request.head);
                    let incoming = line.observe(incoming);
                    let running = code(ServedRequest::new(incoming, Arc::clone(live)));
                    async {
                        if let Err(error) = running.await {
                            note(live, &error);
                        }
                    }
                });
                let work = async {
                    tokio::select! {
                        served = serving => if let Err(error) = served {
                            note(live, &error);
                        },
                        () = stopped(live, stopping) => {}
                    }
                };
                attend(live, session, work, Lasting::WithLife).await;
            }
        }
        Ok(Served::Handled)
    }
}

/// Told to stop, those requests are answered that are here.
async fn stopped(live: &Live, stopping: &Stopping) {
    stopping.told().await;
    live.drain(std::time::Duration::MAX).await;
}

fn note(live: &Live, error: &Error) {
    if error.kind() == ErrorKind::Closed {
        // A peer that has left is no news.
        tracing::debug!(listener = &*live.name, id = live.id, %error, "the handler has ended");
    } else {
        tracing::info!(listener = &*live.name, id = live.id, %error, "the handler has failed");
    }
    live.note_failure(error);
}
