//! Who is trusted: servers by authorities, hashes or not at all checked; clients by authorities.

use crate::credentials::{ClientAuth, Credentials};
use crate::files::Named;
use crate::pinned::Pinned;
use crate::verifier::{Explaining, Unverified};
use jackfield_plugin_api::{Error, Result};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::CryptoProvider;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use std::sync::Arc;

/// How a client decides about servers.
pub(crate) fn of_servers(
    credentials: &Credentials<'_>,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>> {
    let provider = Arc::clone(provider);
    let pinned = !credentials.certificate_hashes.is_empty();
    if credentials.danger_skip_verification {
        let pointless = match (credentials.ca_file, pinned) {
            (Some(_), _) => "makes `ca_file` pointless; leave one of the two out",
            (None, true) => "makes `certificate_hashes` pointless; leave one of the two out",
            (None, false) => return Ok(Arc::new(Unverified(provider))),
        };
        return Err(Error::option("danger_skip_verification", pointless));
    }
    if pinned {
        if credentials.ca_file.is_some() {
            let message = "makes `ca_file` pointless; leave one of the two out";
            return Err(Error::option("certificate_hashes", message));
        }
        let hashes = credentials.certificate_hashes;
        return Ok(Arc::new(Pinned::new(hashes, Unverified(provider))?));
    }
    let inner: Arc<dyn ServerCertVerifier> = match credentials.ca_file {
        Some(path) => {
            let file = Named { option: "ca_file", path };
            WebPkiServerVerifier::builder_with_provider(Arc::new(file.authorities()?), provider)
                .build()
                .map_err(|error| file.wrong(format!("is not usable: {error}")))?
        }
        None => Arc::new(rustls_platform_verifier::Verifier::new(provider).map_err(|error| {
            let reason = "the system's certificate authorities cannot be used";
            Error::option("ca_file", format!("is not given, and {reason}: {error}"))
        })?),
    };
    Ok(Arc::new(Explaining(inner)))
}

/// How a listener decides about clients; `None`: they are not asked.
pub(crate) fn of_clients(
    credentials: &Credentials<'_>,
    provider: Arc<CryptoProvider>,
) -> Result<Option<Arc<dyn ClientCertVerifier>>> {
    let path = match (credentials.client_auth, credentials.client_ca_file) {
        (ClientAuth::None, None) => return Ok(None),
        (ClientAuth::None, Some(_)) => {
            return Err(Error::option(
                "client_auth",
                "is \"none\" while `client_ca_file` is given; expected \"optional\" or \"required\"",
            ));
        }
        (_, None) => {
            return Err(Error::option("client_ca_file", "is missing; `client_auth` needs it"));
        }
        (_, Some(path)) => path,
    };
    let file = Named { option: "client_ca_file", path };
    let builder =
        WebPkiClientVerifier::builder_with_provider(Arc::new(file.authorities()?), provider);
    let builder = match credentials.client_auth {
        ClientAuth::Optional => builder.allow_unauthenticated(),
        ClientAuth::Required | ClientAuth::None => builder,
    };
    builder.build().map(Some).map_err(|error| file.wrong(format!("is not usable: {error}")))
}
