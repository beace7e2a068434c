//! Streams: a connection or a path of a device as a WebSocket, to write to or only to watch.
//!
//! ```text
//! POST …/ticket ─▶ a ticket, once and soon, of who asks, for one object
//! GET …/stream?ticket=… ─▶ 101 ─ attached ─▶ HeldStream ─ session of its own, or what an observer sees
//!                                  │              │
//!                       cut off, with a new ticket for the same stream: goes on from an offset
//! ```
//!
//! What passes:
//! - binary messages: bytes, in both directions. The first byte that the host sends is that of the offset in its `hello`.
//! - text messages of the host, as JSON: `{"type":"hello","stream":ID,"mode":…,"offset":N,"taken":M}` at the beginning,
//!   `{"type":"taken","bytes":M}` for input that was passed on, `{"type":"input_ended","told":…}` once the peer knows that
//!   no more comes, or cannot be told; `{"type":"gap","from":N,"to":N}` for bytes that are not kept
//!   any more, `{"type":"end","reason":…}` at the end.
//! - text messages of the client: `{"type":"ack","offset":N}`: it has everything before; `{"type":"end"}`: it has no more
//!   to say. A client has at most 256 KiB in 4096 messages under way that were not taken.
//!
//! A writer loses no byte while it acknowledges what it has: where `admin.stream_buffer` is full of bytes that were not
//! acknowledged, nothing more is read. An observer never holds anybody up. A stream whose WebSocket is cut off is kept for
//! `admin.stream_grace`; one that closes with code 1000 is over.

mod held;
mod replay;
mod socket;
mod tickets;

pub(super) use tickets::StreamTickets;

use super::problem::ApiProblem;
use super::request::{AdminRequest, Reply, Switch};
use super::roles::AdminRole;
use super::server::AdminApi;
use crate::config::DevicePath;
use crate::connection::Caller;
use crate::lock::IgnorePoison;
use crate::route::Destination;
use held::HeldStream;
use hyper::StatusCode;
use jackfield_plugin_api::{Error, ErrorKind};
use serde::{Deserialize, Serialize};
use serde_json::{Map, json};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use tickets::{LASTS, StreamTicket};

/// What one does at a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum StreamMode {
    /// Reads and writes, by a session of one's own; of an exclusive path it has the lease.
    #[default]
    Writer,
    /// Reads what passes on an exclusive path.
    Observer,
}

/// What a ticket is asked for.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct TicketBody {
    mode: StreamMode,
    /// The stream to go on with.
    stream: Option<u64>,
}

/// The streams of an admin API.
#[derive(Debug, Default)]
pub(super) struct StreamTable {
    next: AtomicU64,
    all: Mutex<HashMap<u64, Arc<HeldStream>>>,
    /// Places that are taken by streams that are being opened, too.
    used: Arc<AtomicU64>,
}

/// The place of one stream; dropped, it is free.
struct StreamPlace(Arc<AtomicU64>);

impl Drop for StreamPlace {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl StreamTable {
    fn get(&self, id: u64) -> Option<Arc<HeldStream>> {
        self.all.lock().ignore_poison().get(&id).cloned()
    }

    /// Ends all of them.
    pub(super) async fn close(&self) {
        let all: Vec<_> = self.all.lock().ignore_poison().drain().collect();
        for (_, stream) in all {
            stream.close().await;
        }
    }

    fn place(&self, most: u32) -> Result<StreamPlace, ApiProblem> {
        let more = |used: u64| (used < most.into()).then_some(used + 1);
        let taken = self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        taken.map_err(|_| ApiProblem::full("streams", "max_streams"))?;
        Ok(StreamPlace(Arc::clone(&self.used)))
    }
}

/// What the path of a request names: `connections.NAME` or `devices.NAME.PATH`.
fn object(request: &AdminRequest) -> Result<String, ApiProblem> {
    let manager = &request.api.manager;
    let name = request.param("name");
    if request.param("path").is_empty() {
        manager.find_named(name)?;
        return Ok(format!("connections.{name}"));
    }
    let device = manager.device(name)?;
    let path = device.path(Some(request.param("path")))?;
    Ok(format!("devices.{}.{}", device.name(), path.name()))
}

/// `POST /v1/connections/{name}/ticket` and `POST /v1/devices/{name}/paths/{path}/ticket`.
pub(super) async fn ticket(request: AdminRequest) -> Result<Reply, ApiProblem> {
    let TicketBody { mode, stream } = request.body_as()?;
    let to = object(&request)?;
    let peer = &request.peer;
    if mode == StreamMode::Writer && peer.role < Some(AdminRole::Operator) {
        let text = "a ticket to write takes operator; mode \"observer\" only watches";
        return Err(ApiProblem::forbidden(text));
    }
    if let Some(id) = stream {
        let known =
            request.api.streams.get(id).filter(|known| known.to == to && known.mode == mode);
        let known = known.ok_or_else(|| {
            ApiProblem::not_found(format!("{to} has no stream {id} of that mode that is kept"))
        })?;
        if known.owner != *peer {
            return Err(ApiProblem::forbidden(format!("stream {id} is of {}", known.owner.name())));
        }
    }
    let ticket = request.api.tickets.put(StreamTicket::new(peer, to, mode, stream))?;
    let lasts = u64::try_from(LASTS.as_millis()).unwrap_or(u64::MAX);
    Ok(Reply::ok(json!({ "ticket": ticket, "mode": mode, "lasts_ms": lasts })))
}

/// `GET /v1/connections/{name}/stream` and `GET /v1/devices/{name}/paths/{path}/stream`.
pub(super) async fn stream(mut request: AdminRequest) -> Result<Reply, ApiProblem> {
    let offset = match request.asked("offset").map(str::parse::<u64>) {
        None => None,
        Some(Ok(offset)) => Some(offset),
        Some(Err(_)) => return Err(ApiProblem::of_parameter("offset", "expected a whole number")),
    };
    let switch = request.switch.take().ok_or_else(|| {
        let text = "expected a WebSocket: upgrade, sec-websocket-version 13 and sec-websocket-key";
        ApiProblem::new(StatusCode::UPGRADE_REQUIRED, "upgrade_required", text)
    })?;
    let to = object(&request)?;
    let ticket = request.api.tickets.take(request.asked("ticket").unwrap_or_default(), &to)?;
    let api = Arc::clone(&request.api);
    let (held, offset) = match ticket.stream {
        Some(id) => {
            let held = api.streams.get(id);
            let gone = || ApiProblem::not_found(format!("{to} has no stream {id} any more"));
            (held.ok_or_else(gone)?, offset)
        }
        None => (open(&api, &ticket).await?, Some(0)),
    };
    tracing::info!(user = ticket.peer.name(), to, mode = ?ticket.mode, stream = held.id, "attached to a stream");
    let Switch { upgrade, accept } = switch;
    tokio::spawn(async move {
        if let Ok(upgraded) = upgrade.await
            && socket::serve(&held, upgraded, offset).await == socket::StreamLeft::Over
        {
            held.close().await;
            api.streams.all.lock().ignore_poison().remove(&held.id);
        }
    });
    Ok(Reply::Switch(accept))
}

/// Opens what a ticket is for, and keeps it until it is left alone.
async fn open(api: &Arc<AdminApi>, ticket: &StreamTicket) -> Result<Arc<HeldStream>, ApiProblem> {
    let settings = api.settings();
    let place = api.streams.place(settings.config.max_streams)?;
    let buffer = usize::try_from(settings.config.stream_buffer.0).unwrap_or(usize::MAX);
    let id = api.streams.next.fetch_add(1, Ordering::Relaxed) + 1;
    let what = (id, ticket.to.clone(), ticket.mode);
    let owner = ticket.peer.clone();
    let held = match ticket.mode {
        StreamMode::Observer => {
            let observer = observers(api, &ticket.to)?.observe()?;
            HeldStream::of_observer(what, owner, buffer, observer)
        }
        StreamMode::Writer => {
            let to =
                ticket.to.parse().map_err(|error| ApiProblem::bad_request(format!("{error}")))?;
            let destination: Destination = api.manager.destination(&to, &Map::new()).await?;
            let caller = Caller::new(owner.name(), "admin API");
            let session = destination.open(&caller).await?;
            HeldStream::of_session(what, owner, buffer, session)?
        }
    };
    api.streams.all.lock().ignore_poison().insert(id, Arc::clone(&held));
    let (weak, kept) = (Arc::downgrade(api), Arc::clone(&held));
    tokio::spawn(async move {
        let _place = place;
        kept.left_alone(settings.config.stream_grace.0).await;
        kept.close().await;
        if let Some(api) = weak.upgrade() {
            api.streams.all.lock().ignore_poison().remove(&kept.id);
        }
    });
    Ok(held)
}

/// Those that watch what `to` names.
fn observers(api: &AdminApi, to: &str) -> Result<Arc<crate::device::Observers>, ApiProblem> {
    let none = || -> ApiProblem {
        let text = format!("{to} cannot be watched: only an exclusive path of a device can");
        Error::new(ErrorKind::Unsupported, text).into()
    };
    let name = to.strip_prefix("devices.").ok_or_else(none)?;
    let DevicePath { device, path } = DevicePath::from_name(name);
    let path = api.manager.device(&device)?.path(path.as_deref())?;
    path.observers().cloned().ok_or_else(none)
}
