//! [`Value`]: what objects hold (RFC 2578 §7.1, RFC 3416 §2.4).

use crate::ber::{self, Fault, Reader, Writer, tag};
use crate::oid::Oid;
use std::net::Ipv4Addr;

/// A value, or why there is none.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Value {
    /// No value: in requests.
    Null,
    /// `INTEGER`, `Integer32`.
    Integer(i32),
    /// `OCTET STRING`.
    Octets(Vec<u8>),
    /// `OBJECT IDENTIFIER`.
    Oid(Oid),
    /// `IpAddress`.
    Ip(Ipv4Addr),
    /// `Counter32`.
    Counter32(u32),
    /// `Gauge32`, `Unsigned32`.
    Gauge32(u32),
    /// `TimeTicks`: hundredths of a second.
    TimeTicks(u32),
    /// `Opaque`: whatever its bytes are.
    Opaque(Vec<u8>),
    /// `Counter64`.
    Counter64(u64),
    /// The agent has no such object.
    NoSuchObject,
    /// The object has no such instance.
    NoSuchInstance,
    /// Nothing comes behind that name.
    EndOfMibView,
}

/// Tags of values beyond those of [`tag`].
mod of {
    pub(super) const IP: u8 = 0x40;
    pub(super) const COUNTER32: u8 = 0x41;
    pub(super) const GAUGE32: u8 = 0x42;
    pub(super) const TIME_TICKS: u8 = 0x43;
    pub(super) const OPAQUE: u8 = 0x44;
    pub(super) const COUNTER64: u8 = 0x46;
    pub(super) const NO_SUCH_OBJECT: u8 = 0x80;
    pub(super) const NO_SUCH_INSTANCE: u8 = 0x81;
    pub(super) const END_OF_MIB_VIEW: u8 = 0x82;
}

impl Value {
    /// Reads the next element.
    ///
    /// # Errors
    /// It is no value.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, Fault> {
        let (tag, content) = reader.element()?;
        let number = || {
            let number = ber::unsigned(content, 4)?;
            u32::try_from(number).map_err(|error| error.to_string())
        };
        let nothing = |value: Value| match content {
            [] => Ok(value),
            _ => Err(format!("a value with tag {tag:#04x} has content")),
        };
        match tag {
            tag::NULL => nothing(Value::Null),
            tag::INTEGER => ber::integer(content).map(Value::Integer),
            tag::OCTETS => Ok(Value::Octets(content.to_vec())),
            tag::OID => Oid::read(content).map(Value::Oid),
            of::IP => match *content {
                [a, b, c, d] => Ok(Value::Ip(Ipv4Addr::new(a, b, c, d))),
                _ => Err(format!("an IpAddress has {} octets, not 4", content.len())),
            },
            of::COUNTER32 => number().map(Value::Counter32),
            of::GAUGE32 => number().map(Value::Gauge32),
            of::TIME_TICKS => number().map(Value::TimeTicks),
            of::OPAQUE => Ok(Value::Opaque(content.to_vec())),
            of::COUNTER64 => ber::unsigned(content, 8).map(Value::Counter64),
            of::NO_SUCH_OBJECT => nothing(Value::NoSuchObject),
            of::NO_SUCH_INSTANCE => nothing(Value::NoSuchInstance),
            of::END_OF_MIB_VIEW => nothing(Value::EndOfMibView),
            _ => Err(format!("there is no value with tag {tag:#04x}")),
        }
    }

    /// Writes it as an element.
    pub fn write(&self, writer: &mut Writer) {
        match self {
            Value::Null => writer.bytes(tag::NULL, &[]),
            Value::Integer(value) => writer.integer(*value),
            Value::Octets(bytes) => writer.bytes(tag::OCTETS, bytes),
            Value::Oid(oid) => oid.write(writer),
            Value::Ip(address) => writer.bytes(of::IP, &address.octets()),
            Value::Counter32(value) => writer.unsigned(of::COUNTER32, (*value).into()),
            Value::Gauge32(value) => writer.unsigned(of::GAUGE32, (*value).into()),
            Value::TimeTicks(value) => writer.unsigned(of::TIME_TICKS, (*value).into()),
            Value::Opaque(bytes) => writer.bytes(of::OPAQUE, bytes),
            Value::Counter64(value) => writer.unsigned(of::COUNTER64, *value),
            Value::NoSuchObject => writer.bytes(of::NO_SUCH_OBJECT, &[]),
            Value::NoSuchInstance => writer.bytes(of::NO_SUCH_INSTANCE, &[]),
            Value::EndOfMibView => writer.bytes(of::END_OF_MIB_VIEW, &[]),
        }
    }
}
