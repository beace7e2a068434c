//! Standard input and output as a session's stream.

use super::escape::Escape;
use super::lines::silence;
use super::output::{Sent, Shown, Sink};
use jackfield_plugin_api::{Error, ErrorKind, Result, Stream};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf, stdin};
use tokio::sync::watch;

/// Bytes that are read at once.
const CHUNK: usize = 64 * 1024;

/// Sends standard input until its end, then ends our direction; the peer may go on. Where a stream cannot end
/// one direction alone, nothing is ended.
pub(super) async fn send(
    stream: &mut WriteHalf<Stream>,
    mut escape: Option<Escape>,
) -> Result<Sent> {
    let mut input = stdin();
    let mut buffer = vec![0; CHUNK];
    loop {
        let count = input.read(&mut buffer).await?;
        if count == 0 {
            return match stream.shutdown().await.map_err(Error::from) {
                Err(error) if error.kind() == ErrorKind::Unsupported => {
                    stream.flush().await?;
                    Ok(Sent::Untold)
                }
                ended => ended.map(|()| Sent::All),
            };
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

/// Shows what the peer sends, until its end, or until it has been silent for `linger` after `untold` has said
/// that all was sent and the peer does not know it.
pub(super) async fn show(
    stream: &mut ReadHalf<Stream>,
    mut sink: Sink,
    mut untold: watch::Receiver<bool>,
    linger: Duration,
) -> Result<Shown> {
    let mut buffer = vec![0; CHUNK];
    loop {
        let count = tokio::select! {
            biased;
            count = stream.read(&mut buffer) => count?,
            () = silence(&mut untold, linger) => return Ok(Shown::All),
        };
        if count == 0 {
            return Ok(Shown::All);
        }
        if !sink.write(&[&buffer[..count]]).await? {
            return Ok(Shown::NoReader);
        }
    }
}
