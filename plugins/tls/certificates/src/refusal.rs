//! From what rustls and the carrier say to one error with a reason for people.

use crate::certificate::moment_of;
use crate::verifier::Unvouched;
use jackfield_plugin_api::{Error, ErrorKind, Origin, Role};
use rustls::{AlertDescription, CertificateError, InvalidMessage};
use std::io;

/// An error of the handshake or of the stream after it.
pub fn explain(error: io::Error, role: Role) -> Error {
    let cause = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match cause {
        Some(cause) => reason(cause, role),
        None if error.kind() == io::ErrorKind::UnexpectedEof => of(role, cut_short(&error)),
        None => error.into(),
    }
}

/// The peer of a server is the one that connected to us.
fn of(role: Role, error: Error) -> Error {
    match role {
        Role::Client => error,
        Role::Server => error.with_origin(Origin::Downstream),
    }
}

/// What rustls says, where it has failed on our side.
pub fn reason(cause: &rustls::Error, role: Role) -> Error {
    of(role, told(cause, role))
}

/// What the peer says, where it has failed on its side.
pub fn alert(alert: u8, role: Role) -> Error {
    of(role, alert_received(AlertDescription::from(alert), role))
}

/// The carrier ended where TLS does not allow it.
fn cut_short(error: &io::Error) -> Error {
    let handshake = error.to_string().contains("handshake");
    Error::new(
        ErrorKind::Closed,
        if handshake {
            "the peer closed the connection during the TLS handshake"
        } else {
            "the connection ended without a TLS close_notify: what was received may be cut short"
        },
    )
}

fn told(cause: &rustls::Error, role: Role) -> Error {
    match cause {
        rustls::Error::InvalidCertificate(wrong) => {
            Error::new(ErrorKind::Untrusted, certificate(wrong, role))
        }
        rustls::Error::NoCertificatesPresented => {
            Error::new(ErrorKind::Untrusted, "the peer showed no certificate")
        }
        rustls::Error::AlertReceived(alert) => alert_received(*alert, role),
        rustls::Error::InvalidMessage(
            InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion,
        ) => Error::new(ErrorKind::Protocol, "the peer does not speak TLS"),
        rustls::Error::PeerIncompatible(what) => {
            let what = words(&format!("{what:?}"));
            Error::new(ErrorKind::Protocol, format!("nothing in common with the peer: {what}"))
        }
        rustls::Error::NoApplicationProtocol => Error::new(
            ErrorKind::Protocol,
            "the peer offers none of our application protocols (`alpn`)",
        ),
        other => Error::new(ErrorKind::Protocol, format!("TLS failed: {other}")),
    }
}

fn alert_received(alert: AlertDescription, role: Role) -> Error {
    use AlertDescription as Alert;
    let name = words(alert.as_str().unwrap_or("an unknown alert"));
    let about_us = matches!(
        alert,
        Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateRevoked
            | Alert::CertificateExpired
            | Alert::CertificateUnknown
            | Alert::CertificateRequired
            | Alert::UnknownCA
            | Alert::AccessDenied
            | Alert::DecryptError
    );
    match (about_us, role) {
        (true, Role::Client) => {
            Error::new(ErrorKind::Denied, format!("the server refused our certificate: {name}"))
        }
        (true, Role::Server) => {
            Error::new(ErrorKind::Denied, format!("the client refused our certificate: {name}"))
        }
        (false, _) => Error::new(ErrorKind::Protocol, format!("the peer ended TLS: {name}")),
    }
}

/// Why a certificate is not good, in one sentence.
fn certificate(wrong: &CertificateError, role: Role) -> String {
    match wrong {
        CertificateError::ExpiredContext { not_after, .. } => {
            format!("the certificate expired at {}", moment_of(not_after.as_secs()))
        }
        CertificateError::Expired => "the certificate has expired".into(),
        CertificateError::NotValidYetContext { not_before, .. } => {
            format!("the certificate is not valid before {}", moment_of(not_before.as_secs()))
        }
        CertificateError::NotValidYet => "the certificate is not valid yet".into(),
        CertificateError::NotValidForNameContext { expected, presented } => {
            format!("the certificate is for {}, not for {}", list(presented), expected.to_str())
        }
        CertificateError::NotValidForName => "the certificate is for another name".into(),
        CertificateError::UnknownIssuer => match role {
            Role::Client => "the certificate was issued by an unknown authority".into(),
            Role::Server => {
                "the client's certificate was not issued by an authority in `client_ca_file`".into()
            }
        },
        CertificateError::UnknownRevocationStatus => {
            "no list in `crl_file` is by the authority that issued the certificate, or by one above it"
                .into()
        }
        CertificateError::ExpiredRevocationListContext { next_update, .. } => {
            let moment = moment_of(next_update.as_secs());
            format!("the list in `crl_file` that tells of the certificate was to be renewed at {moment}")
        }
        CertificateError::Revoked => "the certificate was revoked".into(),
        CertificateError::BadSignature => "the certificate's signature is wrong".into(),
        CertificateError::BadEncoding => "the certificate is malformed".into(),
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "the certificate is not meant for this use".into()
        }
        CertificateError::Other(other) => match other.0.downcast_ref::<Unvouched>() {
            Some(reason) => format!("{reason}; {}", reason.advice()),
            None => format!("the certificate is not acceptable: {other}"),
        },
        other => format!("the certificate is not acceptable: {other}"),
    }
}

/// `DnsName("a.test")` and the like, as names; rustls shows them in their debug form.
fn list(presented: &[String]) -> String {
    if presented.is_empty() {
        return "no name at all".into();
    }
    let bare = |name: &String| {
        let inner = name.split_once('(').map_or(name.as_str(), |(_, inner)| inner);
        inner.trim_end_matches(')').trim_matches('"').to_owned()
    };
    presented.iter().map(bare).collect::<Vec<_>>().join(", ")
}

/// `CertificateRequired` as `certificate required`.
fn words(name: &str) -> String {
    let mut text = String::new();
    let mut small = false;
    for character in name.chars() {
        if character.is_uppercase() && small {
            text.push(' ');
        }
        small = character.is_lowercase();
        text.extend(character.to_lowercase());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{explain, list, words};
    use jackfield_plugin_api::{ErrorKind, Origin, Role};
    use rustls::AlertDescription;
    use std::io;

    fn of(cause: rustls::Error) -> io::Error {
        io::Error::new(io::ErrorKind::InvalidData, cause)
    }

    #[test]
    fn names_are_readable() {
        assert_eq!(list(&["DnsName(\"a.test\")".into(), "b.test".into()]), "a.test, b.test");
        assert_eq!(list(&["IpAddress(127.0.0.1)".into()]), "127.0.0.1");
        assert_eq!(list(&[]), "no name at all");
        assert_eq!(words("CertificateRequired"), "certificate required");
        assert_eq!(words("UnknownCA"), "unknown ca");
    }

    #[test]
    fn alerts_about_our_certificate_are_denials() {
        let alert = rustls::Error::AlertReceived(AlertDescription::CertificateRequired);
        let error = explain(of(alert), Role::Client);
        assert_eq!(error.kind(), ErrorKind::Denied);
        assert_eq!(error.message(), "the server refused our certificate: certificate required");
        let alert = rustls::Error::AlertReceived(AlertDescription::HandshakeFailure);
        let error = explain(of(alert), Role::Server);
        assert_eq!((error.kind(), error.origin()), (ErrorKind::Protocol, Origin::Downstream));
    }

    #[test]
    fn the_carriers_own_errors_stay_what_they_are() {
        let error = explain(io::ErrorKind::ConnectionReset.into(), Role::Client);
        assert_eq!(error.kind(), ErrorKind::Closed);
        let ours = jackfield_plugin_api::Error::new(ErrorKind::Limit, "full");
        assert_eq!(explain(ours.into_io(), Role::Client).kind(), ErrorKind::Limit);
        let cut = io::Error::new(io::ErrorKind::UnexpectedEof, "peer closed without close_notify");
        let error = explain(cut, Role::Client);
        assert!(error.message().contains("close_notify"), "{error}");
    }
}
