//! Who is trusted: peers by authorities, or by their own certificates, or not at all checked.

use crate::credentials::{ClientAuth, Credentials};
use crate::exact::{Exact, ExactClients, ExactServers};
use crate::files::{Authorities, Named};
use crate::verifier::{Explaining, Unverified};
use jackfield_plugin_api::{Error, Result};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::CryptoProvider;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls_pki_types::CertificateRevocationListDer;
use std::sync::Arc;

/// How a client decides about servers.
pub(crate) fn of_servers(
    credentials: &Credentials<'_>,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>> {
    let provider = Arc::clone(provider);
    let pinned = !credentials.certificate_hashes.is_empty();
    let authorities = credentials.authorities()?;
    if credentials.danger_skip_verification {
        let pointless = [
            ("ca_file", credentials.ca_file.is_some()),
            ("ca", credentials.texts.ca.is_some()),
            ("certificate_hashes", pinned),
            ("crl_file", credentials.crl_file.is_some()),
        ];
        return match pointless.iter().find(|(_, given)| *given) {
            Some((name, _)) => {
                let message = format!("makes `{name}` pointless; leave one of the two out");
                Err(Error::option("danger_skip_verification", message))
            }
            None => Ok(Arc::new(Unverified(provider))),
        };
    }
    if pinned && authorities.is_some() {
        let message = "makes `ca_file` pointless; leave one of the two out";
        return Err(Error::option("certificate_hashes", message));
    }
    let revoked = revoked(credentials, pinned || authorities.is_some(), "ca_file")?;
    let (listed, inner): (_, Option<Arc<dyn ServerCertVerifier>>) = match authorities {
        Some(file) => {
            let Authorities { all, roots } = file.authorities()?;
            let inner: Option<Arc<dyn ServerCertVerifier>> = match roots.is_empty() {
                true => None,
                false => Some(
                    WebPkiServerVerifier::builder_with_provider(
                        Arc::new(roots),
                        Arc::clone(&provider),
                    )
                    .with_crls(revoked.iter().cloned())
                    .enforce_revocation_expiration()
                    .build()
                    .map_err(|error| file.wrong(format!("is not usable: {error}")))?,
                ),
            };
            (all, inner)
        }
        None if pinned => (Vec::new(), None),
        None => {
            let system = rustls_platform_verifier::Verifier::new(Arc::clone(&provider));
            let system = system.map_err(|error| {
                let reason = "the system's certificate authorities cannot be used";
                Error::option("ca_file", format!("is not given, and {reason}: {error}"))
            })?;
            (Vec::new(), Some(Arc::new(system)))
        }
    };
    let exact = Exact::new(listed, credentials.certificate_hashes, revoked)?;
    let signatures = Unverified(provider);
    Ok(Arc::new(Explaining(Arc::new(ExactServers { exact, inner, signatures }))))
}

/// How a listener decides about clients; `None`: they are not asked.
pub(crate) fn of_clients(
    credentials: &Credentials<'_>,
    provider: Arc<CryptoProvider>,
) -> Result<Option<Arc<dyn ClientCertVerifier>>> {
    let pinned = !credentials.certificate_hashes.is_empty();
    let authorities = credentials.client_authorities()?;
    let given = match (authorities, pinned) {
        (Some(_), _) if credentials.client_ca_file.is_none() => Some("client_ca"),
        (Some(_), _) => Some("client_ca_file"),
        (None, true) => Some("certificate_hashes"),
        (None, false) => None,
    };
    match (credentials.client_auth, given) {
        (ClientAuth::None, None) => {
            revoked(credentials, false, "client_ca_file")?;
            return Ok(None);
        }
        (ClientAuth::None, Some(given)) => {
            let message = format!(
                "is \"none\" while `{given}` is given; expected \"optional\" or \"required\""
            );
            return Err(Error::option("client_auth", message));
        }
        (_, None) => {
            return Err(Error::option("client_ca_file", "is missing; `client_auth` needs it"));
        }
        (_, Some(_)) => {}
    }
    let revoked = revoked(credentials, true, "client_ca_file")?;
    let mandatory = credentials.client_auth == ClientAuth::Required;
    let (mut listed, mut inner, mut hints) = (Vec::new(), None, false);
    if let Some(file) = authorities {
        let Authorities { all, roots } = file.authorities()?;
        hints = !pinned && roots.len() == all.len();
        listed = all;
        if !roots.is_empty() {
            let provider = Arc::clone(&provider);
            let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                .with_crls(revoked.iter().cloned())
                .enforce_revocation_expiration();
            let wrong = |error| file.wrong(format!("is not usable: {error}"));
            inner = Some(builder.build().map_err(wrong)?);
        }
    }
    let exact = Exact::new(listed, credentials.certificate_hashes, revoked)?;
    let signatures = Unverified(provider);
    Ok(Some(Arc::new(ExactClients { exact, inner, mandatory, hints, signatures })))
}

/// The lists of `crl_file`, which only make sense beside certificates that are named.
fn revoked(
    credentials: &Credentials<'_>,
    sensible: bool,
    needed: &str,
) -> Result<Vec<CertificateRevocationListDer<'static>>> {
    match credentials.crl_file {
        None => Ok(Vec::new()),
        Some(path) if sensible => Named::file("crl_file", path).revocation_lists(),
        Some(_) => Err(Error::option("crl_file", format!("needs `{needed}`"))),
    }
}
