//! [`Mailboxes`]: the peers of a listener, and the datagrams of each. No I/O; time is an
//! argument.

use super::Limits;
use crate::error::{Error, Result};
use crate::op::Op;
use bytes::Bytes;
use socket2::SockAddr;
use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// One session's place: a peer that comes back after its session has ended gets another.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) peer: SockAddr,
    number: u64,
}

pub(super) struct Mailboxes {
    limits: Limits,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    peers: HashMap<SockAddr, Mailbox>,
    /// Peers that have no session yet.
    fresh: VecDeque<Place>,
    accepting: Vec<Waker>,
    closed: bool,
    bytes: usize,
    dropped: u64,
    next: u64,
    failed: Option<Error>,
    /// Each peer has a socket of its own.
    parted: bool,
}

struct Mailbox {
    number: u64,
    queue: VecDeque<Bytes>,
    waker: Option<Waker>,
    active: Duration,
    /// Reads the socket of its own.
    own: Option<Op<()>>,
}

impl State {
    fn of(&mut self, place: &Place) -> Option<&mut Mailbox> {
        self.peers.get_mut(&place.peer).filter(|mailbox| mailbox.number == place.number)
    }

    /// To be dropped outside of the lock: a task of it goes back to the host.
    fn remove(&mut self, peer: &SockAddr) -> Option<Mailbox> {
        let mailbox = self.peers.remove(peer)?;
        self.bytes -= mailbox.queue.iter().map(Bytes::len).sum::<usize>();
        Some(mailbox)
    }
}

impl Mailboxes {
    pub(super) fn new(limits: Limits) -> Self {
        Mailboxes { limits, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a datagram in, or drops it where there is no room. Answers a new peer's place where each is to have a socket
    /// of its own.
    pub(super) fn put(&self, peer: &SockAddr, bytes: &[u8], now: Duration) -> Option<Place> {
        let mut state = self.state();
        let state = &mut *state;
        if state.bytes + bytes.len() > self.limits.bytes {
            state.dropped += 1;
            return None;
        }
        let mut parting = None;
        if !state.peers.contains_key(peer) {
            if state.closed || state.peers.len() >= self.limits.sessions {
                state.dropped += 1;
                return None;
            }
            state.next += 1;
            let number = state.next;
            let (queue, waker, own) = (VecDeque::new(), None, None);
            state.peers.insert(peer.clone(), Mailbox { number, queue, waker, active: now, own });
            let place = Place { peer: peer.clone(), number };
            parting = state.parted.then(|| place.clone());
            state.fresh.push_back(place);
            state.accepting.drain(..).for_each(Waker::wake);
        }
        let mailbox = state.peers.get_mut(peer)?;
        mailbox.active = now;
        if mailbox.queue.len() >= self.limits.queue {
            state.dropped += 1;
            return parting;
        }
        mailbox.queue.push_back(Bytes::copy_from_slice(bytes));
        state.bytes += bytes.len();
        if let Some(waker) = mailbox.waker.take() {
            waker.wake();
        }
        parting
    }

    /// From now on each peer has a socket of its own; answers the places of those that have none yet.
    pub(super) fn part(&self) -> Vec<Place> {
        let mut state = self.state();
        state.parted = true;
        let alone = state.peers.iter().filter(|(_, mailbox)| mailbox.own.is_none());
        alone.map(|(peer, mailbox)| Place { peer: peer.clone(), number: mailbox.number }).collect()
    }

    /// What reads a peer's own socket, for as long as its session.
    pub(super) fn keep(&self, place: &Place, own: Op<()>) {
        let mut own = Some(own);
        if let Some(mailbox) = self.state().of(place) {
            mailbox.own = own.take();
        }
        // Outside of the lock.
        drop(own);
    }

    /// The next peer without a session.
    pub(super) fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<Result<Place>> {
        let mut state = self.state();
        if let Some(error) = &state.failed {
            return Poll::Ready(Err(error.clone()));
        }
        while let Some(place) = state.fresh.pop_front() {
            // It may have been idle for too long meanwhile.
            if state.of(&place).is_some() {
                return Poll::Ready(Ok(place));
            }
        }
        if !state.accepting.iter().any(|waker| waker.will_wake(cx.waker())) {
            state.accepting.push(cx.waker().clone());
        }
        Poll::Pending
    }

    /// The next datagram of a peer; `None` after its session has expired.
    pub(super) fn poll_take(
        &self,
        place: &Place,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Bytes>>> {
        let mut state = self.state();
        let failed = state.failed.clone();
        let Some(mailbox) = state.of(place) else { return Poll::Ready(Ok(None)) };
        match (mailbox.queue.pop_front(), failed) {
            (Some(bytes), _) => {
                state.bytes -= bytes.len();
                Poll::Ready(Ok(Some(bytes)))
            }
            (None, Some(error)) => Poll::Ready(Err(error)),
            (None, None) => {
                mailbox.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    /// Something was sent to a peer.
    pub(super) fn touch(&self, place: &Place, now: Duration) {
        if let Some(mailbox) = self.state().of(place) {
            mailbox.active = now;
        }
    }

    /// A session has ended.
    pub(super) fn leave(&self, place: &Place) {
        let gone = {
            let mut state = self.state();
            if state.of(place).is_some() { state.remove(&place.peer) } else { None }
        };
        drop(gone);
    }

    /// Ends the sessions of peers that have been idle for too long.
    pub(super) fn expire(&self, now: Duration) {
        let mut state = self.state();
        let idle = self.limits.idle;
        let old = |mailbox: &Mailbox| now.saturating_sub(mailbox.active) >= idle;
        let expired: Vec<SockAddr> = state
            .peers
            .iter()
            .filter(|(_, mailbox)| old(mailbox))
            .map(|(peer, _)| peer.clone())
            .collect();
        let gone: Vec<Mailbox> = expired.iter().filter_map(|peer| state.remove(peer)).collect();
        drop(state);
        gone.into_iter().filter_map(|mailbox| mailbox.waker).for_each(Waker::wake);
    }

    /// Something was dropped elsewhere.
    pub(super) fn drop_one(&self) {
        self.state().dropped += 1;
    }

    pub(super) fn dropped(&self) -> u64 {
        self.state().dropped
    }

    /// New peers are no longer wanted; those that wait for a session are forgotten.
    pub(super) fn accept_no_more(&self) {
        let mut state = self.state();
        state.closed = true;
        let mut gone = Vec::new();
        for place in std::mem::take(&mut state.fresh) {
            if state.of(&place).is_some() {
                gone.extend(state.remove(&place.peer));
            }
        }
        drop(state);
        drop(gone);
    }

    /// Nothing can be received any more.
    pub(super) fn fail(&self, error: &Error) {
        let mut state = self.state();
        state.failed = Some(error.clone());
        state.accepting.drain(..).for_each(Waker::wake);
        state.peers.values_mut().filter_map(|mailbox| mailbox.waker.take()).for_each(Waker::wake);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits =
        Limits { sessions: 2, queue: 2, bytes: 10, idle: Duration::from_secs(30), max_size: 100 };

    fn peer(port: u16) -> SockAddr {
        SockAddr::from(std::net::SocketAddr::from(([127, 0, 0, 1], port)))
    }

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn accept(mail: &Mailboxes) -> Option<Place> {
        match mail.poll_accept(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(place) => Some(place.expect("a place")),
            Poll::Pending => None,
        }
    }

    fn take(mail: &Mailboxes, place: &Place) -> Poll<Option<Bytes>> {
        mail.poll_take(place, &mut Context::from_waker(Waker::noop()))
            .map(|taken| taken.expect("no failure"))
    }

    #[test]
    fn each_peer_is_accepted_once_and_gets_its_own() {
        let mail = Mailboxes::new(LIMITS);
        for (port, text) in [(1, "a"), (2, "b"), (1, "c")] {
            mail.put(&peer(port), text.as_bytes(), secs(0));
        }
        let (one, two) = (accept(&mail).expect("one"), accept(&mail).expect("two"));
        assert!(accept(&mail).is_none());
        assert_eq!(take(&mail, &two), Poll::Ready(Some("b".into())));
        assert_eq!(take(&mail, &two), Poll::Pending);
        assert_eq!(take(&mail, &one), Poll::Ready(Some("a".into())));
        assert_eq!(take(&mail, &one), Poll::Ready(Some("c".into())));
    }

    #[test]
    fn peers_datagrams_and_bytes_are_bounded_and_what_is_dropped_is_counted() {
        let mail = Mailboxes::new(LIMITS);
        for port in 1..=3 {
            mail.put(&peer(port), b"x", secs(0));
        }
        assert_eq!(mail.dropped(), 1, "a third peer");
        mail.put(&peer(1), b"x", secs(0));
        mail.put(&peer(1), b"x", secs(0));
        assert_eq!(mail.dropped(), 2, "a third datagram");
        mail.put(&peer(2), b"12345678", secs(0));
        assert_eq!(mail.dropped(), 3, "an eleventh byte");
        let one = accept(&mail).expect("one");
        mail.leave(&one);
        mail.put(&peer(2), b"12345678", secs(0));
        mail.put(&peer(3), b"x", secs(0));
        assert_eq!(mail.dropped(), 3, "there is room again");
    }

    #[test]
    fn an_idle_session_ends_and_its_peer_gets_a_new_one() {
        let mail = Mailboxes::new(LIMITS);
        mail.put(&peer(1), b"x", secs(0));
        let old = accept(&mail).expect("one");
        mail.expire(secs(29));
        mail.touch(&old, secs(29));
        mail.expire(secs(58));
        assert_eq!(take(&mail, &old), Poll::Ready(Some("x".into())));
        mail.expire(secs(59));
        assert_eq!(take(&mail, &old), Poll::Ready(None));
        mail.put(&peer(1), b"y", secs(60));
        let new = accept(&mail).expect("again");
        mail.leave(&old);
        assert_eq!(take(&mail, &old), Poll::Ready(None));
        assert_eq!(take(&mail, &new), Poll::Ready(Some("y".into())));
    }

    #[test]
    fn a_closed_listener_takes_nobody_and_keeps_the_sessions() {
        let mail = Mailboxes::new(LIMITS);
        mail.put(&peer(1), b"x", secs(0));
        let one = accept(&mail).expect("one");
        mail.put(&peer(2), b"waits", secs(0));
        mail.accept_no_more();
        mail.put(&peer(2), b"x", secs(0));
        mail.put(&peer(1), b"y", secs(0));
        assert_eq!(mail.dropped(), 1);
        assert_eq!(take(&mail, &one), Poll::Ready(Some("x".into())));
        assert_eq!(take(&mail, &one), Poll::Ready(Some("y".into())));
    }
}
