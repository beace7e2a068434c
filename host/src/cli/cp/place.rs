//! Where a copy begins or ends, as it stands on the command line.

use crate::cli::failure::{Failure, Outcome};
use crate::config::Reference;
use crate::stack::uri::StackUri;
use std::path::PathBuf;

/// Tables whose names may stand before a colon.
const TABLES: [&str; 3] = ["connections.", "devices.", "upstreams."];

/// A source or a destination.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum CopyPlace {
    /// A path of this machine.
    Local(PathBuf),
    /// A path of what something leads to.
    Remote(RemotePlace),
}

/// A path of a device.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct RemotePlace {
    /// What leads there.
    pub(super) to: Reference,
    /// The path; without a slash at its beginning it begins where the account does.
    pub(super) path: String,
}

impl CopyPlace {
    /// # Errors
    /// It is no path and names nothing.
    pub(super) fn parse(text: &str) -> Outcome<Self> {
        if text.contains("://") {
            return of_uri(text).map(CopyPlace::Remote);
        }
        let before = text.split_once(':').filter(|(before, _)| !before.contains('/'));
        let Some((before, path)) = before.filter(|(before, _)| !before.is_empty()) else {
            return match text {
                "" => Err(Failure::config(
                    "expected a path, a URI such as ssh://host/path, or NAME:PATH",
                )),
                text => Ok(CopyPlace::Local(PathBuf::from(text))),
            };
        };
        let path = path.to_owned();
        if TABLES.iter().any(|table| before.starts_with(table)) {
            let to = before.parse().map_err(Failure::config)?;
            return Ok(CopyPlace::Remote(RemotePlace { to, path }));
        }
        // As scp has it: USER@HOST:PATH.
        let uri: StackUri = format!("ssh://{before}").parse().map_err(|_| {
            let text = "expected a path, a URI such as ssh://host/path, NAME:PATH or USER@HOST:PATH; a file \
                        whose name has a colon is written ./NAME";
            Failure::config(text)
        })?;
        Ok(CopyPlace::Remote(RemotePlace { to: Reference::Uri(uri), path }))
    }
}

/// The URI without its path, which is that of the file; `/~/` begins where the account does.
fn of_uri(text: &str) -> Outcome<RemotePlace> {
    let mut uri: StackUri = text.parse().map_err(Failure::config)?;
    let path = match uri.decoded_path() {
        path if path == "/~" => String::new(),
        path => path.strip_prefix("/~/").unwrap_or(&path).to_owned(),
    };
    uri.path.clear();
    Ok(RemotePlace { to: Reference::Uri(uri), path })
}

/// The last part of a path, by which a copy into a folder is called.
pub(super) fn base_name(path: &str) -> Option<&str> {
    let name = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    (!matches!(name, "" | "." | "..")).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remote(text: &str) -> (String, String) {
        match CopyPlace::parse(text) {
            Ok(CopyPlace::Remote(place)) => (place.to.to_string(), place.path),
            other => panic!("{text}: {other:?}"),
        }
    }

    fn pair(to: &str, path: &str) -> (String, String) {
        (to.to_owned(), path.to_owned())
    }

    #[test]
    fn places_are_told_apart() {
        assert_eq!(remote("ssh://lab@10.0.0.7/tmp/"), pair("ssh://lab@10.0.0.7", "/tmp/"));
        assert_eq!(remote("ssh://10.0.0.7/~/a%20b"), pair("ssh://10.0.0.7", "a b"));
        assert_eq!(remote("ssh+ws://h/~"), pair("ssh+ws://h", ""));
        assert_eq!(remote("connections.lab:/tmp/x"), pair("connections.lab", "/tmp/x"));
        assert_eq!(remote("devices.core.mgmt:"), pair("devices.core.mgmt", ""));
        assert_eq!(remote("lab@10.0.0.7:a/b"), pair("ssh://lab@10.0.0.7", "a/b"));
        for local in ["a", "./a:b", "/tmp/x:y", "connections.lab"] {
            assert_eq!(CopyPlace::parse(local).unwrap(), CopyPlace::Local(PathBuf::from(local)));
        }
        for wrong in ["", "a b:c", "ssh://h/%zz"] {
            assert!(CopyPlace::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn copies_are_called_as_their_sources() {
        assert_eq!(base_name("/tmp/a/"), Some("a"));
        assert_eq!((base_name("/"), base_name(".."), base_name("")), (None, None, None));
    }
}
