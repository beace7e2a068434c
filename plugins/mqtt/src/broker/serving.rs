//! One client of the broker, from its CONNECT to its end.

use super::hub::{Hub, Place};
use crate::conversation::Conversation;
use crate::engine::Received;
use crate::packet::Will;
use crate::reason;
use jackfield_plugin_api::{Host, Level, Result};
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

/// The most messages that are sent before what came is looked at again.
const TURN: usize = 64;

/// What is to be done next.
enum Step {
    Received(Box<Received>),
    End,
    Send,
    Stop,
}

/// Serves a client to its end.
///
/// # Errors
/// How its connection has failed.
pub(super) async fn serve(host: Host, hub: &Hub, it: &Arc<Conversation>) -> Result<()> {
    let Some(connect) = &it.connect else { return Ok(()) };
    let client_id = it.assigned.as_ref().unwrap_or(&connect.client_id);
    let Some(mut place) = hub.attach(client_id, connect, it) else {
        it.answer(reason::QUOTA, None, None);
        it.link.gone().await;
        let text = format!("a client is refused: max_clients is reached [client_id={client_id}]");
        host.log(Level::Warn, "mqtt", &text);
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
            if let Poll::Ready(received) = it.link.poll_received(cx) {
                return Poll::Ready(received.map_or(Step::End, |it| Step::Received(Box::new(it))));
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
            Step::Received(received) => handle(hub, it, &leaving.place, *received),
            Step::End => break,
            Step::Send => send(it, &leaving.place),
            Step::Stop => {
                it.link.leave(reason::SHUTTING_DOWN).await;
                break;
            }
        }
    }
    drop(leaving);
    it.link.gone().await;
    it.failure().map_or(Ok(()), Err)
}

fn handle(hub: &Hub, it: &Conversation, place: &Place, received: Received) {
    let now = it.link.now();
    match received {
        Received::Publish { publication, id } => {
            let qos = publication.qos;
            let anybody = match it.endpoint.map.inwards(publication) {
                Some(publication) => hub.publish(&publication, place.session, now),
                None => false,
            };
            let code = if anybody { reason::SUCCESS } else { reason::NO_SUBSCRIBERS };
            it.link.with(|engine| engine.acknowledge(qos, id, code));
        }
        Received::Subscribe { id, filters, number } => {
            let codes = hub.subscribe(place.session, filters, number, now);
            it.link.with(|engine| engine.suback(id, codes));
        }
        Received::Unsubscribe { id, filters } => {
            let codes = hub.unsubscribe(place.session, &filters);
            it.link.with(|engine| engine.unsuback(id, codes));
        }
        Received::Connect(_) | Received::Connack(_) => {}
    }
}

/// Sends what waits, as far as there is room.
fn send(it: &Conversation, place: &Place) {
    let now = it.link.now();
    for _ in 0..TURN {
        let Some(qos) = place.outbox.next_qos() else { return };
        let sent = it.link.with(|engine| {
            if !engine.has_room(qos) || engine.ended().is_some() {
                return false;
            }
            let Some(publication) = place.outbox.pop(now) else { return false };
            // One that is too long for this client is not for it (§3.1.2.11.4).
            let _ = engine.publish(publication, None, now);
            true
        });
        if !sent {
            return;
        }
    }
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
        let (kept, will, told) = self.it.link.with(|engine| {
            engine.leave(reason::UNSPECIFIED, None);
            let ended = engine.ended().cloned();
            let polite = ended.as_ref().is_some_and(|ended| ended.polite);
            let will: Option<Will> = engine.take_will().filter(|_| !polite);
            (engine.take_kept(), will, ended.and_then(|ended| ended.expiry))
        });
        // What CONNECT has left at 0 stays so (§3.14.2.2.2).
        let expiry = match told {
            Some(told) if self.expiry > 0 => self.hub.expiry(told),
            _ => self.expiry,
        };
        self.hub.detach(&self.place, kept, expiry, will, self.host.now());
    }
}
