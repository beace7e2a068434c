//! One request and its answer.

use crate::options::Leap;
use crate::packet::{Packet, SIZE};
use crate::stamp::{Stamp, UnixNanos};
use jackfield_plugin_api::{DatagramMeta, Error, ErrorKind, Host, Result, peers};
use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Bytes of the longest answer that is looked at; what follows the first 48 is passed over.
const LONGEST: usize = 1024;

/// What an answer says, measured.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) answer: Packet,
    pub(crate) server: SocketAddr,
    /// What is to be added to this machine's clock, in nanoseconds.
    pub(crate) offset: i128,
    /// How long request and answer were under way, in nanoseconds; the more, the less exact is `offset`.
    pub(crate) delay: i128,
    /// When the answer came, by this machine's clock.
    pub(crate) at: UnixNanos,
    /// Answers that were not to this request.
    pub(crate) ignored: u32,
}

/// This machine's clock.
pub(crate) fn clock() -> UnixNanos {
    let nanos = |duration: Duration| i128::try_from(duration.as_nanos()).unwrap_or(i128::MAX);
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => nanos(since),
        Err(before) => -nanos(before.duration()),
    }
}

/// Asks once and waits for the answer, without an end of its own. Cancel safe.
///
/// The request has a random number where its own time would be: nobody who cannot read it can answer in the
/// server's place, and the clock of this machine is told to nobody.
pub(crate) async fn ask(host: &Host, server: SocketAddr, version: u8) -> Result<Sample> {
    let mut datagrams = peers::asking(host, server, SIZE)?;
    let mut number = [0; 8];
    getrandom::fill(&mut number)
        .map_err(|error| Error::new(ErrorKind::Io, format!("no random number: {error}")))?;
    let number = Stamp(u64::from_ne_bytes(number) | 1);
    let request = Packet { version, mode: Packet::CLIENT, transmit: number, ..Packet::default() };
    // The time between is measured by the clock that nobody sets.
    let (begun, sent) = (clock(), Instant::now());
    datagrams.send(&request.write(), DatagramMeta::new(SIZE, None)).await?;
    let mut buffer = vec![0; LONGEST];
    let mut ignored = 0;
    loop {
        let received = match datagrams.recv(&mut buffer).await {
            Ok(Some(meta)) => meta.len,
            Ok(None) => return Err(Error::new(ErrorKind::Closed, "the socket has ended")),
            // Longer than any answer is.
            Err(error) if error.kind() == ErrorKind::Limit => {
                ignored += 1;
                continue;
            }
            Err(error) => return Err(error.with("server", server)),
        };
        let waited = i128::try_from(sent.elapsed().as_nanos()).unwrap_or(i128::MAX);
        match Packet::read(&buffer[..received]).filter(|answer| is_answer(answer, number)) {
            Some(answer) => return measure(answer, server, begun, waited, ignored),
            None => ignored += 1,
        }
    }
}

/// Whether it answers this request (RFC 4330 §5, checks 3 and 4); what does not is as if it had not come.
fn is_answer(answer: &Packet, number: Stamp) -> bool {
    answer.mode == Packet::SERVER && (1..=4).contains(&answer.version) && answer.origin == number
}

/// Clock offset and delay (RFC 5905 §8) of an answer that came `waited` after `begun`.
fn measure(
    answer: Packet,
    server: SocketAddr,
    begun: UnixNanos,
    waited: i128,
    ignored: u32,
) -> Result<Sample> {
    let at = begun + waited;
    let mut sample = Sample { answer, server, offset: 0, delay: waited, at, ignored };
    if answer.stratum == 0 {
        return Ok(sample);
    }
    let wrong = |text: &str| Err(Error::new(ErrorKind::Protocol, text).with("server", server));
    if answer.transmit.is_none() || answer.receive.is_none() {
        return wrong("the answer has no time in it");
    }
    let (received, sent) = (answer.receive.near(begun), answer.transmit.near(begun));
    if sent < received {
        return wrong("the answer was sent before its request has arrived, by the server's clock");
    }
    sample.offset = ((received - begun) + (sent - at)) / 2;
    sample.delay = (waited - (sent - received)).max(0);
    Ok(sample)
}

impl Sample {
    /// Why its time is not to be used, if it is not: RFC 4330 §5.
    pub(crate) fn check(&self) -> Result<()> {
        let leap = Leap::of_bits(self.answer.leap);
        if leap != Leap::Unsynchronised && (1..16).contains(&self.answer.stratum) {
            return Ok(());
        }
        let text = "the server's clock is not synchronised";
        let error = Error::new(ErrorKind::Refused, text)
            .with("server", self.server)
            .with("stratum", self.answer.stratum)
            .with("leap", leap.word());
        Err(match self.answer.kiss().filter(|kiss| !kiss.is_empty()) {
            Some(kiss) => error.with("kiss", kiss),
            None => error,
        })
    }
}
