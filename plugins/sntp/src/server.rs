//! [`SntpServer`]: a handler that answers with this machine's clock.

use crate::buckets::{Buckets, Verdict};
use crate::exchange::clock;
use crate::options::{Leap, ServerOptions};
use crate::packet::{Packet, SIZE};
use crate::stamp::Stamp;
use jackfield_plugin_api::{
    DatagramMeta, Error, ErrorKind, Facets, Handler, HandlerInfo, Host, Result, Session,
};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Bytes of the longest request that is looked at.
const LONGEST: usize = 1024;
/// How long a client's session is kept for its next request; another one makes another session.
const LINGER: Duration = Duration::from_secs(2);
/// What the clock can tell apart, as a power of two in seconds: about a microsecond.
const PRECISION: i8 = -20;

/// Answers each client with the time of this machine, as often as its options say.
#[derive(Debug)]
pub struct SntpServer {
    host: Host,
    /// What is the same in all answers.
    answer: Packet,
    buckets: Mutex<Buckets>,
}

impl Handler for SntpServer {
    const INFO: HandlerInfo =
        HandlerInfo::new("sntp_server", "Answers with the time of this machine", Facets::DATAGRAMS);
    type Options = ServerOptions;

    fn new(host: Host, options: ServerOptions) -> Result<Self> {
        if options.leap == Leap::Unsynchronised && options.stratum < 16 {
            let text = "a clock that is not synchronised has stratum 16";
            return Err(Error::option("leap", text));
        }
        let unsynchronised = options.stratum >= 16;
        let answer = Packet {
            leap: if unsynchronised { 3 } else { options.leap.bits() },
            mode: Packet::SERVER,
            stratum: options.stratum,
            precision: PRECISION,
            root_dispersion: short(options.root_dispersion),
            reference_id: reference(&options)?,
            ..Packet::default()
        };
        let most = usize::try_from(options.clients).unwrap_or(usize::MAX);
        let buckets = Mutex::new(Buckets::new(options.rate, options.burst, most));
        Ok(SntpServer { host, answer, buckets })
    }

    async fn serve(&self, session: Session) -> Result<()> {
        let peer = session.info().peer.and_then(|peer| peer.parse::<SocketAddr>().ok());
        // A peer without an address, such as one behind a Unix socket, is one client with the others.
        let client = peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.ip());
        let none = || Error::unsupported("a session without datagrams");
        let mut datagrams = session.take_datagrams().ok_or_else(none)?;
        let mut buffer = vec![0; LONGEST];
        loop {
            let next = datagrams.recv(&mut buffer);
            let len = match self.host.timeout(LINGER, "the next request", next).await {
                Ok(Some(meta)) => meta.len,
                Ok(None) => return Ok(()),
                Err(error) if error.kind() == ErrorKind::TimedOut => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Limit => continue,
                Err(error) => return Err(error),
            };
            if let Some(answer) = self.answer(&buffer[..len], client) {
                datagrams.send(&answer.write(), DatagramMeta::new(SIZE, None)).await?;
            }
        }
    }
}

impl SntpServer {
    /// The answer to a datagram; none to what is no request of a client, and to those that come too often. An
    /// answer is never longer than its request.
    fn answer(&self, bytes: &[u8], client: IpAddr) -> Option<Packet> {
        let received = Stamp::of(clock());
        let request = Packet::read(bytes)?;
        if request.mode != Packet::CLIENT || !(1..=4).contains(&request.version) {
            return None;
        }
        let verdict = {
            let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
            buckets.take(client, self.host.now())
        };
        let answer = Packet {
            version: request.version,
            poll: request.poll,
            origin: request.transmit,
            receive: received,
            // The clock of this machine is set by others, at a time that is not known here.
            reference: received,
            ..self.answer
        };
        match verdict {
            Verdict::Answer => Some(Packet { transmit: Stamp::of(clock()), ..answer }),
            // RFC 5905 §7.4: the stamps of a kiss are those of the request.
            Verdict::Kiss => Some(Packet {
                leap: 3,
                stratum: 0,
                reference_id: *b"RATE",
                receive: request.transmit,
                transmit: request.transmit,
                ..answer
            }),
            Verdict::Drop => None,
        }
    }
}

/// Seconds in 1/65536.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "0 to 60 by the schema"
)]
fn short(seconds: f64) -> u32 {
    (seconds.clamp(0.0, 60.0) * 65536.0) as u32
}

fn reference(options: &ServerOptions) -> Result<[u8; 4]> {
    let text = options.reference_id.as_str();
    if options.stratum > 1 {
        let wrong = |_| {
            Error::option(
                "reference_id",
                format!("{text:?}: expected an IPv4 address above stratum 1"),
            )
        };
        return text.parse().map(|address: Ipv4Addr| address.octets()).map_err(wrong);
    }
    if text.is_empty() || text.len() > 4 || !text.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        let text = format!("{text:?}: expected one to four letters at stratum 1, such as GPS");
        return Err(Error::option("reference_id", text));
    }
    let mut id = [0; 4];
    id[..text.len()].copy_from_slice(text.as_bytes());
    Ok(id)
}
