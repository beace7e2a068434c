//! Keys, codes and ciphers, by the vectors of the RFCs.

use crate::json::{hex, unhex};
use crate::usm::cipher::PrivacyProtocol;
use crate::usm::engine::{Clock, Own};
use crate::usm::hash::AuthProtocol;
use crate::usm::keys::{Algorithms, User};
use jackfield_plugin_api::Secret;
use std::time::Duration;

const PASSWORD: &str = "maplesyrup";
const ENGINE: [u8; 12] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2];

fn user(auth: AuthProtocol, privacy: PrivacyProtocol) -> User {
    let algorithms = Algorithms { auth, privacy, weak: true };
    let password = Secret::new(PASSWORD);
    let private = (privacy != PrivacyProtocol::None).then_some(&password);
    User::new("somebody", algorithms, Some(&password), private).expect("a user")
}

#[test]
fn keys_are_those_of_rfc_3414_a3() {
    for (auth, before, localised) in [
        (AuthProtocol::Md5, "9faf3283884e92834ebc9847d8edd963", "526f5eed9fcce26f8964c2930787d82b"),
        (
            AuthProtocol::Sha1,
            "9fb5cc0381497b3793528939ff788d5d79145211",
            "6695febc9288e36282235fc7151f128497b38f3f",
        ),
    ] {
        assert_eq!(hex(&auth.stretch(PASSWORD.as_bytes())), before);
        assert_eq!(hex(&user(auth, PrivacyProtocol::None).keys(&ENGINE).auth), localised);
    }
}

#[test]
fn keys_that_are_too_short_are_made_longer_in_both_ways() {
    let plain = hex(&user(AuthProtocol::Sha1, PrivacyProtocol::Aes128).keys(&ENGINE).privacy);
    assert_eq!(plain, "6695febc9288e36282235fc7151f1284");
    for privacy in [PrivacyProtocol::Aes256, PrivacyProtocol::Aes256c] {
        let keys = user(AuthProtocol::Sha1, privacy).keys(&ENGINE);
        assert_eq!(keys.privacy.len(), 32);
        assert!(hex(&keys.privacy).starts_with("6695febc9288e36282235fc7151f128497b38f3f"));
    }
    // draft-reeder-snmpv3-usm-3desede-00 §B.2, whose key begins so.
    let reeder = user(AuthProtocol::Sha1, PrivacyProtocol::Aes256c).keys(&ENGINE);
    assert_eq!(
        hex(&reeder.privacy),
        "6695febc9288e36282235fc7151f128497b38f3f9b8b6d78936ba6e7d19dfd9c"
    );
    let md5 = user(AuthProtocol::Md5, PrivacyProtocol::Aes256c).keys(&ENGINE);
    assert_eq!(
        hex(&md5.privacy),
        "526f5eed9fcce26f8964c2930787d82b79eff44a90650ee0a3a40abfac5acc12"
    );
}

#[test]
fn what_is_encrypted_is_decrypted_and_what_is_changed_is_not() {
    for privacy in [
        PrivacyProtocol::Des,
        PrivacyProtocol::Aes128,
        PrivacyProtocol::Aes192,
        PrivacyProtocol::Aes256,
    ] {
        let key = user(AuthProtocol::Sha256, privacy).keys(&ENGINE);
        let times = (3, 4);
        for length in [0, 1, 7, 8, 15, 16, 17, 1000] {
            let data = vec![7; length];
            let secret = privacy.encrypt(&key.privacy, times, [1; 8], data.clone());
            assert!(length < 8 || secret != data);
            let back = privacy.decrypt(&key.privacy, times, &[1; 8], &secret).expect("bytes");
            assert_eq!(back[..length], data);
            if length > 15 {
                let other = privacy.decrypt(&key.privacy, times, &[2; 8], &secret).expect("bytes");
                assert_ne!(other[..length], data);
            }
            assert_eq!(privacy.decrypt(&key.privacy, times, &[1; 7], &secret), None);
        }
    }
    let key = user(AuthProtocol::Sha1, PrivacyProtocol::Des).keys(&ENGINE);
    assert_eq!(PrivacyProtocol::Des.decrypt(&key.privacy, (0, 0), &[0; 8], &[0; 7]), None);
}

#[test]
fn a_code_fits_its_message_key_and_length_alone() {
    for auth in [
        AuthProtocol::Md5,
        AuthProtocol::Sha1,
        AuthProtocol::Sha224,
        AuthProtocol::Sha256,
        AuthProtocol::Sha384,
        AuthProtocol::Sha512,
    ] {
        let code = auth.code(b"key", b"message");
        assert_eq!(code.len(), auth.code_size());
        assert!(auth.fits(b"key", b"message", &code));
        assert!(!auth.fits(b"key", b"massage", &code));
        assert!(!auth.fits(b"kay", b"message", &code));
        assert!(!auth.fits(b"key", b"message", &code[1..]));
        assert!(!auth.fits(b"key", b"message", &[]));
    }
    assert!(!AuthProtocol::None.fits(b"", b"message", &[]));
}

#[test]
fn a_password_or_algorithm_that_does_not_fit_names_its_option() {
    let made = |auth, privacy, weak, one: Option<&str>, other: Option<&str>| {
        let algorithms = Algorithms { auth, privacy, weak };
        let (one, other) = (one.map(Secret::new), other.map(Secret::new));
        User::new("somebody", algorithms, one.as_ref(), other.as_ref()).map(|_| ())
    };
    use {AuthProtocol as A, PrivacyProtocol as P};
    for (result, option) in [
        (made(A::Sha1, P::None, false, Some("short"), None), "auth_password"),
        (made(A::Sha1, P::None, false, None, None), "auth_password"),
        (made(A::None, P::None, false, Some(PASSWORD), None), "auth_password"),
        (made(A::Sha1, P::Aes128, false, Some(PASSWORD), None), "privacy_password"),
        (made(A::None, P::Aes128, false, None, Some(PASSWORD)), "privacy"),
        (made(A::Md5, P::None, false, Some(PASSWORD), None), "auth"),
        (made(A::Sha1, P::Des, false, Some(PASSWORD), Some(PASSWORD)), "privacy"),
    ] {
        let error = result.expect_err(option).to_string();
        assert!(error.contains(&format!("option={option}")), "{error}");
        assert!(!error.contains(PASSWORD) && !error.contains("short"), "{error}");
    }
    made(A::Md5, P::Des, true, Some(PASSWORD), Some(PASSWORD)).expect("what was asked for");
}

#[test]
fn keys_are_kept_for_each_engine_and_not_for_ever() {
    let user = user(AuthProtocol::Sha1, PrivacyProtocol::None);
    let first = user.keys(&ENGINE);
    assert!(std::sync::Arc::ptr_eq(&first, &user.keys(&ENGINE)));
    for number in 0..3000_u32 {
        user.keys(&number.to_be_bytes());
    }
    assert_eq!(user.keys(&ENGINE).auth, first.auth);
}

#[test]
fn a_clock_goes_forwards_only_and_has_a_window() {
    let at = Duration::from_secs;
    // What was only said does not bind.
    let mut clock = Clock::said(i32::MAX, 7, at(0));
    clock.check(4, 1000, at(10)).expect("the first that is proven");
    assert_eq!(clock.now(at(15)), (4, 1005));
    clock.check(4, 1002, at(12)).expect("in time");
    clock.check(4, 900, at(12)).expect("late, in the window");
    clock.check(4, 851, at(12)).expect_err("152 s late");
    clock.check(3, 1002, at(12)).expect_err("an earlier boot");
    clock.check(5, 0, at(12)).expect("started again");
    clock.check(4, 5000, at(12)).expect_err("an earlier boot");
    assert_eq!(clock.now(at(13)), (5, 1));
    clock.check(i32::MAX, 0, at(13)).expect_err("an engine that is worn out");
}

#[test]
fn our_engine_has_a_name_of_its_own_and_takes_what_is_in_time() {
    let (one, other) = (Own::random_id(), Own::random_id());
    assert_ne!(one, other);
    assert!(one[0] & 0x80 != 0 && one.len() <= 32);
    let own = Own::new(one, Duration::from_secs(100));
    let (boots, time) = own.now(Duration::from_secs(160));
    assert_eq!(time, 60);
    assert!(boots > 0 && boots < i32::MAX - 1);
    let now = Duration::from_secs(160);
    assert!(own.takes(boots, 60 + 150, now) && own.takes(boots, 0, now));
    assert!(!own.takes(boots, 60 + 151, now) && !own.takes(boots - 1, 60, now));
    assert!(!own.takes(boots + 1, 60, now) && !own.takes(boots, i32::MIN, now));
    assert_eq!(unhex("80:00 0A"), Some(vec![0x80, 0, 10]));
}
