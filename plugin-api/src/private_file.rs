//! Files with private keys: used only when no other user can read them.

use crate::error::{Error, ErrorKind, Result};
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Permissions of the group and of others.
const OTHERS: u32 = 0o077;
/// As [`OTHERS`], without the right of the group to read.
const OTHERS_BUT_READERS: u32 = 0o037;
const ROOT: u32 = 0;

/// Opens a file with a private key, which the option `option` names. Blocks.
///
/// Its mode must be 0600 or less, as `ssh` and PostgreSQL demand. A file of root may be 0640, so that a
/// service that does not run as root reads it by its group, as those of `/etc/ssl/private` are.
///
/// # Errors
/// [`ErrorKind::NotFound`]; [`ErrorKind::Config`] when it cannot be opened or others may read it. Both name
/// the option and the file.
pub fn open_private(path: &Path, option: &str) -> Result<File> {
    let about = |error: Error| error.with("option", option).with("file", path.display());
    let unreadable = |error: io::Error| {
        let kind = match error.kind() {
            io::ErrorKind::NotFound => ErrorKind::NotFound,
            _ => ErrorKind::Config,
        };
        about(Error::new(kind, format!("cannot be read: {error}")))
    };
    // The open file is checked, so that the file checked is the file read.
    let file = File::open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    match problem(metadata.uid(), metadata.mode()) {
        Some(problem) => Err(about(Error::new(ErrorKind::Config, problem))),
        None => Ok(file),
    }
}

fn problem(owner: u32, mode: u32) -> Option<String> {
    let mode = mode & 0o777;
    let denied = if owner == ROOT { OTHERS_BUT_READERS } else { OTHERS };
    (mode & denied != 0).then(|| {
        format!("a private key that others may use (mode {mode:04o}); chmod 600 it, or 640 if root owns it")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn only_its_owner_may_use_a_key_and_the_group_may_read_one_of_root() {
        for (owner, mode, fits) in [
            (1000, 0o600, true),
            (1000, 0o400, true),
            (1000, 0o640, false),
            (1000, 0o604, false),
            (1000, 0o620, false),
            (ROOT, 0o640, true),
            (ROOT, 0o660, false),
            (ROOT, 0o644, false),
            (ROOT, 0o100_600, true),
        ] {
            assert_eq!(problem(owner, mode).is_none(), fits, "{owner} {mode:o}");
        }
    }

    #[test]
    fn the_option_and_the_file_are_named() {
        let path = std::env::temp_dir().join(format!("private-{}", std::process::id()));
        fs::write(&path, "key").expect("a file");
        fs::set_permissions(&path, Permissions::from_mode(0o644)).expect("its mode");
        let error = open_private(&path, "key_file").expect_err("others may read it");
        fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("its mode");
        open_private(&path, "key_file").expect("a key of ours alone");
        fs::remove_file(&path).expect("to remove it");
        assert_eq!(error.kind(), ErrorKind::Config);
        let text = error.to_string();
        assert!(text.contains("mode 0644") && text.contains("option=key_file"), "{text}");
        let error = open_private(&path, "key_file").expect_err("no file");
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(error.to_string().contains(&path.display().to_string()), "{error}");
    }
}
