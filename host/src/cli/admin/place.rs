//! Where a running host is looked for.

use super::link::HostLink;
use crate::cli::failure::{Failure, Outcome};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use tokio::net::UnixStream;

/// The variable that names the socket of a host.
const VARIABLE: &str = "JACKFIELD_ADMIN";

/// Where a host of the system has it.
const SYSTEM: &str = "/run/jackfield/admin.sock";

/// Which host is asked.
#[derive(Clone, Debug, Default, clap::Args)]
pub(in crate::cli) struct AdminArgs {
    /// Socket of the host; without it $JACKFIELD_ADMIN, else $XDG_RUNTIME_DIR/jackfield/admin.sock, else
    /// /run/jackfield/admin.sock
    #[arg(long, value_name = "PATH")]
    admin: Option<String>,
}

/// A host, or where none was.
pub(in crate::cli) enum HostSearch {
    /// It is there.
    Host(HostLink),
    /// The places that were looked at, each with what was there.
    Nowhere(Vec<String>),
}

impl AdminArgs {
    /// Whether a host was named on the command line.
    pub(in crate::cli) fn is_named(&self) -> bool {
        self.admin.is_some()
    }

    /// Where to look, in this order.
    fn places(&self) -> Vec<PathBuf> {
        let variable = || std::env::var(VARIABLE).ok().filter(|place| !place.is_empty());
        if let Some(place) = self.admin.clone().or_else(variable) {
            let path = place.strip_prefix("unix:").unwrap_or(&place);
            return vec![PathBuf::from(path)];
        }
        let user = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
        let user = user.filter(|folder| folder.is_absolute());
        let user = user.map(|folder| folder.join("jackfield/admin.sock"));
        user.into_iter().chain([PathBuf::from(SYSTEM)]).collect()
    }

    /// Looks for a host.
    pub(in crate::cli) async fn find(&self) -> HostSearch {
        let mut nowhere = Vec::new();
        for place in self.places() {
            match UnixStream::connect(&place).await {
                Ok(_) => return HostSearch::Host(HostLink::new(place)),
                Err(error) => nowhere.push(format!("{}: {}", place.display(), why(&error, &place))),
            }
        }
        HostSearch::Nowhere(nowhere)
    }

    /// The host.
    pub(in crate::cli) async fn host(&self) -> Outcome<HostLink> {
        match self.find().await {
            HostSearch::Host(host) => Ok(host),
            HostSearch::Nowhere(places) => Err(none_at(&places)),
        }
    }
}

/// No host was at these places.
pub(in crate::cli) fn none_at(places: &[String]) -> Failure {
    let places = places.join("; ");
    Failure::no_host(format!(
        "no running host; looked at {places}. Name its socket with --admin or ${VARIABLE}"
    ))
}

fn why(error: &std::io::Error, place: &Path) -> String {
    match error.kind() {
        ErrorKind::NotFound => "not there".to_owned(),
        ErrorKind::ConnectionRefused => "nobody listens, the host has ended".to_owned(),
        ErrorKind::PermissionDenied => {
            let folder = place.parent().unwrap_or(place).display();
            format!("this user may not connect there or enter {folder}")
        }
        _ => error.to_string(),
    }
}
