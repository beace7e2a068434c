//! Walks: all that is under a name.

use crate::endpoint::size;
use crate::link::Link;
use crate::oid::Oid;
use crate::options::Version;
use crate::pdu::{Kind, Pdu, VarBind};
use crate::request::Answer;
use crate::status::{NO_SUCH_NAME, TOO_BIG, refused};
use crate::value::Value;
use jackfield_plugin_api::{Error, ErrorKind, Result};

/// What to walk, and how much of it.
pub(crate) struct Wanted {
    pub(crate) root: Oid,
    /// What comes behind it is asked for first.
    pub(crate) after: Oid,
    pub(crate) max_rows: usize,
    pub(crate) max_repetitions: u32,
}

/// What a walk has found.
pub(crate) struct Found {
    pub(crate) rows: Vec<VarBind>,
    /// Where another walk goes on; `None` where all was found.
    pub(crate) next: Option<Oid>,
    pub(crate) requests: u32,
}

/// Walks.
///
/// # Errors
/// As [`Link::ask`]; the agent gives names that do not grow, or says that something went wrong.
pub(crate) async fn walk(link: &Link, wanted: Wanted) -> Result<Found> {
    let mut walk = Walk {
        last: wanted.after.clone(),
        repetitions: i32::try_from(wanted.max_repetitions).unwrap_or(i32::MAX),
        found: Found { rows: Vec::new(), next: None, requests: 0 },
        bytes: 0,
        wanted,
    };
    while !walk.step(link).await? {}
    if walk.found.rows.is_empty() && walk.wanted.after == walk.wanted.root {
        walk.leaf(link).await?;
    }
    Ok(walk.found)
}

struct Walk {
    wanted: Wanted,
    /// The last name that was given.
    last: Oid,
    repetitions: i32,
    found: Found,
    bytes: usize,
}

impl Walk {
    /// Asks once more. Gives whether that was the end.
    async fn step(&mut self, link: &Link) -> Result<bool> {
        let is_v1 = link.endpoint.options.version == Version::V1;
        let kind = if is_v1 { Kind::GetNext } else { Kind::GetBulk };
        let mut pdu = Pdu::of_names(kind, [self.last.clone()]);
        if !is_v1 {
            let left = self.wanted.max_rows - self.found.rows.len();
            pdu.index = self.repetitions.min(i32::try_from(left).unwrap_or(i32::MAX));
        }
        let Answer { pdu, size: bytes } = link.ask(pdu).await?;
        self.found.requests += 1;
        self.bytes += bytes;
        match pdu.status {
            0 => {}
            NO_SUCH_NAME if is_v1 => return Ok(true),
            TOO_BIG if self.repetitions > 1 => {
                self.repetitions /= 2;
                return Ok(false);
            }
            _ => return Err(refused(&pdu)),
        }
        if pdu.values.is_empty() {
            let text = format!("the agent answers nothing to what comes behind {}", self.last);
            return Err(Error::new(ErrorKind::Protocol, text));
        }
        for pair in pdu.values {
            if self.take(pair)? {
                return Ok(true);
            }
        }
        if self.bytes > size(link.endpoint.options.max_answer) {
            self.found.next = Some(self.last.clone());
            return Ok(true);
        }
        Ok(false)
    }

    /// Takes a row. Gives whether no more are wanted.
    fn take(&mut self, pair: VarBind) -> Result<bool> {
        if pair.value == Value::EndOfMibView {
            return Ok(true);
        }
        if pair.oid <= self.last {
            let text = format!(
                "the agent goes backwards or in a circle: behind {} it gives {}",
                self.last, pair.oid
            );
            let error = Error::new(ErrorKind::Protocol, text);
            return Err(error.with("rows", self.found.rows.len()));
        }
        if !pair.oid.is_under(&self.wanted.root) {
            return Ok(true);
        }
        self.last = pair.oid.clone();
        self.found.rows.push(pair);
        if self.found.rows.len() < self.wanted.max_rows {
            return Ok(false);
        }
        self.found.next = Some(self.last.clone());
        Ok(true)
    }

    /// Where nothing is under a name, it may be one of a value itself.
    async fn leaf(&mut self, link: &Link) -> Result<()> {
        let pdu = Pdu::of_names(Kind::Get, [self.wanted.root.clone()]);
        let Answer { pdu, .. } = link.ask(pdu).await?;
        self.found.requests += 1;
        let is_value = |pair: &VarBind| {
            let nothing = [Value::NoSuchObject, Value::NoSuchInstance, Value::Null];
            pair.oid == self.wanted.root && !nothing.contains(&pair.value)
        };
        if pdu.status == 0 {
            self.found.rows.extend(pdu.values.into_iter().filter(is_value).take(1));
        }
        Ok(())
    }
}
