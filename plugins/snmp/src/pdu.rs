//! PDUs: requests, answers and notifications (RFC 3416 §3, RFC 1157 §4.1.6).

use crate::ber::{Fault, Reader, Writer, tag};
use crate::oid::Oid;
use crate::value::Value;
use std::net::Ipv4Addr;

/// The most names with values that are read of one PDU: there cannot be more in a datagram.
const MOST: usize = 1 << 14;

/// What a PDU is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Asks for values.
    Get,
    /// Asks for what comes next behind names.
    GetNext,
    /// An answer.
    Response,
    /// Sets values.
    Set,
    /// Asks for much that comes next behind names; not in version 1.
    GetBulk,
    /// A notification that is to be acknowledged; not in version 1.
    Inform,
    /// A notification; version 1 has a form of its own.
    Trap,
    /// What an engine says about a message that it did not take; version 3 alone.
    Report,
}

const KINDS: [(Kind, u8); 8] = [
    (Kind::Get, 0xa0),
    (Kind::GetNext, 0xa1),
    (Kind::Response, 0xa2),
    (Kind::Set, 0xa3),
    (Kind::GetBulk, 0xa5),
    (Kind::Inform, 0xa6),
    (Kind::Trap, 0xa7),
    (Kind::Report, 0xa8),
];

/// The tag of a trap of version 1.
pub const TRAP_V1: u8 = 0xa4;

/// A name and its value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VarBind {
    /// The name.
    pub oid: Oid,
    /// The value.
    pub value: Value,
}

/// All PDUs but the trap of version 1.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pdu {
    /// What it is.
    pub kind: Kind,
    /// The number that joins a request and its answer.
    pub id: i32,
    /// `error-status`; of a bulk request `non-repeaters`.
    pub status: i32,
    /// `error-index`, from 1 on; of a bulk request `max-repetitions`.
    pub index: i32,
    /// Names with values.
    pub values: Vec<VarBind>,
}

impl Pdu {
    /// One that asks for, sets or tells `values`.
    pub fn new(kind: Kind, values: Vec<VarBind>) -> Self {
        Pdu { kind, id: 0, status: 0, index: 0, values }
    }

    /// One that asks for `names`.
    pub fn of_names(kind: Kind, names: impl IntoIterator<Item = Oid>) -> Self {
        let values = names.into_iter().map(|oid| VarBind { oid, value: Value::Null });
        Pdu::new(kind, values.collect())
    }

    /// Reads the next element.
    ///
    /// # Errors
    /// It is none such.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, Fault> {
        let (tag, content) = reader.element()?;
        let kind = KINDS.iter().find(|(_, known)| *known == tag).map(|(kind, _)| *kind);
        let kind = kind.ok_or_else(|| format!("there is no PDU with tag {tag:#04x}"))?;
        let mut parts = Reader::new(content);
        let id = parts.integer("the request id")?;
        let status = parts.integer("the error status")?;
        let index = parts.integer("the error index")?;
        let values = values(&mut parts)?;
        parts.end("the names and values of a PDU")?;
        Ok(Pdu { kind, id, status, index, values })
    }

    /// Writes it as an element.
    pub fn write(&self, writer: &mut Writer) {
        let tag = KINDS.iter().find(|(kind, _)| *kind == self.kind).map_or(0xa0, |(_, tag)| *tag);
        writer.element(tag, |writer| {
            write_values(&self.values, writer);
            writer.integer(self.index);
            writer.integer(self.status);
            writer.integer(self.id);
        });
    }
}

/// A trap of version 1.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TrapV1 {
    /// What kind of object it is about.
    pub enterprise: Oid,
    /// Who sends it.
    pub agent: Ipv4Addr,
    /// 0 to 6; 6 means that `specific` says what it is.
    pub generic: i32,
    /// The enterprise's own number for it.
    pub specific: i32,
    /// Hundredths of a second since its sender began.
    pub uptime: u32,
    /// Names with values.
    pub values: Vec<VarBind>,
}

impl TrapV1 {
    /// Reads the next element.
    ///
    /// # Errors
    /// It is none such.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, Fault> {
        let mut parts = Reader::new(reader.expect(TRAP_V1, "a trap")?);
        let enterprise = Oid::read(parts.expect(tag::OID, "the enterprise")?)?;
        let Value::Ip(agent) = Value::read(&mut parts)? else {
            return Err("expected the IpAddress of an agent".to_owned());
        };
        let generic = parts.integer("the generic trap")?;
        let specific = parts.integer("the specific trap")?;
        let Value::TimeTicks(uptime) = Value::read(&mut parts)? else {
            return Err("expected the TimeTicks of a trap".to_owned());
        };
        let values = values(&mut parts)?;
        parts.end("the names and values of a trap")?;
        Ok(TrapV1 { enterprise, agent, generic, specific, uptime, values })
    }

    /// Writes it as an element.
    pub fn write(&self, writer: &mut Writer) {
        writer.element(TRAP_V1, |writer| {
            write_values(&self.values, writer);
            Value::TimeTicks(self.uptime).write(writer);
            writer.integer(self.specific);
            writer.integer(self.generic);
            Value::Ip(self.agent).write(writer);
            self.enterprise.write(writer);
        });
    }
}

fn values(parts: &mut Reader<'_>) -> Result<Vec<VarBind>, Fault> {
    let mut list = parts.sequence("a list of names and values")?;
    let mut values = Vec::new();
    while !list.is_empty() {
        if values.len() >= MOST {
            return Err(format!("a PDU has more than {MOST} names"));
        }
        let mut pair = list.sequence("a name with its value")?;
        let oid = Oid::read(pair.expect(tag::OID, "a name")?)?;
        let value = Value::read(&mut pair).map_err(|fault| format!("{fault}, of {oid}"))?;
        pair.end("a value")?;
        values.push(VarBind { oid, value });
    }
    Ok(values)
}

fn write_values(values: &[VarBind], writer: &mut Writer) {
    writer.element(tag::SEQUENCE, |writer| {
        for pair in values.iter().rev() {
            writer.element(tag::SEQUENCE, |writer| {
                pair.value.write(writer);
                pair.oid.write(writer);
            });
        }
    });
}
