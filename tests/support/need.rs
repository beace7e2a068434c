//! A test whose peer is not installed fails and says how to install it; it is never skipped.

use std::{
    env,
    path::{Path, PathBuf},
};

/// The path of `program`, or a failed test that names the Debian package.
///
/// `sbin` folders count even where `PATH` of an ordinary user leaves them out.
pub(crate) fn need(program: &str, package: &str) -> PathBuf {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .map(|folder| folder.join(program))
        .find(|candidate| candidate.is_file())
        .unwrap_or_else(|| missing(program, package))
}

/// The path itself if the file is there, or a failed test that names the Debian package.
pub(crate) fn need_file(path: &str, package: &str) -> PathBuf {
    if Path::new(path).exists() { path.into() } else { missing(path, package) }
}

/// The first file called `name` in the system's library folders, whatever the architecture.
pub(crate) fn need_library(name: &str, package: &str) -> PathBuf {
    let folders = ["/usr/lib", "/lib", "/usr/lib64", "/usr/local/lib"];
    folders
        .iter()
        .flat_map(|folder| {
            let nested = std::fs::read_dir(folder).into_iter().flatten().flatten();
            std::iter::once(PathBuf::from(folder)).chain(nested.map(|entry| entry.path()))
        })
        .map(|folder| folder.join(name))
        .find(|candidate| candidate.is_file())
        .unwrap_or_else(|| missing(name, package))
}

/// A file of a package that cannot be installed beside others, and so is unpacked beside the build.
pub(crate) fn unpacked(package: &str, file: &str) -> PathBuf {
    let test = env::current_exe().expect("the path of this test");
    let folder = test.ancestors().nth(3).expect("a target folder").join("peers").join(package);
    let path = folder.join(file);
    assert!(
        path.is_file(),
        "{} is not there, and this test needs it: apt-get download {package} && dpkg -x {package}_*.deb {} \
         (tests/run does it)",
        path.display(),
        folder.display(),
    );
    path
}

fn missing(what: &str, package: &str) -> ! {
    panic!(
        "{what} is not installed, and this test needs it: \
         apt-get install -y --no-install-recommends {package} (tests/run does it)"
    )
}
