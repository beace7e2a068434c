//! `jackfield call --stream`: what an operation gives, as it comes.

use jackfield_plugin_api::{Error, ErrorKind, Result, Session, Stream};
use serde_json::{Value, json};
use std::io::ErrorKind as Failed;
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Bytes that are read at once.
const CHUNK: usize = 64 * 1024;

/// Opens the stream of an operation and writes it to `out`, to its end or until nobody reads that any more.
///
/// # Errors
/// [`ErrorKind::Unsupported`] where the operation has no stream; what it ends with.
pub(super) async fn pass(
    session: &Session,
    operation: &str,
    params: &Value,
    out: impl AsyncWrite + Unpin,
) -> Result<()> {
    let opened = session.open_stream(&json!({ operation: params })).await?;
    let lacks = || {
        let text = format!("{operation} gives no bytes as they come; call it without --stream");
        Error::new(ErrorKind::Unsupported, text)
    };
    let stream = opened.take_stream().ok_or_else(lacks)?;
    match copy(stream, out).await {
        // Of a session's stream an end is never of this kind.
        Err(error) if error.kind() == Failed::BrokenPipe => Ok(()),
        done => done.map_err(Error::from),
    }
}

/// What was read is shown at once, while more is waited for.
async fn copy(mut stream: Stream, mut out: impl AsyncWrite + Unpin) -> std::io::Result<()> {
    let mut buffer = vec![0; CHUNK];
    loop {
        let (flushed, read) = tokio::join!(out.flush(), stream.read(&mut buffer));
        flushed?;
        let count = read?;
        if count == 0 {
            return Ok(());
        }
        out.write_all(&buffer[..count]).await?;
    }
}

#[cfg(test)]
mod tests {
    use super::pass;
    use jackfield_plugin_api::{Control, ErrorKind, Facets, Info, Result, Session, Stream};
    use serde_json::{Value, json};
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use tokio::sync::Mutex;

    /// Gives one stream for `walk`.
    struct Peer(Mutex<Option<DuplexStream>>);

    impl Control for Peer {
        async fn open_stream(&self, params: Value) -> Result<Session> {
            assert_eq!(params, json!({ "walk": { "oid": "1.3" } }));
            let stream = self.0.lock().await.take();
            Ok(match stream {
                Some(stream) => Session::of_stream(Info::new(), Stream::new(stream)),
                None => Session::builder(Info::new()).build(),
            })
        }
    }

    fn session(stream: Option<DuplexStream>) -> Session {
        Session::builder(Peer(Mutex::new(stream))).facets(Facets::OPEN_STREAM).build()
    }

    #[tokio::test]
    async fn what_has_come_is_shown_before_more_comes() {
        let (near, mut far) = duplex(64);
        let (out, mut shown) = duplex(64);
        let session = session(Some(near));
        let params = json!({ "oid": "1.3" });
        let passing = pass(&session, "walk", &params, out);
        let peer = async {
            let mut line = [0; 4];
            for text in [b"one\n", b"two\n"] {
                far.write_all(text).await.unwrap();
                shown.read_exact(&mut line).await.unwrap();
                assert_eq!(&line, text);
            }
            drop(far);
        };
        tokio::join!(async { passing.await.unwrap() }, peer);
    }

    #[tokio::test]
    async fn the_end_of_the_reader_is_a_quiet_one() {
        let (near, mut far) = duplex(64);
        let (out, shown) = duplex(64);
        drop(shown);
        far.write_all(b"one\n").await.unwrap();
        pass(&session(Some(near)), "walk", &json!({ "oid": "1.3" }), out).await.unwrap();
    }

    #[tokio::test]
    async fn an_operation_without_a_stream_is_refused() {
        let params = json!({ "oid": "1.3" });
        let passed = pass(&session(None), "walk", &params, tokio::io::sink()).await;
        let error = passed.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.to_string().contains("--stream"), "{error}");
    }
}
