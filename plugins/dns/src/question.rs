//! [`Question`]: what is asked, as a message, and whether a message answers it.

use crate::data;
use domain::base::iana::{Class, Rtype};
use domain::base::{Message, MessageBuilder, Name};
use jackfield_plugin_api::{Error, ErrorKind, Result};
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// A question, checked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Question {
    /// With lower-case letters, so that equal questions are equal.
    pub(crate) name: Name<Vec<u8>>,
    pub(crate) rtype: Rtype,
    pub(crate) class: Class,
    pub(crate) flags: Flags,
}

/// What else is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Flags {
    /// The server is to ask others.
    pub(crate) recursion: bool,
    /// Signatures are wanted.
    pub(crate) dnssec: bool,
    /// Also what does not fit its signatures.
    pub(crate) checking_disabled: bool,
}

impl Question {
    /// Reads what a caller wrote.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] that says what was expected.
    pub(crate) fn new(name: &str, rtype: &str, class: &str, flags: Flags) -> Result<Self> {
        let config = |text: String| Error::new(ErrorKind::Config, text);
        if !name.is_ascii() {
            let text = format!(
                "name {name:?}: expected ASCII letters; other ones are written in their form with xn--"
            );
            return Err(config(text));
        }
        let lower = name.to_ascii_lowercase();
        let name = Name::<Vec<u8>>::from_str(&lower)
            .map_err(|error| config(format!("name {name:?}: expected a domain name: {error}")))?;
        let kind = Rtype::from_str(&rtype.to_ascii_uppercase()).map_err(|_| {
            config(format!(
                "type {rtype:?}: expected a type of records, such as A, AAAA, SRV or TYPE65"
            ))
        })?;
        if [Rtype::AXFR, Rtype::IXFR, Rtype::OPT].contains(&kind) {
            return Err(config(format!(
                "type {rtype:?} cannot be asked for: zones are not transferred here"
            )));
        }
        let class = Class::from_str(&class.to_ascii_uppercase()).map_err(|_| {
            config(format!("class {class:?}: expected IN, CH, HS or CLASS and a number"))
        })?;
        Ok(Question { name, rtype: kind, class, flags })
    }

    /// The name as it is written, without the dot at its end; the root is `.`.
    pub(crate) fn name(&self) -> String {
        data::or_root(self.name.to_string())
    }

    /// The message, with an id of its own and, if `edns` is not 0, with the size of the answer that we take.
    ///
    /// # Errors
    /// If there is no random number.
    pub(crate) fn message(&self, edns: u16) -> Result<Vec<u8>> {
        let mut id = [0; 2];
        getrandom::fill(&mut id)
            .map_err(|error| Error::new(ErrorKind::Io, format!("no random number: {error}")))?;
        let mut builder = MessageBuilder::new_vec();
        let header = builder.header_mut();
        header.set_id(u16::from_ne_bytes(id));
        header.set_rd(self.flags.recursion);
        header.set_cd(self.flags.checking_disabled);
        // RFC 6840 §5.7: it asks for the server's word, without signatures.
        header.set_ad(true);
        let long = |error: domain::base::message_builder::PushError| {
            Error::new(ErrorKind::Other, format!("the question cannot be written: {error}"))
        };
        let mut builder = builder.question();
        builder.push((&self.name, self.rtype, self.class)).map_err(long)?;
        let mut builder = builder.additional();
        if edns > 0 {
            let dnssec = self.flags.dnssec;
            let options = builder.opt(|options| {
                options.set_udp_payload_size(edns);
                options.set_dnssec_ok(dnssec);
                Ok(())
            });
            options.map_err(long)?;
        }
        Ok(builder.finish())
    }
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.name(), self.class, self.rtype)
    }
}

/// Whether `bytes` answer `asked`: the same id and the same question (RFC 5452 §9.1). What does not is as if it had
/// not come.
pub(crate) fn answers(bytes: &[u8], asked: &[u8]) -> bool {
    let messages = (Message::from_slice(bytes), Message::from_slice(asked));
    let (Ok(answer), Ok(asked)) = messages else { return false };
    let (given, wanted) = (answer.header(), asked.header());
    if !given.qr() || given.id() != wanted.id() || given.opcode() != wanted.opcode() {
        return false;
    }
    // An error may come without the question.
    let none = answer.header_counts().qdcount() == 0;
    (none && answer.is_error()) || answer.question() == asked.question()
}

/// The name under which names of an address are found (RFC 1035 §3.5, RFC 3596 §2.5).
pub(crate) fn reverse(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => {
            let [a, b, c, d] = address.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa.")
        }
        IpAddr::V6(address) => {
            let digits = address.octets().into_iter().rev().flat_map(|byte| [byte & 15, byte >> 4]);
            digits.map(|digit| format!("{digit:x}.")).chain(["ip6.arpa.".to_owned()]).collect()
        }
    }
}
