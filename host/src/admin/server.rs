//! The server of the admin API: connections, each with who it is, and requests, each within its limits.

use super::AdminControls;
use super::endpoints::Endpoints;
use super::events::EventHub;
use super::gate;
use super::log_levels::LogLevels;
use super::problem::ApiProblem;
use super::request::{AdminRequest, Reply, pairs};
use super::roles::{AdminPeer, RoleTable};
use super::socket::{AdminSocket, AdminStream};
use super::tokens::TokenTable;
use super::upgrade::UpgradeControl;
use super::weights::DrainedWeights;
use crate::config::model::AdminConfig;
use crate::manager::Manager;
use crate::reload::Reloader;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited, combinators::UnsyncBoxBody};
use hyper::body::{Body, Incoming};
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::Value;
use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

/// Memory of one connection for what it reads and writes.
const BUFFER: usize = 64 << 10;

/// Fields of the head of a request.
const MAX_FIELDS: usize = 64;

/// Connections of one socket, those that are being refused among them.
const MOST_REFUSED: usize = 2048;

/// Pause after the system could not accept.
const PAUSE: Duration = Duration::from_millis(50);

/// What all requests share.
pub(super) struct AdminApi {
    pub(super) manager: Manager,
    pub(super) config: AdminConfig,
    pub(super) log: Option<Arc<dyn LogLevels>>,
    pub(super) reloader: Option<Reloader>,
    pub(super) upgrade: Option<Arc<dyn UpgradeControl>>,
    pub(super) hub: Arc<EventHub>,
    pub(super) weights: DrainedWeights,
    pub(super) started: Instant,
    pub(super) started_at: SystemTime,
    /// Names this run of the host.
    pub(super) boot: String,
    pub(super) stopping: AtomicBool,
    endpoints: Endpoints,
    roles: RoleTable,
    tokens: Option<PathBuf>,
}

impl AdminApi {
    pub(super) fn new(
        manager: Manager,
        config: AdminConfig,
        (roles, tokens): (RoleTable, Option<PathBuf>),
        AdminControls { log, reloader, upgrade }: AdminControls,
    ) -> Arc<Self> {
        Arc::new(AdminApi {
            hub: EventHub::new(manager.events().clone(), &config),
            manager,
            config,
            log,
            reloader,
            upgrade,
            weights: DrainedWeights::default(),
            started: Instant::now(),
            started_at: SystemTime::now(),
            boot: format!("{:016x}", fastrand::u64(..)),
            stopping: AtomicBool::new(false),
            endpoints: Endpoints::all(),
            roles,
            tokens,
        })
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }
}

/// Serves what a socket accepts until `stop` says so.
pub(super) async fn serve(
    api: Arc<AdminApi>,
    socket: Arc<AdminSocket>,
    room: Arc<Semaphore>,
    mut stop: watch::Receiver<bool>,
) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = socket.accept() => accepted,
            // The sender is gone with the host.
            _ = stop.changed() => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => continue,
        };
        match accepted {
            Ok(stream) => match Arc::clone(&room).try_acquire_owned() {
                Ok(place) => {
                    let (api, stop) = (Arc::clone(&api), stop.clone());
                    connections.spawn(async move {
                        connection(api, stream, stop).await;
                        drop(place);
                    });
                }
                // Beyond that a connection is closed without a word.
                Err(_) if connections.len() < MOST_REFUSED => {
                    drop(connections.spawn(refuse(stream)));
                }
                Err(_) => drop(stream),
            },
            Err(error) => {
                tracing::warn!(%error, "the admin API cannot accept");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
    // Nobody new can come any more.
    drop(socket);
    while connections.join_next().await.is_some() {}
}

/// Refuses one connection too many, as long as the client takes for one request, a second at most.
async fn refuse(stream: AdminStream) {
    match stream {
        AdminStream::Unix(stream) => refuse_on(stream).await,
        AdminStream::Tcp(stream) => refuse_on(stream).await,
    }
}

async fn refuse_on(stream: impl AsyncRead + AsyncWrite + Unpin) {
    let service = service_fn(|_: Request<Incoming>| async {
        Ok::<_, Infallible>(refused(&ApiProblem::full("connections", "max_connections")))
    });
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).max_buf_size(BUFFER / 4).keep_alive(false);
    // Nothing is lost with it.
    let _ = timeout(Duration::from_secs(1), server.serve_connection(TokioIo::new(stream), service))
        .await;
}

/// Who sends the requests of a connection.
#[derive(Clone)]
enum AdminCaller {
    /// Of this machine, as the kernel says.
    User(AdminPeer),
    /// Whom the token of each request names.
    Holder,
}

async fn connection(api: Arc<AdminApi>, stream: AdminStream, stop: watch::Receiver<bool>) {
    let mut stream = match stream {
        AdminStream::Unix(stream) => stream,
        AdminStream::Tcp(stream) => return talk(api, stream, AdminCaller::Holder, stop).await,
    };
    let Ok(credentials) = stream.peer_cred() else { return };
    let asked = Arc::clone(&api);
    // The user database may be on a network.
    let peer = tokio::task::spawn_blocking(move || asked.roles.peer(credentials)).await;
    let Ok(peer) = peer else {
        let _ = stream.shutdown().await;
        return;
    };
    if peer.role.is_none() {
        tracing::warn!(user = peer.name(), "refused at the admin API: this user has no role");
    }
    talk(api, stream, AdminCaller::User(peer), stop).await;
}

async fn talk(
    api: Arc<AdminApi>,
    stream: impl AsyncRead + AsyncWrite + Unpin,
    caller: AdminCaller,
    mut stop: watch::Receiver<bool>,
) {
    let limit = api.config.request_timeout.0;
    let service = service_fn(|request: Request<Incoming>| {
        let (api, caller) = (Arc::clone(&api), caller.clone());
        async move { Ok::<_, Infallible>(answer(api, caller, request).await) }
    });
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(limit);
    server.max_buf_size(BUFFER).max_headers(MAX_FIELDS);
    let serving = server.serve_connection(TokioIo::new(stream), service);
    let mut serving = std::pin::pin!(serving);
    tokio::select! {
        // What went wrong was told to the client as far as it hears.
        _ = serving.as_mut() => return,
        _ = stop.changed() => {}
    }
    serving.as_mut().graceful_shutdown();
    let _ = timeout(Duration::from_millis(500), serving).await;
}

type ReplyBody = UnsyncBoxBody<Bytes, Infallible>;

async fn answer(
    api: Arc<AdminApi>,
    caller: AdminCaller,
    request: Request<Incoming>,
) -> Response<ReplyBody> {
    let is_head = request.method() == Method::HEAD;
    let mut response = match replied(api, caller, request).await {
        Ok(reply) => rendered(reply),
        Err(problem) => refused(&problem),
    };
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if is_head {
        *response.body_mut() = Full::default().boxed_unsync();
    }
    response
}

/// Whose token a request over TCP has, if it may come in at all.
async fn holder(api: &AdminApi, headers: &HeaderMap) -> Result<AdminPeer, ApiProblem> {
    gate::judge(headers, &api.config.hosts)?;
    let file = api.tokens.clone().unwrap_or_default();
    let read = tokio::task::spawn_blocking(move || TokenTable::read(&file)).await;
    let tokens = read.unwrap_or_else(|error| Err(error.to_string())).map_err(|why| {
        tracing::error!(why, "admin.tokens cannot be used: nobody is let in over TCP");
        let text = "the tokens of this host cannot be read; its log says why";
        ApiProblem::new(StatusCode::SERVICE_UNAVAILABLE, "no_tokens", text)
    })?;
    tokens.peer(headers).inspect_err(|_| {
        tracing::warn!("refused at the admin API over TCP: no token that is known");
    })
}

/// Judges a request, reads its body, and runs what it is for.
async fn replied(
    api: Arc<AdminApi>,
    caller: AdminCaller,
    request: Request<Incoming>,
) -> Result<Reply, ApiProblem> {
    let peer = match caller {
        AdminCaller::User(peer) => peer,
        AdminCaller::Holder => holder(&api, request.headers()).await?,
    };
    let Some(role) = peer.role else {
        let name = peer.name();
        let text = format!(
            "{name} has no role here; the keys admin.admin, admin.operator and admin.viewer give one"
        );
        return Err(ApiProblem::forbidden(text));
    };
    let (head, body) = request.into_parts();
    let (endpoint, params) = api.endpoints.find(&head.method, head.uri.path())?;
    if role < endpoint.role {
        let (name, has, needs) = (peer.name(), role.as_str(), endpoint.role.as_str());
        let text = format!("{name} is {has} here, and this takes {needs}");
        return Err(ApiProblem::forbidden(text));
    }
    let limit = usize::try_from(api.config.max_body.0).unwrap_or(usize::MAX);
    let body = timeout(api.config.request_timeout.0, read(body, limit)).await;
    let body = body.map_err(|_| {
        let text = "expected the body of the request within admin.request_timeout";
        ApiProblem::new(StatusCode::REQUEST_TIMEOUT, "timed_out", text)
    })??;
    let last_event = head.headers.get("last-event-id").and_then(|id| id.to_str().ok());
    let run = endpoint.run;
    let changes = endpoint.method != "GET";
    if changes && api.upgrade.as_ref().is_some_and(|upgrade| upgrade.is_under_way()) {
        let text =
            "a new process is taking over, and would not know of a change: ask again in a moment";
        return Err(ApiProblem::new(StatusCode::CONFLICT, "upgrading", text));
    }
    if changes {
        tracing::info!(user = peer.name(), method = %head.method, path = head.uri.path(), "admin API");
    }
    let request = AdminRequest {
        peer,
        params,
        query: pairs(head.uri.query().unwrap_or_default()),
        body,
        last_event: last_event.map(str::to_owned),
        api: Arc::clone(&api),
    };
    if matches!(endpoint.method, "PUT" | "DELETE") {
        // A change is not left half done by a client that goes away.
        let done = tokio::spawn(run(request)).await;
        return done.unwrap_or_else(|_| {
            let text = "the change panicked; the log has more";
            Err(ApiProblem::new(StatusCode::INTERNAL_SERVER_ERROR, "panicked", text))
        });
    }
    run(request).await
}

/// The body of a request as JSON; null if it is empty.
async fn read(body: Incoming, limit: usize) -> Result<Value, ApiProblem> {
    let too_large = || {
        let text = format!("expected a body of at most {limit} bytes, as admin.max_body says");
        ApiProblem::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", text)
    };
    if body.size_hint().lower() > limit as u64 {
        return Err(too_large());
    }
    let read = Limited::new(body, limit).collect().await.map_err(|error| {
        if error.is::<LengthLimitError>() {
            too_large()
        } else {
            ApiProblem::bad_request("the body of the request was cut")
        }
    })?;
    let bytes = read.to_bytes();
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Ok(Value::Null);
    }
    // The parser's own words hold no part of the body, which may have secrets.
    serde_json::from_slice(&bytes)
        .map_err(|error| ApiProblem::bad_request(format!("expected JSON: {error}")))
}

fn rendered(reply: Reply) -> Response<ReplyBody> {
    let (status, kind, body) = match reply {
        Reply::Json(status, body) => {
            let text = format!("{body:#}\n");
            (status, "application/json", Full::from(text).boxed_unsync())
        }
        Reply::Text(status, kind, text) => (status, kind, Full::from(text).boxed_unsync()),
        Reply::Events(feed) => (StatusCode::OK, "text/event-stream", feed.into_body()),
    };
    with(status, kind, body)
}

fn refused(problem: &ApiProblem) -> Response<ReplyBody> {
    let text = format!("{:#}\n", problem.to_json());
    let body = Full::from(text).boxed_unsync();
    let mut response = with(problem.status, "application/problem+json", body);
    let allow = problem.allow().and_then(|allow| HeaderValue::from_str(allow).ok());
    if let Some(allow) = allow {
        response.headers_mut().insert(ALLOW, allow);
    }
    if problem.status == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

fn with(status: StatusCode, kind: &'static str, body: ReplyBody) -> Response<ReplyBody> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
