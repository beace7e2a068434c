//! [`Facet`]: the messages of a session.

use crate::conversation::Conversation;
use crate::engine::Received;
use crate::metadata::{message_of, publication_of};
use crate::outgoing::Told;
use crate::packet::{Publication, Version};
use crate::reason;
use jackfield_plugin_api::futures::{Sink, Stream};
use jackfield_plugin_api::{Error, ErrorKind, Message, Result, Role};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

/// The end, on its way.
type Closing = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Messages are publications, both ways.
pub(crate) struct Facet {
    conversation: Arc<Conversation>,
    /// Begins to read when it is first asked to.
    begun: bool,
    ended: bool,
    /// Was given, and there was no room.
    waiting: Option<Publication>,
    closing: Option<Closing>,
}

impl Facet {
    pub(crate) fn new(conversation: Arc<Conversation>) -> Self {
        Facet { conversation, begun: false, ended: false, waiting: None, closing: None }
    }

    fn begin(&mut self) {
        if !self.begun {
            self.begun = true;
            // A route says by `accept` when its destination is there; it looks at what comes before that.
            if !self.conversation.asks {
                self.conversation.welcome();
            }
            self.conversation.link.with(|engine| engine.is_read = true);
        }
    }

    /// Ready when the message that waits is on its way.
    fn poll_waiting(&mut self, cx: &Context<'_>) -> Poll<Result<()>> {
        let it = &self.conversation;
        while let Some(publication) = &self.waiting {
            ready!(it.link.poll_room(publication.qos, cx));
            // Messages before the first subscription wait for it, as a client expects of a stream behind it.
            let early = it.role == Role::Server && !it.grants().begun;
            if early && it.failure().is_none() && it.link.with(|engine| engine.ended().is_none()) {
                return Poll::Pending;
            }
            // Neither the map nor what was subscribed makes a QoS higher: there is room for it.
            let Some(publication) =
                self.waiting.take().and_then(|publication| it.outwards(publication))
            else {
                break;
            };
            let now = it.link.now();
            it.link.with(|engine| engine.publish(publication, Told::Nobody, now))?;
        }
        Poll::Ready(Ok(()))
    }
}

impl Stream for Facet {
    type Item = Result<Message>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.begin();
        let this = &mut *self;
        loop {
            if this.ended {
                return Poll::Ready(None);
            }
            let it = &this.conversation;
            let received = ready!(it.link.poll_received(cx));
            it.tell_news();
            match received {
                Some(Received::Publish { publication, id }) => {
                    if let Some(entry) = it.operation(&publication.topic) {
                        it.on_call(entry, publication, id);
                        continue;
                    }
                    let qos = publication.qos;
                    it.link.with(|engine| engine.acknowledge(qos, id, reason::SUCCESS));
                    if let Some(publication) = it.endpoint.map.inwards(publication) {
                        return Poll::Ready(Some(Ok(message_of(publication, id))));
                    }
                }
                Some(Received::Subscribe { id, filters, number }) => {
                    it.on_subscribe(id, filters, number);
                }
                Some(Received::Unsubscribe { id, filters }) => it.on_unsubscribe(id, filters),
                // The handshake has taken them.
                Some(Received::Connect(_) | Received::Connack(_)) => {}
                None if it.role == Role::Server && it.link.is_parting() => return Poll::Pending,
                None => {
                    let will = it.take_will().and_then(|will| it.endpoint.map.inwards(will));
                    if let Some(will) = will {
                        return Poll::Ready(Some(Ok(message_of(will, 0))));
                    }
                    it.events.end();
                    this.ended = true;
                    return Poll::Ready(it.failure().map(Err));
                }
            }
        }
    }
}

impl Sink<Message> for Facet {
    type Error = Error;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.begin();
        self.poll_waiting(cx)
    }

    fn start_send(mut self: Pin<&mut Self>, message: Message) -> Result<()> {
        let usual = &self.conversation.endpoint.usual;
        let mut publication = publication_of(message, usual)?;
        if !crate::topic::is_topic(&publication.topic) {
            let text = format!("{:?} is no topic: it has no wildcards", publication.topic);
            return Err(Error::new(ErrorKind::Config, text));
        }
        if self.conversation.link.with(|engine| engine.version()) == Version::V311 {
            publication.properties = crate::packet::Properties::default();
        }
        publication.dup = false;
        self.waiting = Some(publication);
        Ok(())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        ready!(self.poll_waiting(cx))?;
        self.conversation.link.poll_sent(cx).map(Ok)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        if self.closing.is_none() {
            ready!(self.poll_waiting(cx))?;
            let it = Arc::clone(&self.conversation);
            let code = match it.role {
                Role::Client => reason::SUCCESS,
                Role::Server => reason::ADMINISTRATIVE,
            };
            self.closing = Some(Box::pin(async move { it.finish(code).await }));
        }
        match &mut self.closing {
            Some(closing) => closing.as_mut().poll(cx).map(Ok),
            None => Poll::Ready(Ok(())),
        }
    }
}
