//! [`Echo`]: the smallest useful handler, and the one to read first.

use futures_util::{SinkExt, StreamExt};
use jackfield_plugin_api::{
    Error, Facets, Handler, HandlerInfo, Host, Messages, Result, Session, Stream,
};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Options of `echo`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct EchoOptions {
    /// The most bytes of a stream that are read before they are sent back; at least 1.
    pub buffer: u32,
}

impl Default for EchoOptions {
    fn default() -> Self {
        EchoOptions { buffer: 16 * 1024 }
    }
}

/// Bytes of a stream's buffer until they have been filled once.
const FIRST: usize = 256;

/// Sends back what it receives: bytes as bytes, messages as messages.
#[derive(Debug)]
pub struct Echo {
    buffer: usize,
}

impl Handler for Echo {
    const INFO: HandlerInfo = HandlerInfo::new(
        "echo",
        "Sends back what it receives",
        Facets::STREAM.union(Facets::MESSAGES),
    );
    type Options = EchoOptions;

    fn new(_host: Host, options: EchoOptions) -> Result<Self> {
        match usize::try_from(options.buffer) {
            Ok(buffer @ 1..) => Ok(Echo { buffer }),
            _ => Err(Error::option("buffer", "must be at least 1")),
        }
    }

    async fn serve(&self, session: Session) -> Result<()> {
        if let Some(messages) = session.take_messages() {
            echo_messages(messages).await
        } else if let Some(stream) = session.take_stream() {
            self.echo_bytes(stream).await
        } else {
            Err(Error::unsupported("a session with neither bytes nor messages"))
        }
    }
}

impl Echo {
    /// Until the peer has sent its last byte; then ends our direction too.
    async fn echo_bytes(&self, mut stream: Stream) -> Result<()> {
        // A peer that sends little holds little: thousands of them may be silent.
        let mut buffer = vec![0; self.buffer.min(FIRST)];
        loop {
            let count = stream.read(&mut buffer).await?;
            if count == 0 {
                break;
            }
            stream.write_all(&buffer[..count]).await?;
            stream.flush().await?;
            if count == buffer.len() {
                buffer.resize(self.buffer, 0);
            }
        }
        Ok(stream.shutdown().await?)
    }
}

async fn echo_messages(mut messages: Messages) -> Result<()> {
    while let Some(message) = messages.next().await {
        messages.send(message?).await?;
    }
    messages.close().await
}
