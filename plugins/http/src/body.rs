//! Content on its way: from the boundary to hyper, and from hyper to the boundary.

use crate::failure::failure;
use crate::head::{fields, of_fields};
use crate::linger::Unread;
use crate::pace::{Pace, Paces};
use crate::serving::Busy;
use bytes::Bytes;
use futures_util::{FutureExt, Stream as FuturesStream, StreamExt};
use hyper::body::{Body as HyperBody, Frame, Incoming, SizeHint};
use hyper::header::{self, HeaderMap};
use jackfield_plugin_api::Timer;
use jackfield_plugin_api::{Body, BodyPart, Error, ErrorKind, Host, Origin, Result};
use std::any::Any;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::oneshot;

/// The most that HTTP/2 is given of content at once. Its peer has to take that much in its time.
const PIECE: usize = 16 << 10;

/// What HTTP/2 may hold of content that has ended. hyper gives a piece away as soon as the peer has room for
/// one byte of it; of a longer one the last byte comes alone, so that it waits until there is room for all.
const HELD: usize = 4 << 10;

/// Content to send.
pub(crate) struct Outgoing {
    /// Taken already, to learn how long it is.
    first: Peeked,
    /// `None`: it has ended.
    rest: Option<Body>,
    /// What is left of the length that the head says; hyper does not ask for an end after that.
    left: Option<u64>,
    done: Option<Done>,
    stream: Option<Stream>,
    /// The request that it answers is under way until it has been sent.
    _busy: Option<Arc<Busy>>,
}

/// Up to two parts, in order; without an allocation, as most content is one part.
#[derive(Default)]
struct Peeked([Option<Result<BodyPart>>; 2]);

impl Peeked {
    /// Whether there is room for one more.
    fn has_room(&self) -> bool {
        self.0[1].is_none()
    }

    fn is_empty(&self) -> bool {
        self.0[0].is_none()
    }

    fn push(&mut self, part: Result<BodyPart>) {
        let place = usize::from(self.0[0].is_some());
        self.0[place] = Some(part);
    }

    fn pop(&mut self) -> Option<Result<BodyPart>> {
        let part = self.0[0].take();
        self.0.swap(0, 1);
        part
    }

    /// Gives back what was left of the one that was taken last.
    fn give_back(&mut self, part: Result<BodyPart>) {
        self.0.swap(0, 1);
        self.0[0] = Some(part);
    }
}

/// Of content in a stream of HTTP/2.
struct Stream {
    paces: Paces,
    pace: Arc<Pace>,
    /// Parts that were given.
    parts: u64,
    begun: bool,
}

/// Tells the giver of the content that it has been sent, or cut short.
struct Done {
    tell: oneshot::Sender<Result<()>>,
    /// Nobody asks for the content of an answer to HEAD.
    unread: bool,
}

impl Outgoing {
    fn of_parts(first: Peeked, rest: Option<Body>) -> Self {
        Outgoing { first, rest, left: None, done: None, stream: None, _busy: None }
    }

    /// Looks at what is there without waiting, so that short content gets its length and no content
    /// gets none.
    pub(crate) fn new(mut body: Body) -> Self {
        let mut first = Peeked::default();
        while first.has_room() {
            match body.next().now_or_never() {
                None => break,
                Some(Some(part)) => first.push(part),
                Some(None) => return Self::of_parts(first, None),
            }
        }
        Self::of_parts(first, Some(body))
    }

    pub(crate) fn empty() -> Self {
        Self::of_parts(Peeked::default(), None)
    }

    pub(crate) fn full(bytes: impl Into<Bytes>) -> Self {
        let mut first = Peeked::default();
        first.push(Ok(BodyPart::Data(bytes.into())));
        Self::of_parts(first, None)
    }

    /// With what completes when it has been sent.
    pub(crate) fn told(mut self, unread: bool) -> (Self, oneshot::Receiver<Result<()>>) {
        let (tell, told) = oneshot::channel();
        self.done = Some(Done { tell, unread });
        (self, told)
    }

    /// In a stream of HTTP/2, with an end to waiting for the peer.
    pub(crate) fn paced(mut self, paces: Option<&Paces>) -> Self {
        self.stream = paces.map(|paces| Stream {
            paces: paces.clone(),
            pace: Arc::default(),
            parts: 0,
            begun: false,
        });
        self
    }

    /// As the answer to a request that is under way.
    pub(crate) fn of(mut self, busy: Arc<Busy>) -> Self {
        self._busy = Some(busy);
        self
    }

    /// The next part, of a length that suits HTTP/2 where it is for that.
    fn next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<BodyPart>>> {
        let part = match (self.first.pop(), &mut self.rest) {
            (Some(part), _) => Some(part),
            (None, Some(rest)) => std::task::ready!(rest.poll_next_unpin(cx)),
            (None, None) => None,
        };
        let Some(Ok(BodyPart::Data(mut bytes))) = part else { return Poll::Ready(part) };
        let most = match bytes.len() {
            length if self.stream.is_none() || length <= HELD => length,
            length => PIECE.min(length - 1),
        };
        let more = bytes.split_off(most);
        if !more.is_empty() {
            self.first.give_back(Ok(BodyPart::Data(more)));
        }
        Poll::Ready(Some(Ok(BodyPart::Data(bytes))))
    }

    /// Takes a length out of a head where the content knows better, and notes one that stays.
    pub(crate) fn fit(&mut self, headers: &mut HeaderMap) {
        if !self.is_end_stream() && self.size_hint().exact().is_some() {
            headers.remove(header::CONTENT_LENGTH);
        }
        let length = headers.get(header::CONTENT_LENGTH);
        self.left = length.and_then(|length| length.to_str().ok()?.parse().ok());
    }

    /// Whether all has been given to hyper. HTTP/2 has an end of its own to send after the last byte, and
    /// may have to wait for room for that byte.
    fn is_whole(&self) -> bool {
        self.is_end_stream() || self.left == Some(0) && self.stream.is_none()
    }

    fn tell(&mut self, result: Result<()>) {
        if let Some(done) = self.done.take() {
            let _ = done.tell.send(result);
        }
    }
}

impl HyperBody for Outgoing {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>>>> {
        if let Some(stream) = &mut self.stream
            && !stream.begun
        {
            stream.begun = true;
            stream.paces.begin(&stream.pace);
        }
        let polled = self.next(cx);
        if let Some(stream) = &mut self.stream {
            stream.note(&polled);
        }
        if let (Some(left), Poll::Ready(Some(Ok(BodyPart::Data(bytes))))) =
            (&mut self.left, &polled)
        {
            *left = left.saturating_sub(bytes.len() as u64);
        }
        let part = std::task::ready!(polled).map(|part| {
            part.and_then(|part| match part {
                BodyPart::Data(bytes) => Ok(Frame::data(bytes)),
                BodyPart::Trailers(block) => fields(&block).map(Frame::trailers),
            })
        });
        match &part {
            None => {
                self.rest = None;
                self.tell(Ok(()));
            }
            Some(Err(error)) => {
                let error = error.clone();
                self.rest = None;
                self.tell(Err(error));
            }
            // HTTP/2 may have to wait for room for it.
            Some(Ok(_)) if self.is_whole() && self.stream.is_none() => self.tell(Ok(())),
            Some(Ok(_)) => {}
        }
        Poll::Ready(part)
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_none() && self.first.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        if self.rest.is_some() {
            return SizeHint::default();
        }
        let length = |part: &Result<BodyPart>| match part {
            Ok(BodyPart::Data(bytes)) => Some(bytes.len() as u64),
            _ => None,
        };
        self.first
            .0
            .iter()
            .flatten()
            .map(length)
            .sum::<Option<u64>>()
            .map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

impl Stream {
    fn note(&mut self, polled: &Poll<Option<Result<BodyPart>>>) {
        if let Poll::Ready(Some(Ok(BodyPart::Data(_)))) = polled {
            self.parts += 1;
            self.pace.given(self.parts);
        } else {
            self.pace.waits();
        }
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        if let Some(stream) = &self.stream {
            stream.pace.waits();
            if stream.pace.is_late() {
                let late = stream.paces.late();
                return self.tell(Err(late));
            }
        }
        let unread = self.done.as_ref().is_some_and(|done| done.unread);
        let result = if unread || self.is_whole() {
            Ok(())
        } else {
            Err(Error::new(ErrorKind::Closed, "the peer left before all content was sent"))
        };
        self.tell(result);
    }
}

/// What becomes of the content of one request to a listener.
#[derive(Debug, Default)]
pub(crate) struct Arrival {
    unread: Unread,
    failure: OnceLock<Error>,
}

impl Arrival {
    pub(crate) fn new(unread: Unread) -> Self {
        Arrival { unread, failure: OnceLock::new() }
    }

    /// Why it has ended early.
    pub(crate) fn failure(&self) -> Option<&Error> {
        self.failure.get()
    }
}

/// Content that comes, bounded in time and length.
pub(crate) struct Received {
    body: Incoming,
    host: Host,
    pause: Option<Duration>,
    /// Runs while nothing comes; most content never waits.
    timer: Option<Timer>,
    left: u64,
    /// Of a request.
    arrival: Option<Arc<Arrival>>,
    /// Lives until the content has come: its connection, its place among the requests.
    _alive: Arc<dyn Any + Send + Sync>,
}

/// Bounds of content that is received.
#[derive(Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) host: Host,
    pub(crate) pause: Option<Duration>,
    pub(crate) most: u64,
}

/// As the boundary wants it: of a request with what becomes of it, of an answer without.
pub(crate) fn received(
    body: Incoming,
    bounds: Bounds,
    arrival: Option<Arc<Arrival>>,
    alive: Arc<dyn Any + Send + Sync>,
) -> Body {
    if body.is_end_stream() {
        return Body::empty();
    }
    let Bounds { host, pause, most } = bounds;
    Body::new(Received { body, host, pause, timer: None, left: most, arrival, _alive: alive })
}

impl Received {
    /// A part, if it is within the bounds.
    fn part(&mut self, frame: Frame<Bytes>) -> Result<BodyPart> {
        let frame = match frame.into_data() {
            Ok(bytes) => {
                let left = self.left.checked_sub(bytes.len() as u64);
                self.left = left.ok_or_else(|| {
                    Error::new(ErrorKind::Limit, "the content is longer than allowed")
                })?;
                return Ok(BodyPart::Data(bytes));
            }
            Err(frame) => frame,
        };
        let trailers = frame.into_trailers().unwrap_or_default();
        of_fields(&trailers).map(BodyPart::Trailers)
    }

    /// What has come, told to whom it concerns.
    fn noted(&self, part: Option<Result<BodyPart>>) -> Option<Result<BodyPart>> {
        let Some(arrival) = &self.arrival else { return part };
        match part {
            Some(Err(error)) => {
                let error = error.with_origin(Origin::Downstream);
                let _ = arrival.failure.set(error.clone());
                Some(Err(error))
            }
            part => {
                let ends =
                    !matches!(part, Some(Ok(BodyPart::Data(_)))) || self.body.is_end_stream();
                if ends {
                    arrival.unread.none();
                }
                part
            }
        }
    }
}

impl FuturesStream for Received {
    type Item = Result<BodyPart>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        // All that its length says has come: there is nothing to wait for.
        if self.body.is_end_stream() {
            return Poll::Ready(None);
        }
        let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) else {
            let Some(limit) = self.pause else { return Poll::Pending };
            let host = self.host;
            let timer = self.timer.get_or_insert_with(|| host.timer(limit));
            return Pin::new(timer).poll(cx).map(|()| {
                let text = format!("no content was received for {limit:?}");
                self.noted(Some(Err(Error::new(ErrorKind::TimedOut, text))))
            });
        };
        // The next wait has a time of its own.
        self.timer = None;
        let part = frame
            .map(|frame| frame.map_err(|error| failure(&error)).and_then(|frame| self.part(frame)));
        Poll::Ready(self.noted(part))
    }
}

#[cfg(test)]
mod tests {
    use super::Outgoing;
    use futures_util::{FutureExt, StreamExt, future, stream};
    use hyper::body::Body as HyperBody;
    use hyper::header::{CONTENT_LENGTH, HeaderMap};
    use jackfield_plugin_api::{Body, BodyPart, ErrorKind};
    use std::pin::Pin;

    /// Content of one part whose end comes later, under a head that says `length`.
    fn told(length: &str) -> (Outgoing, tokio::sync::oneshot::Receiver<super::Result<()>>) {
        let part = stream::iter([Ok(BodyPart::Data("whole".into()))]);
        let mut body = Outgoing::new(Body::new(part.chain(stream::pending())));
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_LENGTH, length.parse().unwrap());
        body.fit(&mut headers);
        body.told(false)
    }

    #[test]
    fn content_of_the_length_that_its_head_says_is_whole_before_its_end_is_asked_for() {
        for (length, whole) in [("5", true), ("6", false)] {
            let (mut body, told) = told(length);
            let part = future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).now_or_never();
            assert!(part.flatten().unwrap().unwrap().is_data());
            drop(body);
            let told = told.now_or_never().unwrap().unwrap();
            assert_eq!(
                told.map_err(|error| error.kind()),
                match whole {
                    true => Ok(()),
                    false => Err(ErrorKind::Closed),
                }
            );
        }
    }
}
