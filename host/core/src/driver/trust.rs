//! Whose code is run: what `sshd` asks of files under `StrictModes`, asked of plugins.
//!
//! A file, its folder and every folder above must belong to root or to the user of this host, and
//! neither its group nor everybody may write it. Where a folder *above* is sticky, as `/tmp` is, who may
//! write it cannot replace what is in it; the folder of plugins itself must not be so, because files can
//! be added to it.

use super::refusal::{Refusal, Writers};
use crate::files;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

const GROUP: u32 = 0o020;
const EVERYBODY: u32 = 0o002;
const STICKY: u32 = 0o1000;

/// How strictly the place of a plugin is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trust {
    /// The file, its folder, and every folder above.
    Strict,
    /// The folder of this program. Who can write there can replace the program itself, so that a group
    /// (a build folder has one where the umask is 002) and the folders above are no matter.
    Program,
}

/// Judges an open plugin file and the place it is in; `real` is its name without links.
pub(super) fn of_file(trust: Trust, metadata: &Metadata, real: &Path) -> Result<(), Refusal> {
    judge(metadata, real, writers(trust))?;
    real.parent().map_or(Ok(()), |folder| of_folder(trust, folder))
}

/// Judges a folder whose files are loaded; `real` is its name without links.
pub(super) fn of_folder(trust: Trust, real: &Path) -> Result<(), Refusal> {
    judge(&metadata(real)?, real, writers(trust))?;
    if trust == Trust::Program {
        return Ok(());
    }
    for above in real.ancestors().skip(1) {
        let metadata = metadata(above)?;
        let unsafe_modes = if metadata.mode() & STICKY == 0 { GROUP | EVERYBODY } else { 0 };
        judge(&metadata, above, unsafe_modes)?;
    }
    Ok(())
}

fn writers(trust: Trust) -> u32 {
    match trust {
        Trust::Strict => GROUP | EVERYBODY,
        Trust::Program => EVERYBODY,
    }
}

fn metadata(path: &Path) -> Result<Metadata, Refusal> {
    fs::metadata(path).map_err(|error| {
        Refusal::Unreadable(format!("{}: {}", path.display(), files::why(path, &error)))
    })
}

fn judge(metadata: &Metadata, path: &Path, unsafe_modes: u32) -> Result<(), Refusal> {
    let us = rustix::process::geteuid().as_raw();
    may_be_run(metadata.uid(), metadata.mode() & unsafe_modes, us, path)
}

/// `written` are the bits of the mode by which others may write it.
fn may_be_run(owner: u32, written: u32, us: u32, path: &Path) -> Result<(), Refusal> {
    if owner != 0 && owner != us {
        return Err(Refusal::ForeignOwner { path: path.to_owned(), uid: owner });
    }
    let by = match written {
        0 => return Ok(()),
        written if written & EVERYBODY != 0 => Writers::Everybody,
        _ => Writers::Group,
    };
    Err(Refusal::Writable { path: path.to_owned(), by })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn only_what_root_or_this_user_owns_and_nobody_else_may_write_is_run() {
        let path = Path::new("x.so");
        let writable = |by| Err(Refusal::Writable { path: path.to_owned(), by });
        let foreign = |uid| Err(Refusal::ForeignOwner { path: path.to_owned(), uid });
        for (owner, mode, us, expected) in [
            (0, 0o755, 0, Ok(())),
            (0, 0o755, 1000, Ok(())),
            (1000, 0o700, 1000, Ok(())),
            (1000, 0o775, 1000, writable(Writers::Group)),
            (1001, 0o755, 1000, foreign(1001)),
            (1000, 0o755, 0, foreign(1000)),
            (0, 0o757, 0, writable(Writers::Everybody)),
            (0, 0o1777, 0, writable(Writers::Everybody)),
        ] {
            let written = mode & writers(Trust::Strict);
            assert_eq!(may_be_run(owner, written, us, path), expected, "{owner} {mode:o} {us}");
        }
        assert_eq!(may_be_run(0, 0o775 & writers(Trust::Program), 0, path), Ok(()));
    }

    #[test]
    fn a_folder_above_may_be_written_by_others_only_where_it_is_sticky() {
        let root = tempfile::tempdir().unwrap();
        let above = fs::canonicalize(root.path()).unwrap().join("above");
        let folder = above.join("plugins");
        fs::create_dir_all(&folder).unwrap();
        fs::set_permissions(&folder, Permissions::from_mode(0o755)).unwrap();
        for (mode, expected) in [
            (0o755, None),
            (0o1777, None),
            (0o775, Some(Writers::Group)),
            (0o777, Some(Writers::Everybody)),
        ] {
            fs::set_permissions(&above, Permissions::from_mode(mode)).unwrap();
            let expected = expected.map(|by| Refusal::Writable { path: above.clone(), by });
            assert_eq!(of_folder(Trust::Strict, &folder).err(), expected, "{mode:o}");
            assert_eq!(of_folder(Trust::Program, &folder), Ok(()), "{mode:o}");
        }
        fs::set_permissions(&folder, Permissions::from_mode(0o1777)).unwrap();
        assert!(of_folder(Trust::Strict, &folder).is_err(), "files can be added to it");
    }
}
