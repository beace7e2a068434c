//! [`Packets`]: where requests leave.

use crate::channel::Channel;
use bytes::Bytes;
use jackfield_plugin_api::Result;
use std::future::Future;
use std::sync::Arc;

/// Takes whole packets, one after the other.
pub(crate) trait Packets: Send + 'static {
    /// Sends a packet. Where it is dropped, a part of it may have left.
    ///
    /// # Errors
    /// The way is over.
    fn put(&mut self, packet: Bytes) -> impl Future<Output = Result<()>> + Send;
}

/// A channel, which takes packets as they are: what is written as a stream would be copied and cut once more.
pub(crate) struct OnChannel(pub(crate) Arc<Channel>);

impl Packets for OnChannel {
    async fn put(&mut self, packet: Bytes) -> Result<()> {
        self.0.send(|half| half.data_bytes(packet)).await
    }
}

#[cfg(test)]
impl<W: tokio::io::AsyncWrite + Send + 'static> Packets for tokio::io::WriteHalf<W> {
    async fn put(&mut self, packet: Bytes) -> Result<()> {
        use tokio::io::AsyncWriteExt;
        self.write_all(&packet).await?;
        Ok(self.flush().await?)
    }
}
