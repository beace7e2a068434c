//! Messages made of two halves.

use super::{Message, Messages};
use crate::error::{Error, Result};
use futures_core::Stream;
use futures_sink::Sink;
use std::pin::Pin;
use std::task::{Context, Poll};

impl Messages {
    /// Of a stream and a sink that need not be one: two halves of a codec, two channels of a task.
    pub fn from_parts<R, W>(stream: R, sink: W) -> Self
    where
        R: Stream<Item = Result<Message>> + Send + 'static,
        W: Sink<Message, Error = Error> + Send + 'static,
    {
        Messages::new(Parts { stream: Box::pin(stream), sink: Box::pin(sink) })
    }
}

struct Parts<R, W> {
    stream: Pin<Box<R>>,
    sink: Pin<Box<W>>,
}

impl<R: Stream, W> Stream for Parts<R, W> {
    type Item = R::Item;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<R::Item>> {
        self.stream.as_mut().poll_next(cx)
    }
}

impl<R, W: Sink<Message, Error = Error>> Sink<Message> for Parts<R, W> {
    type Error = Error;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.sink.as_mut().poll_ready(cx)
    }

    fn start_send(mut self: Pin<&mut Self>, message: Message) -> Result<()> {
        self.sink.as_mut().start_send(message)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.sink.as_mut().poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.sink.as_mut().poll_close(cx)
    }
}
