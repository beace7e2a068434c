//! Messages: what a datagram holds (RFC 1157 §4, RFC 1901 §3, RFC 3412 §6, RFC 3414 §2.4).

use crate::ber::{Fault, Reader, Writer, tag};
use crate::pdu::{Pdu, TRAP_V1, TrapV1};

/// The number of the version in a message.
pub mod version {
    /// SNMP version 1.
    pub const V1: i32 = 0;
    /// Version 2c.
    pub const V2C: i32 = 1;
    /// Version 3.
    pub const V3: i32 = 3;
}

/// Flags of a message of version 3.
pub mod flag {
    /// It is authenticated.
    pub const AUTHENTICATED: u8 = 1;
    /// Its PDU is encrypted.
    pub const PRIVATE: u8 = 2;
    /// A report may answer it.
    pub const REPORTABLE: u8 = 4;
}

/// The user-based security model (RFC 3411 §5).
const USM: i32 = 3;
/// The most bytes of the name of an engine (RFC 3411 §5).
pub const ENGINE_ID: usize = 32;

/// A message of any version, as it was received.
#[derive(Debug)]
pub enum Message<'a> {
    /// Version 1 or 2c.
    Community(Community),
    /// Version 3, not yet looked at by the security model.
    Secured(Secured<'a>),
}

/// A message of version 1 or 2c.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Community {
    /// As in the message.
    pub version: i32,
    /// Who may: what both sides know.
    pub community: Vec<u8>,
    /// What it says.
    pub content: Content,
}

/// What a message says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Content {
    /// A PDU.
    Pdu(Pdu),
    /// The trap of version 1.
    Trap(TrapV1),
}

impl Content {
    /// Reads the next element.
    ///
    /// # Errors
    /// It is neither.
    pub fn read(reader: &mut Reader<'_>, version: i32) -> Result<Self, Fault> {
        let mut next = *reader;
        match next.element()?.0 {
            TRAP_V1 if version == version::V1 => TrapV1::read(reader).map(Content::Trap),
            _ => Pdu::read(reader).map(Content::Pdu),
        }
    }
}

/// A message of version 3 in its parts.
#[derive(Clone, Copy, Debug)]
pub struct Secured<'a> {
    /// The number that joins it with its answer.
    pub id: i32,
    /// The most bytes that its sender takes.
    pub max_size: i32,
    /// See [`flag`].
    pub flags: u8,
    /// The engine whose clock and keys count.
    pub engine: &'a [u8],
    /// How often that engine has started.
    pub boots: i32,
    /// Seconds since.
    pub time: i32,
    /// Who sends it.
    pub user: &'a [u8],
    /// The code that authenticates it; may be empty.
    pub code: &'a [u8],
    /// Where that code stands in the message.
    pub code_at: usize,
    /// What the cipher needs beside its key; may be empty.
    pub salt: &'a [u8],
    /// The content: a scoped PDU, or its encrypted bytes.
    pub data: &'a [u8],
}

/// A PDU with the context that it is about.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Scoped {
    /// The engine that has the context.
    pub engine: Vec<u8>,
    /// The context's name there.
    pub context: Vec<u8>,
    /// What it says.
    pub pdu: Pdu,
}

impl<'a> Message<'a> {
    /// Reads a whole message.
    ///
    /// # Errors
    /// It is none.
    pub fn read(bytes: &'a [u8]) -> Result<Self, Fault> {
        let mut whole = Reader::new(bytes);
        let mut parts = whole.sequence("a message")?;
        whole.end("a message")?;
        match parts.integer("the version")? {
            version @ (version::V1 | version::V2C) => {
                let community = parts.expect(tag::OCTETS, "the community")?.to_vec();
                let content = Content::read(&mut parts, version)?;
                parts.end("the PDU of a message")?;
                Ok(Message::Community(Community { version, community, content }))
            }
            version::V3 => secured(bytes, parts).map(Message::Secured),
            other => Err(format!("there is no SNMP version with the number {other}")),
        }
    }
}

impl Community {
    /// Its bytes.
    pub fn write(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.element(tag::SEQUENCE, |writer| {
            match &self.content {
                Content::Pdu(pdu) => pdu.write(writer),
                Content::Trap(trap) => trap.write(writer),
            }
            writer.bytes(tag::OCTETS, &self.community);
            writer.integer(self.version);
        });
        writer.finish()
    }
}

fn secured<'a>(bytes: &[u8], mut parts: Reader<'a>) -> Result<Secured<'a>, Fault> {
    let mut global = parts.sequence("the header of a message")?;
    let id = global.integer("the message id")?;
    let max_size = global.integer("the most bytes of a message")?;
    let [flags] = *global.expect(tag::OCTETS, "the flags of a message")? else {
        return Err("the flags of a message are not one octet".to_owned());
    };
    let model = global.integer("the security model")?;
    global.end("the header of a message")?;
    if model != USM {
        return Err(format!("expected the user-based security model (3), not {model}"));
    }
    if id < 0 || flags & (flag::AUTHENTICATED | flag::PRIVATE) == flag::PRIVATE {
        return Err(
            "a message is encrypted and not authenticated, or its id is negative".to_owned()
        );
    }
    let mut outer = Reader::new(parts.expect(tag::OCTETS, "the security parameters")?);
    let mut usm = outer.sequence("the security parameters")?;
    outer.end("the security parameters")?;
    let engine = usm.expect(tag::OCTETS, "the engine")?;
    let boots = usm.integer("the boots of the engine")?;
    let time = usm.integer("the time of the engine")?;
    let user = usm.expect(tag::OCTETS, "the user")?;
    let code = usm.expect(tag::OCTETS, "the authentication parameters")?;
    let salt = usm.expect(tag::OCTETS, "the privacy parameters")?;
    usm.end("the security parameters")?;
    if engine.len() > ENGINE_ID || user.len() > 32 || boots < 0 || time < 0 {
        return Err("engine, user, boots or time of a message are none that can be".to_owned());
    }
    let data = match flags & flag::PRIVATE {
        0 => parts.expect(tag::SEQUENCE, "a scoped PDU")?,
        _ => parts.expect(tag::OCTETS, "an encrypted PDU")?,
    };
    parts.end("the PDU of a message")?;
    // Both are of one allocation: a part of `bytes` and its beginning.
    let code_at = code.as_ptr() as usize - bytes.as_ptr() as usize;
    Ok(Secured { id, max_size, flags, engine, boots, time, user, code, code_at, salt, data })
}

impl Secured<'_> {
    /// Its bytes, and where the authentication code stands in them. `data` is the inside of the scoped PDU, or what was
    /// encrypted.
    pub fn write(&self) -> (Vec<u8>, usize) {
        let mut writer = Writer::new();
        let mut behind = 0;
        writer.element(tag::SEQUENCE, |writer| {
            let is_private = self.flags & flag::PRIVATE != 0;
            writer.bytes(if is_private { tag::OCTETS } else { tag::SEQUENCE }, self.data);
            writer.element(tag::OCTETS, |writer| {
                writer.element(tag::SEQUENCE, |writer| {
                    writer.bytes(tag::OCTETS, self.salt);
                    writer.element(tag::OCTETS, |writer| {
                        writer.raw(self.code);
                        behind = writer.written();
                    });
                    writer.bytes(tag::OCTETS, self.user);
                    writer.integer(self.time);
                    writer.integer(self.boots);
                    writer.bytes(tag::OCTETS, self.engine);
                });
            });
            writer.element(tag::SEQUENCE, |writer| {
                writer.integer(USM);
                writer.bytes(tag::OCTETS, &[self.flags]);
                writer.integer(self.max_size);
                writer.integer(self.id);
            });
            writer.integer(version::V3);
        });
        let bytes = writer.finish();
        let at = bytes.len() - behind;
        (bytes, at)
    }
}

impl Scoped {
    /// Reads the inside of a scoped PDU.
    ///
    /// # Errors
    /// It is none.
    pub fn read(inside: &[u8]) -> Result<Self, Fault> {
        let mut parts = Reader::new(inside);
        let engine = parts.expect(tag::OCTETS, "the engine of a context")?.to_vec();
        let context = parts.expect(tag::OCTETS, "the name of a context")?.to_vec();
        let pdu = Pdu::read(&mut parts)?;
        parts.end("a scoped PDU")?;
        Ok(Scoped { engine, context, pdu })
    }

    /// Reads a whole scoped PDU; what stands behind it is what a cipher has filled up its last block with.
    ///
    /// # Errors
    /// It is none.
    pub fn read_whole(bytes: &[u8]) -> Result<Self, Fault> {
        Scoped::read(Reader::new(bytes).expect(tag::SEQUENCE, "a scoped PDU")?)
    }

    /// The bytes of its inside.
    pub fn inside(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        self.parts(&mut writer);
        writer.finish()
    }

    /// All its bytes.
    pub fn whole(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.element(tag::SEQUENCE, |writer| self.parts(writer));
        writer.finish()
    }

    fn parts(&self, writer: &mut Writer) {
        self.pdu.write(writer);
        writer.bytes(tag::OCTETS, &self.context);
        writer.bytes(tag::OCTETS, &self.engine);
    }
}
