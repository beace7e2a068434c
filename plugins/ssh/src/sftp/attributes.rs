//! [`Attributes`]: what is known of a file (§5 of the draft), and [`Entry`], the same as operations show it.

use super::wire::{Ask, Fields};
use jackfield_plugin_api::{Error, ErrorKind, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

const SIZE: u32 = 1;
const OWNER: u32 = 2;
const PERMISSIONS: u32 = 4;
const TIMES: u32 = 8;
const EXTENDED: u32 = 0x8000_0000;

/// The most pairs of an extension that are skipped; more are no file's.
const MAX_EXTENDED: u32 = 64;

/// What a server tells or is told of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Attributes {
    pub(super) size: Option<u64>,
    pub(super) owner: Option<(u32, u32)>,
    /// Type and permissions, as `st_mode` of POSIX.
    pub(super) mode: Option<u32>,
    /// When it was read and changed, in seconds since 1970.
    pub(super) times: Option<(u32, u32)>,
}

impl Attributes {
    /// # Errors
    /// It is cut short.
    pub(super) fn read(fields: &mut Fields) -> Result<Self> {
        let flags = fields.u32()?;
        let mut read = Attributes::default();
        if flags & SIZE != 0 {
            read.size = Some(fields.u64()?);
        }
        if flags & OWNER != 0 {
            read.owner = Some((fields.u32()?, fields.u32()?));
        }
        if flags & PERMISSIONS != 0 {
            read.mode = Some(fields.u32()?);
        }
        if flags & TIMES != 0 {
            read.times = Some((fields.u32()?, fields.u32()?));
        }
        if flags & EXTENDED != 0 {
            let pairs = fields.u32()?;
            if pairs > MAX_EXTENDED {
                let text = "the SFTP server tells more of a file than may be";
                return Err(Error::new(ErrorKind::Protocol, text).with("most", MAX_EXTENDED));
            }
            for _ in 0..pairs {
                let _ = (fields.bytes()?, fields.bytes()?);
            }
        }
        Ok(read)
    }

    pub(super) fn write(&self, ask: Ask) -> Ask {
        let mut flags = 0;
        let mut set = |flag: u32, given: bool| flags |= if given { flag } else { 0 };
        set(SIZE, self.size.is_some());
        set(OWNER, self.owner.is_some());
        set(PERMISSIONS, self.mode.is_some());
        set(TIMES, self.times.is_some());
        let mut ask = ask.u32(flags);
        if let Some(size) = self.size {
            ask = ask.u64(size);
        }
        if let Some((user, group)) = self.owner {
            ask = ask.u32(user).u32(group);
        }
        if let Some(mode) = self.mode {
            ask = ask.u32(mode);
        }
        if let Some((accessed, modified)) = self.times {
            ask = ask.u32(accessed).u32(modified);
        }
        ask
    }

    pub(super) fn is_empty(&self) -> bool {
        *self == Attributes::default()
    }

    pub(super) fn file_type(&self) -> FileType {
        match self.mode.map(|mode| mode & 0o170_000) {
            Some(0o100_000) => FileType::File,
            Some(0o040_000) => FileType::Folder,
            Some(0o120_000) => FileType::Link,
            Some(0o010_000 | 0o020_000 | 0o060_000 | 0o140_000) => FileType::Special,
            _ => FileType::Unknown,
        }
    }
}

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum FileType {
    File,
    Folder,
    Link,
    /// A device, a pipe or a socket.
    Special,
    /// The server does not say.
    Unknown,
}

/// Permissions in octal digits, such as `0644`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
#[schemars(transparent)]
pub(super) struct Mode(
    #[schemars(with = "String", regex(pattern = "^[0-7]{1,4}$"))] pub(super) u32,
);

impl<'de> Deserialize<'de> for Mode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let digits =
            (1..=4).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        let mode = digits.then(|| u32::from_str_radix(&text, 8).ok()).flatten();
        mode.map(Mode).ok_or_else(|| {
            serde::de::Error::custom(format!(
                "expected permissions in octal such as 0644, not {text:?}"
            ))
        })
    }
}

impl Serialize for Mode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:04o}", self.0))
    }
}

/// A file as operations show it. What the server does not tell is left out.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Entry {
    /// Its name in its folder; its path for `sftp_glob`. What is not UTF-8 is replaced, and the name is of no use
    /// for other operations then.
    pub(super) name: String,
    /// The name's bytes in base64, where they are not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name_base64: Option<String>,
    /// What it is.
    #[serde(rename = "type")]
    pub(super) file_type: FileType,
    /// Bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) size: Option<u64>,
    /// Permissions.
    #[serde(skip_serializing_if = "Option::is_none")]
    mode: Option<Mode>,
    /// Number of the owner.
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<u32>,
    /// Number of the group.
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<u32>,
    /// When it was last changed, in seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    modified: Option<u32>,
    /// When it was last read, in seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    accessed: Option<u32>,
}

impl Entry {
    /// What tells it from others in its folder.
    pub(super) fn key(&self) -> (&str, Option<&str>) {
        (&self.name, self.name_base64.as_deref())
    }

    pub(super) fn new(name: &[u8], attributes: &Attributes) -> Self {
        let text = String::from_utf8_lossy(name);
        let exact = std::str::from_utf8(name).is_ok();
        Entry {
            name: text.into_owned(),
            name_base64: (!exact).then(|| data_encoding::BASE64.encode(name)),
            file_type: attributes.file_type(),
            size: attributes.size,
            mode: attributes.mode.map(|mode| Mode(mode & 0o7777)),
            user: attributes.owner.map(|(user, _)| user),
            group: attributes.owner.map(|(_, group)| group),
            modified: attributes.times.map(|(_, modified)| modified),
            accessed: attributes.times.map(|(accessed, _)| accessed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn attributes_are_read_as_they_were_written() {
        let whole = Attributes {
            size: Some(1 << 40),
            owner: Some((1000, 100)),
            mode: Some(0o100_640),
            times: Some((1, 2)),
        };
        for attributes in [whole, Attributes::default(), Attributes { mode: Some(0o755), ..whole }]
        {
            let packet = attributes.write(Ask::new(0)).finish(1);
            let mut fields = Fields(packet.slice(9..));
            assert_eq!(Attributes::read(&mut fields).unwrap(), attributes);
            assert!(fields.is_empty());
        }
        assert_eq!(whole.file_type(), FileType::File);
        let lie = Fields(Ask::new(0).u32(EXTENDED).u32(u32::MAX).finish(1).slice(9..));
        assert_eq!(Attributes::read(&mut lie.clone()).unwrap_err().kind(), ErrorKind::Protocol);
    }

    #[test]
    fn permissions_are_octal_digits() {
        let read = |value| serde_json::from_value::<Mode>(value);
        assert_eq!(read(json!("0644")).unwrap(), Mode(0o644));
        assert_eq!(serde_json::to_value(Mode(0o7)).unwrap(), json!("0007"));
        for wrong in [json!("u+x"), json!("0888"), json!(""), json!("+644"), json!("00644")] {
            assert!(read(wrong.clone()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn names_that_are_not_text_keep_their_bytes() {
        let entry = Entry::new(b"a\xff", &Attributes::default());
        assert_eq!(entry.name_base64.as_deref(), Some("Yf8="));
        assert_eq!(Entry::new(b"a", &Attributes::default()).name_base64, None);
    }
}
