//! Where a socket's file is, and who is there already.

use jackfield_plugin_api::{Address, Error, ErrorKind, Result};
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};

/// The most bytes of a path, its end included (`sun_path`).
const LONGEST: usize = 108;

/// The path of an address, with its percent escapes decoded.
///
/// # Errors
/// [`ErrorKind::Config`] if there is none, or it is too long.
pub(crate) fn path(address: &Address) -> Result<String> {
    let config = |message: String| Error::new(ErrorKind::Config, message);
    if !address.host.is_empty() || address.port.is_some() {
        let message = "a path begins with a slash, so there are three: unix:///run/x.sock";
        return Err(config(message.to_owned()).with("host", address.authority()));
    }
    let path = decoded(&address.path)
        .ok_or_else(|| config("the path is not UTF-8, or has a NUL byte".to_owned()))?;
    if path.len() < 2 {
        return Err(config("a path is needed, such as unix:///run/x.sock".to_owned()));
    }
    if path.len() >= LONGEST {
        let message = format!("the path has {} bytes, a socket's has at most 107", path.len());
        return Err(config(message));
    }
    Ok(path)
}

fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let escape = text.get(text.len() - after.len()..).and_then(|left| left.get(..2));
        let value = escape.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match value {
            Some(value) if *first == b'%' => {
                bytes.push(value);
                rest = &after[2..];
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8(bytes).ok().filter(|path| !path.contains('\0'))
}

/// Permissions written in octal.
///
/// # Errors
/// Naming the option.
pub(crate) fn mode(text: Option<&str>) -> Result<u32> {
    let Some(text) = text else { return Ok(0) };
    match u32::from_str_radix(text, 8) {
        Ok(mode @ 1..=0o777) => Ok(mode),
        _ => Err(Error::option("mode", format!("{text:?} is no octal number from 1 to 777"))),
    }
}

/// A socket's file as it was when it was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    path: String,
    identity: (u64, u64),
}

impl Found {
    /// What is at `path`; `None` if nothing is.
    ///
    /// # Errors
    /// [`ErrorKind::InUse`] if it is no socket: it is not ours to remove.
    pub(crate) fn at(path: &str) -> Result<Option<Found>> {
        let Ok(file) = fs::symlink_metadata(path) else { return Ok(None) };
        if !file.file_type().is_socket() {
            let message = "the file there is not a socket; it was left as it is";
            return Err(Error::new(ErrorKind::InUse, message).with("listen", path));
        }
        Ok(Some(Found { path: path.to_owned(), identity: (file.dev(), file.ino()) }))
    }

    /// Removes it, unless another has its place by now.
    ///
    /// # Errors
    /// What the system says, e.g. that the folder is not ours.
    pub(crate) fn remove(&self) -> Result<()> {
        match Found::at(&self.path) {
            Ok(Some(now)) if now == *self => fs::remove_file(&self.path)
                .map_err(|error| Error::from(error).with("remove", &self.path)),
            _ => Ok(()),
        }
    }

    /// The error for a file whose owner is alive.
    pub(crate) fn in_use(&self) -> Error {
        Error::new(ErrorKind::InUse, "another process listens there").with("listen", &self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(path: &str) -> Result<String> {
        self::path(&Address::at_path(path.to_owned()))
    }

    #[test]
    fn escapes_are_decoded_and_nothing_else_is() {
        assert_eq!(of("/run/a%20b%2fc%").expect("a path"), "/run/a b/c%");
        assert_eq!(of("/run/%zz%é").expect("a path"), "/run/%zz%é");
        for wrong in ["", "/", "/a%00b", "/%ff", &"/x".repeat(54)] {
            assert_eq!(of(wrong).expect_err(wrong).kind(), ErrorKind::Config);
        }
        assert!(of(&format!("/{}", "x".repeat(106))).is_ok());
        let host = Address::new("run", 0).with_path("/x");
        assert!(path(&host).is_err());
    }

    #[test]
    fn modes_are_octal() {
        assert_eq!(mode(Some("660")).expect("a mode"), 0o660);
        assert_eq!(mode(None).expect("a mode"), 0);
        for wrong in ["", "0", "8", "1777", "rw"] {
            assert!(mode(Some(wrong)).is_err(), "{wrong}");
        }
    }
}
