//! One direction between two message facets.

use super::duplex::{Direction, Ending, Fault, Flow};
use super::stream::{TURN, sending};
use futures_util::{Sink, Stream as _};
use jackfield_plugin_api::{Error, ErrorKind, Message, Messages};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// A direction between two message facets. Messages pass whole and unchanged; a receiver that has
/// no use for a kind refuses it by its own rules.
#[derive(Default)]
pub(super) struct MessageDirection {
    unflushed: bool,
    ended: bool,
}

/// The next message that is not too long; `None` is the end.
pub(super) fn poll_message(
    from: &mut Messages,
    flow: &mut Flow<'_, '_>,
) -> Poll<Result<Option<Message>, Fault>> {
    let Some(message) = ready!(Pin::new(from).poll_next(flow.cx)) else {
        return Poll::Ready(Ok(None));
    };
    let message = message.map_err(Fault::Receiving)?;
    let (length, limit) = (message.payload.len(), flow.options.sizes.max_message);
    if length > limit {
        let error = Error::new(ErrorKind::Limit, "a message is longer than max_message")
            .with("bytes", length)
            .with("max_message", limit);
        return Poll::Ready(Err(Fault::Receiving(error)));
    }
    Poll::Ready(Ok(Some(message)))
}

/// Lets messages go out that `to` may still hold back.
pub(super) fn poll_flushed(
    to: &mut Messages,
    unflushed: &mut bool,
    flow: &mut Flow<'_, '_>,
) -> Poll<Result<(), Fault>> {
    if *unflushed {
        ready!(Pin::new(to).poll_flush(flow.cx)).map_err(sending)?;
        *unflushed = false;
    }
    Poll::Ready(Ok(()))
}

impl Direction<Messages, Messages> for MessageDirection {
    fn poll_move(
        &mut self,
        from: &mut Messages,
        to: &mut Messages,
        flow: &mut Flow<'_, '_>,
    ) -> Poll<Result<(), Fault>> {
        let mut turn = 0;
        loop {
            if self.ended {
                // Neither goes on after that: the relay closes both, or their owner does.
                return Pin::new(to).poll_flush(flow.cx).map_err(sending);
            }
            ready!(Pin::new(&mut *to).poll_ready(flow.cx)).map_err(sending)?;
            if turn >= TURN {
                flow.cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            match poll_message(from, flow) {
                Poll::Ready(Ok(None)) => self.ended = true,
                Poll::Ready(message) => {
                    if let Some(message) = message? {
                        let length = message.payload.len();
                        Pin::new(&mut *to).start_send(message).map_err(sending)?;
                        self.unflushed = true;
                        flow.moved(length, 1);
                        turn += length + size_of::<Message>();
                    }
                }
                Poll::Pending => {
                    ready!(self.poll_flush(to, flow))?;
                    return Poll::Pending;
                }
            }
        }
    }

    fn poll_flush(
        &mut self,
        to: &mut Messages,
        flow: &mut Flow<'_, '_>,
    ) -> Poll<Result<(), Fault>> {
        poll_flushed(to, &mut self.unflushed, flow)
    }

    fn end(&mut self) {
        self.ended = true;
    }
}

impl Ending for Messages {
    fn half_closes(&self) -> bool {
        false
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(self).poll_close(cx).map(drop)
    }
}
