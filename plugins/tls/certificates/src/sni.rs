//! [`ByName`]: which certificate a listener shows, by the name that a client asks for (SNI, RFC 6066 §3).

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::sync::Arc;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

/// A listener's certificates with the names each is for.
#[derive(Debug)]
pub(crate) struct ByName(Vec<(Vec<String>, Arc<CertifiedKey>)>);

impl ByName {
    /// The first certificate is for clients that ask for no name, or for one that none has.
    pub(crate) fn new(keys: Vec<CertifiedKey>) -> Self {
        let named = |key: CertifiedKey| {
            let names = key.cert.first().map(|der| names(der)).unwrap_or_default();
            (names, Arc::new(key))
        };
        ByName(keys.into_iter().map(named).collect())
    }
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let asked = hello.server_name().unwrap_or_default();
        let schemes = hello.signature_schemes();
        let usable = |key: &Arc<CertifiedKey>| key.key.choose_scheme(schemes).is_some();
        choose(&self.0, asked, usable).cloned()
    }
}

/// The certificate for a name: one that has it, else one whose wildcard covers it, else the first; of several, the
/// first that is `usable`.
fn choose<'a, K>(
    keys: &'a [(Vec<String>, K)],
    asked: &str,
    usable: impl Fn(&K) -> bool,
) -> Option<&'a K> {
    let wildcard = asked.split_once('.').map(|(_, rest)| format!("*.{rest}"));
    let with = |name: &str| {
        let has = |names: &[String]| names.iter().any(|own| own.eq_ignore_ascii_case(name));
        keys.iter().find(|(names, key)| has(names) && usable(key))
    };
    let found = with(asked).or_else(|| wildcard.as_deref().and_then(with));
    let any = || keys.iter().find(|(_, key)| usable(key)).or(keys.first());
    found.or_else(any).map(|(_, key)| key)
}

/// The DNS names of a certificate.
fn names(der: &[u8]) -> Vec<String> {
    let Ok((_, certificate)) = X509Certificate::from_der(der) else { return Vec::new() };
    let names = certificate.subject_alternative_name().ok().flatten();
    let names = names.map(|extension| &extension.value.general_names);
    let dns = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        _ => None,
    };
    names.into_iter().flatten().filter_map(dns).collect()
}

#[cfg(test)]
mod tests {
    use super::choose;

    #[test]
    fn the_name_decides_then_the_wildcard_then_the_first() {
        let of = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        let keys = [
            (of(&["first.test"]), 0),
            (of(&["*.lab.test"]), 1),
            (of(&["a.lab.test", "b.test"]), 2),
            (of(&["b.test"]), 3),
        ];
        let chosen = |asked: &str| choose(&keys, asked, |key| *key != 2).copied();
        assert_eq!(choose(&keys, "A.LAB.test", |_| true), Some(&2));
        assert_eq!(choose(&keys, "c.lab.test", |_| true), Some(&1));
        // A wildcard stands for one label (RFC 9525 §6.3).
        assert_eq!(choose(&keys, "d.c.lab.test", |_| true), Some(&0));
        assert_eq!((chosen(""), chosen("other")), (Some(0), Some(0)));
        // The client cannot use the second of these.
        assert_eq!((chosen("a.lab.test"), chosen("b.test")), (Some(1), Some(3)));
        assert_eq!(choose(&keys, "x", |_| false), Some(&0));
    }
}
