//! How WebSockets end: codes, reasons, and carriers that are not dropped too early.

use crate::wire::Wire;
use futures_util::Sink;
use jackfield_plugin_api::{Error, ErrorKind, Host, Result, Stream, close_code};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

/// The purpose of the connection is fulfilled.
pub(crate) const NORMAL: u16 = 1000;

/// How many unwanted bytes are read at once.
const ROOM: usize = 4096;

/// This side goes away.
pub(crate) const AWAY: u16 = 1001;

/// A close frame without a code. What stands for it never stands in a frame.
pub(crate) const NONE: u16 = 1005;

/// What this side leads to has failed.
const FAILED: u16 = 1011;

/// A code that may stand in a close frame (RFC 6455 §7.4 and its registry); 0 stands for 1000, and 1005 for
/// a frame without a code.
pub(crate) fn sendable(code: u64) -> Result<u16> {
    match code {
        close_code::GOING_AWAY => return Ok(AWAY),
        close_code::FAILED => return Ok(FAILED),
        _ => {}
    }
    match u16::try_from(code) {
        Ok(0) => Ok(NORMAL),
        Ok(NONE) => Ok(NONE),
        Ok(code @ (1000..=1003 | 1007..=1014 | 3000..=4999)) => Ok(code),
        _ => Err(Error::new(
            ErrorKind::Config,
            format!("{code} is not a close code; expected 1000-1003, 1007-1014 or 3000-4999"),
        )),
    }
}

/// The peer's code as an error, unless it says that all has been said. Who goes away, as a page that is left and a
/// server that stops do, has not.
pub(crate) fn abnormal(code: u16, reason: &str) -> Option<Error> {
    let fine = [CloseCode::Normal, CloseCode::Status];
    if fine.into_iter().any(|fine| u16::from(fine) == code) {
        return None;
    }
    let message = format!("the peer closed the WebSocket with code {code}");
    let error = Error::new(ErrorKind::Closed, message).with("close_code", code);
    let error = error.with("code_space", "websocket");
    Some(if reason.is_empty() { error } else { error.with("close_reason", reason) })
}

/// As much of a reason as a close frame may have: 123 bytes (§5.5).
pub(crate) fn short(reason: &str) -> &str {
    let mut end = reason.len().min(123);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    &reason[..end]
}

/// Writes what is left, ends our direction, and throws away the peer's until it ends.
pub(crate) fn poll_linger(ws: &mut WebSocketStream<Wire>, cx: &mut Context<'_>) -> Poll<()> {
    let _ = ready!(Pin::new(&mut *ws).poll_flush(cx));
    let _ = ready!(Pin::new(ws.get_mut()).poll_shutdown(cx));
    let stream = ws.get_mut().stream();
    let mut room = [0; ROOM];
    loop {
        let mut buffer = ReadBuf::new(&mut room);
        match ready!(Pin::new(&mut *stream).poll_read(cx, &mut buffer)) {
            Ok(()) if !buffer.filled().is_empty() => {}
            _ => return Poll::Ready(()),
        }
    }
}

/// Ends a carrier whose handshake failed: what we wrote must arrive, so what the peer still sends
/// is thrown away until it ends too, for at most `limit`.
pub(crate) async fn dismiss(mut carrier: Stream, host: Host, limit: Duration) {
    let ended = async {
        carrier.shutdown().await?;
        let mut room = [0; ROOM];
        while carrier.read(&mut room).await? > 0 {}
        Ok(())
    };
    // The peer has its answer; how it closes does not matter.
    let _ = host.timeout(limit, "the peer's end", ended).await;
}

#[cfg(test)]
mod tests {
    use super::{sendable, short};
    use jackfield_plugin_api::close_code;

    #[test]
    fn reasons_are_cut_between_characters() {
        assert_eq!(short("done"), "done");
        assert_eq!(short(&"x".repeat(200)).len(), 123);
        assert_eq!(short(&"ü".repeat(100)).len(), 122);
    }

    #[test]
    fn only_codes_of_the_registry_are_sent() {
        assert_eq!(sendable(0).ok(), Some(1000));
        assert_eq!(sendable(4999).ok(), Some(4999));
        assert_eq!(sendable(1005).ok(), Some(1005));
        assert_eq!(sendable(close_code::GOING_AWAY).ok(), Some(1001));
        assert_eq!(sendable(close_code::FAILED).ok(), Some(1011));
        for code in [1, 999, 1004, 1006, 1015, 2000, 5000, 1 << 20] {
            assert!(sendable(code).is_err(), "{code}");
        }
    }
}
