//! Walks: all that is under a name.

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
    /// Bytes of messages after which it ends.
    pub(crate) max_bytes: usize,
}

/// What a walk has found.
pub(crate) struct Found {
    pub(crate) rows: Vec<VarBind>,
    /// Where another walk goes on; `None` where all was found.
    pub(crate) next: Option<Oid>,
    pub(crate) requests: u32,
}

/// Walks, and gives all at once.
///
/// # Errors
/// As [`Walk::rows`].
pub(crate) async fn walk(link: &Link, wanted: Wanted) -> Result<Found> {
    let mut walk = Walk::new(wanted);
    let mut rows = Vec::new();
    while let Some(more) = walk.rows(link).await? {
        rows.extend(more);
    }
    Ok(Found { rows, next: walk.next, requests: walk.requests })
}

/// A walk, answer by answer.
pub(crate) struct Walk {
    wanted: Wanted,
    /// The last name that was given.
    last: Oid,
    repetitions: i32,
    /// Rows that were given.
    count: usize,
    bytes: usize,
    requests: u32,
    next: Option<Oid>,
    is_over: bool,
    /// It was asked whether the name is one of a value itself.
    was_leaf: bool,
}

impl Walk {
    pub(crate) fn new(wanted: Wanted) -> Self {
        Walk {
            last: wanted.after.clone(),
            repetitions: i32::try_from(wanted.max_repetitions).unwrap_or(i32::MAX),
            count: 0,
            bytes: 0,
            requests: 0,
            next: None,
            is_over: false,
            was_leaf: false,
            wanted,
        }
    }

    /// The next rows, those of one answer; `None` at the end. An error is the end, too.
    ///
    /// # Errors
    /// As [`Link::ask`]; the agent gives names that do not grow, or says that something went wrong.
    pub(crate) async fn rows(&mut self, link: &Link) -> Result<Option<Vec<VarBind>>> {
        while !self.is_over {
            let rows = self.step(link).await?;
            if !rows.is_empty() {
                return Ok(Some(rows));
            }
        }
        let may_be_leaf = self.count == 0 && self.wanted.after == self.wanted.root;
        if !may_be_leaf || std::mem::replace(&mut self.was_leaf, true) {
            return Ok(None);
        }
        Ok(Some(self.leaf(link).await?).filter(|leaf| !leaf.is_empty()))
    }

    /// Asks once more.
    async fn step(&mut self, link: &Link) -> Result<Vec<VarBind>> {
        let is_v1 = link.endpoint.options.version == Version::V1;
        let kind = if is_v1 { Kind::GetNext } else { Kind::GetBulk };
        let mut pdu = Pdu::of_names(kind, [self.last.clone()]);
        if !is_v1 {
            let left = self.wanted.max_rows - self.count;
            pdu.index = self.repetitions.min(i32::try_from(left).unwrap_or(i32::MAX));
        }
        let Answer { pdu, size: bytes } = link.ask(pdu).await?;
        self.requests += 1;
        self.bytes = self.bytes.saturating_add(bytes);
        match pdu.status {
            0 => {}
            NO_SUCH_NAME if is_v1 => {
                self.is_over = true;
                return Ok(Vec::new());
            }
            TOO_BIG if self.repetitions > 1 => {
                self.repetitions /= 2;
                return Ok(Vec::new());
            }
            _ => return Err(refused(&pdu)),
        }
        if pdu.values.is_empty() {
            let text = format!("the agent answers nothing to what comes behind {}", self.last);
            return Err(Error::new(ErrorKind::Protocol, text));
        }
        let mut rows: Vec<VarBind> = Vec::with_capacity(pdu.values.len());
        for pair in pdu.values {
            if !self.takes(&pair, rows.last())? {
                self.is_over = true;
                break;
            }
            rows.push(pair);
            self.count += 1;
            if self.count >= self.wanted.max_rows {
                break;
            }
        }
        if let Some(last) = rows.last() {
            self.last = last.oid.clone();
        }
        let is_full = self.count >= self.wanted.max_rows || self.bytes > self.wanted.max_bytes;
        if is_full && !self.is_over {
            self.next = Some(self.last.clone());
            self.is_over = true;
        }
        Ok(rows)
    }

    /// Whether what comes behind `before`, or behind the last row, is one more row.
    fn takes(&self, pair: &VarBind, before: Option<&VarBind>) -> Result<bool> {
        if pair.value == Value::EndOfMibView {
            return Ok(false);
        }
        let before = before.map_or(&self.last, |before| &before.oid);
        if pair.oid <= *before {
            let text = format!(
                "the agent goes backwards or in a circle: behind {before} it gives {}",
                pair.oid
            );
            return Err(Error::new(ErrorKind::Protocol, text).with("rows", self.count));
        }
        Ok(pair.oid.is_under(&self.wanted.root))
    }

    /// Where nothing is under a name, it may be one of a value itself.
    async fn leaf(&mut self, link: &Link) -> Result<Vec<VarBind>> {
        let pdu = Pdu::of_names(Kind::Get, [self.wanted.root.clone()]);
        let Answer { pdu, .. } = link.ask(pdu).await?;
        self.requests += 1;
        let is_value = |pair: &VarBind| {
            let nothing = [Value::NoSuchObject, Value::NoSuchInstance, Value::Null];
            pair.oid == self.wanted.root && !nothing.contains(&pair.value)
        };
        let values = if pdu.status == 0 { pdu.values } else { Vec::new() };
        Ok(values.into_iter().filter(is_value).take(1).collect())
    }
}
