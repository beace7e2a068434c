//! [`FileEntry`]: what is known of a file, here or on a device.

use serde::Deserialize;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;

/// What a name stands for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum FileKind {
    /// Content, or what the server does not tell and so may be content.
    #[serde(alias = "unknown")]
    #[default]
    File,
    Folder,
    Link,
    /// A device, a pipe or a socket.
    #[serde(other)]
    Special,
}

/// A file, in the form in which `sftp_stat` and `sftp_list` tell of it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub(super) struct FileEntry {
    /// Its name in its folder.
    #[serde(default)]
    pub(super) name: String,
    /// Where its bytes are no text, and no operation can name it.
    #[serde(default)]
    pub(super) name_base64: Option<String>,
    #[serde(rename = "type")]
    pub(super) kind: FileKind,
    #[serde(default)]
    pub(super) size: Option<u64>,
    /// Permissions in octal.
    #[serde(default)]
    pub(super) mode: Option<String>,
    /// Seconds since 1970.
    #[serde(default)]
    pub(super) modified: Option<u64>,
}

impl FileEntry {
    pub(super) fn of_local(name: &str, known: &Metadata) -> Self {
        let kind = match known.file_type() {
            kind if kind.is_file() => FileKind::File,
            kind if kind.is_dir() => FileKind::Folder,
            kind if kind.is_symlink() => FileKind::Link,
            _ => FileKind::Special,
        };
        FileEntry {
            name: name.to_owned(),
            name_base64: None,
            kind,
            size: Some(known.len()),
            mode: Some(format!("{:04o}", known.mode() & 0o7777)),
            // SFTP has 32 bits for it.
            modified: u32::try_from(known.mtime()).ok().map(u64::from),
        }
    }

    /// The permissions as a number.
    pub(super) fn mode_bits(&self) -> Option<u32> {
        self.mode.as_deref().and_then(|mode| u32::from_str_radix(mode, 8).ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn entries_are_read_as_drivers_tell_them() {
        let told = json!({ "name": "a", "type": "file", "size": 3, "mode": "0640", "user": 1000 });
        let entry: FileEntry = serde_json::from_value(told).unwrap();
        assert_eq!((entry.kind, entry.mode_bits()), (FileKind::File, Some(0o640)));
        let kind = |text: &str| serde_json::from_value::<FileKind>(json!(text)).unwrap();
        assert_eq!(kind("unknown"), FileKind::File);
        assert_eq!(kind("of a later version"), FileKind::Special);
    }
}
