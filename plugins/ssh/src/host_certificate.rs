//! Whether a host's certificate (PROTOCOL.certkeys of OpenSSH) is good, once it is known that its authority is
//! trusted.

use crate::pattern::matches_pattern;
use russh::keys::{Algorithm, Certificate};
use ssh_key::certificate::CertType;

/// Checks what OpenSSH checks: what it is for, its signature, for which names and until when.
///
/// # Errors
/// Why not, as the end of a sentence that begins with "the host certificate".
pub(crate) fn check(certificate: &Certificate, host: &str, now: u64) -> Result<(), String> {
    if certificate.cert_type() != CertType::Host {
        return Err("is one for users".to_owned());
    }
    if let Some((name, _)) = certificate.critical_options().iter().next() {
        return Err(format!("has the critical option {name:?}, which is not known"));
    }
    if certificate.signature().algorithm() == (Algorithm::Rsa { hash: None }) {
        return Err("was signed with SHA-1".to_owned());
    }
    if certificate.verify_signature().is_err() {
        return Err("has a wrong signature".to_owned());
    }
    if now < certificate.valid_after() {
        return Err("is not valid yet".to_owned());
    }
    if now >= certificate.valid_before() {
        return Err("has expired".to_owned());
    }
    let names = certificate.valid_principals();
    // One without names is for every host of its authority (ssh-keygen(1)).
    if !names.is_empty() && !names.iter().any(|name| matches_pattern(name, host)) {
        return Err(format!("is for {}, not for {host}", names.join(", ")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::check;
    use russh::keys::key::safe_rng;
    use russh::keys::{Algorithm, Certificate, PrivateKey};
    use ssh_key::certificate::{Builder, CertType};

    const NOW: u64 = 1_000_000;

    fn signed(change: impl FnOnce(&mut Builder)) -> Certificate {
        signed_for(CertType::Host, change)
    }

    fn signed_for(kind: CertType, change: impl FnOnce(&mut Builder)) -> Certificate {
        let mut rng = safe_rng();
        let authority = PrivateKey::random(&mut rng, Algorithm::Ed25519).expect("a key");
        let key = PrivateKey::random(&mut rng, Algorithm::Ed25519).expect("a key");
        let mut builder =
            Builder::new_with_random_nonce(&mut rng, key.public_key(), NOW - 10, NOW + 10)
                .expect("a builder");
        builder.cert_type(kind).expect("a type");
        change(&mut builder);
        builder.sign(&authority).expect("a certificate")
    }

    fn named(name: &str) -> Certificate {
        signed(|builder| {
            builder.valid_principal(name).expect("a name");
        })
    }

    #[test]
    fn names_are_compared_as_patterns() {
        assert_eq!(check(&named("a.lab"), "a.lab", NOW), Ok(()));
        assert_eq!(check(&named("*.lab"), "a.lab", NOW), Ok(()));
        let refused = check(&named("b.lab"), "a.lab", NOW).expect_err("a refusal");
        assert_eq!(refused, "is for b.lab, not for a.lab");
        let all = signed(|builder| {
            builder.all_principals_valid().expect("no names");
        });
        assert_eq!(check(&all, "a.lab", NOW), Ok(()));
    }

    #[test]
    fn it_holds_from_its_first_second_to_the_one_before_its_last() {
        let at = |now| check(&named("a"), "a", now);
        assert_eq!(at(NOW - 11), Err("is not valid yet".to_owned()));
        assert_eq!((at(NOW - 10), at(NOW + 9)), (Ok(()), Ok(())));
        assert_eq!(at(NOW + 10), Err("has expired".to_owned()));
    }

    #[test]
    fn one_for_users_or_with_unknown_demands_is_refused() {
        let user = signed_for(CertType::User, |builder| {
            builder.valid_principal("a").expect("a name");
        });
        assert_eq!(check(&user, "a", NOW), Err("is one for users".to_owned()));
        let more = signed(|builder| {
            builder.critical_option("force-command", "x").expect("an option");
            builder.valid_principal("a").expect("a name");
        });
        assert!(check(&more, "a", NOW).expect_err("a refusal").contains("force-command"));
    }

    #[test]
    fn a_changed_certificate_is_refused() {
        let good = named("a");
        let mut bytes = good.to_bytes().expect("bytes");
        let at = bytes.windows(8).position(|part| *part == (NOW + 10).to_be_bytes());
        let at = at.expect("the end of its time");
        bytes[at + 7] ^= 1;
        let changed = Certificate::from_bytes(&bytes).expect("a certificate");
        assert_eq!(check(&changed, "a", NOW), Err("has a wrong signature".to_owned()));
    }
}
