//! [`Exact`]: trust in certificates that are named themselves, byte for byte or by their hash, instead of by an
//! authority. `openssl req -x509` makes such certificates, and most devices come with one.

use crate::certificate::fingerprint;
use crate::verifier::{Unverified, Unvouched};
use data_encoding::{BASE64, HEXLOWER_PERMISSIVE};
use jackfield_plugin_api::{Error, Result};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_name;
use rustls::server::ParsedCertificate;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, OtherError, SignatureScheme,
};
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, ServerName, UnixTime};
use std::sync::Arc;
use std::time::Duration;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::revocation_list::CertificateRevocationList;

/// The certificates that are trusted themselves. Their dates are checked, and for a server its name.
#[derive(Debug)]
pub(crate) struct Exact {
    listed: Vec<CertificateDer<'static>>,
    hashes: Vec<String>,
    revoked: Vec<CertificateRevocationListDer<'static>>,
}

impl Exact {
    /// Certificates of a file, and hashes as people write them: hexadecimal, with or without colons, or base64.
    ///
    /// # Errors
    /// Naming the option and the hash that is none.
    pub(crate) fn new(
        listed: Vec<CertificateDer<'static>>,
        hashes: &[String],
        revoked: Vec<CertificateRevocationListDer<'static>>,
    ) -> Result<Self> {
        let hashes = hashes.iter().map(|text| parse(text)).collect::<Result<_>>()?;
        Ok(Exact { listed, hashes, revoked })
    }

    fn is_pinned(&self, der: &CertificateDer<'_>) -> bool {
        !self.hashes.is_empty() && self.hashes.contains(&fingerprint(der))
    }

    fn is_listed(&self, der: &CertificateDer<'_>) -> bool {
        self.listed.iter().any(|listed| listed == der)
    }

    /// What is wrong with a certificate that is named: its time, or that it was revoked all the same.
    fn check(
        &self,
        der: &CertificateDer<'_>,
        now: UnixTime,
    ) -> std::result::Result<(), CertificateError> {
        let Ok((_, certificate)) = X509Certificate::from_der(der) else {
            return Err(CertificateError::BadEncoding);
        };
        timely(&certificate, now)?;
        let revoked = self.revoked.iter().any(|list| {
            CertificateRevocationList::from_der(list).is_ok_and(|(_, list)| {
                list.issuer().as_raw() == certificate.issuer().as_raw()
                    && list
                        .iter_revoked_certificates()
                        .any(|revoked| revoked.raw_serial() == certificate.raw_serial())
            })
        });
        if revoked { Err(CertificateError::Revoked) } else { Ok(()) }
    }

    /// Who else than the authorities may be refused, for one that only hashes name.
    fn stranger(der: &CertificateDer<'_>) -> rustls::Error {
        let reason = Arc::new(Unvouched::NotPinned { found: fingerprint(der) });
        CertificateError::Other(OtherError(reason)).into()
    }
}

fn parse(text: &str) -> Result<String> {
    let bare: String = text.chars().filter(|character| *character != ':').collect();
    let bytes = HEXLOWER_PERMISSIVE
        .decode(bare.as_bytes())
        .ok()
        .or_else(|| BASE64.decode(text.as_bytes()).ok())
        .filter(|bytes| bytes.len() == 32);
    bytes.map(|bytes| data_encoding::HEXLOWER.encode(&bytes)).ok_or_else(|| {
        let message = format!("{text:?} is no SHA-256; expected 64 hexadecimal digits or base64");
        Error::option("certificate_hashes", message)
    })
}

/// Whether the certificate's own time has come and not passed.
fn timely(
    certificate: &X509Certificate<'_>,
    now: UnixTime,
) -> std::result::Result<(), CertificateError> {
    let validity = certificate.validity();
    let seconds = |time: x509_parser::time::ASN1Time| {
        let seconds = u64::try_from(time.timestamp()).unwrap_or(0);
        UnixTime::since_unix_epoch(Duration::from_secs(seconds))
    };
    let (not_before, not_after) = (seconds(validity.not_before), seconds(validity.not_after));
    if now > not_after {
        return Err(CertificateError::ExpiredContext { time: now, not_after });
    }
    if now < not_before {
        return Err(CertificateError::NotValidYetContext { time: now, not_before });
    }
    Ok(())
}

/// Whether the certificate says for which hosts it is (RFC 9525 §6.3: names in the subject do not count).
fn names_hosts(der: &CertificateDer<'_>) -> bool {
    let Ok((_, certificate)) = X509Certificate::from_der(der) else { return true };
    let names = certificate.subject_alternative_name().ok().flatten();
    names.is_some_and(|names| {
        let host = |name: &GeneralName<'_>| {
            matches!(name, GeneralName::DNSName(_) | GeneralName::IPAddress(_))
        };
        names.value.general_names.iter().any(host)
    })
}

/// Takes the servers that [`Exact`] names, and else those of the verifier inside.
#[derive(Debug)]
pub(crate) struct ExactServers {
    pub(crate) exact: Exact,
    pub(crate) inner: Option<Arc<dyn ServerCertVerifier>>,
    pub(crate) signatures: Unverified,
}

impl ServerCertVerifier for ExactServers {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        let pinned = self.exact.is_pinned(end_entity);
        if pinned || self.exact.is_listed(end_entity) {
            self.exact.check(end_entity, now)?;
            // A hash is meant for one certificate alone: where that names no host, there is nothing to compare.
            if !pinned || names_hosts(end_entity) {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
            }
            return Ok(ServerCertVerified::assertion());
        }
        match &self.inner {
            Some(inner) => {
                inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
            }
            None if self.exact.hashes.is_empty() => Err(CertificateError::UnknownIssuer.into()),
            None => Err(Exact::stranger(end_entity)),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        self.signatures.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        self.signatures.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.signatures.supported_verify_schemes()
    }
}

/// Takes the clients that [`Exact`] names, and else those of the verifier inside.
#[derive(Debug)]
pub(crate) struct ExactClients {
    pub(crate) exact: Exact,
    pub(crate) inner: Option<Arc<dyn ClientCertVerifier>>,
    pub(crate) mandatory: bool,
    /// Whether clients are told whose certificates are taken. Not where some are taken that no authority of the
    /// list has signed: a client that believes the list would not show them.
    pub(crate) hints: bool,
    pub(crate) signatures: Unverified,
}

impl ClientCertVerifier for ExactClients {
    fn client_auth_mandatory(&self) -> bool {
        self.mandatory
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        match &self.inner {
            Some(inner) if self.hints => inner.root_hint_subjects(),
            _ => &[],
        }
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> std::result::Result<ClientCertVerified, rustls::Error> {
        if self.exact.is_pinned(end_entity) || self.exact.is_listed(end_entity) {
            self.exact.check(end_entity, now)?;
            return Ok(ClientCertVerified::assertion());
        }
        match &self.inner {
            Some(inner) => inner.verify_client_cert(end_entity, intermediates, now),
            None if self.exact.hashes.is_empty() => Err(CertificateError::UnknownIssuer.into()),
            None => Err(Exact::stranger(end_entity)),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        self.signatures.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        self.signatures.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.signatures.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn hashes_are_taken_as_people_write_them() {
        let hex = "ab".repeat(32);
        let spaced = vec!["AB"; 32].join(":");
        let base64 = data_encoding::BASE64.encode(&[0xab; 32]);
        for text in [&hex, &spaced, &base64] {
            assert_eq!(parse(text).ok().as_ref(), Some(&hex), "{text}");
        }
        for text in ["", "abcd", "no hash at all"] {
            let error = parse(text).expect_err("no hash");
            assert!(error.to_string().contains("option=certificate_hashes"), "{error}");
        }
    }
}
