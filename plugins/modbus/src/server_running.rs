//! The task of a master's connection: it reads requests and sends answers. The carrier is dropped with it.

use crate::frame::{Found, Pause, Reading};
use crate::server::Master;
use bytes::BytesMut;
use futures_util::future::{Either, select};
use jackfield_plugin_api::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf, split};
use jackfield_plugin_api::{Error, ErrorKind, Origin, Stream};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

/// Bytes read at once.
const READ: usize = 4 << 10;
/// How long the goodbye below may take.
const GOODBYE: Duration = Duration::from_secs(10);

/// Runs a connection to its end.
pub(crate) async fn run(master: Arc<Master>, carrier: Stream) {
    let (mut input, mut output) = split(carrier);
    let error = {
        let reading = pin!(read(&master, &mut input));
        let writing = pin!(write(&master, &mut output));
        match select(reading, writing).await {
            Either::Left((error, _)) => Some(error),
            Either::Right((Ok(()), _)) => None,
            Either::Right((Err(error), _)) => Some(error),
        }
    };
    let polite = error.is_none();
    let closed = || Error::new(ErrorKind::Closed, "the session was closed");
    master.requests().finish(error.unwrap_or_else(closed).with_origin(Origin::Downstream));
    master.changed.notify_waiters();
    if polite {
        let goodbye = async { output.shutdown().await.map_err(Error::from) };
        let _ = master.host.timeout(GOODBYE, "the goodbye", goodbye).await;
    }
}

async fn read(master: &Master, input: &mut ReadHalf<Stream>) -> Error {
    let mut buffer = BytesMut::with_capacity(READ);
    // When the first byte of a frame came.
    let mut begun = None;
    loop {
        if let Err(text) = frames(master, &mut buffer, master.line.between()).await {
            return Error::new(ErrorKind::Protocol, text);
        }
        let now = master.host.now();
        begun = if buffer.is_empty() { None } else { begun.or(Some(now)) };
        buffer.reserve(READ);
        let left = begun.map(|begun| (begun + master.endpoint.frame_timeout).saturating_sub(now));
        let serial = master.endpoint.framing.is_serial();
        let wait = left.map(|left| if serial { left.min(master.line.gap) } else { left });
        let read = match wait {
            None => Some(input.read_buf(&mut buffer).await),
            Some(wait) => {
                let reading = pin!(input.read_buf(&mut buffer));
                match select(reading, pin!(master.host.timer(wait))).await {
                    Either::Left((read, _)) => Some(read),
                    Either::Right(_) => None,
                }
            }
        };
        match read {
            Some(Ok(0)) => {
                return Error::new(ErrorKind::Closed, "the master has ended the connection");
            }
            Some(Ok(_)) => {}
            Some(Err(error)) => return Error::from(error),
            None if serial => {
                if let Err(error) = pause(master, input, &mut buffer).await {
                    return error;
                }
                begun = None;
            }
            None => {
                let limit = master.endpoint.frame_timeout;
                let text = format!("the rest of a frame did not come within {limit:?}");
                return Error::new(ErrorKind::TimedOut, text);
            }
        }
    }
}

/// A pause on a serial line: what has come and is no frame will not become one, or only after it goes on.
async fn pause(
    master: &Master,
    input: &mut ReadHalf<Stream>,
    buffer: &mut BytesMut,
) -> Result<(), Error> {
    // Serial framings have no errors of their own.
    let _ = frames(master, buffer, Pause::Quiet).await;
    if buffer.is_empty() {
        return Ok(());
    }
    buffer.reserve(READ);
    let limit = master.endpoint.frame_timeout;
    let more = async { input.read_buf(buffer).await.map_err(Error::from) };
    match master.host.timeout(limit, "the rest of a frame", more).await {
        Ok(0) => Err(Error::new(ErrorKind::Closed, "the master has ended the connection")),
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::TimedOut => {
            master.requests().served.noise += buffer.len() as u64;
            buffer.clear();
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// Takes the requests that have come, as far as there is room for them.
async fn frames(master: &Master, buffer: &mut BytesMut, pause: Pause) -> Result<(), String> {
    loop {
        loop {
            let room = master.changed.notified();
            if master.requests().has_room() {
                break;
            }
            room.await;
        }
        match master.endpoint.framing.take(buffer, Reading::Requests, pause)? {
            Found::Frame(frame, noise) => master.requests().take(frame, noise),
            Found::Nothing(noise) => {
                master.requests().served.noise += noise as u64;
                return Ok(());
            }
        }
    }
}

async fn write(master: &Master, output: &mut WriteHalf<Stream>) -> Result<(), Error> {
    loop {
        let (bytes, closing) = {
            let requests = master.requests();
            (requests.out.clone(), requests.closing)
        };
        if !bytes.is_empty() {
            output.write_all(&bytes).await?;
            output.flush().await?;
            master.requests().sent(bytes.len());
        } else if closing {
            return Ok(());
        } else {
            master.work.notified().await;
        }
        master.changed.notify_waiters();
    }
}
