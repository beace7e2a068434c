//! One direction between two message facets.

use super::duplex::{Ending, Fault, Flow};
use super::steps::{Intake, Steps};
use super::stream::sending;
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

impl Steps<Messages, Messages> for MessageDirection {
    /// What was taken was handed over at once.
    fn poll_hand_over(
        &mut self,
        _: &mut Messages,
        _: &mut Flow<'_, '_>,
    ) -> Poll<Result<(), Fault>> {
        Poll::Ready(Ok(()))
    }

    fn poll_take(
        &mut self,
        from: &mut Messages,
        to: &mut Messages,
        flow: &mut Flow<'_, '_>,
    ) -> Poll<Result<Intake, Fault>> {
        ready!(Pin::new(&mut *to).poll_ready(flow.cx)).map_err(sending)?;
        let Some(message) = ready!(poll_message(from, flow))? else {
            return Poll::Ready(Ok(Intake::End));
        };
        let length = message.payload.len();
        Pin::new(to).start_send(message).map_err(sending)?;
        self.unflushed = true;
        flow.moved(length, 1);
        Poll::Ready(Ok(Intake::Some(length + size_of::<Message>())))
    }

    fn poll_go_out(
        &mut self,
        to: &mut Messages,
        flow: &mut Flow<'_, '_>,
    ) -> Poll<Result<(), Fault>> {
        poll_flushed(to, &mut self.unflushed, flow)
    }

    /// Neither goes on after that: the relay closes both, or their owner does.
    fn poll_pass_end(
        &mut self,
        to: &mut Messages,
        flow: &mut Flow<'_, '_>,
    ) -> Poll<Result<(), Fault>> {
        Pin::new(to).poll_flush(flow.cx).map_err(sending)
    }

    fn ended(&mut self) -> &mut bool {
        &mut self.ended
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
