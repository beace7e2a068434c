//! [`Addr`]: where an end of a session is.

use serde::{Serialize, Serializer};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

/// Where an end of a session is, as its driver says. Written and serialised as a text.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Addr {
    /// An address and a port of the network.
    Socket(SocketAddr),
    /// A file: a Unix socket, a serial line.
    Path(PathBuf),
    /// What is neither, such as the name of a path of a device.
    Other(Box<str>),
}

impl Addr {
    /// As an address of the network: `ip()`, `port()` and `is_ipv6()` are there.
    pub fn socket(&self) -> Option<SocketAddr> {
        match self {
            Addr::Socket(address) => Some(*address),
            Addr::Path(_) | Addr::Other(_) => None,
        }
    }

    /// As a file.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Addr::Path(path) => Some(path),
            Addr::Socket(_) | Addr::Other(_) => None,
        }
    }
}

/// `address` as its peer writes it: an IPv4 address that a socket of IPv6 shows as `::ffff:192.0.2.1` is
/// 192.0.2.1 (RFC 4291 §2.5.5.2).
pub fn canonical(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        // The zone of what is no mapped address stays.
        IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => {
            SocketAddr::new(v6.to_canonical(), address.port())
        }
        _ => address,
    }
}

/// What it was written as: any text is one. An IPv4 address is one of IPv4, also as a socket of IPv6 shows it.
impl<T: Into<String>> From<T> for Addr {
    fn from(text: T) -> Self {
        let text = text.into();
        if let Ok(address) = text.parse() {
            return Addr::Socket(canonical(address));
        }
        // An abstract socket of Linux begins with `@`, a path without a folder is none that a driver gives.
        if text.starts_with('/') || text.starts_with('@') {
            return Addr::Path(text.into());
        }
        Addr::Other(text.into_boxed_str())
    }
}

impl fmt::Display for Addr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Addr::Socket(address) => address.fmt(f),
            Addr::Path(path) => path.display().fmt(f),
            Addr::Other(text) => f.write_str(text),
        }
    }
}

impl Serialize for Addr {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_of_the_kind_that_its_text_is_and_is_written_the_same() {
        let socket: SocketAddr = "[::1]:22".parse().unwrap();
        for (text, address) in [
            ("[::1]:22", Addr::Socket(socket)),
            ("/run/x.sock", Addr::Path("/run/x.sock".into())),
            ("@abstract", Addr::Path("@abstract".into())),
            ("devices.core1.console", Addr::Other("devices.core1.console".into())),
        ] {
            assert_eq!((Addr::from(text), address.to_string().as_str()), (address, text));
        }
        assert_eq!(
            Addr::from("[::1]:22").socket().map(|it| (it.port(), it.is_ipv6())),
            Some((22, true))
        );
        assert_eq!(Addr::from("127.0.0.1").socket(), None, "there is no port");
        assert_eq!(Addr::from("[::ffff:127.0.0.1]:22"), Addr::from("127.0.0.1:22"));
    }
}
