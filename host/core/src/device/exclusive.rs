//! [`Exclusive`]: leases for tasks, and [`Lease`], the guard that has one.

use super::lease::{Ended, Id, LeaseOptions, LeaseReply, LeaseSnapshot, Leases, News};
use crate::connection::Caller;
use crate::events::{Bus, Cause, EventKind};
use crate::lock::IgnorePoison;
use jackfield_plugin_api::{Error, ErrorKind, Result};
use jackfield_timers::sleep_until;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// Which context of an error names the lease that was not given.
pub(crate) const LEASE: &str = "lease";

/// Something that one may have at a time.
#[derive(Debug)]
pub struct Exclusive {
    name: Arc<str>,
    shared: Mutex<LeaseTable>,
    /// When time alone next changes something.
    moment: watch::Sender<Option<Instant>>,
    events: Bus,
}

#[derive(Debug)]
struct LeaseTable {
    leases: Leases,
    told: HashMap<Id, Request>,
}

/// Who has asked and has not left.
#[derive(Debug)]
struct Request {
    caller: String,
    status: watch::Sender<RequestStatus>,
    /// Since when it has the lease.
    held: Option<Instant>,
}

/// Where a request is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum RequestStatus {
    Waits,
    Held,
    TimedOut,
    Ended(Ended),
    Left,
}

impl Exclusive {
    /// Free; `name` is how others are told of it.
    pub fn new(name: &str, options: LeaseOptions) -> Arc<Self> {
        Exclusive::telling(name, options, Bus::lasting())
    }

    /// As [`Exclusive::new`]; holders, waiting users and releases are told on `events`.
    pub fn telling(name: &str, options: LeaseOptions, events: Bus) -> Arc<Self> {
        let shared = LeaseTable { leases: Leases::new(options), told: HashMap::new() };
        let moment = watch::channel(None).0;
        Arc::new(Exclusive { name: name.into(), shared: Mutex::new(shared), moment, events })
    }

    /// Waits for the lease, in order, at most as long as the options say. Cancel safe: dropped, it
    /// leaves no waiter behind, and a lease just given goes to the next.
    ///
    /// # Errors
    /// [`ErrorKind::InUse`] when it may not wait, [`ErrorKind::TimedOut`] when it has waited too long;
    /// both say who has the lease and for how long.
    pub async fn acquire(self: &Arc<Self>, caller: Caller) -> Result<Lease> {
        let name = caller.to_string();
        let (asked, status) = self.step(&name, |leases, now| leases.ask(caller, now));
        let (id, status) = match (asked, status) {
            (LeaseReply::Granted(id) | LeaseReply::Waits(id), Some(status)) => (id, status),
            (LeaseReply::Full, _) => {
                return Err(self.refusal(ErrorKind::InUse, ", and too many wait"));
            }
            _ => return Err(self.refusal(ErrorKind::InUse, "")),
        };
        // From here on the guard gives everything back, whatever happens.
        let lease = Lease { exclusive: Arc::clone(self), id, status };
        let settled = |status: &RequestStatus| *status != RequestStatus::Waits;
        match self.wait(lease.status.clone(), settled).await {
            RequestStatus::Held => Ok(lease),
            _ => {
                let waited = self.lock().leases.options().timeout;
                Err(self.refusal(ErrorKind::TimedOut, &format!("; waited {waited:?}")))
            }
        }
    }

    /// Makes the holder release it: its session is closed, and it is told why. Returns the holder; `None`
    /// if the lease is free, or its holder is releasing it already.
    pub fn break_off(&self, reason: &str) -> Option<Caller> {
        self.step("", |leases, now| leases.break_off(reason, now)).0
    }

    /// As others read it.
    pub fn snapshot(&self) -> LeaseSnapshot {
        self.lock().leases.snapshot(Instant::now().into_std())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, LeaseTable> {
        self.shared.lock().ignore_poison()
    }

    /// Takes a step of the leases, of `caller` if it asks, and tells everybody of it, in one go. For a request
    /// that stays, also gives the place where it is told.
    fn step<R: Step>(
        &self,
        caller: &str,
        step: impl FnOnce(&mut Leases, std::time::Instant) -> (R, Vec<News>),
    ) -> (R, Option<watch::Receiver<RequestStatus>>) {
        let mut shared = self.lock();
        let (result, news) = step(&mut shared.leases, Instant::now().into_std());
        for news in news {
            self.pass_on(&mut shared, news);
        }
        let entered = result.entered().map(|(id, held)| self.enter(&mut shared, caller, id, held));
        let moment = shared.leases.next_moment().map(Instant::from_std);
        self.moment.send_if_modified(|now| std::mem::replace(now, moment) != moment);
        drop(shared);
        self.events.deliver();
        (result, entered)
    }

    /// Tells whom it is about, and the host.
    fn pass_on(&self, shared: &mut LeaseTable, news: News) {
        let (News::Granted(id) | News::Ended(id, _) | News::TimedOut(id)) = news;
        let Some(request) = shared.told.get_mut(&id) else { return };
        let (path, caller) = (self.name.to_string(), request.caller.clone());
        let (kind, status) = match news {
            News::Granted(_) => {
                request.held = Some(Instant::now());
                (EventKind::LeaseTaken { path, caller }, RequestStatus::Held)
            }
            News::TimedOut(_) => {
                (EventKind::LeaseTimedOut { path, caller }, RequestStatus::TimedOut)
            }
            News::Ended(_, ended) => {
                let kind = match &ended {
                    Ended::Expired => EventKind::LeaseExpired { path, caller },
                    Ended::Broken(reason) => {
                        EventKind::LeaseBroken { path, caller, cause: Cause::of(reason) }
                    }
                };
                (kind, RequestStatus::Ended(ended))
            }
        };
        request.status.send_replace(status);
        self.events.announce_later(kind);
    }

    /// One more has asked: it has the lease, or waits.
    fn enter(
        &self,
        shared: &mut LeaseTable,
        caller: &str,
        id: Id,
        held: bool,
    ) -> watch::Receiver<RequestStatus> {
        let (path, caller) = (self.name.to_string(), caller.to_owned());
        let (sender, status) =
            watch::channel(if held { RequestStatus::Held } else { RequestStatus::Waits });
        let since = held.then(Instant::now);
        let request = Request { caller: caller.clone(), status: sender, held: since };
        shared.told.insert(id, request);
        self.events.announce_later(if held {
            EventKind::LeaseTaken { path, caller }
        } else {
            let holder = shared.leases.snapshot(Instant::now().into_std()).holder;
            let holder = holder.map(|held| held.caller.to_string()).unwrap_or_default();
            EventKind::LeaseWaiting { path, caller, holder }
        });
        status
    }

    fn leave(&self, id: Id) {
        // Told first: the old holder must not believe that it has the lease when the next one does.
        if let Some(request) = self.lock().told.remove(&id) {
            let mut held = None;
            request.status.send_if_modified(|status| {
                let goes = matches!(status, RequestStatus::Waits | RequestStatus::Held);
                if goes {
                    held = request.held;
                    *status = RequestStatus::Left;
                }
                goes
            });
            if let Some(since) = held {
                let held_ms = u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
                let (path, caller) = (self.name.to_string(), request.caller);
                self.events.announce_later(EventKind::LeaseReleased { path, caller, held_ms });
            }
        }
        self.step("", |leases, now| ((), leases.leave(id, now)));
    }

    /// Waits for a status, and sees to what time brings about meanwhile. Cancel safe.
    async fn wait(
        &self,
        mut status: watch::Receiver<RequestStatus>,
        wanted: impl Fn(&RequestStatus) -> bool,
    ) -> RequestStatus {
        let mut moments = self.moment.subscribe();
        loop {
            let at = *moments.borrow_and_update();
            let found = {
                let moment = async {
                    match at {
                        Some(at) => sleep_until(at).await,
                        None => std::future::pending().await,
                    }
                };
                tokio::select! {
                    biased;
                    found = status.wait_for(&wanted) => {
                        Some(found.map_or(RequestStatus::Left, |found| found.clone()))
                    }
                    // The sender is in here: it cannot be gone.
                    _ = moments.changed() => None,
                    () = moment => {
                        self.step("", |leases, now| ((), leases.tick(now)));
                        None
                    }
                }
            };
            if let Some(found) = found {
                return found;
            }
        }
    }

    fn refusal(&self, kind: ErrorKind, more: &str) -> Error {
        let text = match self.snapshot().holder {
            Some(held) => {
                let time = Duration::from_secs(held.held_ms / 1000);
                format!("{} is held by {} since {time:?}{more}", self.name, held.caller)
            }
            None => format!("{} was held{more}", self.name),
        };
        Error::new(kind, text).with(LEASE, &self.name)
    }
}

/// A result that may report that a user came.
trait Step {
    /// Who, and whether it holds the lease at once.
    fn entered(&self) -> Option<(Id, bool)> {
        None
    }
}

impl Step for () {}
impl Step for bool {}
impl Step for Option<Caller> {}
impl Step for LeaseReply {
    fn entered(&self) -> Option<(Id, bool)> {
        match self {
            LeaseReply::Granted(id) => Some((*id, true)),
            LeaseReply::Waits(id) => Some((*id, false)),
            LeaseReply::Busy | LeaseReply::Full => None,
        }
    }
}

/// The lease; dropping it lets go.
#[derive(Debug)]
#[must_use = "dropping a lease lets go of it"]
pub struct Lease {
    exclusive: Arc<Exclusive>,
    id: Id,
    status: watch::Receiver<RequestStatus>,
}

impl Lease {
    /// Starts its time over.
    ///
    /// # Errors
    /// [`ErrorKind::Closed`] when it has ended, with the reason.
    pub fn renew(&self) -> Result<()> {
        match self.exclusive.step("", |leases, now| leases.renew(self.id, now)).0 {
            true => Ok(()),
            false => self.check().and_then(|()| Err(Error::new(ErrorKind::Closed, "let go"))),
        }
    }

    /// Whether it still is one's own.
    ///
    /// # Errors
    /// [`ErrorKind::Closed`] when it has ended, with the reason.
    pub fn check(&self) -> Result<()> {
        match &*self.status.borrow() {
            RequestStatus::Held => Ok(()),
            RequestStatus::Ended(ended) => Err(closed(&self.exclusive.name, ended)),
            _ => Err(Error::new(ErrorKind::Closed, "the lease was released")),
        }
    }

    /// Completes when it has ended before it was given back, with the reason as
    /// [`ErrorKind::Closed`]; also when [`Lease::release`] gave it back. Outlives the lease. Cancel
    /// safe.
    pub fn ended(&self) -> impl Future<Output = Error> + Send + use<> {
        let (exclusive, status) = (Arc::clone(&self.exclusive), self.status.clone());
        async move {
            match exclusive.wait(status, |status| *status != RequestStatus::Held).await {
                RequestStatus::Ended(ended) => closed(&exclusive.name, &ended),
                _ => Error::new(ErrorKind::Closed, "the lease was released"),
            }
        }
    }

    /// Lets go at once, while the guard still lives; again changes nothing.
    pub fn release(&self) {
        self.exclusive.leave(self.id);
    }

    /// How long it lasts unless renewed.
    pub fn expiry(&self) -> Option<Duration> {
        self.exclusive.lock().leases.options().expiry
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.release();
    }
}

fn closed(name: &str, ended: &Ended) -> Error {
    Error::new(ErrorKind::Closed, format!("{name}: {ended}"))
}
