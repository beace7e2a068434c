use super::*;
use crate::units::Timespan;
use jackfield_plugin_api::{Error, ErrorKind, Info, Secret, Session, Stream};
use proptest::prelude::*;
use serde_json::json;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

fn patterns(all: &[&str]) -> Patterns {
    Patterns::new(all).expect("patterns")
}

fn look(matcher: &mut Matcher, all: &[&str]) -> Look {
    matcher.look(&patterns(all), Duration::ZERO, Duration::from_secs(1))
}

#[test]
fn the_first_match_in_the_text_wins_and_takes_all_before_it() {
    let mut matcher = Matcher::new(100);
    matcher.hear(b"one two three");
    let Look::Found(found) = look(&mut matcher, &["three", "t(w)(x)?o"]) else { panic!("none") };
    assert_eq!(
        (found.index, &found.before[..], &found.matched[..]),
        (1, &b"one "[..], &b"two"[..])
    );
    assert_eq!(found.groups, [Some(b"w".to_vec()), None]);
    assert_eq!(matcher.heard(), b" three");
    assert!(matches!(look(&mut matcher, &["two"]), Look::Wait(_)));
    // Of two at one place, the first of the set.
    let Look::Found(found) = look(&mut matcher, &["thr", "three"]) else { panic!("none") };
    assert_eq!((found.index, matcher.heard()), (0, &b"ee"[..]));
}

#[test]
fn a_prompt_is_only_one_at_the_end() {
    let mut matcher = Matcher::new(100);
    matcher.hear(b"costs 5$ a piece\r\nlab$");
    let Look::Found(found) = look(&mut matcher, &[r"\$ ?$"]) else { panic!("none") };
    assert_eq!(found.before, b"costs 5$ a piece\nlab");
}

#[test]
fn too_late_says_what_was_awaited_how_long_and_what_was_heard_last() {
    let mut matcher = Matcher::raw(1000);
    matcher.hear(&[b'x'; 300]);
    matcher.hear(b"\x1b[1mlogin\xff: ");
    let waited = Duration::from_secs(3);
    let Look::Late(error) = matcher.look(&patterns(&["a+", "b"]), waited, waited) else {
        panic!("not late")
    };
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert_eq!(error.message(), r#"waited 3s for "a+" or "b""#);
    let (_, last) = error.context().next().expect("what was heard");
    assert!(last.starts_with('…') && last.ends_with(r#"\x1b[1mlogin\xff: ""#), "{last}");
    assert!(last.len() < 250, "{last}");
}

#[test]
fn mistakes_in_patterns_are_said() {
    let error = Patterns::new(["a("]).expect_err("not a regular expression");
    assert_eq!(error.message(), r#""a(" is not a regular expression: unclosed group"#);
    assert!(Patterns::new([""; 0]).is_err());
    assert!(Patterns::new(["(a{1000}){1000}"]).is_err());
}

proptest! {
    #[test]
    fn what_is_kept_is_bounded_and_the_last(
        chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..30), 0..20),
        limit in 1_usize..50,
    ) {
        let mut matcher = Matcher::raw(limit);
        chunks.iter().for_each(|chunk| matcher.hear(chunk));
        let all = chunks.concat();
        prop_assert_eq!(matcher.heard(), &all[all.len().saturating_sub(limit)..]);
    }

    #[test]
    fn it_does_not_matter_how_bytes_come(bytes in "[ab$ ]{0,40}", cut in 1_usize..7) {
        let pattern = patterns(&["ab+a", "b b"]);
        let (mut whole, mut pieces) = (Matcher::new(100), Matcher::new(100));
        whole.hear(bytes.as_bytes());
        bytes.as_bytes().chunks(cut).for_each(|chunk| pieces.hear(chunk));
        let second = Duration::from_secs(1);
        let found = |look: Look| match look { Look::Found(found) => Some(found), _ => None };
        let (a, b) = (whole.look(&pattern, Duration::ZERO, second), pieces.look(&pattern, Duration::ZERO, second));
        prop_assert_eq!(found(a), found(b));
    }
}

/// What is read, and what is then said.
type Steps<'a> = &'a [(&'a str, &'a str)];

/// Plays the far end.
async fn play(mut far: DuplexStream, steps: Steps<'_>) -> DuplexStream {
    for (read, say) in steps {
        let mut got = vec![0; read.len()];
        far.read_exact(&mut got).await.expect("bytes");
        assert_eq!(String::from_utf8_lossy(&got), *read);
        far.write_all(say.as_bytes()).await.expect("room");
    }
    far
}

fn login() -> Login {
    Login {
        username: Some("lab".to_owned()),
        password: Some(Secret::new("s3cret")),
        ..Login::default()
    }
}

const LIMIT: Duration = Duration::from_secs(5);

#[tokio::test(start_paused = true)]
async fn a_login_answers_prompts_and_leaves_the_last_one_to_be_seen() {
    let (near, far) = duplex(1000);
    let session = Session::of_stream(Info::default(), Stream::new(near));
    let login = Login { wake: "\r".to_owned(), then: vec!["stty -echo".into()], ..login() };
    let far = play(
        far,
        &[
            ("\r", "Welcome\r\nlogin: "),
            ("lab\r", "Password: "),
            ("s3cret\r", "\r\nlab> "),
            ("stty -echo\r", "\r\nlab# "),
        ],
    );
    let (session, mut far) = tokio::join!(login.session(session, LIMIT), far);
    let session = session.expect("a session");
    let mut stream = session.take_stream().expect("a stream");
    far.write_all(b"more").await.expect("room");
    let mut heard = [0; 9];
    stream.read_exact(&mut heard).await.expect("bytes");
    assert_eq!(&heard, b"lab# more");
    assert_eq!(session.info().facts["prompt"], "lab# ");
}

#[tokio::test]
async fn a_command_after_a_login_is_answered_by_its_output_and_not_by_the_prompt_before() {
    let (near, mut far) = duplex(1024);
    let device = async move {
        far.write_all(b"login: ").await.unwrap();
        far = play(far, &[("lab\r", "Password: "), ("s3cret\r", "\r\nlab$ ")]).await;
        play(far, &[("show version\r", "show version\r\nversion 4.2\r\nlab$ ")]).await
    };
    let user = async {
        let session = Session::of_stream(Info::default(), Stream::new(near));
        let session = login().session(session, Duration::from_secs(5)).await.unwrap();
        let params = json!({ "text": "show version", "pattern": r"lab\$ $" });
        converse(&session, "send_expect", &params).await.unwrap()
    };
    let (heard, _far) = tokio::join!(user, device);
    assert_eq!(heard["before"], "version 4.2\n");
}

#[tokio::test]
async fn a_refused_login_is_denied_and_shows_no_password() {
    let cases: &[(&[(&str, &str)], &str)] = &[
        (
            &[
                ("", "login: "),
                ("lab\r", "Password: "),
                ("s3cret\r", "s3cret? Login incorrect\r\n"),
            ],
            "refused the login",
        ),
        (
            &[("", "login: "), ("lab\r", "Password: "), ("s3cret\r", "s3cret?\r\nPassword: ")],
            "password again",
        ),
        (&[("", "login: "), ("lab\r", "login: ")], "the user name again"),
    ];
    for (steps, text) in cases {
        let (near, far) = duplex(1000);
        let mut dialogue = Dialogue::new(near);
        let login = login();
        let (result, _far) = tokio::join!(login.run(&mut dialogue, LIMIT), play(far, steps));
        let error = result.expect_err("a refusal");
        assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
        assert!(error.to_string().contains(text), "{error}");
        assert!(!error.to_string().contains("s3cret"), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_asked_for_one_after_the_other_is_said_in_that_order_and_once_each() {
    let pair = |name: &str, password: Option<&str>| LoginPair {
        username: Some(name.to_owned()),
        password: password.map(Secret::new),
    };
    let first = vec![pair("port7", Some("0pen")), pair("menu", None)];
    let login = Login { first, ..login() };
    let steps = [
        ("", "login: "),
        ("port7\r", "Password: "),
        ("0pen\r", "\r\nUsername: "),
        ("menu\r", "\r\nUsername: "),
        ("lab\r", "Password: "),
    ];
    let (near, far) = duplex(1000);
    let mut dialogue = Dialogue::new(near);
    let all = [&steps[..], &[("s3cret\r", "\r\nlab> ")]].concat();
    let (result, _far) = tokio::join!(login.run(&mut dialogue, LIMIT), play(far, &all));
    result.expect("it is in");
    let (near, far) = duplex(1000);
    let mut dialogue = Dialogue::new(near);
    let all = [&steps[..], &[("s3cret\r", "\r\nUsername: ")]].concat();
    let (result, _far) = tokio::join!(login.run(&mut dialogue, LIMIT), play(far, &all));
    let error = result.expect_err("they are used up");
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert!(error.to_string().contains("user name again [logins=3"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_line_after_the_login_may_be_asked_for_its_own_password() {
    let enable = |password: Option<&str>| {
        let line = AskedLine {
            line: "enable".to_owned(),
            password: password.map(Secret::new),
            ..AskedLine::default()
        };
        Login { then: vec![ThenLine::Asked(line), "term len 0".into()], ..login() }
    };
    let begin = [("", "login: "), ("lab\r", "Password: "), ("s3cret\r", "\r\nlab> ")];
    let asked = [("enable\r", "enable\r\nPassword: ")];
    let cases: [(Option<&str>, Steps<'_>, Option<&str>); 4] = [
        (Some("r00t"), &[("r00t\r", "\r\nlab# "), ("term len 0\r", "\r\nlab# ")], None),
        (Some("r00t"), &[("r00t\r", "\r\n% Bad secrets\r\n")], Some("refused \"enable\"")),
        (Some("r00t"), &[("r00t\r", "\r\nPassword: ")], Some("the password of \"enable\" again")),
        (None, &[], Some("none is set for that line")),
    ];
    for (password, rest, refused) in cases {
        let (near, far) = duplex(1000);
        let mut dialogue = Dialogue::new(near);
        let (login, all) = (enable(password), [&begin[..], &asked, rest].concat());
        let (result, _far) = tokio::join!(login.run(&mut dialogue, LIMIT), play(far, &all));
        match (result, refused) {
            (Ok(()), None) => {}
            (Err(error), Some(text)) => {
                assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
                assert!(error.to_string().contains(text), "{error}");
                assert!(!error.to_string().contains("r00t"), "{error}");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_peer_is_not_awaited_longer_than_said_and_its_echo_shows_no_password() {
    let (near, far) = duplex(1000);
    let mut dialogue = Dialogue::new(near);
    let login = Login { timeout: Timespan::seconds(3), ..login() };
    let steps = [("", "Password: "), ("s3cret\r", "you said s3cret, and s3c")];
    let (result, _far) = tokio::join!(login.run(&mut dialogue, LIMIT), play(far, &steps));
    let error = result.expect_err("no prompt");
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
    assert!(error.to_string().contains("you said ***, and ***"), "{error}");
    assert!(!format!("{login:?}").contains("s3cret"));
}

#[tokio::test]
async fn a_peer_that_ends_is_told_from_one_that_is_late() {
    let (near, far) = duplex(1000);
    let mut dialogue = Dialogue::new(near);
    drop(play(far, &[("", "bye")]).await);
    let error: Error = dialogue.expect(&patterns(&["never"]), LIMIT).await.expect_err("an end");
    assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
    assert!(error.message().contains("before it sent \"never\""), "{error}");
    assert!(error.to_string().contains("last heard=\"bye\""), "{error}");
}

#[tokio::test(start_paused = true)]
async fn operations_take_json_and_give_what_was_heard() {
    let (near, far) = duplex(1000);
    let mut dialogue = Dialogue::new(near);
    let far = tokio::spawn(async move {
        play(far, &[("show version\r", "show version\r\nIOS 15.2\r\nr1#"), ("exit", "")]).await
    });
    let params =
        json!({ "text": "show version", "patterns": ["\\?", "IOS ([0-9.]+)"], "timeout": "5s" });
    let heard = call(&mut dialogue, "send_expect", &params).await.expect("an answer");
    assert_eq!((&heard["index"], &heard["groups"]), (&json!(1), &json!(["15.2"])));
    assert_eq!(heard["before"], "");
    let heard = call(&mut dialogue, "expect", &json!({ "pattern": "#$" })).await.expect("a prompt");
    assert_eq!(heard["matched"], "#");
    call(&mut dialogue, "send", &json!({ "text": "exit", "end": "" })).await.expect("room");
    far.await.expect("the far end");
    for (operation, params) in [
        ("expect", json!({})),
        ("send", json!({ "txt": "a" })),
        ("login", json!({ "prompt": "(" })),
    ] {
        let error = call(&mut dialogue, operation, &params).await.expect_err("a mistake");
        assert_eq!(error.kind(), ErrorKind::Config, "{operation}: {error}");
    }
}

fn rules(rules: serde_json::Value) -> Vec<Rule> {
    serde_json::from_value(rules).expect("rules")
}

/// A device that asks before it does as it is told, and shows its answer page by page.
async fn asking(mut stream: DuplexStream) -> String {
    let mut said = String::new();
    let steps =
        [("Delete? [confirm]", "\r"), ("--More--", " "), ("--More--", " "), ("pin: ", "\r")];
    for (question, end) in steps {
        stream.write_all(question.as_bytes()).await.expect("taken");
        let from = said.len();
        while !said[from..].ends_with(end) {
            said.push(char::from(stream.read_u8().await.expect("an answer")));
        }
    }
    stream.write_all(b"%LINK-3-UPDOWN\r\nr1#").await.expect("taken");
    said
}

#[tokio::test(start_paused = true)]
async fn rules_answer_whatever_comes_until_the_last_of_them() {
    let (near, far) = duplex(1000);
    let device = tokio::spawn(asking(far));
    let all = json!([
        { "pattern": r"\[confirm\]", "answer": "" },
        { "pattern": "--More--", "answer": " ", "end": "", "renew": true },
        { "pattern": "pin: ", "secret": "1234" },
        { "pattern": "%[A-Z0-9-]+", "last": false },
        { "pattern": "#$" },
    ]);
    let mut dialogue = Dialogue::new(near);
    let conversed = Rules::new(rules(all), 10).expect("rules");
    let conversed = conversed.run(&mut dialogue, Duration::from_secs(5)).await.expect("a prompt");
    assert_eq!((conversed.found.index, conversed.applied), (4, vec![0, 1, 1, 2, 3]));
    assert_eq!(device.await.expect("no panic"), "\r  1234\r");
}

#[tokio::test(start_paused = true)]
async fn rules_that_never_end_are_stopped_by_their_number_and_by_their_deadline() {
    let flood = || {
        let (near, mut far) = duplex(1000);
        let flood = tokio::spawn(async move { while far.write_all(b"more? ").await.is_ok() {} });
        (Dialogue::new(near), flood)
    };
    let all = json!([{ "pattern": "more", "last": false }, { "pattern": "never" }]);
    let (mut dialogue, _flood) = flood();
    let endless = Rules::new(rules(all.clone()), 20).expect("rules");
    let error = endless.run(&mut dialogue, Duration::from_secs(5)).await.expect_err("too many");
    assert_eq!(error.kind(), ErrorKind::Limit, "{error}");
    assert!(error.to_string().contains("20 rules have matched"), "{error}");
    let (near, _far) = duplex(1000);
    let silent = endless.run(&mut Dialogue::new(near), Duration::from_secs(5)).await;
    assert_eq!(silent.expect_err("too late").kind(), ErrorKind::TimedOut);
    // A peer that asks and does not read its answers.
    let (near, mut far) = duplex(16);
    far.write_all(b"pin? ").await.expect("room");
    let asked = json!([{ "pattern": "pin", "secret": "x".repeat(100) }, { "pattern": "never" }]);
    let stuck = Rules::new(rules(asked), 20).expect("rules");
    let error = stuck.run(&mut Dialogue::new(near), Duration::from_secs(5)).await;
    let error = error.expect_err("nothing is taken");
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
    assert!(!error.to_string().contains("xx"), "{error}");
}

#[test]
fn mistakes_in_rules_are_said() {
    for (wrong, text) in [
        (json!([{ "pattern": "a", "answer": "b", "secret": "c" }]), "not both"),
        (json!([{ "pattern": "a", "answer": "b" }]), "no rule ends the dialogue"),
        (json!([{ "pattern": "(" }]), "not a regular expression"),
        (json!([]), "expected 1 to 64 patterns"),
    ] {
        let error = Rules::new(rules(wrong), 10).expect_err(text);
        assert!(error.to_string().contains(text), "{error}");
    }
}
