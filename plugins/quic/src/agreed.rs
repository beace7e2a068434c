//! What both sides have agreed on beside TLS: quinn does not tell for how long the peer keeps a silent
//! connection, so its transport parameters (RFC 9000 §18.2) are looked at on their way through TLS.

use bytes::BytesMut;
use quinn_proto::crypto::rustls::HandshakeData;
use quinn_proto::crypto::{
    ClientConfig, ExportKeyingMaterialError, HeaderKey, KeyPair, Keys, PacketKey, ServerConfig,
    Session, UnsupportedVersion,
};
use quinn_proto::transport_parameters::TransportParameters;
use quinn_proto::{ConnectError, ConnectionId, Side, TransportError};
use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

/// `max_idle_timeout`, in milliseconds.
const MAX_IDLE_TIMEOUT: u64 = 0x01;

/// The handshake of a connection as both know it.
pub(crate) struct Agreed {
    pub(crate) tls: HandshakeData,
    /// How long the peer keeps a connection in which nothing happens; zero: for ever.
    pub(crate) peer_idle: Duration,
}

/// TLS whose sessions tell [`Agreed`].
pub(crate) struct Telling<T>(pub(crate) Arc<T>);

impl<T: ClientConfig> ClientConfig for Telling<T> {
    fn start_session(
        self: Arc<Self>,
        version: u32,
        server_name: &str,
        params: &TransportParameters,
    ) -> Result<Box<dyn Session>, ConnectError> {
        let inner = Arc::clone(&self.0).start_session(version, server_name, params)?;
        Ok(Box::new(Told(inner)))
    }
}

impl<T: ServerConfig> ServerConfig for Telling<T> {
    fn initial_keys(&self, version: u32, id: &ConnectionId) -> Result<Keys, UnsupportedVersion> {
        self.0.initial_keys(version, id)
    }

    fn retry_tag(&self, version: u32, id: &ConnectionId, packet: &[u8]) -> [u8; 16] {
        self.0.retry_tag(version, id, packet)
    }

    fn start_session(
        self: Arc<Self>,
        version: u32,
        params: &TransportParameters,
    ) -> Box<dyn Session> {
        Box::new(Told(Arc::clone(&self.0).start_session(version, params)))
    }
}

struct Told(Box<dyn Session>);

impl Session for Told {
    fn initial_keys(&self, id: &ConnectionId, side: Side) -> Keys {
        self.0.initial_keys(id, side)
    }

    fn handshake_data(&self) -> Option<Box<dyn Any>> {
        let tls = *self.0.handshake_data()?.downcast::<HandshakeData>().ok()?;
        let params = self.0.transport_parameters().ok().flatten();
        let peer_idle = params.as_ref().map(idle_of).unwrap_or_default();
        Some(Box::new(Agreed { tls, peer_idle }))
    }

    fn peer_identity(&self) -> Option<Box<dyn Any>> {
        self.0.peer_identity()
    }

    fn early_crypto(&self) -> Option<(Box<dyn HeaderKey>, Box<dyn PacketKey>)> {
        self.0.early_crypto()
    }

    fn early_data_accepted(&self) -> Option<bool> {
        self.0.early_data_accepted()
    }

    fn is_handshaking(&self) -> bool {
        self.0.is_handshaking()
    }

    fn read_handshake(&mut self, buffer: &[u8]) -> Result<bool, TransportError> {
        self.0.read_handshake(buffer)
    }

    fn transport_parameters(&self) -> Result<Option<TransportParameters>, TransportError> {
        self.0.transport_parameters()
    }

    fn write_handshake(&mut self, buffer: &mut Vec<u8>) -> Option<Keys> {
        self.0.write_handshake(buffer)
    }

    fn next_1rtt_keys(&mut self) -> Option<KeyPair<Box<dyn PacketKey>>> {
        self.0.next_1rtt_keys()
    }

    fn is_valid_retry(&self, id: &ConnectionId, header: &[u8], payload: &[u8]) -> bool {
        self.0.is_valid_retry(id, header, payload)
    }

    fn export_keying_material(
        &self,
        output: &mut [u8],
        label: &[u8],
        context: &[u8],
    ) -> Result<(), ExportKeyingMaterialError> {
        self.0.export_keying_material(output, label, context)
    }
}

fn idle_of(params: &TransportParameters) -> Duration {
    let mut written = BytesMut::new();
    params.write(&mut written);
    Duration::from_millis(parameter(&written, MAX_IDLE_TIMEOUT).unwrap_or(0))
}

/// The number that is the value of a parameter, in their form on the wire (RFC 9000 §18).
fn parameter(mut bytes: &[u8], wanted: u64) -> Option<u64> {
    while !bytes.is_empty() {
        let id = number(&mut bytes)?;
        let length = usize::try_from(number(&mut bytes)?).ok()?;
        let (mut value, rest) = bytes.split_at_checked(length)?;
        if id == wanted {
            return number(&mut value);
        }
        bytes = rest;
    }
    None
}

/// A number of variable length (RFC 9000 §16).
fn number(bytes: &mut &[u8]) -> Option<u64> {
    let first = *bytes.first()?;
    let (number, rest) = bytes.split_at_checked(1 << (first >> 6))?;
    *bytes = rest;
    let head = u64::from(number[0] & 0x3f);
    Some(number[1..].iter().fold(head, |sum, byte| sum << 8 | u64::from(*byte)))
}

/// How long a connection may be silent that both keep; `None`: for ever.
pub(crate) fn shorter(ours: Duration, peers: Duration) -> Option<Duration> {
    [ours, peers].into_iter().filter(|limit| !limit.is_zero()).min()
}

#[cfg(test)]
mod tests {
    use super::{MAX_IDLE_TIMEOUT, parameter, shorter};
    use std::time::Duration;

    #[test]
    fn a_parameter_is_found_among_others() {
        // max_udp_payload_size 1472, a grease of three bytes, max_idle_timeout 4000.
        let bytes = [0x03, 0x02, 0x45, 0xc0, 0x1b, 0x03, 1, 2, 3, 0x01, 0x02, 0x4f, 0xa0];
        assert_eq!(parameter(&bytes, MAX_IDLE_TIMEOUT), Some(4000));
        assert_eq!(parameter(&bytes[..9], MAX_IDLE_TIMEOUT), None);
        assert_eq!(parameter(&bytes[..12], MAX_IDLE_TIMEOUT), None);
    }

    #[test]
    fn the_shorter_of_two_limits_counts_and_zero_is_none() {
        let seconds = Duration::from_secs;
        assert_eq!(shorter(seconds(30), seconds(4)), Some(seconds(4)));
        assert_eq!(shorter(seconds(0), seconds(4)), Some(seconds(4)));
        assert_eq!(shorter(seconds(30), seconds(0)), Some(seconds(30)));
        assert_eq!(shorter(seconds(0), seconds(0)), None);
    }
}
