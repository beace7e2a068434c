//! The server of the admin API: connections, each with who it is, and requests, each within its limits.

use super::AdminControls;
use super::caller::{AdminCaller, judged};
use super::conditions::{self, Tagged, Turns};
use super::endpoints::{Endpoint, Endpoints};
use super::events::EventHub;
use super::leases::TakenLeases;
use super::log_levels::LogLevels;
use super::problem::ApiProblem;
use super::query::{self, pairs};
use super::render::{ReplyBody, refused, rendered};
use super::request::{AdminRequest, Reply, Switch};
use super::request_rates::RequestRates;
use super::roles::{AdminPeer, RoleTable};
use super::socket::{AdminSocket, AdminStream};
use super::streams::{StreamTable, StreamTickets};
use super::target_series::TargetSeries;
use super::upgrade::UpgradeControl;
use super::weights::DrainedWeights;
use crate::config::model::AdminConfig;
use crate::manager::Manager;
use crate::reload::Reloader;
use arc_swap::ArcSwap;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};
use hyper::header::{CACHE_CONTROL, ETAG, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use jackfield_timers::timeout;
use serde_json::Value;
use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

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
    settings: ArcSwap<AdminSettings>,
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
    turns: Turns,
    rates: RequestRates,
    pub(super) streams: StreamTable,
    pub(super) tickets: StreamTickets,
    pub(super) leases: TakenLeases,
    pub(super) target_series: TargetSeries,
    endpoints: Endpoints,
}

/// What `[admin]` says: whom it lets in, and how much.
#[derive(Debug)]
pub(super) struct AdminSettings {
    pub(super) config: AdminConfig,
    pub(super) roles: RoleTable,
    pub(super) tokens: Option<PathBuf>,
}

/// How many connections there are.
#[derive(Clone, Default)]
pub(super) struct ConnectionRoom(Arc<AtomicUsize>);

/// The place of one; dropped, it is free.
pub(super) struct ConnectionPlace(ConnectionRoom);

impl ConnectionRoom {
    /// A place for one more, if there are less than `most`.
    pub(super) fn take(&self, most: usize) -> Option<ConnectionPlace> {
        let more = |used: usize| (used < most).then_some(used + 1);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        Some(ConnectionPlace(self.clone()))
    }
}

impl Drop for ConnectionPlace {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl AdminApi {
    pub(super) fn new(
        manager: Manager,
        settings: AdminSettings,
        AdminControls { log, reloader, upgrade }: AdminControls,
    ) -> Arc<Self> {
        Arc::new(AdminApi {
            hub: EventHub::new(manager.events().clone(), &settings.config),
            manager,
            settings: ArcSwap::from_pointee(settings),
            log,
            reloader,
            upgrade,
            weights: DrainedWeights::default(),
            started: Instant::now(),
            started_at: SystemTime::now(),
            boot: format!("{:016x}", fastrand::u64(..)),
            stopping: AtomicBool::new(false),
            turns: Turns::default(),
            rates: RequestRates::default(),
            streams: StreamTable::default(),
            tickets: StreamTickets::default(),
            leases: TakenLeases::default(),
            target_series: TargetSeries::default(),
            endpoints: Endpoints::all(),
        })
    }

    /// What `[admin]` says now.
    pub(super) fn settings(&self) -> Arc<AdminSettings> {
        self.settings.load_full()
    }

    /// Puts other settings in force: for what connects and asks from now on.
    pub(super) fn configure(&self, settings: AdminSettings) {
        self.hub.configure(&settings.config);
        self.settings.store(Arc::new(settings));
    }

    pub(super) fn most_connections(&self) -> usize {
        self.settings.load().config.max_connections as usize
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }
}

/// Serves what a socket accepts until `stop` says so.
pub(super) async fn serve(
    api: Arc<AdminApi>,
    socket: Arc<AdminSocket>,
    room: ConnectionRoom,
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
            Ok(stream) => match room.take(api.most_connections()) {
                Some(place) => {
                    let (api, stop) = (Arc::clone(&api), stop.clone());
                    connections.spawn(async move {
                        connection(api, stream, stop).await;
                        drop(place);
                    });
                }
                // Beyond that a connection is closed without a word.
                None if connections.len() < MOST_REFUSED => {
                    drop(connections.spawn(async move {
                        match stream {
                            AdminStream::Unix(stream) => refuse(stream).await,
                            AdminStream::Tcp(stream) => refuse(stream).await,
                        }
                    }));
                }
                None => drop(stream),
            },
            Err(error) => {
                tracing::warn!(%error, "the admin API cannot accept");
                jackfield_timers::sleep(PAUSE).await;
            }
        }
    }
    // Nobody new can come any more.
    drop(socket);
    while connections.join_next().await.is_some() {}
}

/// Refuses one connection too many, as long as the client takes for one request, a second at most.
pub(super) async fn refuse(stream: impl AsyncRead + AsyncWrite + Unpin) {
    let service = service_fn(|_: Request<Incoming>| async {
        Ok::<_, Infallible>(refused(&ApiProblem::full("connections", "max_connections")))
    });
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).max_buf_size(BUFFER / 4).keep_alive(false);
    // Nothing is lost with it.
    let _ = timeout(Duration::from_secs(1), server.serve_connection(TokioIo::new(stream), service))
        .await;
}

async fn connection(api: Arc<AdminApi>, stream: AdminStream, mut stop: watch::Receiver<bool>) {
    let stop = async move { drop(stop.changed().await) };
    let mut stream = match stream {
        AdminStream::Unix(stream) => stream,
        AdminStream::Tcp(stream) => return talk(api, stream, AdminCaller::Holder, stop).await,
    };
    let Ok(credentials) = stream.peer_cred() else { return };
    let settings = api.settings();
    let Some(peer) = judged(&settings, credentials).await else {
        let _ = stream.shutdown().await;
        return;
    };
    talk(api, stream, AdminCaller::User(peer, credentials, settings), stop).await;
}

/// Answers the requests that come on a stream, until `stop` says that one is the last.
pub(super) async fn talk(
    api: Arc<AdminApi>,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    caller: AdminCaller,
    stop: impl Future<Output = ()>,
) {
    let limit = api.settings().config.request_timeout.0;
    let service = service_fn(|request: Request<Incoming>| {
        let (api, caller) = (Arc::clone(&api), caller.clone());
        async move { Ok::<_, Infallible>(answer(api, caller, request).await) }
    });
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(limit);
    server.max_buf_size(BUFFER).max_headers(MAX_FIELDS);
    let serving = server.serve_connection(TokioIo::new(stream), service).with_upgrades();
    let mut serving = std::pin::pin!(serving);
    tokio::select! {
        // What went wrong was told to the client as far as it hears.
        _ = serving.as_mut() => return,
        () = stop => {}
    }
    serving.as_mut().graceful_shutdown();
    let _ = timeout(Duration::from_millis(500), serving).await;
}

async fn answer(
    api: Arc<AdminApi>,
    caller: AdminCaller,
    request: Request<Incoming>,
) -> Response<ReplyBody> {
    let is_head = request.method() == Method::HEAD;
    let mut response = match replied(api, caller, request).await {
        Ok((reply, tag)) => {
            let mut response = rendered(reply);
            let tag = tag.and_then(|tag| HeaderValue::from_str(&tag).ok());
            tag.into_iter().for_each(|tag| drop(response.headers_mut().insert(ETAG, tag)));
            response
        }
        Err(problem) => refused(&problem),
    };
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if is_head {
        *response.body_mut() = Full::default().boxed_unsync();
    }
    response
}

/// Judges a request, reads its body, and runs what it is for.
async fn replied(
    api: Arc<AdminApi>,
    caller: AdminCaller,
    mut request: Request<Incoming>,
) -> Result<(Reply, Option<String>), ApiProblem> {
    let peer = caller.peer(&api, &request).await;
    let user = peer.as_ref().map_or_else(|_| String::new(), AdminPeer::name);
    api.rates.admit(&user, api.settings().config.max_requests, Instant::now())?;
    let peer = peer?;
    let Some(role) = peer.role else {
        let name = peer.name();
        let text = format!(
            "{name} has no role here; the keys admin.admin, admin.operator and admin.viewer give one"
        );
        return Err(ApiProblem::forbidden(text));
    };
    let switch = Switch::of(&mut request);
    let (head, body) = request.into_parts();
    let (endpoint, params) = api.endpoints.find(&head.method, head.uri.path())?;
    if role < endpoint.role {
        let (name, has, needs) = (peer.name(), role.as_str(), endpoint.role.as_str());
        let text = format!("{name} is {has} here, and this takes {needs}");
        return Err(ApiProblem::forbidden(text));
    }
    let query = pairs(head.uri.query().unwrap_or_default());
    query::judge(endpoint, &query)?;
    let settings = api.settings();
    let limit = usize::try_from(settings.config.max_body.0).unwrap_or(usize::MAX);
    let body = timeout(settings.config.request_timeout.0, read(body, limit)).await;
    let body = body.map_err(|_| {
        let text = "expected the body of the request within admin.request_timeout";
        ApiProblem::new(StatusCode::REQUEST_TIMEOUT, "timed_out", text)
    })??;
    let last_event = head.headers.get("last-event-id").and_then(|id| id.to_str().ok());
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
        query,
        body,
        last_event: last_event.map(str::to_owned),
        if_match: conditions::if_match(&head.headers),
        switch,
        api: Arc::clone(&api),
    };
    if matches!(endpoint.method, "PUT" | "DELETE") {
        // A change is not left half done by a client that goes away.
        let done = tokio::spawn(in_turn(endpoint, request)).await;
        return done.unwrap_or_else(|_| {
            let text = "the change panicked; the log has more";
            Err(ApiProblem::new(StatusCode::INTERNAL_SERVER_ERROR, "panicked", text))
        });
    }
    in_turn(endpoint, request).await
}

/// Runs a request in its turn if what it is about is as it expects; answers the tag of that, too.
async fn in_turn(
    endpoint: &'static Endpoint,
    request: AdminRequest,
) -> Result<(Reply, Option<String>), ApiProblem> {
    let api = Arc::clone(&request.api);
    let tagged = Tagged::of(endpoint, &request.params, &request.body);
    let Some(tagged) = tagged else { return Ok(((endpoint.run)(request).await?, None)) };
    if endpoint.method == "GET" {
        // Looked at before: what changes meanwhile is taken for changed.
        let tag = tagged.tag(&api).await;
        return Ok(((endpoint.run)(request).await?, tag));
    }
    let _turn = match &tagged {
        Tagged::Object(what) => {
            let limit = api.settings().config.request_timeout.0;
            Some(api.turns.take(what, limit).await?)
        }
        Tagged::RunTime | Tagged::Configuration => None,
    };
    // The configuration is held against its version where it is changed.
    if let Some(wanted) = request.if_match.as_ref().filter(|_| tagged != Tagged::Configuration) {
        conditions::judge(wanted, tagged.tag(&api).await.as_deref())?;
    }
    let reply = (endpoint.run)(request).await?;
    Ok((reply, tagged.tag(&api).await))
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
