//! One client of the broker, from its CONNECT to its end.

use super::hub::{Hub, Left, Place};
use super::options::Permission;
use super::permissions::Permits;
use crate::conversation::Conversation;
use crate::engine::Received;
use crate::outgoing::Told;
use crate::packet::{Connect, Publication, Will};
use crate::reason;
use jackfield_plugin_api::{Host, Level, Result};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

/// The most messages that are sent before what came is looked at again.
const TURN: usize = 64;

/// What is to be done next.
enum Step {
    Received(VecDeque<Received>),
    End,
    Send,
    Stop,
}

/// Serves a client to its end.
///
/// # Errors
/// How its connection has failed.
pub(super) async fn serve(
    host: Host,
    hub: &Arc<Hub>,
    permissions: &[Permission],
    it: &Arc<Conversation>,
) -> Result<()> {
    let Some(connect) = &it.connect else { return Ok(()) };
    let Some((mut place, permits)) = admit(host, hub, permissions, connect, it).await? else {
        return Ok(());
    };
    let granted = hub.expiry(connect.expiry);
    let told = (granted != connect.expiry).then_some(granted);
    it.answer(reason::SUCCESS, place.resumed.take(), told);
    it.link.with(|engine| engine.is_read = true);
    let leaving = Leaving { host, hub, it, place, expiry: granted };
    let mut stopping = pin!(host.stopping());
    loop {
        let step = poll_fn(|cx| {
            if stopping.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Step::Stop);
            }
            if let Poll::Ready(received) = it.link.poll_all_received(cx) {
                return Poll::Ready(received.map_or(Step::End, Step::Received));
            }
            let outbox = &leaving.place.outbox;
            outbox.sender.register(cx.waker());
            match outbox.next_qos() {
                Some(qos) => it.link.poll_room(qos, cx).map(|()| Step::Send),
                None => Poll::Pending,
            }
        })
        .await;
        match step {
            Step::Received(received) => handle(hub, it, &permits, &leaving.place, received),
            Step::End => break,
            Step::Send => send(it, &leaving.place),
            Step::Stop => {
                it.link.leave(reason::SHUTTING_DOWN).await;
                return Ok(());
            }
        }
    }
    drop(leaving);
    it.link.gone().await;
    poll_fn(|cx| {
        // It wakes the reader when it is over.
        let _ = it.link.poll_received(cx);
        let parts = it.link.is_parting() && stopping.as_mut().poll(cx).is_pending();
        if parts { Poll::Pending } else { Poll::Ready(()) }
    })
    .await;
    it.failure().map_or(Ok(()), Err)
}

/// Gives a client its place, and what it may do; `None`: it was refused.
///
/// # Errors
/// The state directory cannot be used.
async fn admit(
    host: Host,
    hub: &Arc<Hub>,
    permissions: &[Permission],
    connect: &Connect,
    it: &Arc<Conversation>,
) -> Result<Option<(Place, Permits)>> {
    if let Err(error) = hub.open().await {
        it.answer(reason::UNAVAILABLE, None, None);
        it.link.gone().await;
        return Err(error);
    }
    let client_id = it.assigned.as_ref().unwrap_or(&connect.client_id);
    // That of the listener, or of the client's certificate.
    let user = it.info.identity.as_deref();
    let permits = Permits::of(permissions, user, client_id);
    let will = connect.will.as_ref().map(|will| &will.publication.topic);
    if let Some(topic) = will.filter(|topic| !permits.publish(topic)) {
        let text = format!("a client is refused: its will is not permitted [topic={topic}]");
        return refuse(host, it, reason::NOT_AUTHORIZED, &text).await;
    }
    let place = match hub.attach(client_id, user, &permits, connect, it) {
        Ok(place) => place,
        Err(reason::NOT_AUTHORIZED) => {
            let text = "a client is refused: the session of its name is another user's";
            return refuse(host, it, reason::NOT_AUTHORIZED, text).await;
        }
        Err(code) => {
            return refuse(host, it, code, "a client is refused: max_clients is reached").await;
        }
    };
    Ok(Some((place, permits)))
}

/// Tells a client that it may not connect, and the log why.
async fn refuse<T>(host: Host, it: &Conversation, code: u8, text: &str) -> Result<Option<T>> {
    it.answer(code, None, None);
    it.link.gone().await;
    let client_id = it.connect.as_ref().map_or("", |connect| &connect.client_id);
    host.log(Level::Warn, "mqtt", &format!("{text} [client_id={client_id}]"));
    Ok(None)
}

/// Does what came, in its order.
fn handle(
    hub: &Hub,
    it: &Conversation,
    permits: &Permits,
    place: &Place,
    mut received: VecDeque<Received>,
) {
    while let Some(next) = received.pop_front() {
        match next {
            Received::Publish { publication, id } => {
                publish(hub, it, permits, place, (publication, id), &mut received);
            }
            Received::Subscribe { id, filters, number } => {
                let now = it.link.now();
                let codes = hub.subscribe(place.session, permits, filters, number, now);
                it.link.with(|engine| engine.suback(id, codes));
            }
            Received::Unsubscribe { id, filters } => {
                let codes = hub.unsubscribe(place.session, &filters);
                it.link.with(|engine| engine.unsuback(id, codes));
            }
            Received::Connect(_) | Received::Connack(_) => {}
        }
    }
}

/// Publishes a message and those that came right behind it, and answers them when all are taken over.
fn publish(
    hub: &Hub,
    it: &Conversation,
    permits: &Permits,
    place: &Place,
    first: (Publication, u16),
    received: &mut VecDeque<Received>,
) {
    let mut answers = Vec::new();
    hub.publishing(place.session, it.link.now(), |publishing| {
        let mut next = Some(first);
        while let Some((publication, id)) = next {
            let qos = publication.qos;
            let code = if !permits.publish(&publication.topic) {
                publishing.refused();
                reason::NOT_AUTHORIZED
            } else if let Some(publication) = it.endpoint.map.inwards(publication)
                && publishing.publish(publication)
            {
                reason::SUCCESS
            } else {
                reason::NO_SUBSCRIBERS
            };
            if qos > 0 {
                answers.push((qos, id, code));
            }
            next = match received.pop_front() {
                Some(Received::Publish { publication, id }) => Some((publication, id)),
                Some(other) => {
                    received.push_front(other);
                    None
                }
                None => None,
            };
        }
    });
    if !answers.is_empty() {
        it.link.with(|engine| {
            for (qos, id, code) in answers {
                engine.acknowledge(qos, id, code);
            }
        });
    }
}

/// Sends what waits, as far as there is room.
fn send(it: &Conversation, place: &Place) {
    let now = it.link.now();
    it.link.with(|engine| {
        for _ in 0..TURN {
            if engine.ended().is_some() {
                return;
            }
            let next = place.outbox.pop_if(now, |qos| engine.has_room(qos));
            let Some((publication, number)) = next else { return };
            let told = number.map_or(Told::Nobody, Told::Keeper);
            // One that is too long for this client is not for it (§3.1.2.11.4).
            let _ = engine.publish(publication, told, now);
        }
    });
}

/// Gives the session back when serving ends, dropped or not.
struct Leaving<'a> {
    host: Host,
    hub: &'a Hub,
    it: &'a Arc<Conversation>,
    place: Place,
    expiry: u32,
}

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        let (left, told) = self.it.link.with(|engine| {
            engine.leave(reason::UNSPECIFIED, None);
            let ended = engine.ended().cloned();
            let polite = ended.as_ref().is_some_and(|ended| ended.polite);
            let will: Option<Will> = engine.take_will().filter(|_| !polite);
            let taken_over = engine.outgoing.taken_over();
            let left = Left { kept: engine.take_kept(), will, taken_over };
            (left, ended.and_then(|ended| ended.expiry))
        });
        // What CONNECT has left at 0 stays so (§3.14.2.2.2).
        let expiry = match told {
            Some(told) if self.expiry > 0 => self.hub.expiry(told),
            _ => self.expiry,
        };
        self.hub.detach(&self.place, left, expiry, self.host.now());
    }
}
