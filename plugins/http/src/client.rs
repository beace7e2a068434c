//! [`Client`]: one connection to a server, and requests over it.

use crate::body::{Bounds, Outgoing, received};
use crate::carrier::Carrier;
use crate::endpoint::HttpEndpoint;
use crate::failure::closed;
use crate::head::{self, Origin};
use crate::options::Version;
use crate::pace::Paces;
use crate::resets::Resets;
use crate::rt::tasks;
use crate::sender::{Sender, many, one};
use crate::upgrade::{agrees, asked, upgraded};
use data_encoding::BASE64;
use hyper::body::{Body as _, Incoming};
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use jackfield_fields::hidden;
use jackfield_plugin_api::Op;
use jackfield_plugin_api::Timer;
use jackfield_plugin_api::{
    Address, Answer, Envelope, Error, ErrorKind, Exchanger, Host, Incoming as Requested, Info,
    Result, Stream,
};
use std::any::Any;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, ready};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

/// One connection to a server.
pub(crate) struct Client {
    sender: Sender,
    /// Of HTTP/2.
    paces: Option<Paces>,
    pub(crate) endpoint: Arc<HttpEndpoint>,
    pub(crate) origin: Origin,
    pub(crate) info: Info,
    pub(crate) host: Host,
    /// The user of the address; `HeaderValue` hides it.
    login: Option<HeaderValue>,
    /// One permit for each request until its response has come whole.
    places: Arc<Semaphore>,
    draining: AtomicBool,
    /// The timer of a request before: setting it again costs less than making one.
    timer: Mutex<Option<Timer>>,
    /// The connection runs while this is held.
    task: Mutex<Option<Op<()>>>,
    /// Without permits; closed when the connection has ended.
    over: Arc<Semaphore>,
}

/// Greets the server at the other end of `carrier`.
pub(crate) async fn connect(
    endpoint: Arc<HttpEndpoint>,
    address: &Address,
    carrier: Stream,
    below: &Info,
    host: Host,
) -> Result<Arc<Client>> {
    let login = login(address, &endpoint)?;
    let http2 = is_http2(endpoint.version, below)?;
    let resets = http2.then(|| Resets::new(places(&endpoint)));
    let carrier = Carrier::opened(carrier, resets, host, endpoint.limits.write);
    let over = Arc::new(Semaphore::new(0));
    let io = TokioIo::new(carrier);
    let paces = Paces::new(host, endpoint.limits.write);
    let spawning = tasks(endpoint.limits.requests, paces.clone());
    let (sender, connection) = match http2 {
        true => many(&endpoint.limits, io, host, spawning.0, Arc::clone(&over)).await?,
        false => one(&endpoint.limits, endpoint.title_case, io, Arc::clone(&over)).await?,
    };
    let task = host.spawn(spawning.1.run(connection));
    let origin = Origin {
        scheme: if below.encrypted { "https" } else { "http" },
        authority: authority(address, below.encrypted),
    };
    let info = Info::default()
        .with("role", "client")
        .with("http_version", if http2 { "2" } else { "1.1" })
        .with("authority", origin.authority.clone())
        .over(below);
    Ok(Arc::new(Client {
        sender,
        paces: http2.then_some(paces),
        places: Arc::new(Semaphore::new(places(&endpoint))),
        endpoint,
        origin,
        info,
        host,
        login,
        draining: AtomicBool::new(false),
        timer: Mutex::default(),
        task: Mutex::new(Some(task)),
        over,
    }))
}

fn places(endpoint: &HttpEndpoint) -> usize {
    usize::try_from(endpoint.limits.requests)
        .map_or(Semaphore::MAX_PERMITS, |most| most.min(Semaphore::MAX_PERMITS))
}

fn is_http2(version: Version, below: &Info) -> Result<bool> {
    let agreed = below.facts.get("alpn").and_then(serde_json::Value::as_str);
    match (version, agreed) {
        (Version::Auto, agreed) => Ok(agreed == Some("h2")),
        (Version::Http2, Some(other)) if other != "h2" => Err(Error::option(
            "version",
            format!("is \"2\", and the server has agreed to {other:?} (ALPN)"),
        )),
        (Version::Http1, Some("h2")) => Err(Error::option(
            "version",
            "is \"1.1\", and TLS has agreed to \"h2\" (ALPN); leave it out of `tls.alpn`",
        )),
        (version, _) => Ok(version == Version::Http2),
    }
}

/// The user and password of the address as basic authorization (RFC 7617).
fn login(address: &Address, endpoint: &HttpEndpoint) -> Result<Option<HeaderValue>> {
    let Some(user) = &address.user else { return Ok(None) };
    if endpoint.headers.iter().any(|(name, _)| name == header::AUTHORIZATION) {
        let message = "and a user in the address exclude each other";
        return Err(Error::option("bearer_token", message).with("user", user));
    }
    if user.contains(':') {
        return Err(Error::new(ErrorKind::Config, "a user name for HTTP must not have a colon"));
    }
    let password = address.password.as_ref().map_or("", |password| password.expose());
    let value = format!("Basic {}", BASE64.encode(format!("{user}:{password}").as_bytes()));
    hidden("user", &value).map(Some)
}

/// The host and the port, without the port that the scheme has anyway (RFC 9110 §7.2).
fn authority(address: &Address, encrypted: bool) -> String {
    let default = if encrypted { 443 } else { 80 };
    match (address.host.as_str(), address.port) {
        ("", _) => "localhost".to_owned(),
        (_, Some(port)) if port == default => address.bracketed_host(),
        _ => address.authority(),
    }
}

impl Client {
    /// Sends a request and waits for the head of its response.
    pub(crate) async fn exchange(self: &Arc<Self>, request: Envelope) -> Result<Envelope> {
        self.exchange_telling(request, None).await
    }

    /// As [`Client::exchange`], with a place for interim responses. For HTTP/2 hyper tells of none.
    async fn exchange_telling(
        self: &Arc<Self>,
        request: Envelope,
        interim: Option<Answer>,
    ) -> Result<Envelope> {
        if self.is_http2() && head::is_websocket(&request.head) {
            let text = "a WebSocket is opened over HTTP/1.1, and the connection is of HTTP/2: set the \
                        option version = \"1.1\"";
            return Err(Error::new(ErrorKind::Unsupported, text).with("option", "version"));
        }
        let Envelope { head, body, .. } = request;
        let mut request = head::request(&head, &self.origin, self.is_http2())?;
        let connects = request.method() == Method::CONNECT;
        self.complete(request.headers_mut(), connects);
        let upgrades = asked(request.headers());
        let mut body = if connects { Outgoing::empty() } else { Outgoing::new(body) };
        body.fit(request.headers_mut());
        let body = body.paced(self.paces.as_ref());
        let (body, sent) = match body.is_end_stream() {
            true => (body, None),
            false => {
                let (body, sent) = body.told(false);
                (body, Some(sent))
            }
        };
        let place = self.place()?;
        let mut request = request.map(|()| body);
        if let Some(interim) = interim.filter(|_| !self.is_http2()) {
            tell_interim(&mut request, interim);
        }
        let work = self.sender.send(request);
        let response = self.within(self.endpoint.limits.response, sent, work).await?;
        if response.status() == StatusCode::SWITCHING_PROTOCOLS
            && !agrees(&upgrades, response.headers())
        {
            let text = "the server switches to a protocol that the request has not asked for";
            return Err(Error::new(ErrorKind::Protocol, text));
        }
        if let Err((_, text)) = head::plain(response.headers()) {
            return Err(Error::new(
                ErrorKind::Protocol,
                format!("the response is refused: {text}"),
            ));
        }
        self.answered(response, connects, place)
    }

    /// Waits for the head of a response at most for `limit`, from when all of the request was `sent`: until then
    /// there are limits for each wait, for the content here and for the server there. Content that the server
    /// does not take in its time ends the wait.
    async fn within<T>(
        &self,
        limit: Option<Duration>,
        mut sent: Option<oneshot::Receiver<Result<()>>>,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let spare = || self.timer.lock().unwrap_or_else(PoisonError::into_inner);
        let mut timer: Option<Timer> = None;
        let mut work = std::pin::pin!(work);
        let result = std::future::poll_fn(|cx| {
            if let done @ Poll::Ready(_) = work.as_mut().poll(cx) {
                return done;
            }
            if let Some(waiting) = &mut sent {
                match ready!(Pin::new(waiting).poll(cx)) {
                    Ok(Err(error)) if error.kind() == ErrorKind::TimedOut => {
                        return Poll::Ready(Err(error));
                    }
                    _ => sent = None,
                }
            }
            let Some(limit) = limit else { return Poll::Pending };
            let timer = timer.get_or_insert_with(|| match spare().take() {
                Some(mut timer) => {
                    timer.reset(limit);
                    timer
                }
                None => self.host.timer(limit),
            });
            Pin::new(timer).poll(cx).map(|()| {
                let text = format!("the head of the response took longer than {limit:?}");
                Err(Error::new(ErrorKind::TimedOut, text))
            })
        })
        .await;
        if timer.is_some() {
            *spare() = timer;
        }
        result
    }

    /// Adds what the options say of every request. A CONNECT is for the proxy alone.
    fn complete(&self, headers: &mut HeaderMap, connects: bool) {
        let (common, name) = if connects {
            (&[][..], header::PROXY_AUTHORIZATION)
        } else {
            (&self.endpoint.headers[..], header::AUTHORIZATION)
        };
        let login = self.login.as_ref().map(|login| (&name, login));
        let common = common.iter().map(|(name, value)| (name, value));
        for (name, value) in common.chain(login) {
            if !headers.contains_key(name) {
                headers.insert(name, value.clone());
            }
        }
    }

    fn answered(
        self: &Arc<Self>,
        mut response: Response<Incoming>,
        connects: bool,
        place: OwnedSemaphorePermit,
    ) -> Result<Envelope> {
        let status = response.status();
        let turns = status == StatusCode::SWITCHING_PROTOCOLS || connects && status.is_success();
        let alive: Arc<dyn Any + Send + Sync> = Arc::new((Arc::clone(self), place));
        let upgrade = turns
            .then(|| upgraded(hyper::upgrade::on(&mut response), self.info.clone(), alive.clone()));
        let head = head::of_response(status, response.headers())?;
        let bounds = Bounds { host: self.host, pause: self.endpoint.limits.body, most: u64::MAX };
        let body = if turns {
            jackfield_plugin_api::Body::empty()
        } else {
            received(response.into_body(), bounds, None, alive)
        };
        let mut response = Envelope::new(head, body);
        response.upgrade = upgrade;
        Ok(response)
    }

    fn place(&self) -> Result<OwnedSemaphorePermit> {
        if self.draining.load(Ordering::Acquire) {
            return Err(closed());
        }
        Arc::clone(&self.places).try_acquire_owned().map_err(|_| {
            let text = format!(
                "{} requests are in progress, which is the limit",
                self.endpoint.limits.requests
            );
            Error::new(ErrorKind::Limit, text).with("option", "max_requests")
        })
    }

    pub(crate) fn is_http2(&self) -> bool {
        self.paces.is_some()
    }

    /// Takes no new requests and waits for those under way.
    pub(crate) async fn drain(&self) {
        self.draining.store(true, Ordering::Release);
        let most = u32::try_from(places(&self.endpoint)).unwrap_or(u32::MAX);
        // It is never closed, so all that can come back is all the permits.
        drop(self.places.acquire_many(most).await);
    }

    /// Ends the connection now.
    pub(crate) fn end(&self) {
        self.draining.store(true, Ordering::Release);
        self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

/// Has interim responses told, each as it comes.
fn tell_interim(request: &mut Request<Outgoing>, interim: Answer) {
    let interim = Mutex::new(interim);
    hyper::ext::on_informational(request, move |response| {
        if head::is_interim(response.status())
            && let Ok(head) = head::of_response(response.status(), response.headers())
        {
            interim.lock().unwrap_or_else(PoisonError::into_inner).interim(head);
        }
    });
}

/// The exchange facet.
pub(crate) struct ClientExchange(pub(crate) Arc<Client>);

impl Exchanger for ClientExchange {
    async fn send(&self, request: Envelope) -> Result<Envelope> {
        self.0.exchange(request).await
    }

    async fn send_telling(&self, request: Envelope, interim: Answer) -> Result<Envelope> {
        self.0.exchange_telling(request, Some(interim)).await
    }

    async fn accept(&self) -> Result<Option<Requested>> {
        // There are no permits: it completes when the connection is over.
        drop(self.0.over.acquire().await);
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::{authority, is_http2};
    use crate::options::Version;
    use jackfield_plugin_api::{Address, Info};

    #[test]
    fn the_default_port_is_not_in_the_authority() {
        assert_eq!(authority(&Address::new("a.test", 80), false), "a.test");
        assert_eq!(authority(&Address::new("a.test", 80), true), "a.test:80");
        assert_eq!(authority(&Address::new("::1", 443), true), "[::1]");
        assert_eq!(authority(&Address::default(), false), "localhost");
    }

    #[test]
    fn alpn_decides_and_must_fit() {
        let with = |alpn: &str| Info::default().with("alpn", alpn);
        assert!(!is_http2(Version::Auto, &Info::default()).unwrap());
        assert!(is_http2(Version::Auto, &with("h2")).unwrap());
        assert!(!is_http2(Version::Auto, &with("http/1.1")).unwrap());
        assert!(is_http2(Version::Http2, &Info::default()).unwrap());
        assert!(is_http2(Version::Http2, &with("http/1.1")).is_err());
        assert!(is_http2(Version::Http1, &with("h2")).is_err());
    }
}
