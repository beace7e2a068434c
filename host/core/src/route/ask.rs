//! One request to the destination: over which session, and when over another one again.

use super::fault::ClientFault;
use super::fields::{below, is_idempotent, stripped};
use super::interim::Interim;
use super::lent::lent;
use super::{Destination, Far, Route};
use crate::connection::{Entered, Purpose};
use crate::traces::AttemptSpans;
use jackfield_plugin_api::{Address, Answer, Body, Envelope, HeaderBlock, Result, Retry, Session};
use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

/// How long a session may have been unused for a request that must not be asked twice: a peer whose close
/// is still on its way cannot be told from one that has begun to work.
const FRESH: Duration = Duration::from_secs(1);

/// Where requests of one client go.
#[derive(Clone, Copy)]
pub(super) struct Asker<'a> {
    pub(super) route: &'a Route,
    pub(super) session: &'a Session,
    pub(super) connection: &'a Entered,
    /// Where there are traces.
    pub(super) spans: Option<&'a AttemptSpans<'a>>,
}

/// A request on its way.
pub(super) struct PendingRequest {
    pub(super) head: HeaderBlock,
    pub(super) body: Body,
    /// What becomes of its content.
    pub(super) fault: ClientFault,
    /// It is the first one of its client's connection. A client that loses a later answer knows that
    /// connections end between two requests (RFC 9112 §9.3.1); with the first one it need not reckon with that.
    pub(super) is_first: bool,
}

impl Asker<'_> {
    /// Asks over a session that has answered before, or over a new one. Once more over a new one where nothing
    /// can have come of the first time: nothing was sent, the peer says that it has not begun, or the session
    /// had ended when it was asked and the request is idempotent. Interim responses go to `answer`.
    ///
    /// # Errors
    /// Whose origin says whose fault it is. The client's counts against no target.
    pub(super) async fn ask(
        self,
        asked: PendingRequest,
        answer: &mut Answer,
    ) -> Result<(Far, Envelope)> {
        let PendingRequest { head, body, fault, is_first } = asked;
        let idempotent = is_idempotent(&head);
        let rested = match (idempotent, is_first) {
            (true, _) => Duration::MAX,
            (false, true) => Duration::ZERO,
            (false, false) => FRESH,
        };
        let far = self.reach(rested).await?;
        let (body, back) = lent(body);
        let error = match self.send(&far, head.clone(), body, answer).await {
            Ok(answer) => return Ok((far, answer)),
            Err(error) => fault.or(error),
        };
        // What has closed at the moment of asking may have been unused for too long.
        let is_stale = far.is_reused() && (error.is_unsent() || error.retry() == Retry::IfReused);
        let again = error.is_unsent() || is_stale && idempotent;
        if is_stale {
            drop(far);
        } else {
            // It could be opened, but does not serve.
            far.failed(&error);
        }
        let Some(body) = again.then(|| back.body()).flatten() else { return Err(error) };
        let far = self.reach(Duration::ZERO).await?;
        match self.send(&far, head, body, answer).await {
            Ok(answer) => Ok((far, answer)),
            Err(error) => {
                let error = fault.or(error);
                far.failed(&error);
                Err(error)
            }
        }
    }

    /// Sends a request, and passes on what comes before its response.
    async fn send(
        self,
        far: &Far,
        head: HeaderBlock,
        body: Body,
        answer: &mut Answer,
    ) -> Result<Envelope> {
        let head = match self.base(far) {
            Some(base) => below(&base, &head)?,
            None => head,
        };
        let (interim, place) = Interim::place();
        let mut asking = far.send(Envelope::new(head, body), place)?;
        poll_fn(|cx| {
            let polled = Pin::new(&mut asking).poll(cx);
            for head in interim.taken(cx) {
                if let Ok(head) = stripped(&head, false, |_| false, []) {
                    answer.interim(head);
                }
            }
            polled
        })
        .await
    }

    /// The path in the address of the target, where it has one that stands before those of requests. Without a
    /// host it is that of a socket.
    fn base(self, far: &Far) -> Option<String> {
        let of = |address: &Address| {
            let path = address.path.as_str();
            (!address.host.is_empty() && !matches!(path, "" | "/")).then(|| path.to_owned())
        };
        match (far, &self.route.destination) {
            (Far::Opened(opened), _) => of(opened.address()),
            (Far::Own(_), Destination::Connection(managed)) => {
                of(managed.target().stack().address())
            }
            (Far::Own(_), _) => None,
        }
    }

    /// A session of the destination: one that was unused for less than `rested`, or a new one.
    async fn reach(self, rested: Duration) -> Result<Far> {
        let Asker { route, session, connection, spans } = self;
        route.reach(session, connection, Purpose::Request { rested }, spans).await
    }
}
