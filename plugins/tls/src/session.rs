//! The session: the bytes inside TLS, and what the handshake has shown.

use crate::plain_http::Peeked;
use jackfield_certificates::{Described, explain, with_facts};
use jackfield_plugin_api::{Info, Role, Session, Stream};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::TlsStream;
use tokio_rustls::rustls::{CommonState, ProtocolVersion};

/// What the role knew before the handshake.
pub(crate) struct Before {
    pub(crate) role: Role,
    /// The name that was asked for.
    pub(crate) server_name: Option<String>,
    /// Whether a certificate that the peer showed was checked.
    pub(crate) verified: bool,
    pub(crate) carrier: Info,
}

/// A session over a stream whose handshake is complete.
pub(crate) fn session(stream: TlsStream<Peeked>, before: &Before) -> Session {
    let info = info(stream.get_ref().1, before);
    Session::of_stream(info, Stream::new(Inside { stream, role: before.role }))
}

fn info(state: &CommonState, before: &Before) -> Info {
    let version = match state.protocol_version() {
        Some(ProtocolVersion::TLSv1_2) => "1.2".to_owned(),
        Some(ProtocolVersion::TLSv1_3) => "1.3".to_owned(),
        other => format!("{other:?}"),
    };
    let mut info = Info::new().encrypted().with("tls_version", version);
    if let Some(suite) = state.negotiated_cipher_suite() {
        info = info.with("cipher", suite.suite().as_str().unwrap_or("unknown"));
    }
    if let Some(protocol) = state.alpn_protocol() {
        info = info.with("alpn", String::from_utf8_lossy(protocol));
    }
    if let Some(name) = &before.server_name {
        info = info.with("server_name", name.clone());
    }
    if let Some(certificate) = state.peer_certificates().and_then(<[_]>::first) {
        info = with_facts(info, certificate).with("peer_verified", before.verified);
        // An unchecked certificate proves nothing.
        if before.verified {
            info.identity = Described::new(certificate).and_then(|peer| peer.identity());
        }
    }
    info.over(&before.carrier)
}

/// The bytes inside, with errors that say what happened.
struct Inside {
    stream: TlsStream<Peeked>,
    role: Role,
}

impl Inside {
    fn told<T>(&self, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        result.map_err(|error| explain(error, self.role).into_io())
    }
}

impl AsyncRead for Inside {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_read(cx, buffer);
        self.told(result)
    }
}

impl AsyncWrite for Inside {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.told(result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.told(result)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_flush(cx);
        self.told(result)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.told(result)
    }
}
