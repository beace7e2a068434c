//! Leases that are held over the admin API without a session: while somebody works at a device otherwise, nobody is let in.

use super::problem::ApiProblem;
use super::request::{AdminRequest, ForBody, Reply};
use super::roles::{AdminPeer, AdminRole};
use crate::config::DevicePath;
use crate::connection::Caller;
use crate::device::{Exclusive, Lease};
use crate::lock::IgnorePoison;
use jackfield_plugin_api::{Error, ErrorKind};
use jackfield_timers::{sleep_until, timeout};
use serde_json::json;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// How long a lease is held that does not say.
const USUAL: Duration = Duration::from_secs(60);

/// How long one is held at most, unless it is renewed.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// Leases that are held, by their numbers.
#[derive(Debug, Default)]
pub(super) struct TakenLeases {
    next: AtomicU64,
    all: Arc<Mutex<HashMap<u64, TakenLease>>>,
}

#[derive(Debug)]
struct TakenLease {
    path: String,
    owner: AdminPeer,
    /// Until when; dropped, the lease is let go.
    until: watch::Sender<Instant>,
}

/// The path that a request names, and its lease.
fn exclusive(request: &AdminRequest) -> Result<(String, Arc<Exclusive>), ApiProblem> {
    let name = request.param("name");
    let to = DevicePath::from_name(name.strip_prefix("devices.").unwrap_or(name));
    let device = request.api.manager.device(&to.device)?;
    let path = device.path(to.path.as_deref())?;
    let name = format!("{}.{}", device.name(), path.name());
    let lease = path.lease().cloned().ok_or_else(|| {
        let text = format!("{name} is no exclusive path: it has no lease");
        ApiProblem::from(Error::new(ErrorKind::Config, text))
    })?;
    Ok((name, lease))
}

/// `POST /v1/leases/{name}/take`.
pub(super) async fn take(request: AdminRequest) -> Result<Reply, ApiProblem> {
    let (wait, body) = (request.wait()?, request.body_as::<ForBody>()?);
    let lasts = body.time(USUAL, LONGEST)?;
    let (path, exclusive) = exclusive(&request)?;
    let leases = &request.api.leases;
    let most = request.api.settings().config.max_leases as usize;
    if leases.all.lock().ignore_poison().len() >= most {
        return Err(ApiProblem::full("leases held over the API", "max_leases"));
    }
    let caller = Caller::new(request.peer.name(), "admin API");
    let lease = timeout(wait, exclusive.acquire(caller)).await.map_err(|_| {
        let holder = exclusive.snapshot().holder.map(|held| held.caller.to_string());
        let by = holder.map(|holder| format!(" by {holder}")).unwrap_or_default();
        Error::new(ErrorKind::InUse, format!("{path} is held{by}; waited {wait:?}"))
    })??;
    let id = leases.next.fetch_add(1, Ordering::Relaxed) + 1;
    let (until, changes) = watch::channel(Instant::now() + lasts);
    let taken = TakenLease { path: path.clone(), owner: request.peer.clone(), until };
    leases.all.lock().ignore_poison().insert(id, taken);
    let all = Arc::clone(&leases.all);
    tokio::spawn(async move {
        hold(lease, changes).await;
        all.lock().ignore_poison().remove(&id);
    });
    tracing::info!(user = request.peer.name(), path, id, ?lasts, "a lease was taken");
    Ok(Reply::ok(shown(id, &path, lasts, &exclusive)))
}

/// Holds a lease until its time is over, it is let go, or it has ended otherwise.
async fn hold(lease: Lease, mut changes: watch::Receiver<Instant>) {
    let mut ended = std::pin::pin!(lease.ended());
    loop {
        let end = *changes.borrow_and_update();
        let renewal = lease.expiry().map_or(LONGEST, |expiry| expiry / 2);
        tokio::select! {
            // The sender is gone with who has let go.
            changed = changes.changed() => if changed.is_err() { return },
            () = sleep_until(end) => return,
            () = jackfield_timers::sleep(renewal) => if lease.renew().is_err() { return },
            _ = &mut ended => return,
        }
    }
}

fn shown(id: u64, path: &str, lasts: Duration, exclusive: &Exclusive) -> serde_json::Value {
    let lasts = u64::try_from(lasts.as_millis()).unwrap_or(u64::MAX);
    json!({ "id": id, "name": path, "lasts_ms": lasts, "lease": exclusive.snapshot() })
}

/// The number of a lease that was taken of this path by who asks, or by anybody for an admin.
fn own(request: &AdminRequest, path: &str) -> Result<u64, ApiProblem> {
    let text = request.param("id");
    let id = text.parse().map_err(|_| {
        ApiProblem::bad_request(format!("id: expected the number of a lease, found {text:?}"))
    })?;
    let all = request.api.leases.all.lock().ignore_poison();
    let taken = all.get(&id).filter(|taken| taken.path == path);
    let taken = taken.ok_or_else(|| {
        ApiProblem::not_found(format!("{path} has no lease {id} that was taken over the API"))
    })?;
    if taken.owner != request.peer && request.peer.role != Some(AdminRole::Admin) {
        return Err(ApiProblem::forbidden(format!("lease {id} is of {}", taken.owner.name())));
    }
    Ok(id)
}

/// `PUT /v1/leases/{name}/held/{id}`.
pub(super) async fn renew(request: AdminRequest) -> Result<Reply, ApiProblem> {
    let lasts = request.body_as::<ForBody>()?.time(USUAL, LONGEST)?;
    let (path, exclusive) = exclusive(&request)?;
    let id = own(&request, &path)?;
    let all = request.api.leases.all.lock().ignore_poison();
    if let Some(taken) = all.get(&id) {
        taken.until.send_replace(Instant::now() + lasts);
    }
    drop(all);
    Ok(Reply::ok(shown(id, &path, lasts, &exclusive)))
}

/// `DELETE /v1/leases/{name}/held/{id}`.
pub(super) async fn release(request: AdminRequest) -> Result<Reply, ApiProblem> {
    let (path, _) = exclusive(&request)?;
    let id = own(&request, &path)?;
    request.api.leases.all.lock().ignore_poison().remove(&id);
    Ok(Reply::ok(json!({ "id": id, "name": path, "released": true })))
}
