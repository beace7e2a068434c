//! SOCKS version 5 on the wire (RFC 1928), with user name and password (RFC 1929), as a client.

use jackfield_plugin_api::{Error, ErrorKind, Result, Secret};
use std::net::{IpAddr, SocketAddr};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

const VERSION: u8 = 5;

/// Version of the negotiation of RFC 1929.
const LOGIN: u8 = 1;

/// Ways to log in (RFC 1928 §3).
const NO_LOGIN: u8 = 0;
const PASSWORD: u8 = 2;
const NONE_ACCEPTABLE: u8 = 0xff;

/// Commands and kinds of addresses (RFC 1928 §4, §5).
const CONNECT: u8 = 1;
const IPV4: u8 = 1;
const NAME: u8 = 3;
const IPV6: u8 = 4;

/// The most bytes of a user name, a password or a host name.
pub(crate) const LONGEST: usize = 255;

/// Who logs in at the proxy.
#[derive(Clone, Debug)]
pub(crate) struct User {
    pub(crate) name: String,
    pub(crate) password: Secret,
}

/// Where the proxy is to connect to.
#[derive(Clone, Debug)]
pub(crate) enum To {
    Address(SocketAddr),
    Name(String, u16),
}

/// Agrees on how to log in, and does.
///
/// # Errors
/// [`ErrorKind::Denied`] for a user whom the proxy does not take, or none where it wants one;
/// [`ErrorKind::Protocol`] for what is no answer of SOCKS 5.
pub(crate) async fn greet<S>(stream: &mut S, user: Option<&User>) -> Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let ways: &[u8] = if user.is_some() { &[2, NO_LOGIN, PASSWORD] } else { &[1, NO_LOGIN] };
    send(stream, &[&[VERSION], ways].concat()).await?;
    let [version, way] = take(stream).await?;
    if version != VERSION {
        let text = format!("expected a proxy of SOCKS 5, found an answer of version {version}");
        return Err(Error::new(ErrorKind::Protocol, text));
    }
    match (way, user) {
        (NO_LOGIN, _) => Ok(()),
        (PASSWORD, Some(user)) => log_in(stream, user).await,
        (NONE_ACCEPTABLE, None) => {
            let text = "the proxy needs a user and a password: set username and password";
            Err(Error::new(ErrorKind::Denied, text))
        }
        (NONE_ACCEPTABLE, Some(_)) => {
            let text = "the proxy accepts neither a user with a password nor a client without";
            Err(Error::new(ErrorKind::Denied, text))
        }
        (other, _) => {
            let text = format!("the proxy chose a way to log in that was not offered ({other})");
            Err(Error::new(ErrorKind::Protocol, text))
        }
    }
}

async fn log_in<S>(stream: &mut S, user: &User) -> Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut request = vec![LOGIN];
    push_text(&mut request, user.name.as_bytes());
    push_text(&mut request, user.password.expose().as_bytes());
    send(stream, &request).await?;
    let [_, status] = take(stream).await?;
    if status == 0 {
        return Ok(());
    }
    let text = "the proxy refused this user and password";
    Err(Error::new(ErrorKind::Denied, text).with("user", &user.name))
}

/// A text of at most [`LONGEST`] bytes, which was checked before, with its length.
fn push_text(request: &mut Vec<u8>, text: &[u8]) {
    let text = &text[..text.len().min(LONGEST)];
    request.push(u8::try_from(text.len()).unwrap_or(u8::MAX));
    request.extend(text);
}

/// Lets the proxy connect; from then on the stream is that connection. Answers the address that the proxy
/// connects from.
///
/// # Errors
/// Why the proxy did not connect.
pub(crate) async fn connect<S>(stream: &mut S, to: &To) -> Result<String>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut request = vec![VERSION, CONNECT, 0];
    let port = match to {
        To::Address(address) => {
            match address.ip() {
                IpAddr::V4(v4) => request.extend([&[IPV4][..], &v4.octets()].concat()),
                IpAddr::V6(v6) => request.extend([&[IPV6][..], &v6.octets()].concat()),
            }
            address.port()
        }
        To::Name(name, port) => {
            request.push(NAME);
            push_text(&mut request, name.as_bytes());
            *port
        }
    };
    request.extend(port.to_be_bytes());
    send(stream, &request).await?;
    let [version, reply, _, kind] = take(stream).await?;
    if version != VERSION {
        let text = format!("expected an answer of SOCKS 5, found version {version}");
        return Err(Error::new(ErrorKind::Protocol, text));
    }
    if reply != 0 {
        return Err(refused(reply));
    }
    let host = match kind {
        IPV4 => IpAddr::from(take::<4>(stream).await?).to_string(),
        IPV6 => format!("[{}]", IpAddr::from(take::<16>(stream).await?)),
        NAME => {
            let [length] = take(stream).await?;
            let mut name = vec![0; usize::from(length)];
            stream.read_exact(&mut name).await.map_err(cut)?;
            String::from_utf8_lossy(&name).into_owned()
        }
        other => {
            let text = format!("the proxy answered with an unknown kind of address ({other})");
            return Err(Error::new(ErrorKind::Protocol, text));
        }
    };
    let port = u16::from_be_bytes(take(stream).await?);
    Ok(format!("{host}:{port}"))
}

/// Why a proxy did not connect (RFC 1928 §6).
fn refused(reply: u8) -> Error {
    let (kind, text) = match reply {
        1 => (ErrorKind::Refused, "the proxy failed to connect"),
        2 => (ErrorKind::Refused, "the rules of the proxy do not allow the connection"),
        3 => (ErrorKind::Unreachable, "the proxy cannot reach the network"),
        4 => (ErrorKind::Unreachable, "the proxy cannot reach the host"),
        5 => (ErrorKind::Unreachable, "the connection from the proxy was refused"),
        6 => (ErrorKind::TimedOut, "the connection from the proxy timed out (TTL expired)"),
        7 => (ErrorKind::Unsupported, "the proxy does not connect for others"),
        8 => (ErrorKind::Unsupported, "the proxy does not take this kind of address"),
        _ => (ErrorKind::Protocol, "the proxy refused with an unknown code"),
    };
    Error::new(kind, text).with("reply", reply)
}

async fn send(stream: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> Result<()> {
    stream.write_all(bytes).await?;
    Ok(stream.flush().await?)
}

async fn take<const N: usize>(stream: &mut (impl AsyncRead + Unpin)) -> Result<[u8; N]> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes).await.map_err(cut)?;
    Ok(bytes)
}

/// A proxy that hangs up in the middle of an answer has closed, and so could be asked again.
fn cut(error: std::io::Error) -> Error {
    match error.kind() {
        std::io::ErrorKind::UnexpectedEof => {
            Error::new(ErrorKind::Closed, "the proxy closed the connection before it answered")
        }
        _ => error.into(),
    }
}
