//! [`Refusals`]: why a server's certificate was refused, for protocols whose library passes on only
//! the text of rustls' error.

use crate::refusal::reason;
use jackfield_plugin_api::{Error, Role};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::{DigitallySignedStruct, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use std::sync::{Arc, Mutex, PoisonError};

/// The last refusal of a client's connections.
#[derive(Debug, Default)]
pub struct Refusals(Mutex<Option<rustls::Error>>);

impl Refusals {
    /// The refusal that has this text, for people. `None` when the last one has another.
    pub fn explain(&self, text: &str, role: Role) -> Option<Error> {
        let last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = last.as_ref().filter(|error| error.to_string() == text)?;
        Some(reason(found, role))
    }
}

/// Verifies as the verifier inside does, and keeps its refusals.
#[derive(Debug)]
pub(crate) struct Telling {
    pub(crate) inner: Arc<dyn ServerCertVerifier>,
    pub(crate) refusals: Arc<Refusals>,
}

impl ServerCertVerifier for Telling {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verified = self.inner.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        );
        if let Err(error) = &verified {
            let mut last = self.refusals.0.lock().unwrap_or_else(PoisonError::into_inner);
            *last = Some(error.clone());
        }
        verified
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}
