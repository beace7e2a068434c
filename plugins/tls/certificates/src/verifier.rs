//! How a client decides about a server's certificate.

use crate::certificate::Described;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::{CertificateError, DigitallySignedStruct, Error, OtherError, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use std::fmt;
use std::sync::Arc;

/// Why nobody vouches for a certificate; said by [`Explaining`], because the certificate itself is
/// out of reach once the handshake has failed.
#[derive(Debug)]
pub(crate) enum Unvouched {
    /// It was signed with its own key.
    SelfSigned {
        /// Whose it is.
        subject: String,
    },
    /// The authority that signed it is not trusted.
    UnknownIssuer {
        /// That authority.
        issuer: String,
    },
    /// Only certificates with certain hashes are trusted, and it has another.
    NotPinned {
        /// Its SHA-256, in hexadecimal.
        found: String,
    },
}

impl Unvouched {
    /// Which option may help.
    pub(crate) fn advice(&self) -> &'static str {
        match self {
            Unvouched::NotPinned { .. } => "`certificate_hashes` names those that are trusted",
            _ => "`ca_file` can name whom to trust",
        }
    }
}

impl fmt::Display for Unvouched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unvouched::SelfSigned { subject } => {
                write!(f, "the certificate is self-signed ({subject})")
            }
            Unvouched::UnknownIssuer { issuer } => {
                write!(f, "the certificate was issued by an unknown authority ({issuer})")
            }
            Unvouched::NotPinned { found } => {
                write!(f, "the certificate's SHA-256 is {found}, which is not a trusted one")
            }
        }
    }
}

impl std::error::Error for Unvouched {}

/// Verifies as the verifier inside does, and says more about a certificate without a known issuer.
/// The peer's alert for that is then `certificate_unknown` instead of `unknown_ca`.
#[derive(Debug)]
pub(crate) struct Explaining(pub(crate) Arc<dyn ServerCertVerifier>);

impl ServerCertVerifier for Explaining {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified =
            self.0.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        let Err(Error::InvalidCertificate(CertificateError::UnknownIssuer)) = verified else {
            return verified;
        };
        let Some(described) = Described::new(end_entity) else { return verified };
        let reason = if described.self_signed {
            Unvouched::SelfSigned { subject: described.subject }
        } else {
            // The chain as far as it was shown ends at its last certificate.
            let last = intermediates.last().and_then(|last| Described::new(last));
            Unvouched::UnknownIssuer { issuer: last.map_or(described.issuer, |last| last.issuer) }
        };
        Err(CertificateError::Other(OtherError(Arc::new(reason))).into())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

/// Trusts any certificate whose key the server holds.
#[derive(Debug)]
pub(crate) struct Unverified(pub(crate) Arc<CryptoProvider>);

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
