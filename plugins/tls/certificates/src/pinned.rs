//! [`Pinned`]: trust in certificates by their hashes alone.

use crate::certificate::fingerprint;
use crate::verifier::{Unverified, Unvouched};
use data_encoding::{BASE64, HEXLOWER_PERMISSIVE};
use jackfield_plugin_api::{Error, Result};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, OtherError, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use std::sync::Arc;
use x509_parser::prelude::{FromDer, X509Certificate};

/// Trusts the certificates with these SHA-256, in hexadecimal, as long as their time has not passed;
/// names and authorities do not matter.
#[derive(Debug)]
pub(crate) struct Pinned {
    hashes: Vec<String>,
    signatures: Unverified,
}

impl Pinned {
    /// Hashes as people write them: hexadecimal, with or without colons, or base64.
    ///
    /// # Errors
    /// Naming the option and the hash that is none.
    pub(crate) fn new(hashes: &[String], signatures: Unverified) -> Result<Self> {
        let hashes = hashes.iter().map(|text| parse(text)).collect::<Result<_>>()?;
        Ok(Pinned { hashes, signatures })
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
fn timely(der: &[u8], now: UnixTime) -> std::result::Result<(), CertificateError> {
    let Ok((_, certificate)) = X509Certificate::from_der(der) else {
        return Err(CertificateError::BadEncoding);
    };
    let validity = certificate.validity();
    let seconds = |time: x509_parser::time::ASN1Time| {
        UnixTime::since_unix_epoch(std::time::Duration::from_secs(
            u64::try_from(time.timestamp()).unwrap_or(0),
        ))
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

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        let found = fingerprint(end_entity);
        if !self.hashes.contains(&found) {
            let reason = Arc::new(Unvouched::NotPinned { found });
            return Err(CertificateError::Other(OtherError(reason)).into());
        }
        timely(end_entity, now)?;
        Ok(ServerCertVerified::assertion())
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
