//! Against scripted proxies, right and wrong ones.

use crate::protocol::{To, User, connect, greet};
use crate::{Socks5Driver, Socks5Options};
use jackfield_plugin_api::{
    Address, Driver, Error, ErrorKind, Request, Result, Role, Secret, testing,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

/// What the client sends, and what the proxy answers to it; an empty question: the proxy hangs up.
type Script = &'static [(&'static [u8], &'static [u8])];

async fn proxy(mut far: DuplexStream, script: Script) {
    for (question, answer) in script {
        let mut asked = vec![0; question.len()];
        far.read_exact(&mut asked).await.expect("a question");
        assert_eq!(asked, *question);
        far.write_all(answer).await.expect("room");
    }
}

fn lab() -> User {
    User { name: "lab".to_owned(), password: Secret::new("hunter2") }
}

async fn asked(user: Option<User>, to: To, script: Script) -> Result<String> {
    let (mut near, far) = duplex(4096);
    let client = async move {
        greet(&mut near, user.as_ref()).await?;
        connect(&mut near, &to).await
    };
    let (result, ()) = tokio::join!(client, proxy(far, script));
    result
}

fn by_name() -> To {
    To::Name("core1.lab".to_owned(), 22)
}

const V4: &[u8] = b"\x05\0\0\x01\x0a\0\0\x01\x12\x34";

#[tokio::test]
async fn names_and_addresses_of_both_families_go_to_the_proxy_as_they_are() {
    let name: Script = &[(b"\x05\x01\0", b"\x05\0"), (b"\x05\x01\0\x03\x09core1.lab\0\x16", V4)];
    assert_eq!(asked(None, by_name(), name).await.expect("connected"), "10.0.0.1:4660");
    let v4: Script = &[(b"\x05\x01\0", b"\x05\0"), (b"\x05\x01\0\x01\xc0\0\x02\x01\0\x16", V4)];
    let to = To::Address("192.0.2.1:22".parse().expect("an address"));
    asked(None, to, v4).await.expect("connected");
    let v6: Script = &[
        (b"\x05\x01\0", b"\x05\0"),
        (
            b"\x05\x01\0\x04\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\0\x16",
            b"\x05\0\0\x04\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x02\0\x50",
        ),
    ];
    let to = To::Address("[2001:db8::1]:22".parse().expect("an address"));
    assert_eq!(asked(None, to, v6).await.expect("connected"), "[2001:db8::2]:80");
    let named: Script = &[
        (b"\x05\x01\0", b"\x05\0"),
        (b"\x05\x01\0\x03\x09core1.lab\0\x16", b"\x05\0\0\x03\x03gw.\0\x50"),
    ];
    assert_eq!(asked(None, by_name(), named).await.expect("connected"), "gw.:80");
}

#[tokio::test]
async fn a_user_logs_in_where_the_proxy_wants_that() {
    let takes: Script = &[
        (b"\x05\x02\0\x02", b"\x05\x02"),
        (b"\x01\x03lab\x07hunter2", b"\x01\0"),
        (b"\x05\x01\0\x03\x09core1.lab\0\x16", V4),
    ];
    asked(Some(lab()), by_name(), takes).await.expect("connected");
    let needs_none: Script =
        &[(b"\x05\x02\0\x02", b"\x05\0"), (b"\x05\x01\0\x03\x09core1.lab\0\x16", V4)];
    asked(Some(lab()), by_name(), needs_none).await.expect("connected");
    let refuses: Script =
        &[(b"\x05\x02\0\x02", b"\x05\x02"), (b"\x01\x03lab\x07hunter2", b"\x01\x01")];
    let error = asked(Some(lab()), by_name(), refuses).await.expect_err("a wrong password");
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert!(!error.to_string().contains("hunter2"), "{error}");
    let wants: Script = &[(b"\x05\x01\0", b"\x05\xff")];
    let error = asked(None, by_name(), wants).await.expect_err("no user");
    assert!(error.kind() == ErrorKind::Denied && error.message().contains("username"), "{error}");
}

#[tokio::test]
async fn refusals_say_why_and_what_is_no_proxy_is_told() {
    for (reply, kind) in [
        (b"\x05\x01\0\x01\0\0\0\0\0\0", ErrorKind::Refused),
        (b"\x05\x02\0\x01\0\0\0\0\0\0", ErrorKind::Refused),
        (b"\x05\x04\0\x01\0\0\0\0\0\0", ErrorKind::Unreachable),
        (b"\x05\x05\0\x01\0\0\0\0\0\0", ErrorKind::Unreachable),
        (b"\x05\x07\0\x01\0\0\0\0\0\0", ErrorKind::Unsupported),
        (b"\x05\x63\0\x01\0\0\0\0\0\0", ErrorKind::Protocol),
        (b"\x04\0\0\x01\0\0\0\0\0\0", ErrorKind::Protocol),
        (b"\x05\0\0\x09\0\0\0\0\0\0", ErrorKind::Protocol),
    ] {
        let (mut near, mut far) = duplex(4096);
        far.write_all(reply).await.expect("room");
        let error = connect(&mut near, &by_name()).await.expect_err("refused");
        assert_eq!(error.kind(), kind, "{error}");
    }
    for answer in [&b"HT"[..], b"\x05\x09", b"\x04\0"] {
        let (mut near, mut far) = duplex(4096);
        far.write_all(answer).await.expect("room");
        let error = greet(&mut near, None).await.expect_err("no proxy");
        assert_eq!(error.kind(), ErrorKind::Protocol, "{error}");
    }
    let (mut near, far) = duplex(4096);
    drop(far);
    greet(&mut near, None).await.expect_err("it has hung up");
}

#[tokio::test]
async fn a_path_that_is_no_place_is_refused_before_anything_is_connected() {
    let driver = Socks5Driver::new(testing::host()).expect("a driver");
    let endpoint = driver.configure(Socks5Options::default(), Role::Client).expect("options");
    for path in ["/a", "/a:b", "/:22", "/a/b:22"] {
        let address = Address::new("127.0.0.1", 1).with_path(path);
        let error = driver.open(&endpoint, Request::new(address, testing::DEADLINE)).await;
        assert_eq!(error.expect_err(path).kind(), ErrorKind::Config, "{path}");
    }
}

#[test]
fn options_that_cannot_be_are_named() {
    let driver = Socks5Driver::new(testing::host()).expect("a driver");
    let wrong = |options: Socks5Options| -> Error {
        driver.configure(options, Role::Client).expect_err("a wrong option")
    };
    let long = "x".repeat(256);
    for (options, option) in [
        (Socks5Options { bind: Some("here".into()), ..Default::default() }, "bind"),
        (Socks5Options { password: Some(Secret::new("x")), ..Default::default() }, "password"),
        (Socks5Options { username: Some(long), ..Default::default() }, "username"),
    ] {
        let error = wrong(options);
        assert!(error.context().any(|(_, name)| name == option), "{error}");
    }
}
