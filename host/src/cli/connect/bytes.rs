//! Standard input and output as a session's stream.

use super::escape::Escape;
use super::output::{Sent, Shown, Sink};
use jackfield_plugin_api::{Result, Stream};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf, stdin};

/// Bytes that are read at once.
const CHUNK: usize = 64 * 1024;

/// Sends standard input until its end, then ends our direction; the peer may go on.
pub(super) async fn send(
    stream: &mut WriteHalf<Stream>,
    mut escape: Option<Escape>,
) -> Result<Sent> {
    let mut input = stdin();
    let mut buffer = vec![0; CHUNK];
    loop {
        let count = input.read(&mut buffer).await?;
        if count == 0 {
            stream.shutdown().await?;
            return Ok(Sent::All);
        }
        let Some(escape) = &mut escape else {
            stream.write_all(&buffer[..count]).await?;
            stream.flush().await?;
            continue;
        };
        let typed = escape.filter(&buffer[..count]);
        stream.write_all(&typed.bytes).await?;
        stream.flush().await?;
        if typed.quit {
            return Ok(Sent::Quit);
        }
    }
}

/// Shows what the peer sends, until its end.
pub(super) async fn show(stream: &mut ReadHalf<Stream>, mut sink: Sink) -> Result<Shown> {
    let mut buffer = vec![0; CHUNK];
    loop {
        let count = stream.read(&mut buffer).await?;
        if count == 0 {
            return Ok(Shown::All);
        }
        if !sink.write(&[&buffer[..count]]).await? {
            return Ok(Shown::NoReader);
        }
    }
}
