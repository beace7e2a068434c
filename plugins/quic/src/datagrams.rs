//! [`LinkDatagrams`]: datagrams of a connection (RFC 9221), whole or not at all.

use crate::mux::Mux;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use jackfield_plugin_api::{DatagramIo, DatagramMeta, Error, ErrorKind, Result};
use quinn::{ConnectionError, SendDatagramError};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

pub(crate) struct LinkDatagrams {
    mux: Arc<dyn Mux>,
    receiving: Option<BoxFuture<'static, Result<Bytes, ConnectionError>>>,
    /// What waits for room, and its sending.
    sending: Option<(Bytes, BoxFuture<'static, Result<(), SendDatagramError>>)>,
}

impl LinkDatagrams {
    pub(crate) fn new(mux: Arc<dyn Mux>) -> Self {
        LinkDatagrams { mux, receiving: None, sending: None }
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Bytes, ConnectionError>> {
        let mux = &self.mux;
        loop {
            let receiving = self.receiving.get_or_insert_with(|| {
                let connection = mux.link().connection.clone();
                Box::pin(async move { connection.read_datagram().await })
            });
            let next = ready!(receiving.as_mut().poll(cx));
            self.receiving = None;
            let prefix = mux.datagram_prefix().len();
            match next {
                Ok(mut bytes) if bytes.starts_with(mux.datagram_prefix()) => {
                    return Poll::Ready(Ok(bytes.split_off(prefix)));
                }
                // Of another session than this.
                Ok(_) => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    fn most(&self) -> Option<usize> {
        let whole = self.mux.link().connection.max_datagram_size()?;
        whole.checked_sub(self.mux.datagram_prefix().len())
    }

    fn check(&self, bytes: usize) -> Result<()> {
        let most = self.most();
        let most = most.ok_or_else(|| Error::unsupported("sending datagrams to this peer"))?;
        if bytes <= most { Ok(()) } else { Err(too_long(bytes, most)) }
    }

    fn unsent(&self, error: &SendDatagramError, bytes: usize) -> Error {
        match error {
            SendDatagramError::UnsupportedByPeer | SendDatagramError::Disabled => {
                Error::unsupported("sending datagrams to this peer")
            }
            SendDatagramError::TooLarge => too_long(bytes, self.max_size()),
            SendDatagramError::ConnectionLost(lost) => self.mux.loss(lost),
        }
    }
}

fn too_long(bytes: usize, most: usize) -> Error {
    Error::new(ErrorKind::Limit, "the datagram is longer than the limit")
        .with("bytes", bytes)
        .with("most", most)
}

impl DatagramIo for LinkDatagrams {
    fn poll_recv(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<Result<Option<DatagramMeta>>> {
        let bytes = match ready!(self.poll_next(cx)) {
            Ok(bytes) => bytes,
            Err(error) if self.mux.is_normal(&error) => return Poll::Ready(Ok(None)),
            Err(error) => return Poll::Ready(Err(self.mux.loss(&error))),
        };
        let len = bytes.len();
        let Some(room) = buffer.get_mut(..len) else {
            return Poll::Ready(Err(too_long(len, buffer.len())));
        };
        room.copy_from_slice(&bytes);
        let peer = Some(self.mux.link().connection.remote_address());
        Poll::Ready(Ok(Some(DatagramMeta::new(len, peer))))
    }

    fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &[u8],
        meta: &DatagramMeta,
    ) -> Poll<Result<()>> {
        let bytes = &buffer[..meta.len];
        if let Some((waiting, work)) = &mut self.sending {
            let sent = ready!(work.as_mut().poll(cx));
            let (same, len) = (waiting == bytes, waiting.len());
            self.sending = None;
            // Another one that waited here was given up by its sender, and has left all the same.
            if same {
                return Poll::Ready(sent.map_err(|error| self.unsent(&error, len)));
            }
        }
        self.check(bytes.len())?;
        let connection = self.mux.link().connection.clone();
        let (len, prefix) = (bytes.len(), self.mux.datagram_prefix());
        let bytes = Bytes::copy_from_slice(bytes);
        let whole =
            if prefix.is_empty() { bytes.clone() } else { [prefix, &bytes].concat().into() };
        if connection.datagram_send_buffer_space() >= whole.len() {
            let sent = connection.send_datagram(whole);
            return Poll::Ready(sent.map_err(|error| self.unsent(&error, len)));
        }
        let mut work: BoxFuture<'static, _> =
            Box::pin(async move { connection.send_datagram_wait(whole).await });
        match work.as_mut().poll(cx) {
            Poll::Ready(sent) => Poll::Ready(sent.map_err(|error| self.unsent(&error, len))),
            Poll::Pending => {
                self.sending = Some((bytes, work));
                Poll::Pending
            }
        }
    }

    fn max_size(&self) -> usize {
        self.most().unwrap_or(0)
    }
}
