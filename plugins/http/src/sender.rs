//! [`Sender`]: hyper's side of a connection to a server.

use crate::body::Outgoing;
use crate::carrier::Carrier;
use crate::endpoint::Limits;
use crate::failure::failure;
use crate::rt::{Clock, Spawner, Task};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use jackfield_plugin_api::{Error, Host, Result};
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Where requests of a connection go.
pub(crate) enum Sender {
    /// One request after the other.
    One(tokio::sync::Mutex<http1::SendRequest<Outgoing>>),
    /// Many at once.
    Many(http2::SendRequest<Outgoing>),
}

impl Sender {
    /// Sends a request and waits for the head of its response.
    pub(crate) async fn send(&self, request: Request<Outgoing>) -> Result<Response<Incoming>> {
        let answer = match self {
            Sender::One(sender) => {
                let mut sender = sender.lock().await;
                sender.ready().await.map_err(|_| Error::unsent())?;
                let answer = sender.try_send_request(request);
                drop(sender);
                answer.await
            }
            Sender::Many(sender) => {
                let mut sender = sender.clone();
                sender.ready().await.map_err(|_| Error::unsent())?;
                sender.try_send_request(request).await
            }
        };
        // What is given back has not been sent.
        answer.map_err(|mut error| match error.take_message() {
            Some(_) => Error::unsent(),
            None => failure(error.error()),
        })
    }
}

/// Begins HTTP/2: many requests at once.
pub(crate) async fn many(
    limits: &Limits,
    io: TokioIo<Carrier>,
    host: Host,
    spawner: Spawner,
    over: Arc<Semaphore>,
) -> Result<(Sender, Task)> {
    let mut builder = http2::Builder::new(spawner);
    builder
        .timer(Clock::new(host))
        .max_header_list_size(limits.header_bytes)
        .keep_alive_interval(limits.ping)
        .keep_alive_timeout(limits.pong)
        .keep_alive_while_idle(true);
    let (sender, connection) = builder.handshake(io).await.map_err(|error| failure(&error))?;
    Ok((Sender::Many(sender), until_over(connection, over)))
}

/// Begins HTTP/1.1: one request after the other.
pub(crate) async fn one(
    limits: &Limits,
    title_case: bool,
    io: TokioIo<Carrier>,
    over: Arc<Semaphore>,
) -> Result<(Sender, Task)> {
    let mut builder = http1::Builder::new();
    builder
        .title_case_headers(title_case)
        .max_headers(limits.headers)
        .max_header_size(limits.header_bytes_size())
        .max_buf_size(limits.header_bytes_size());
    let (sender, connection) = builder.handshake(io).await.map_err(|error| failure(&error))?;
    Ok((Sender::One(sender.into()), until_over(connection.with_upgrades(), over)))
}

/// Runs a connection and tells its end. What ended it is told to each of its requests.
fn until_over<T>(connection: impl Future<Output = T> + Send + 'static, over: Arc<Semaphore>) -> Task
where
    T: Send + 'static,
{
    Box::pin(async move {
        let ended = connection.await;
        over.close();
        drop(ended);
    })
}
