//! Messages of version 3, sealed for a user and opened (RFC 3414 §3).

use super::cipher::{PrivacyProtocol, SALT};
use super::hash::AuthProtocol;
use super::keys::User;
use crate::message::{Scoped, Secured, flag};
use crate::oid::Oid;
use crate::pdu::Pdu;

/// The most bytes of a message that we say we take.
pub(crate) const MAX_SIZE: i32 = 65_507;

/// Why a message cannot be taken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Failure {
    /// It is not protected as its user is.
    Level,
    /// Its code is not that of its content.
    Digest,
    /// It cannot be decrypted.
    Decryption,
    /// It is none after all.
    Form(String),
}

/// What a sealed message has beside its PDU.
pub(crate) struct Header<'a> {
    pub(crate) id: i32,
    pub(crate) engine: &'a [u8],
    /// Boots and time of that engine.
    pub(crate) clock: (i32, i32),
    /// How it is protected, and whether it may be answered by a report: see [`flag`].
    pub(crate) flags: u8,
    /// Never the same twice with one key.
    pub(crate) salt: [u8; SALT],
}

impl User {
    /// The flags of its messages.
    pub(crate) fn flags(&self) -> u8 {
        match (self.auth, self.privacy) {
            (AuthProtocol::None, _) => 0,
            (_, PrivacyProtocol::None) => flag::AUTHENTICATED,
            _ => flag::AUTHENTICATED | flag::PRIVATE,
        }
    }

    /// What RFC 3411 §3.4.3 calls that.
    pub(crate) fn level(&self) -> &'static str {
        match (self.auth, self.privacy) {
            (AuthProtocol::None, _) => "noAuthNoPriv",
            (_, PrivacyProtocol::None) => "authNoPriv",
            _ => "authPriv",
        }
    }

    /// Whether its contents are encrypted.
    pub(crate) fn is_private(&self) -> bool {
        self.privacy != PrivacyProtocol::None
    }

    /// The bytes of a message.
    pub(crate) fn seal(&self, header: &Header<'_>, scoped: &Scoped) -> Vec<u8> {
        let keys = self.keys(header.engine);
        let is_private = header.flags & flag::PRIVATE != 0;
        let data = match is_private {
            true => self.privacy.encrypt(&keys.privacy, header.clock, header.salt, scoped.whole()),
            false => scoped.inside(),
        };
        let is_authenticated = header.flags & flag::AUTHENTICATED != 0;
        let blank = vec![0; if is_authenticated { self.auth.code_size() } else { 0 }];
        let secured = Secured {
            id: header.id,
            max_size: MAX_SIZE,
            flags: header.flags,
            engine: header.engine,
            boots: header.clock.0,
            time: header.clock.1,
            user: self.name.as_bytes(),
            code: &blank,
            code_at: 0,
            salt: if is_private { &header.salt } else { &[] },
            data: &data,
        };
        let (mut bytes, at) = secured.write();
        if is_authenticated {
            let code = self.auth.code(&keys.auth, &bytes);
            bytes[at..at + code.len()].copy_from_slice(&code);
        }
        bytes
    }

    /// Whether a message is from whom it says.
    ///
    /// # Errors
    /// It is not, or is protected as the user is not.
    pub(crate) fn verify(&self, bytes: &[u8], secured: &Secured<'_>) -> Result<(), Failure> {
        if secured.flags & flag::AUTHENTICATED == 0 {
            return Ok(());
        }
        if self.auth == AuthProtocol::None {
            return Err(Failure::Level);
        }
        let size = self.auth.code_size();
        if secured.code.len() != size {
            return Err(Failure::Digest);
        }
        let mut blank = bytes.to_vec();
        blank[secured.code_at..secured.code_at + size].fill(0);
        match self.auth.fits(&self.keys(secured.engine).auth, &blank, secured.code) {
            true => Ok(()),
            false => Err(Failure::Digest),
        }
    }

    /// The content of a message that was verified.
    ///
    /// # Errors
    /// It cannot be decrypted, or is no scoped PDU.
    pub(crate) fn content(&self, secured: &Secured<'_>) -> Result<Scoped, Failure> {
        if secured.flags & flag::PRIVATE == 0 {
            return Scoped::read(secured.data).map_err(Failure::Form);
        }
        if self.privacy == PrivacyProtocol::None {
            return Err(Failure::Level);
        }
        let keys = self.keys(secured.engine);
        let clock = (secured.boots, secured.time);
        let plain = self.privacy.decrypt(&keys.privacy, clock, secured.salt, secured.data);
        // With the wrong key it is no PDU, and nothing else shows that.
        Scoped::read_whole(&plain.ok_or(Failure::Decryption)?).map_err(|_| Failure::Decryption)
    }
}

/// What asks an engine for its name, boots and time (RFC 3414 §4).
pub(crate) fn discovery(id: i32) -> Vec<u8> {
    let scoped = Scoped {
        engine: Vec::new(),
        context: Vec::new(),
        pdu: Pdu { id, ..Pdu::new(crate::pdu::Kind::Get, Vec::new()) },
    };
    plain(id, flag::REPORTABLE, &[], (0, 0), b"", &scoped)
}

/// A message without protection.
pub(crate) fn plain(
    id: i32,
    flags: u8,
    engine: &[u8],
    (boots, time): (i32, i32),
    user: &[u8],
    scoped: &Scoped,
) -> Vec<u8> {
    let data = scoped.inside();
    let secured = Secured {
        id,
        max_size: MAX_SIZE,
        flags,
        engine,
        boots,
        time,
        user,
        code: &[],
        code_at: 0,
        salt: &[],
        data: &data,
    };
    secured.write().0
}

/// What an engine reports about a message (RFC 3414 §5, RFC 3412 §5, RFC 3413 §4.1.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Report {
    UnsupportedSecLevels,
    NotInTimeWindows,
    UnknownUserNames,
    UnknownEngineIds,
    WrongDigests,
    DecryptionErrors,
    UnknownSecurityModels,
    InvalidMsgs,
    UnknownPduHandlers,
    UnavailableContexts,
    UnknownContexts,
}

const REPORTS: [(Report, &str, &[u32]); 11] = [
    (Report::UnsupportedSecLevels, "unsupportedSecLevels", &[15, 1, 1, 1]),
    (Report::NotInTimeWindows, "notInTimeWindows", &[15, 1, 1, 2]),
    (Report::UnknownUserNames, "unknownUserNames", &[15, 1, 1, 3]),
    (Report::UnknownEngineIds, "unknownEngineIDs", &[15, 1, 1, 4]),
    (Report::WrongDigests, "wrongDigests", &[15, 1, 1, 5]),
    (Report::DecryptionErrors, "decryptionErrors", &[15, 1, 1, 6]),
    (Report::UnknownSecurityModels, "unknownSecurityModels", &[11, 2, 1, 1]),
    (Report::InvalidMsgs, "invalidMsgs", &[11, 2, 1, 2]),
    (Report::UnknownPduHandlers, "unknownPDUHandlers", &[11, 2, 1, 3]),
    (Report::UnavailableContexts, "unavailableContexts", &[12, 1, 4]),
    (Report::UnknownContexts, "unknownContexts", &[12, 1, 5]),
];

const SNMP_MODULES: [u32; 6] = [1, 3, 6, 1, 6, 3];

impl Report {
    /// What the first value of a report stands for.
    pub(crate) fn of(pdu: &Pdu) -> Option<Report> {
        let numbers = pdu.values.first()?.oid.numbers().strip_prefix(&SNMP_MODULES)?;
        let is = |known: &[u32]| numbers.strip_suffix(&[0]).is_some_and(|it| it == known);
        REPORTS.iter().find(|(_, _, known)| is(known)).map(|(report, ..)| *report)
    }

    /// Its name in the MIB, without its beginning.
    pub(crate) fn name(self) -> &'static str {
        REPORTS.iter().find(|(report, ..)| *report == self).map_or("", |(_, name, _)| name)
    }

    /// The object that counts it.
    pub(crate) fn oid(self) -> Oid {
        let numbers =
            REPORTS.iter().find(|(report, ..)| *report == self).map_or(&[][..], |it| it.2);
        Oid::known(&[&SNMP_MODULES[..], numbers, &[0]].concat())
    }
}
