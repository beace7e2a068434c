//! Certificates and keys from PEM, of files or as text, and what is wrong with them.

use jackfield_plugin_api::{Error, ErrorKind, Result, open_private};
use rustls::RootCertStore;
use rustls_pki_types::pem::{self, PemObject};
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use std::io::Read;
use std::path::Path;
use x509_parser::prelude::{FromDer, X509Certificate};

/// The longest file that is read, in bytes: the system's whole store of authorities has 0.2 MiB.
const LONGEST: u64 = 4 << 20;

/// An option and the PEM that it gives. `Debug` is left out: a text may be a key.
#[derive(Clone, Copy)]
pub(crate) struct Named<'a> {
    option: &'static str,
    source: Source<'a>,
}

#[derive(Clone, Copy)]
enum Source<'a> {
    File(&'a Path),
    Text(&'a str),
}

impl<'a> Named<'a> {
    /// The file that an option names.
    pub(crate) fn file(option: &'static str, path: &'a Path) -> Self {
        Named { option, source: Source::File(path) }
    }

    /// What one of two options gives, the first as a file, the second as text.
    ///
    /// # Errors
    /// Both are given.
    pub(crate) fn one_of(
        (option, path): (&'static str, Option<&'a Path>),
        (other, text): (&'static str, Option<&'a str>),
    ) -> Result<Option<Self>> {
        match (path, text) {
            (Some(_), Some(_)) => {
                Err(Error::option(other, format!("and `{option}` exclude each other")))
            }
            (Some(path), None) => Ok(Some(Named::file(option, path))),
            (None, Some(text)) => Ok(Some(Named { option: other, source: Source::Text(text) })),
            (None, None) => Ok(None),
        }
    }

    /// An error about this PEM.
    pub(crate) fn wrong(self, message: impl Into<String>) -> Error {
        self.placed(Error::option(self.option, message))
    }

    fn placed(self, error: Error) -> Error {
        match self.source {
            Source::File(path) => error.with("file", path.display()),
            Source::Text(_) => error,
        }
    }

    fn read(self) -> Result<Vec<u8>> {
        match self.source {
            Source::File(path) => {
                let file = std::fs::File::open(path).map_err(|error| self.unreadable(&error))?;
                self.read_from(file)
            }
            Source::Text(text) => Ok(text.as_bytes().to_vec()),
        }
    }

    fn unreadable(self, error: &std::io::Error) -> Error {
        let kind = match error.kind() {
            std::io::ErrorKind::NotFound => ErrorKind::NotFound,
            _ => ErrorKind::Config,
        };
        let error = Error::new(kind, format!("cannot be read: {error}"));
        self.placed(error.with("option", self.option))
    }

    fn read_from(self, file: std::fs::File) -> Result<Vec<u8>> {
        let mut text = Vec::new();
        let read = file.take(LONGEST + 1).read_to_end(&mut text);
        read.map_err(|error| self.unreadable(&error))?;
        if text.len() as u64 > LONGEST {
            return Err(self.wrong(format!("longer than {LONGEST} bytes; expected a PEM file")));
        }
        Ok(text)
    }

    /// All certificates; at least one.
    pub(crate) fn certificates(self) -> Result<Vec<CertificateDer<'static>>> {
        let text = self.read()?;
        let found = CertificateDer::pem_slice_iter(&text)
            .collect::<Result<Vec<_>, pem::Error>>()
            .map_err(|error| self.wrong(format!("not well-formed PEM: {error}")))?;
        if found.is_empty() {
            return Err(self.wrong("has no certificate; expected `-----BEGIN CERTIFICATE-----`"));
        }
        Ok(found)
    }

    /// The first private key; nobody else may read its file.
    pub(crate) fn key(self) -> Result<PrivateKeyDer<'static>> {
        let text = match self.source {
            Source::File(path) => self.read_from(open_private(path, self.option)?)?,
            Source::Text(_) => self.read()?,
        };
        let encrypted = [&b"BEGIN ENCRYPTED PRIVATE KEY"[..], b"Proc-Type: 4,ENCRYPTED"];
        if encrypted.iter().any(|mark| text.windows(mark.len()).any(|part| part == *mark)) {
            return Err(self.wrong("the key is encrypted; expected one without a passphrase"));
        }
        PrivateKeyDer::from_pem_slice(&text).map_err(|error| match error {
            pem::Error::NoItemsFound => {
                self.wrong("has no private key; expected `-----BEGIN PRIVATE KEY-----`")
            }
            error => self.wrong(format!("not well-formed PEM: {error}")),
        })
    }

    /// All certificates, and those of them that may vouch for others.
    pub(crate) fn authorities(self) -> Result<Authorities> {
        let all = self.certificates()?;
        let mut roots = RootCertStore::empty();
        for (index, certificate) in all.iter().enumerate() {
            if vouches_for_others(certificate) {
                roots.add(certificate.clone()).map_err(|error| {
                    self.wrong(format!("certificate {} is not usable: {error}", index + 1))
                })?;
            }
        }
        Ok(Authorities { all, roots })
    }

    /// All lists of revoked certificates; at least one.
    pub(crate) fn revocation_lists(self) -> Result<Vec<CertificateRevocationListDer<'static>>> {
        let text = self.read()?;
        let found = CertificateRevocationListDer::pem_slice_iter(&text)
            .collect::<Result<Vec<_>, pem::Error>>()
            .map_err(|error| self.wrong(format!("not well-formed PEM: {error}")))?;
        if found.is_empty() {
            return Err(self.wrong("has no revocation list; expected `-----BEGIN X509 CRL-----`"));
        }
        Ok(found)
    }
}

/// What a file of authorities has.
pub(crate) struct Authorities {
    /// Every certificate of it; each is trusted itself, too.
    pub(crate) all: Vec<CertificateDer<'static>>,
    /// Those that may vouch for others.
    pub(crate) roots: RootCertStore,
}

/// Whether the certificate does not say of itself that it is no authority (RFC 5280 §4.2.1.9).
fn vouches_for_others(der: &CertificateDer<'_>) -> bool {
    let Ok((_, certificate)) = X509Certificate::from_der(der) else { return true };
    let constraints = certificate.basic_constraints().ok().flatten();
    constraints.is_none_or(|constraints| constraints.value.ca)
}
