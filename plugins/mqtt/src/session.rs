//! The session: its facets and its control.

use crate::conversation::Conversation;
use crate::facet::Facet;
use crate::{operations, reason};
use jackfield_plugin_api::{
    Control, Error, ErrorKind, Event, Facets, Info, Messages, Result, Role, Session, close_code,
};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;

/// What sessions take beside messages; pings are a client's.
pub(crate) const CALLS: Facets = Facets::CALL
    .union(Facets::PING)
    .union(Facets::EVENTS)
    .union(Facets::CLOSE_CODE)
    .union(Facets::DRAIN);

/// A session of a connection whose handshake is done, or waits for our answer.
pub(crate) fn session(conversation: &Arc<Conversation>) -> Session {
    let mut facets = CALLS;
    facets.set(Facets::PING, conversation.role == Role::Client);
    let messages = Messages::new(Facet::new(Arc::clone(conversation)));
    Session::builder(MqttControl(Arc::clone(conversation)))
        .facets(facets)
        .messages(messages)
        .build()
}

struct MqttControl(Arc<Conversation>);

impl Control for MqttControl {
    fn info(&self) -> Info {
        let info = self.0.info.clone();
        if self.0.is_deferred() { info.with("deferred", true) } else { info }
    }

    async fn call(&self, operation: String, params: Value) -> Result<Value> {
        operations::call(&self.0, &operation, params).await
    }

    async fn ping(&self) -> Result<Duration> {
        match self.0.role {
            Role::Client => self.0.link.ping().await,
            Role::Server => Err(Error::unsupported("a ping to a client")),
        }
    }

    async fn next_event(&self) -> Result<Option<Event>> {
        Ok(self.0.events.next().await)
    }

    async fn close(&self, code: u64, _reason: String) -> Result<()> {
        let code = reason_for(code, self.0.role)?;
        self.0.finish(code).await;
        Ok(())
    }

    async fn drain(&self) -> Result<()> {
        let done = |engine: &crate::engine::Engine| {
            engine.outgoing.is_answered() && engine.out.is_empty() || engine.ended().is_some()
        };
        self.0.link.until(done).await;
        Ok(())
    }
}

/// The reason code that a close code stands for.
fn reason_for(code: u64, role: Role) -> Result<u8> {
    let known = match (code, role) {
        (close_code::NORMAL, Role::Client) | (close_code::GOING_AWAY, Role::Client) => {
            Some(reason::SUCCESS)
        }
        (close_code::NORMAL, Role::Server) => Some(reason::ADMINISTRATIVE),
        (close_code::GOING_AWAY, Role::Server) => Some(reason::SHUTTING_DOWN),
        // Its will says that it did not end as it should.
        (close_code::FAILED, Role::Client) => Some(reason::WITH_WILL),
        (close_code::FAILED, Role::Server) => Some(reason::UNSPECIFIED),
        (code, _) => {
            u8::try_from(code).ok().filter(|code| *code == 4 || (0x80..=0xa2).contains(code))
        }
    };
    known.ok_or_else(|| {
        let text = format!("{code} is no reason code of DISCONNECT: expected 0, 4 or 128 to 162");
        Error::new(ErrorKind::Config, text)
    })
}
