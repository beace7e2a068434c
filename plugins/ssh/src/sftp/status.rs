//! What a server's status means (§7 of the draft, and the codes of later versions, which some servers of version 3
//! send all the same).

use super::wire::Fields;
use crate::failure::printable;
use jackfield_plugin_api::{Error, ErrorKind, Origin, Result};

pub(super) const OK: u32 = 0;
pub(super) const EOF: u32 = 1;
pub(super) const NO_SUCH_FILE: u32 = 2;
const NO_SUCH_PATH: u32 = 10;

/// Names and meanings, by number.
const KNOWN: &[(&str, ErrorKind, &str)] = &[
    ("ok", ErrorKind::Protocol, "the SFTP server says that all is well where it should not"),
    ("eof", ErrorKind::Protocol, "the SFTP server says that there is no more"),
    ("no_such_file", ErrorKind::NotFound, "there is no such file"),
    ("permission_denied", ErrorKind::Refused, "the account may not do that"),
    ("failure", ErrorKind::Refused, "the SFTP server could not do it and does not say why"),
    ("bad_message", ErrorKind::Protocol, "the SFTP server did not understand the request"),
    ("no_connection", ErrorKind::Closed, "the SFTP server has no connection"),
    ("connection_lost", ErrorKind::Closed, "the SFTP server has lost its connection"),
    ("op_unsupported", ErrorKind::Unsupported, "the SFTP server cannot do that"),
    ("invalid_handle", ErrorKind::Refused, "the SFTP server no longer knows the file"),
    ("no_such_path", ErrorKind::NotFound, "there is no such folder"),
    ("file_already_exists", ErrorKind::InUse, "there is a file of that name already"),
    ("write_protect", ErrorKind::Refused, "the medium is protected from writing"),
    ("no_media", ErrorKind::Refused, "there is no medium"),
    ("no_space_on_filesystem", ErrorKind::Refused, "there is no space left"),
    ("quota_exceeded", ErrorKind::Refused, "the account has used up its space"),
    ("unknown_principal", ErrorKind::Refused, "the SFTP server does not know the owner"),
    ("lock_conflict", ErrorKind::Refused, "somebody else has locked the file"),
    ("dir_not_empty", ErrorKind::Refused, "the folder is not empty"),
    ("not_a_directory", ErrorKind::Refused, "it is no folder"),
    ("invalid_filename", ErrorKind::Refused, "the name is not one that may be"),
    ("link_loop", ErrorKind::Refused, "links lead in a circle"),
    ("cannot_delete", ErrorKind::Refused, "it cannot be removed"),
    ("invalid_parameter", ErrorKind::Refused, "the SFTP server does not take a parameter"),
    ("file_is_a_directory", ErrorKind::Refused, "it is a folder"),
];

/// A status as it came.
#[derive(Clone, Debug)]
pub(super) struct Status {
    pub(super) code: u32,
    text: String,
}

impl Status {
    /// Reads what follows the number of a status. Servers of version 2 say no more than the code.
    ///
    /// # Errors
    /// It is cut short.
    pub(super) fn read(fields: &mut Fields) -> Result<Self> {
        let code = fields.u32()?;
        let text = if fields.is_empty() { bytes::Bytes::new() } else { fields.bytes()? };
        Ok(Status { code, text: printable(&String::from_utf8_lossy(&text)) })
    }

    /// Whether there is nothing of that name.
    pub(super) fn is_missing(&self) -> bool {
        matches!(self.code, NO_SUCH_FILE | NO_SUCH_PATH)
    }

    /// Nothing if it says that all is well.
    ///
    /// # Errors
    /// The status as an error.
    pub(super) fn good(self) -> Result<()> {
        if self.code == OK { Ok(()) } else { Err(self.error()) }
    }

    /// The status as an error, with its name, its number and what the server says of it.
    pub(super) fn error(&self) -> Error {
        let at = usize::try_from(self.code).ok().and_then(|code| KNOWN.get(code));
        let unknown =
            ("unknown", ErrorKind::Refused, "the SFTP server refused with a code of its own");
        let (name, kind, message) = *at.unwrap_or(&unknown);
        let error = Error::new(kind, message).with_origin(Origin::Upstream);
        let error = error.with("status", name).with_code("sftp", self.code);
        if self.text.is_empty() { error } else { error.with("server", &self.text) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::{BufMut, BytesMut};

    fn status(code: u32, text: &str) -> Status {
        let mut bytes = BytesMut::new();
        bytes.put_u32(code);
        bytes.put_u32(u32::try_from(text.len()).unwrap());
        bytes.put_slice(text.as_bytes());
        Status::read(&mut Fields(bytes.freeze())).unwrap()
    }

    #[test]
    fn a_status_is_an_error_with_its_name() {
        let error = status(3, "Permission\ndenied").good().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Refused);
        assert_eq!(error.code(), Some(3));
        assert!(error.to_string().contains("status=permission_denied"), "{error}");
        assert!(error.to_string().contains("Permission denied"), "{error}");
        assert_eq!(status(2, "").good().unwrap_err().kind(), ErrorKind::NotFound);
        assert!(status(4000, "").good().unwrap_err().to_string().contains("unknown"));
        assert!(status(0, "").good().is_ok());
        let mut bare = Fields(bytes::Bytes::from_static(&[0, 0, 0, 2]));
        assert!(Status::read(&mut bare).unwrap().is_missing());
    }
}
