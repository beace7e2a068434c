//! The client's session: everything that is called rather than exchanged.

use crate::call::{self, Params};
use crate::client::{Client, ClientExchange};
use jackfield_plugin_api::{
    Address, Body, Control, Envelope, Error, ErrorKind, Exchange, Facets, HeaderBlock, Info,
    Result, Session,
};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;

/// Facets of a client beside the exchange.
pub(crate) const CALLED: Facets =
    Facets::CALL.union(Facets::DIAL).union(Facets::PING).union(Facets::DRAIN);

/// A session over a connection to a server. `target` is what calls without a path ask for.
pub(crate) fn session(client: Arc<Client>, target: String) -> Session {
    let exchange = Exchange::new(ClientExchange(Arc::clone(&client)));
    Session::builder(ClientControl { client, target }).facets(CALLED).exchange(exchange).build()
}

struct ClientControl {
    client: Arc<Client>,
    target: String,
}

impl Control for ClientControl {
    fn info(&self) -> Info {
        self.client.info.clone()
    }

    async fn call(&self, operation: String, params: Value) -> Result<Value> {
        let params: Params = serde_json::from_value(params)
            .map_err(|error| Error::new(ErrorKind::Config, format!("parameters: {error}")))?;
        let calls = self.client.endpoint.calls;
        let limit = match params.timeout {
            Some(seconds) => Duration::try_from_secs_f64(seconds)
                .map_err(|_| Error::new(ErrorKind::Config, "timeout is not a time in seconds"))?,
            None => calls.timeout,
        };
        let asked = call::asked(&operation, params, &self.target)?;
        let work = call::run(&self.client, asked);
        let answer = self.client.host.timeout(limit, "the call", work).await?;
        serde_json::to_value(answer)
            .map_err(|error| Error::new(ErrorKind::Other, error.to_string()))
    }

    async fn dial(&self, address: Address) -> Result<Session> {
        let to = address.authority();
        let fields = [(":method", "CONNECT"), (":authority", to.as_str())];
        let answer =
            self.client.exchange(Envelope::new(HeaderBlock::new(fields)?, Body::empty())).await?;
        let status = answer.head.get(":status").unwrap_or_default();
        match answer.upgrade {
            Some(upgrade) => upgrade.await,
            None => Err(refused(status, "opened no tunnel").with("to", to)),
        }
    }

    async fn ping(&self) -> Result<Duration> {
        let (method, path) = &self.client.endpoint.ping;
        let fields = [(":method", method.as_str()), (":path", path)];
        let start = self.client.host.now();
        let answer =
            self.client.exchange(Envelope::new(HeaderBlock::new(fields)?, Body::empty())).await?;
        let status = answer.head.get(":status").unwrap_or_default();
        if status.first().is_some_and(|digit| *digit >= b'5') {
            return Err(refused(status, "failed the health check").with("path", path));
        }
        Ok(self.client.host.now().saturating_sub(start))
    }

    async fn close(&self, _code: u64, _reason: String) -> Result<()> {
        self.client.end();
        Ok(())
    }

    async fn drain(&self) -> Result<()> {
        self.client.drain().await;
        Ok(())
    }
}

/// For an answer that gives not what was asked for.
pub(crate) fn refused(status: &[u8], what: &str) -> Error {
    let kind = match status {
        b"401" | b"403" | b"407" => ErrorKind::Denied,
        _ => ErrorKind::Refused,
    };
    Error::new(kind, format!("the server answered {} and {what}", String::from_utf8_lossy(status)))
}
