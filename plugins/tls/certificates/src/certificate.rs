//! What a certificate says, as text for people and facts.

use jackfield_plugin_api::Info;
use sha2::{Digest, Sha256};
use std::fmt::Write;
use std::net::IpAddr;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::time::ASN1Time;
use x509_parser::x509::{AttributeTypeAndValue, RelativeDistinguishedName, X509Name};

/// What matters of a certificate. Text of the peer's choosing: never trusted further than shown.
#[derive(Clone, Debug, PartialEq)]
pub struct Described {
    /// Its subject, as `CN=example.org, O=Example`; may be empty. A backslash stands before each sign of a value that
    /// would be read as the beginning of another one (RFC 4514 §2.4).
    pub subject: String,
    /// Who signed it.
    pub issuer: String,
    /// The names it is for: DNS names, IP addresses, e-mail addresses and URIs.
    pub names: Vec<String>,
    /// When it ends, RFC 3339.
    pub not_after: String,
    /// Whether it was signed with its own key, as far as its names say.
    pub self_signed: bool,
}

impl Described {
    /// `None` for what is no X.509 certificate.
    pub fn new(der: &[u8]) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let names = certificate.subject_alternative_name().ok().flatten();
        let names = names.map_or(Vec::new(), |extension| {
            extension.value.general_names.iter().filter_map(name).collect()
        });
        Some(Described {
            subject: distinguished(certificate.subject()),
            issuer: distinguished(certificate.issuer()),
            names,
            not_after: moment(certificate.validity().not_after),
            self_signed: certificate.subject().as_raw() == certificate.issuer().as_raw(),
        })
    }

    /// Who it is about: the subject, or without one the first name.
    pub fn identity(&self) -> Option<String> {
        let subject = Some(&self.subject).filter(|subject| !subject.is_empty());
        subject.or(self.names.first()).cloned()
    }
}

/// Adds the facts of a peer's certificate.
pub fn with_facts(info: Info, der: &[u8]) -> Info {
    let info = info.with("peer_sha256", fingerprint(der));
    match Described::new(der) {
        Some(described) => info
            .with("peer_subject", described.subject)
            .with("peer_issuer", described.issuer)
            .with("peer_names", described.names)
            .with("peer_not_after", described.not_after),
        None => info,
    }
}

/// The SHA-256 of the whole certificate, in hexadecimal.
pub fn fingerprint(der: &[u8]) -> String {
    Sha256::digest(der).iter().fold(String::with_capacity(64), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A moment by its seconds since 1970, RFC 3339; the number itself when it is out of range.
pub(crate) fn moment_of(seconds: u64) -> String {
    let time = i64::try_from(seconds).ok().and_then(|at| ASN1Time::from_timestamp(at).ok());
    time.map_or_else(|| seconds.to_string(), moment)
}

/// A name, as `CN=a, O=b`. A sign of a value that would be read as the beginning of something else has a backslash
/// before it: `CN=a\, O=b` is one value.
fn distinguished(name: &X509Name<'_>) -> String {
    let parts = name.iter().map(|part| part.iter().map(attribute).collect::<Vec<_>>().join(" + "));
    parts.collect::<Vec<_>>().join(", ")
}

fn attribute(attribute: &AttributeTypeAndValue<'_>) -> String {
    // Written by the parser, which knows kinds and alphabets, as a name that has nothing else.
    let alone = RelativeDistinguishedName::new(vec![attribute.clone()]);
    let text = X509Name::new(vec![alone], &[]).to_string();
    let Some((kind, value)) = text.split_once('=') else { return text };
    let mut text = format!("{kind}=");
    for sign in value.chars() {
        if matches!(sign, ',' | '+' | '\\') {
            text.push('\\');
        }
        text.push(sign);
    }
    text
}

fn moment(time: ASN1Time) -> String {
    let time = time.to_datetime();
    let (hour, minute, second) = time.to_hms();
    format!("{}T{hour:02}:{minute:02}:{second:02}Z", time.date())
}

fn name(general: &GeneralName<'_>) -> Option<String> {
    match general {
        GeneralName::DNSName(text) | GeneralName::RFC822Name(text) | GeneralName::URI(text) => {
            Some((*text).to_owned())
        }
        GeneralName::IPAddress(bytes) => {
            let four = <[u8; 4]>::try_from(*bytes).map(IpAddr::from);
            let sixteen = || <[u8; 16]>::try_from(*bytes).map(IpAddr::from);
            four.or_else(|_| sixteen()).ok().map(|address| address.to_string())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::Described;
    use rcgen::{CertificateParams, DnType, KeyPair};

    #[test]
    fn a_value_with_commas_is_no_other_subject() {
        let subject = |parts: &[(DnType, &str)]| {
            let mut params = CertificateParams::new(Vec::new()).expect("no names");
            params.distinguished_name = rcgen::DistinguishedName::new();
            for (kind, value) in parts {
                params.distinguished_name.push(kind.clone(), *value);
            }
            let key = KeyPair::generate().expect("a key");
            let certificate = params.self_signed(&key).expect("a certificate");
            Described::new(certificate.der()).expect("a certificate").subject
        };
        let (common, organization) = (DnType::CommonName, DnType::OrganizationName);
        let two = subject(&[(common.clone(), "ops"), (organization, "Lab")]);
        assert_eq!(two, "CN=ops, O=Lab");
        assert_eq!(subject(&[(common.clone(), "ops, O=Lab")]), r"CN=ops\, O=Lab");
        assert_eq!(subject(&[(common, r"a\, b + c")]), r"CN=a\\\, b \+ c");
    }
}
