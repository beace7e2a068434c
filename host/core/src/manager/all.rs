//! Verbs on many connections at once: in parallel, with a limit, one deadline, and a result each.

use super::Manager;
use super::entries::Entry;
use super::filter::Filter;
use super::named::Removal;
use crate::config::DevicePath;
use crate::connection::Live;
use crate::deadline::Deadline;
use crate::session::POLITE_CLOSE;
use futures_util::StreamExt;
use jackfield_plugin_api::{Error, ErrorKind, Result};
use jackfield_timers::{timeout, timeout_at};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How many at a time, and how long in all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AllOptions {
    /// Connections worked on at a time; at least 1. Default: 100.
    pub limit: usize,
    /// Time for all of them together. Default: 60 s.
    pub within: Duration,
}

impl Default for AllOptions {
    fn default() -> Self {
        AllOptions { limit: 100, within: Duration::from_secs(60) }
    }
}

/// How many of many connections have to be connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quorum {
    /// All of them, or none.
    All,
    /// At least so many; not more than there are.
    AtLeast(usize),
}

/// What became of each, by name.
pub type Outcomes<T> = BTreeMap<String, Result<T>>;

impl Manager {
    /// Connects all that `filter` is for. One that fails leaves the others alone; what is not
    /// connected at the deadline has [`ErrorKind::TimedOut`], and goes on by itself if it has begun.
    pub async fn connect_all(&self, filter: &Filter, options: AllOptions) -> Outcomes<Arc<Live>> {
        let deadline = Deadline::after(options.within);
        let connecting = self.matching(filter).into_iter().map(|entry| async move {
            let connecting = async {
                let managed = self.built(&entry).await?;
                managed.connect(deadline.left()).await
            };
            let result =
                timeout_at(deadline.instant(), connecting).await.unwrap_or_else(|_| late(options));
            (entry.name.to_string(), result)
        });
        let connecting = futures_util::stream::iter(connecting);
        connecting.buffer_unordered(options.limit.max(1)).collect().await
    }

    /// Connects all that `filter` is for, as [`Manager::connect_all`], if as many as `needed` can be connected. If not,
    /// none stays that this has begun: those are closed again, and aborted if they are not closed within 2 s. What was
    /// connected or on its way before stays. Not cancel safe: what has begun goes on.
    ///
    /// # Errors
    /// Why the first, by name, of those was not connected, with the facts `connected`, `needed` and `of`;
    /// [`ErrorKind::NotFound`] if there are fewer than needed.
    pub async fn connect_quorum(
        &self,
        filter: &Filter,
        needed: Quorum,
        options: AllOptions,
    ) -> Result<Outcomes<Arc<Live>>> {
        let all = self.matching(filter);
        let needed = match needed {
            Quorum::All => all.len(),
            Quorum::AtLeast(least) => least,
        };
        if all.len() < needed {
            let text = format!("{needed} connections are needed, and there are {}", all.len());
            return Err(Error::new(ErrorKind::NotFound, text));
        }
        let lives = |entry: &Arc<Entry>| {
            let last = entry.managed.get().and_then(|managed| managed.last());
            last.filter(|live| !live.state().is_final())
        };
        let ours: Vec<_> = all.iter().filter(|entry| lives(entry).is_none()).collect();
        let outcomes = self.connect_all(filter, options).await;
        let connected = outcomes.values().filter(|outcome| outcome.is_ok()).count();
        let failed =
            outcomes.iter().find_map(|(name, outcome)| Some((name, outcome.as_ref().err()?)));
        let Some((name, error)) = failed.filter(|_| connected < needed) else {
            return Ok(outcomes);
        };
        let reason = "too few of the others could be connected";
        let closing = ours.into_iter().filter_map(lives).map(|live| async move {
            if timeout(POLITE_CLOSE, live.close(0, reason)).await.is_err() {
                live.abort(reason);
            }
        });
        futures_util::future::join_all(closing).await;
        let error = error.clone().with("connection", name).with("connected", connected);
        Err(error.with("needed", needed).with("of", outcomes.len()))
    }

    /// Closes the sessions of all that `filter` is for; the definitions stay. What is not closed at
    /// the deadline is aborted, and has [`ErrorKind::TimedOut`]. One without a session is closed.
    pub async fn disconnect_all(
        &self,
        filter: &Filter,
        code: u64,
        reason: &str,
        options: AllOptions,
    ) -> Outcomes<()> {
        let deadline = Deadline::after(options.within);
        let closing = self.matching(filter).into_iter().map(|entry| async move {
            let live = entry.managed.get().and_then(|managed| managed.last());
            let Some(live) = live else { return (entry.name.to_string(), Ok(())) };
            let closed = timeout_at(deadline.instant(), live.close(code, reason)).await;
            let result = closed.or_else(|_| {
                live.abort(reason);
                late(options)
            });
            (entry.name.to_string(), result)
        });
        let closing = futures_util::stream::iter(closing);
        closing.buffer_unordered(options.limit.max(1)).collect().await
    }

    /// Forgets all that `filter` is for, those that go via others before these, and ends or detaches their
    /// sessions as `end` says. One that carries something that stays has [`ErrorKind::InUse`], and what is
    /// not closed at the deadline is aborted and has [`ErrorKind::TimedOut`]: it is forgotten all the same.
    pub async fn unregister_all(
        &self,
        filter: &Filter,
        end: &Removal,
        options: AllOptions,
    ) -> Outcomes<()> {
        let deadline = Deadline::after(options.within);
        let mut outcomes = Outcomes::new();
        for taken in self.take_all(filter, &mut outcomes) {
            let ending = taken.into_iter().map(|entry| async move {
                let live = entry.managed.get().and_then(|managed| managed.last());
                let result = match (live, end) {
                    (Some(live), Removal::Close { code, reason }) => {
                        let closed =
                            timeout_at(deadline.instant(), live.close(*code, reason)).await;
                        closed.or_else(|_| {
                            live.abort(reason);
                            late(options)
                        })
                    }
                    _ => Ok(()),
                };
                (entry.name.to_string(), result)
            });
            let ending = futures_util::stream::iter(ending);
            let done: Vec<_> = ending.buffer_unordered(options.limit.max(1)).collect().await;
            outcomes.extend(done);
        }
        outcomes
    }

    /// Ends all that `filter` is for at once and forgets them, as [`Manager::unregister_all`].
    pub async fn destroy_all(&self, filter: &Filter) -> Outcomes<()> {
        let mut outcomes = Outcomes::new();
        for entry in self.take_all(filter, &mut outcomes).into_iter().flatten() {
            if let Some(live) = entry.managed.get().and_then(|managed| managed.last()) {
                live.abort("destroyed");
                live.wait_closed().await;
            }
            outcomes.insert(entry.name.to_string(), Ok(()));
        }
        outcomes
    }

    /// Takes out of the table what `filter` is for, in rounds: what carries others goes after them. What
    /// cannot go is noted.
    fn take_all(&self, filter: &Filter, outcomes: &mut Outcomes<()>) -> Vec<Vec<Arc<Entry>>> {
        let (mut left, mut rounds) = (self.matching(filter), Vec::new());
        loop {
            let mut taken = Vec::new();
            left.retain(|entry| match self.core.named.take(&entry.name) {
                Ok(entry) => {
                    self.tell_removed(format!("connections.{}", entry.name));
                    outcomes.remove(&*entry.name);
                    taken.push(entry);
                    false
                }
                Err(error) => {
                    outcomes.insert(entry.name.to_string(), Err(error));
                    true
                }
            });
            if taken.is_empty() {
                return rounds;
            }
            rounds.push(taken);
        }
    }

    /// Connects paths of devices: `NAME.PATH`, or `NAME` for the default one. As with
    /// [`Manager::connect_all`], each has a result of its own, by what it was called here.
    pub async fn connect_paths<'a>(
        &self,
        paths: impl IntoIterator<Item = &'a str>,
        options: AllOptions,
    ) -> Outcomes<Arc<Live>> {
        let deadline = Deadline::after(options.within);
        let connecting = paths.into_iter().map(|name| async move {
            let connecting = async {
                let to = DevicePath::from_name(name);
                let device = self.device(&to.device)?;
                device.connect(to.path.as_deref(), deadline.left()).await
            };
            let result =
                timeout_at(deadline.instant(), connecting).await.unwrap_or_else(|_| late(options));
            (name.to_owned(), result)
        });
        let connecting = futures_util::stream::iter(connecting);
        connecting.buffer_unordered(options.limit.max(1)).collect().await
    }

    /// Disconnects paths of devices, named as in [`Manager::connect_paths`]; answers for each whether it
    /// was connected, or on its way. What is not closed at the deadline is aborted, and has
    /// [`ErrorKind::TimedOut`].
    pub async fn disconnect_paths<'a>(
        &self,
        paths: impl IntoIterator<Item = &'a str>,
        reason: &str,
        options: AllOptions,
    ) -> Outcomes<bool> {
        let deadline = Deadline::after(options.within);
        let closing = paths.into_iter().map(|name| async move {
            let closing = async {
                let to = DevicePath::from_name(name);
                let path = self.device(&to.device)?.path(to.path.as_deref())?;
                let last = path.managed().last().filter(|live| !live.state().is_final());
                let Some(live) = last else { return Ok(false) };
                let closed = timeout_at(deadline.instant(), live.close(0, reason)).await;
                closed.map(|()| true).or_else(|_| {
                    live.abort(reason);
                    late(options)
                })
            };
            (name.to_owned(), closing.await)
        });
        let closing = futures_util::stream::iter(closing);
        closing.buffer_unordered(options.limit.max(1)).collect().await
    }

    /// Closes the session of one connection and waits for the end; the definition stays.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`].
    pub async fn disconnect(&self, name: &str, code: u64, reason: &str) -> Result<()> {
        let entry = self.core.named.get(name)?;
        if let Some(live) = entry.managed.get().and_then(|managed| managed.last()) {
            live.close(code, reason).await;
        }
        Ok(())
    }

    /// Closes the pools of all upstreams, then the sessions of all named connections and devices, each
    /// all at once, at most for `limit`; what is in use in a pool gets half of that. Brings what is kept of
    /// definitions to the disk.
    pub async fn close_all(&self, limit: Duration) {
        let half = Instant::now() + limit / 2;
        let upstreams = self.upstreams();
        let pools = upstreams.iter().map(|upstream| upstream.drain_pools(half));
        let cut: usize = futures_util::future::join_all(pools).await.into_iter().sum();
        if cut > 0 {
            tracing::warn!(sessions = cut, "pooled sessions were closed while they were in use");
        }
        let (options, reason) =
            (AllOptions { limit: usize::MAX, within: limit / 2 }, "the host is stopping");
        let all = self.core.devices.all();
        let devices = all.iter().map(|device| device.disconnect_all(reason));
        let devices = timeout(options.within, futures_util::future::join_all(devices));
        let all = Filter::default();
        let named = self.disconnect_all(&all, 0, reason, options);
        let (closed, devices) = tokio::join!(named, devices);
        if devices.is_err() {
            tracing::warn!("devices did not disconnect in time");
        }
        let late = closed.values().filter(|result| result.is_err()).count();
        if late > 0 {
            tracing::warn!(count = late, "named connections did not close in time");
        }
        if let Err(error) = self.core.named.sync() {
            tracing::warn!(%error, "the state directory may not have been written to the disk");
        }
    }
}

fn late<T>(options: AllOptions) -> Result<T> {
    let text = format!("not done within {:?} for all", options.within);
    Err(Error::new(ErrorKind::TimedOut, text))
}
