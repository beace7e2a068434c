//! [`Answer`]: what a message says, read once.

use crate::data;
use domain::base::iana::{OptRcode, Rtype};
use domain::base::zonefile_fmt::{DisplayKind, ZonefileFmt};
use domain::base::{Message, ParsedName, Record};
use domain::rdata::AllRecordData;
use jackfield_plugin_api::{Error, ErrorKind, Result};
use serde_json::{Value, json};
use std::fmt::Write;

type Data<'a> = AllRecordData<&'a [u8], ParsedName<&'a [u8]>>;
type Parsed<'a> = Record<ParsedName<&'a [u8]>, Data<'a>>;

/// The most characters of what a server says beside its code.
const EXPLAINED: usize = 200;

/// An answer, of any code.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) rcode: OptRcode,
    pub(crate) flags: Value,
    pub(crate) answers: Vec<Found>,
    pub(crate) authority: Vec<Found>,
    pub(crate) additional: Vec<Found>,
    /// What the server says beside its code (RFC 8914).
    pub(crate) explained: Option<String>,
    /// Bytes of the message.
    pub(crate) size: usize,
}

/// One record.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    name: String,
    rtype: Rtype,
    class: String,
    ttl: u32,
    text: String,
    data: Value,
    /// Of SOA: how long it holds that there is nothing.
    minimum: Option<u32>,
}

impl Answer {
    /// Reads a message. Whatever is wrong in it makes all of it wrong.
    ///
    /// # Errors
    /// [`ErrorKind::Protocol`].
    pub(crate) fn read(bytes: &[u8]) -> Result<Self> {
        let wrong = |error: domain::base::wire::ParseError| {
            Error::new(ErrorKind::Protocol, format!("the answer cannot be read: {error}"))
        };
        let short = |_| Error::new(ErrorKind::Protocol, "the answer is shorter than a message");
        let message = Message::from_slice(bytes).map_err(short)?;
        let (_, answers, authority, additional) = message.sections().map_err(wrong)?;
        let records = |section: domain::base::message::RecordSection<'_, [u8]>| {
            section
                .into_records::<Data<'_>>()
                .filter(|record| !record.as_ref().is_ok_and(|record| record.rtype() == Rtype::OPT))
                .map(|record| record.map(|record| found(&record)).map_err(wrong))
                .collect::<Result<Vec<_>>>()
        };
        let header = message.header();
        Ok(Answer {
            rcode: message.opt_rcode(),
            flags: json!({
                "authoritative": header.aa(), "truncated": header.tc(),
                "recursion_desired": header.rd(), "recursion_available": header.ra(),
                "authentic": header.ad(), "checking_disabled": header.cd(),
            }),
            answers: records(answers)?,
            authority: records(authority)?,
            additional: records(additional)?,
            explained: explained(message),
            size: bytes.len(),
        })
    }

    pub(crate) fn is_ok(&self) -> bool {
        self.rcode == OptRcode::NOERROR
    }

    /// Whether it says that there is nothing: no name, or no record of this type.
    pub(crate) fn is_nothing(&self) -> bool {
        self.rcode == OptRcode::NXDOMAIN || (self.is_ok() && self.answers.is_empty())
    }

    /// Seconds that it holds: the least of its answers, or what the zone says of what is not there (RFC 2308 §5).
    /// None where it may not be kept.
    pub(crate) fn ttl(&self) -> Option<u32> {
        if self.is_nothing() {
            let soa = self.authority.iter().find_map(|found| Some(found.minimum?.min(found.ttl)));
            return soa;
        }
        if self.is_ok() { self.answers.iter().map(|found| found.ttl).min() } else { None }
    }

    /// As callers see it, `age` seconds after it came.
    pub(crate) fn shown(&self, age: u32) -> Value {
        let list = |found: &[Found]| found.iter().map(|found| found.shown(age)).collect::<Value>();
        json!({
            "status": self.rcode.to_string(),
            "ttl": self.ttl().map(|ttl| ttl.saturating_sub(age)),
            "flags": self.flags,
            "answers": list(&self.answers),
            "authority": list(&self.authority),
            "additional": list(&self.additional),
            "bytes": self.size,
        })
    }

    /// The error that it is, if it is one.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] for NXDOMAIN, [`ErrorKind::Refused`] for others.
    pub(crate) fn check(&self, question: &str, server: &str, age: u32) -> Result<()> {
        let (kind, text) = match self.rcode {
            OptRcode::NOERROR => return Ok(()),
            OptRcode::NXDOMAIN => (ErrorKind::NotFound, "there is no such name"),
            OptRcode::SERVFAIL => (ErrorKind::Refused, "the server has failed to find an answer"),
            OptRcode::REFUSED => (ErrorKind::Refused, "the server does not answer this"),
            _ => (ErrorKind::Refused, "the server answers with an error"),
        };
        let mut error = Error::new(kind, text)
            .with("status", self.rcode)
            .with_code("dns", self.rcode.to_int())
            .with("question", question)
            .with("server", server);
        if let Some(ttl) = self.ttl() {
            error = error.with("ttl", ttl.saturating_sub(age));
        }
        Err(match &self.explained {
            Some(explained) => error.with("explained", explained),
            None => error,
        })
    }
}

impl Found {
    fn shown(&self, age: u32) -> Value {
        json!({
            "name": self.name, "type": self.rtype.to_string(), "class": self.class,
            "ttl": self.ttl.saturating_sub(age), "text": self.text, "data": self.data,
        })
    }
}

fn found(record: &Parsed<'_>) -> Found {
    let minimum = match record.data() {
        AllRecordData::Soa(soa) => Some(soa.minimum().as_secs()),
        _ => None,
    };
    let mut text = String::new();
    // Data that has no text of its own has an empty one.
    let _ = write!(text, "{}", record.data().display_zonefile(DisplayKind::Simple));
    // A TTL with the upper bit is 0 (RFC 2181 §8).
    let ttl = record.ttl().as_secs();
    Found {
        name: data::name(record.owner()),
        rtype: record.rtype(),
        class: record.class().to_string(),
        ttl: if ttl > i32::MAX.cast_unsigned() { 0 } else { ttl },
        text,
        data: data::of(record.data()),
        minimum,
    }
}

/// The first extended error: its number, and the server's words without what controls a terminal.
fn explained(message: &Message<[u8]>) -> Option<String> {
    let options = message.opt()?;
    let error = options.opt().extended_error()?;
    let text = String::from_utf8_lossy(error.text_slice().unwrap_or_default());
    let text: String = text.chars().filter(|char| !char.is_control()).take(EXPLAINED).collect();
    Some(format!("{} {text}", error.code().to_int()).trim_end().to_owned())
}
