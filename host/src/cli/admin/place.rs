//! Where a running host is looked for.

use super::link::HostLink;
use super::network::NetworkPlace;
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
    /// Socket of the host, or https://HOST:PORT of one whose route leads to its admin API; without it
    /// $JACKFIELD_ADMIN, else $XDG_RUNTIME_DIR/jackfield/admin.sock, else /run/jackfield/admin.sock
    #[arg(long, value_name = "PATH|URI")]
    admin: Option<String>,
    /// Over https: authorities to trust, PEM; without it $JACKFIELD_ADMIN_CA, else the system's
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    admin_ca: Option<String>,
    /// Over https: our certificate, PEM, which says who asks; without it $JACKFIELD_ADMIN_CERT
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    admin_cert: Option<String>,
    /// Over https: the private key of it, PEM; without it $JACKFIELD_ADMIN_KEY
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    admin_key: Option<String>,
    /// Over https: a file with a token, which says who asks; without it $JACKFIELD_ADMIN_TOKEN
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    admin_token: Option<String>,
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

    /// What is named, on the command line or else by the variable.
    fn named(&self) -> Option<String> {
        self.admin.clone().or_else(|| variable(VARIABLE))
    }

    /// The file of `--admin-FLAG`, or else of its variable.
    pub(super) fn file(&self, flag: &str) -> Option<String> {
        let given = match flag {
            "ca" => &self.admin_ca,
            "cert" => &self.admin_cert,
            "key" => &self.admin_key,
            _ => &self.admin_token,
        };
        let name = format!("{VARIABLE}_{}", flag.to_uppercase());
        given.clone().or_else(|| variable(&name))
    }

    /// Where to look on this machine, in this order.
    fn places(&self) -> Vec<PathBuf> {
        if let Some(place) = self.named() {
            let path = place.strip_prefix("unix:").unwrap_or(&place);
            return vec![PathBuf::from(path)];
        }
        let user = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
        let user = user.filter(|folder| folder.is_absolute());
        let user = user.map(|folder| folder.join("jackfield/admin.sock"));
        user.into_iter().chain([PathBuf::from(SYSTEM)]).collect()
    }

    /// Looks for a host; one on the network is not asked yet.
    ///
    /// # Errors
    /// What is wrong with a place on the network, or with files for it.
    pub(in crate::cli) async fn find(&self) -> Outcome<HostSearch> {
        if let Some(uri) = self.named().filter(|place| place.contains("://")) {
            if let Some(path) = uri.strip_prefix("unix://") {
                return Ok(Self { admin: Some(path.to_owned()), ..Self::default() }.look().await);
            }
            let place = NetworkPlace::of(&uri, self)?;
            return Ok(HostSearch::Host(HostLink::over(place)));
        }
        Ok(self.look().await)
    }

    async fn look(&self) -> HostSearch {
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
        match self.find().await? {
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

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn why(error: &std::io::Error, place: &Path) -> String {
    match error.kind() {
        ErrorKind::NotFound => "not there".to_owned(),
        ErrorKind::ConnectionRefused if place.is_dir() => "a folder, and no socket".to_owned(),
        ErrorKind::ConnectionRefused if place.is_file() => "a file, and no socket".to_owned(),
        ErrorKind::ConnectionRefused => "nobody listens, the host has ended".to_owned(),
        ErrorKind::PermissionDenied => {
            let folder = place.parent().unwrap_or(place).display();
            format!("this user may not connect there or enter {folder}")
        }
        _ => error.to_string(),
    }
}
