//! The header, read and written: <https://www.haproxy.org/download/2.8/doc/proxy-protocol.txt>.

use crate::options::Version;
use jackfield_plugin_api::{Error, ErrorKind, Info, Result};
use proxy_header::{ParseConfig, ProxiedAddress, ProxyHeader, SslInfo, Tlv};
use std::net::{IpAddr, SocketAddr};
use tokio::io::{AsyncRead, AsyncReadExt};

/// What every header of version 2 begins with (§2.2).
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// What version 2 has before its addresses, and no header of either version is shorter: `PROXY UNKNOWN` of
/// version 1 has 15 bytes, of which the last one ends it.
const FIXED: usize = 16;
const SHORTEST_V1: usize = 15;

/// The longest header of version 1, its end included (§2.1).
const LONGEST_V1: usize = 107;

/// The most bytes after the fixed part of a header of version 2: no known sender has more.
const LONGEST_V2: usize = 4096;

/// Where a header of version 2 has its family, and where its length.
const FAMILY: usize = 13;
const LENGTH: usize = 14;

/// A checksum over the whole header (§2.2.5).
const CRC32C: u8 = 3;

/// Reads a header and not a byte more: what the client says of itself, or `None` where the proxy has
/// connected for itself.
///
/// # Errors
/// [`ErrorKind::Protocol`] for what is no header.
pub(crate) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Result<Option<Info>> {
    let mut header = vec![0; SHORTEST_V1];
    stream.read_exact(&mut header[..SIGNATURE.len()]).await?;
    if header.starts_with(SIGNATURE) {
        header.resize(FIXED, 0);
        stream.read_exact(&mut header[SIGNATURE.len()..]).await?;
        let length = usize::from(u16::from_be_bytes([header[LENGTH], header[LENGTH + 1]]));
        if length > LONGEST_V2 {
            let text = format!("a header of {length} bytes, which is more than {LONGEST_V2}");
            return Err(Error::new(ErrorKind::Protocol, text));
        }
        header.resize(FIXED + length, 0);
        stream.read_exact(&mut header[FIXED..]).await?;
    } else if header.starts_with(b"PROXY ") {
        stream.read_exact(&mut header[SIGNATURE.len()..]).await?;
        while !header.ends_with(b"\n") {
            if header.len() >= LONGEST_V1 {
                return Err(no_header());
            }
            // What follows the header is not for us, so that it cannot be read in larger pieces.
            header.push(stream.read_u8().await?);
        }
    } else {
        return Err(no_header());
    }
    parse(&header)
}

fn no_header() -> Error {
    let text = "expected a header of the PROXY protocol, found something else";
    Error::new(ErrorKind::Protocol, text)
}

/// A whole header.
pub(crate) fn parse(header: &[u8]) -> Result<Option<Info>> {
    let parsed = ProxyHeader::parse(header, ParseConfig::default());
    let (parsed, length) = parsed.map_err(|error| {
        Error::new(ErrorKind::Protocol, format!("a wrong header of the PROXY protocol: {error}"))
    })?;
    if length != header.len() {
        return Err(no_header());
    }
    if !sums_up(header) {
        let text = "the checksum of a header of the PROXY protocol is wrong";
        return Err(Error::new(ErrorKind::Protocol, text));
    }
    let Some(addresses) = parsed.proxied_address() else { return Ok(None) };
    let mut info = Info::new()
        .peer(canonical(addresses.source).to_string())
        .local(canonical(addresses.destination).to_string());
    if let Some(alpn) = parsed.alpn() {
        info = info.with("alpn", String::from_utf8_lossy(alpn));
    }
    if let Some(name) = parsed.authority() {
        info = info.with("server_name", name);
    }
    Ok(Some(match parsed.ssl() {
        Some(ssl) if ssl.client_ssl() => with_tls(info, &ssl),
        _ => info,
    }))
}

/// Whether the checksum of a whole header, if it has one, is right; version 1 has none.
fn sums_up(header: &[u8]) -> bool {
    if !header.starts_with(SIGNATURE) {
        return true;
    }
    let addresses = match header.get(FAMILY).map_or(0, |family| family >> 4) {
        1 => 12,
        2 => 36,
        3 => 216,
        _ => 0,
    };
    let mut at = FIXED + addresses;
    while let Some(&[kind, high, low]) = header.get(at..at + 3) {
        let length = usize::from(u16::from_be_bytes([high, low]));
        let Some(value) = header.get(at + 3..at + 3 + length) else { return false };
        if kind == CRC32C {
            let mut zeroed = header.to_vec();
            zeroed[at + 3..at + 3 + length].fill(0);
            return *value == crc32c(&zeroed).to_be_bytes();
        }
        at += 3 + length;
    }
    true
}

/// CRC-32C (RFC 4960, appendix B), bit by bit: a header is short, and few have one.
fn crc32c(bytes: &[u8]) -> u32 {
    let step = |crc: u32| crc >> 1 ^ if crc & 1 == 1 { 0x82f6_3b78 } else { 0 };
    let all = bytes
        .iter()
        .fold(u32::MAX, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), |crc, _| step(crc)));
    !all
}

/// What the proxy says of the TLS between it and the client.
fn with_tls(mut info: Info, ssl: &SslInfo<'_>) -> Info {
    if let Some(version) = ssl.version() {
        info = info.with("tls_version", version.trim_start_matches("TLSv"));
    }
    if let Some(cipher) = ssl.cipher() {
        info = info.with("cipher", cipher);
    }
    let Some(name) = ssl.cn() else { return info };
    let is_verified = ssl.client_cert_sess() && ssl.verify() == 0;
    let subject = format!("CN={name}");
    if is_verified {
        // The proxy has checked it, and is trusted.
        info.identity = Some(subject.clone());
    }
    info.with("peer_subject", subject).with("peer_verified", is_verified)
}

/// The header for `client`; `None`: the host itself connects, as for a health check.
///
/// # Errors
/// [`ErrorKind::Other`] for what has no room in a header.
pub(crate) fn encode(client: Option<&Info>, version: Version, tls: bool) -> Result<Vec<u8>> {
    let mut header = match client.and_then(addresses) {
        Some(addresses) => ProxyHeader::with_address(addresses),
        None => ProxyHeader::with_local(),
    };
    let mut bytes = Vec::with_capacity(LONGEST_V1);
    let encoded = match version {
        Version::V1 => header.encode_v1(&mut bytes),
        Version::V2 => {
            if let Some(client) = client.filter(|_| tls) {
                say_tls(&mut header, client);
            }
            header.encode_v2(&mut bytes)
        }
    };
    encoded.map_err(|error| Error::new(ErrorKind::Other, format!("the header: {error}")))?;
    Ok(bytes)
}

/// Both ends of a client's connection, of one family, or nothing where they are no addresses of the network.
fn addresses(client: &Info) -> Option<ProxiedAddress> {
    let address = |text: &Option<String>| -> Option<SocketAddr> {
        text.as_deref()?.parse().ok().map(canonical)
    };
    let (source, destination) = (address(&client.peer)?, address(&client.local)?);
    if source.is_ipv4() == destination.is_ipv4() {
        return Some(ProxiedAddress::stream(source, destination));
    }
    Some(ProxiedAddress::stream(mapped(source), mapped(destination)))
}

fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

fn mapped(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(v4) => SocketAddr::new(v4.to_ipv6_mapped().into(), address.port()),
        IpAddr::V6(_) => address,
    }
}

/// Adds what is known of the client's TLS.
fn say_tls(header: &mut ProxyHeader<'_>, client: &Info) {
    let fact = |name: &str| client.facts.get(name).and_then(|value| value.as_str());
    if let Some(alpn) = fact("alpn") {
        header.append_tlv(Tlv::Alpn(alpn.as_bytes().into()));
    }
    if let Some(name) = fact("server_name") {
        header.append_tlv(Tlv::Authority(name.into()));
    }
    let Some(version) = fact("tls_version") else { return };
    let subject = fact("peer_subject");
    let is_verified = client.facts.get("peer_verified").is_some_and(|value| value == true);
    let has_one = subject.is_some();
    let mut ssl = SslInfo::new(true, has_one, has_one, u32::from(!(has_one && is_verified)));
    ssl.append_tlv(Tlv::SslVersion(format!("TLSv{version}").into()));
    if let Some(name) = subject.and_then(common_name) {
        ssl.append_tlv(Tlv::SslCn(name.into()));
    }
    if let Some(cipher) = fact("cipher") {
        ssl.append_tlv(Tlv::SslCipher(cipher.into()));
    }
    header.append_tlv(Tlv::Ssl(ssl));
}

/// The common name in a subject such as `O=Lab, CN=rack 1`.
fn common_name(subject: &str) -> Option<&str> {
    subject.split(',').find_map(|part| part.trim().strip_prefix("CN="))
}
