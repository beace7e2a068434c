//! [`Algorithms`]: which algorithms are offered to a server, by default and by option.
//!
//! The defaults are those of OpenSSH 9 as far as the protocol crate has them, but for one: AES-GCM comes first where the
//! processor has instructions for it, as in TLS. What is weaker is offered only where
//! an option names it, with the list syntax of `ssh_config(5)`.

use crate::options::AlgorithmOptions;
use crate::pattern::matches_pattern;
use jackfield_plugin_api::{Error, Result};
use russh::keys::Algorithm;
use russh::{cipher, kex, mac};
use std::borrow::Cow;

const KEX: &[&str] = &[
    "mlkem768x25519-sha256",
    "curve25519-sha256",
    "curve25519-sha256@libssh.org",
    "ecdh-sha2-nistp256",
    "ecdh-sha2-nistp384",
    "ecdh-sha2-nistp521",
    "diffie-hellman-group-exchange-sha256",
    "diffie-hellman-group16-sha512",
    "diffie-hellman-group18-sha512",
    "diffie-hellman-group17-sha512",
    "diffie-hellman-group15-sha512",
    "diffie-hellman-group14-sha256",
];
const WEAK_KEX: &[&str] = &[
    "diffie-hellman-group14-sha1",
    "diffie-hellman-group-exchange-sha1",
    "diffie-hellman-group1-sha1",
];
const HOST_KEY: &[&str] = &[
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "rsa-sha2-512",
    "rsa-sha2-256",
];
const WEAK_HOST_KEY: &[&str] = &["ssh-rsa"];
const CIPHER: &[&str] = &[
    "chacha20-poly1305@openssh.com",
    "aes256-gcm@openssh.com",
    "aes128-gcm@openssh.com",
    "aes256-ctr",
    "aes192-ctr",
    "aes128-ctr",
];
/// The first of them where the processor does AES and the multiplication of GCM by itself: there a GB takes a fraction of
/// what ChaCha20 takes. Neither is open to Terrapin, as the key exchange is strict and GCM was never affected.
const FAST_CIPHER: &[&str] = &["aes128-gcm@openssh.com", "aes256-gcm@openssh.com"];
const WEAK_CIPHER: &[&str] = &["aes256-cbc", "aes192-cbc", "aes128-cbc", "3des-cbc"];
const MAC: &[&str] = &[
    "hmac-sha2-512-etm@openssh.com",
    "hmac-sha2-256-etm@openssh.com",
    "hmac-sha2-512",
    "hmac-sha2-256",
];
const WEAK_MAC: &[&str] = &["hmac-sha1-etm@openssh.com", "hmac-sha1"];

/// Whether AES-GCM is done by instructions of the processor.
#[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
fn has_aes() -> bool {
    std::arch::is_x86_feature_detected!("aes") && std::arch::is_x86_feature_detected!("pclmulqdq")
}

/// Whether AES-GCM is done by instructions of the processor.
#[cfg(target_arch = "aarch64")]
fn has_aes() -> bool {
    std::arch::is_aarch64_feature_detected!("aes")
        && std::arch::is_aarch64_feature_detected!("pmull")
}

/// Elsewhere tables would do it, slower than ChaCha20 and not in constant time.
#[cfg(not(any(target_arch = "x86", target_arch = "x86_64", target_arch = "aarch64")))]
fn has_aes() -> bool {
    false
}

/// The ciphers that are offered by default, the preferred one first.
fn ciphers(has_aes: bool) -> Vec<&'static str> {
    let first = if has_aes { FAST_CIPHER } else { &[] };
    let rest = CIPHER.iter().filter(|name| !first.contains(name));
    first.iter().chain(rest).copied().collect()
}

/// Said in the list of key exchanges: what else a client can do (RFC 8308; strict key exchange, against Terrapin).
const EXTENSIONS: [kex::Name; 2] =
    [kex::EXTENSION_SUPPORT_AS_CLIENT, kex::EXTENSION_OPENSSH_STRICT_KEX_AS_CLIENT];

/// What is offered, the preferred one first.
#[derive(Clone, Debug)]
pub(crate) struct Algorithms {
    pub(crate) kex: Vec<kex::Name>,
    pub(crate) host_key: Vec<Algorithm>,
    pub(crate) cipher: Vec<cipher::Name>,
    pub(crate) mac: Vec<mac::Name>,
    /// Whether an RSA key of ours may sign with SHA-1 for a server that knows no better.
    pub(crate) sign_with_sha1: bool,
}

impl Algorithms {
    /// # Errors
    /// Naming the option and a name that is none, with those there are.
    pub(crate) fn new(options: &AlgorithmOptions) -> Result<Self> {
        let list = |name, given: &Option<String>, defaults, weak| {
            select(name, given.as_deref(), defaults, weak)
        };
        let mut kex = named(&list("algorithms.kex", &options.kex, KEX, WEAK_KEX)?);
        kex.extend(EXTENSIONS);
        let host_key = list("algorithms.host_key", &options.host_key, HOST_KEY, WEAK_HOST_KEY)?;
        let ciphers = ciphers(has_aes());
        let public_key =
            list("algorithms.public_key", &options.public_key, HOST_KEY, WEAK_HOST_KEY)?;
        Ok(Algorithms {
            kex,
            host_key: host_key.iter().filter_map(|name| Algorithm::new(name).ok()).collect(),
            cipher: named(&list("algorithms.cipher", &options.cipher, &ciphers, WEAK_CIPHER)?),
            mac: named(&list("algorithms.mac", &options.mac, MAC, WEAK_MAC)?),
            sign_with_sha1: public_key.contains(&"ssh-rsa"),
        })
    }
}

/// The protocol crate's names of those it knows; all of ours are among them, as a test shows.
fn named<N: for<'a> TryFrom<&'a str>>(names: &[&str]) -> Vec<N> {
    names.iter().filter_map(|name| N::try_from(name).ok()).collect()
}

/// Those of `names` that are too weak to be offered unless an option says so.
pub(crate) fn weak<'a>(names: &[&'a str]) -> Vec<&'a str> {
    let weak = [WEAK_KEX, WEAK_HOST_KEY, WEAK_CIPHER, WEAK_MAC].concat();
    names.iter().filter(|name| weak.contains(name)).copied().collect()
}

/// A list as `ssh_config(5)` writes it: `+` appends to the defaults, `-` removes from them, `^` places before them,
/// anything else replaces them. Names are separated by commas and may be patterns with `*` and `?`.
fn select(
    option: &'static str,
    given: Option<&str>,
    defaults: &[&'static str],
    weak: &[&'static str],
) -> Result<Vec<&'static str>> {
    let Some(given) = given else { return Ok(defaults.to_vec()) };
    let all = || defaults.iter().chain(weak).copied();
    let (sign, names) = match given.chars().next() {
        Some(sign @ ('+' | '-' | '^')) => (Some(sign), &given[1..]),
        _ => (None, given),
    };
    let mut chosen: Vec<&'static str> = Vec::new();
    for pattern in names.split(',').map(str::trim) {
        let found: Vec<_> = all().filter(|name| matches_pattern(pattern, name)).collect();
        if found.is_empty() {
            let known = all().collect::<Vec<_>>().join(", ");
            let message =
                format!("{pattern:?} is not an algorithm for this; expected some of {known}");
            return Err(Error::option(option, message));
        }
        chosen.extend(found.into_iter().filter(|name| !chosen.contains(name)).collect::<Vec<_>>());
    }
    let kept = defaults.iter().filter(|name| !chosen.contains(name)).copied();
    let list: Vec<_> = match sign {
        Some('+') => {
            let more = chosen.iter().filter(|name| !defaults.contains(name)).copied();
            defaults.iter().copied().chain(more).collect()
        }
        Some('-') => kept.collect(),
        Some(_) => chosen.iter().copied().chain(kept).collect(),
        None => chosen,
    };
    match list.is_empty() {
        true => Err(Error::option(option, format!("{given:?} leaves no algorithm"))),
        false => Ok(list),
    }
}

/// The protocol crate's preferences: these algorithms, with host keys in the order of `host_key`.
pub(crate) fn preferred(
    algorithms: &Algorithms,
    host_key: Vec<Algorithm>,
    certificates: Vec<Algorithm>,
) -> russh::Preferred {
    russh::Preferred {
        kex: Cow::Owned(algorithms.kex.clone()),
        key: Cow::Owned(host_key),
        host_key_certificates: Cow::Owned(certificates),
        cipher: Cow::Owned(algorithms.cipher.clone()),
        mac: Cow::Owned(algorithms.mac.clone()),
        // Not offered: it would give an observer the lengths of what it compresses.
        compression: Cow::Borrowed(&[russh::compression::NONE]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kex(given: Option<&str>) -> Result<Vec<&'static str>> {
        select("algorithms.kex", given, KEX, WEAK_KEX)
    }

    #[test]
    fn every_name_is_one_of_the_protocol_crates() {
        let all = |weak: &[&'static str], strong: &[&'static str]| [strong, weak].concat();
        let names = all(WEAK_KEX, KEX);
        assert_eq!(named::<kex::Name>(&names).len(), names.len());
        let names = all(WEAK_CIPHER, CIPHER);
        assert_eq!(named::<cipher::Name>(&names).len(), names.len());
        let names = all(WEAK_MAC, MAC);
        assert_eq!(named::<mac::Name>(&names).len(), names.len());
        for name in all(WEAK_HOST_KEY, HOST_KEY) {
            assert_eq!(Algorithm::new(name).expect("an algorithm").to_string(), name);
        }
    }

    #[test]
    fn nothing_weak_is_offered_by_itself_and_the_key_exchange_is_always_strict() {
        let names = [KEX, HOST_KEY, CIPHER, MAC].concat();
        assert!(weak(&names).is_empty());
        assert!(!names.iter().any(|name| name.ends_with("sha1") || name.ends_with("-cbc")));
        for given in [None, Some("ecdh-sha2-nistp256")] {
            let options = AlgorithmOptions { kex: given.map(str::to_owned), ..Default::default() };
            let algorithms = Algorithms::new(&options).expect("algorithms");
            assert!(algorithms.kex.contains(&kex::EXTENSION_OPENSSH_STRICT_KEX_AS_CLIENT));
            assert!(!algorithms.sign_with_sha1);
        }
    }

    #[test]
    fn aes_comes_first_where_the_processor_has_it_and_nothing_is_left_out() {
        assert_eq!(ciphers(false), CIPHER);
        let fast = ciphers(true);
        assert_eq!(fast[..3], ["aes128-gcm@openssh.com", "aes256-gcm@openssh.com", CIPHER[0]]);
        let sorted = |mut names: Vec<&'static str>| {
            names.sort_unstable();
            names
        };
        assert_eq!(sorted(fast), sorted(CIPHER.to_vec()));
    }

    #[test]
    fn lists_are_written_as_for_openssh() {
        assert_eq!(kex(None).expect("the defaults"), KEX);
        let more = kex(Some("+diffie-hellman-group14-sha1,curve25519-sha256")).expect("a list");
        assert_eq!(more, [KEX, &["diffie-hellman-group14-sha1"]].concat());
        let first = kex(Some("^ecdh-sha2-nistp384")).expect("a list");
        assert_eq!((first[0], first.len()), ("ecdh-sha2-nistp384", KEX.len()));
        let less = kex(Some("-diffie-hellman-*")).expect("a list");
        assert!(less.len() == 6 && !less.iter().any(|name| name.starts_with("diffie")), "{less:?}");
        let only = kex(Some("ecdh-sha2-nistp521, diffie-hellman-group1-sha1")).expect("a list");
        assert_eq!(only, ["ecdh-sha2-nistp521", "diffie-hellman-group1-sha1"]);
    }

    #[test]
    fn a_name_that_is_none_is_refused_with_those_there_are() {
        let error = kex(Some("+diffie-hellman-group2-sha1")).expect_err("a refusal").to_string();
        assert!(error.contains("option=algorithms.kex"), "{error}");
        assert!(error.contains("diffie-hellman-group1-sha1"), "{error}");
        for wrong in ["", "+", "none", "kex-strict-c-v00@openssh.com", "-*"] {
            assert!(kex(Some(wrong)).is_err(), "{wrong:?}");
        }
    }
}
