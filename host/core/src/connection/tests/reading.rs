use super::*;
use crate::addr::Addr;
use crate::connection::{ConnectionInfo, DiagnosisRule, RULES};
use futures_util::{SinkExt, StreamExt};
use jackfield_plugin_api::Message;
use serde_json::json;
use std::sync::atomic::Ordering;

#[tokio::test(start_paused = true)]
async fn info_has_everything_and_serialises_by_name() {
    let peer = Peer::new();
    let managed = managed(&peer, Policy::default());
    let live = connected(&managed).await;
    let mut messages = live.take_messages(SOON).await.unwrap();
    messages.send(Message::text("abc")).await.unwrap();
    peer.send("hello");
    messages.next().await.unwrap().unwrap();
    live.call("echo", &json!(1)).await.unwrap();
    live.data().set_text("room", "12").unwrap();
    tokio::time::sleep(seconds(31)).await;
    let info = live.info();
    // A call counts with what it carries: a number is 8 bytes.
    assert_eq!((info.bytes_out, info.messages_out), (3 + 8, 1));
    assert_eq!((info.bytes_in, info.messages_in), (5 + 8, 1));
    assert_eq!((info.round_trip_ms, info.calls), (Some(7.0), 1));
    assert_eq!((info.uptime_ms, info.idle_ms), (31_000, 31_000));
    let json = serde_json::to_value(&info).unwrap();
    assert_eq!(json["flags"]["is_client"], true);
    assert_eq!(json["flags"]["is_encrypted"], true);
    assert_eq!(json["flags"]["is_listening"], false);
    assert_eq!((&json["local"], &json["peer"]), (&json!("here"), &json!("there")));
    assert_eq!((&json["data"]["room"], &json["facts"]["version"]), (&json!("12"), &json!(2)));
    live.close(0, "done").await;
    let info = live.info();
    assert!(info.flags.is_closed && info.closed_at >= info.established_at);
    assert_eq!((info.peer, info.uptime_ms), (Some(Addr::from("there")), 0), "the last session's");
}

#[tokio::test(start_paused = true)]
async fn flags_and_levels_follow_what_happens() {
    let peer = Peer::new();
    let policy = Policy { post_queue: 2, reconnect: again(9), ..Policy::default() };
    let labels = std::collections::BTreeMap::from([("site".to_owned(), "lab".to_owned())]);
    let lives = crate::connection::Lives::new(9);
    let managed = Managed::counted("lab", target(&peer), policy, labels.clone(), lives);
    let live = connected(&managed).await;
    let info = live.info();
    assert_eq!((&info.labels, info.identity.as_deref()), (&labels, Some("CN=there")));
    assert!(info.created_at <= info.last_activity_at && info.created_at > 1_600_000_000_000);
    assert!(!info.flags.is_full && !info.flags.is_connecting && info.flags.is_connected);
    // Nothing is taken; one of them is on its way, two wait.
    peer.gate.send_replace(false);
    let posts: Vec<_> = ["one", "two", "three", "four"].map(|text| live.post(text)).into();
    while live.info().buffered_posts < 2 {
        tokio::task::yield_now().await;
    }
    let refused = posts.iter().filter(|post| post.is_err()).count();
    let info = live.info();
    assert_eq!((refused, info.buffered_posts, info.flags.is_full), (2, 2, true));
    assert_eq!(info.buffered_bytes, "onetwo".len());
    assert_eq!(live.diagnose().findings[0].rule, "full_queue");
    peer.gate.send_replace(true);
    for post in posts.into_iter().flatten() {
        post.sent().await.unwrap();
    }
    let info = live.info();
    assert_eq!((info.buffered_posts, info.buffered_bytes, info.flags.is_full), (0, 0, false));
    live.call("lose", &json!({})).await.unwrap_err();
    live.left(1).await;
    let flags = live.flags();
    assert!(flags.is_reconnecting && flags.is_connecting && !flags.is_connected, "{flags:?}");
    live.wait_ready(seconds(60)).await.unwrap();
    peer.gate.send_replace(false);
    let nothing = json!({});
    let running = live.call("echo", &nothing);
    let draining = async {
        while live.info().calls_running == 0 {
            tokio::task::yield_now().await;
        }
        let drained = live.drain(seconds(10));
        let watched = async {
            while !live.flags().is_draining {
                tokio::task::yield_now().await;
            }
            peer.gate.send_replace(true);
        };
        tokio::join!(drained, watched);
    };
    let (answer, ()) = tokio::join!(running, draining);
    answer.unwrap();
    assert!(live.flags().is_closed && !live.flags().is_draining);
}

#[tokio::test(start_paused = true)]
async fn each_rule_of_a_diagnosis_finds_its_own_trouble_and_no_other() {
    let peer = Peer::new();
    let managed = managed(&peer, Policy::default());
    let live = connected(&managed).await;
    let fine = live.info();
    let found = |info: &ConnectionInfo| -> Vec<&str> {
        let rules = RULES.iter().filter(|rule| (rule.check)(info).is_some());
        rules.map(|rule| rule.name).collect()
    };
    assert!(found(&fine).is_empty(), "{:?}", found(&fine));
    type Spoil = fn(&mut ConnectionInfo);
    let troubles: [(&str, Spoil); 8] = [
        ("not_connected", |info| info.flags.is_connected = false),
        ("unhealthy", |info| info.flags.is_healthy = false),
        ("many_errors", |info| info.errors = 11),
        ("long_idle", |info| info.idle_ms = 300_001),
        ("no_answer", |info| info.bytes_out = 1_001),
        ("slow_peer", |info| info.round_trip_ms = Some(1_000.5)),
        ("full_queue", |info| info.flags.is_full = true),
        ("keeps_being_lost", |info| info.reconnects = 6),
    ];
    assert_eq!(
        troubles.map(|(rule, _)| rule).to_vec(),
        RULES.iter().map(|r| r.name).collect::<Vec<_>>()
    );
    for (rule, make) in troubles {
        let mut info = fine.clone();
        make(&mut info);
        assert_eq!(found(&info), [rule]);
    }
    let own = DiagnosisRule {
        name: "named_lab",
        check: |info| (info.name == "lab").then(|| "it is".to_owned()),
        advice: "rename it",
    };
    let findings = live.diagnose_by(&[own]).findings;
    assert_eq!(
        (findings.len(), findings[0].rule, findings[0].advice),
        (1, "named_lab", "rename it")
    );
}

#[tokio::test(start_paused = true)]
async fn data_is_typed_and_bounded() {
    let peer = Peer::new();
    let managed = managed(&peer, Policy::default());
    let live = connected(&managed).await;
    assert!(live.data().set(7_u32).is_none());
    assert_eq!(live.data().set(8_u32).as_deref(), Some(&7));
    live.data().set("text");
    assert_eq!((live.data().get::<u32>().as_deref(), live.data().get::<u64>()), (Some(&8), None));
    assert_eq!(live.data().remove::<&str>().as_deref(), Some(&"text"));
    for number in 0..crate::connection::MAX_TEXTS {
        live.data().set_text(&number.to_string(), "x").unwrap();
    }
    assert!(live.data().set_text("one more", "x").is_err());
    assert!(live.data().set_text("0", &"x".repeat(5000)).is_err());
    assert!(live.data().set_text("0", "y").is_ok(), "replacing takes no more room");
}

#[tokio::test(start_paused = true)]
async fn the_monitor_tells_health_and_ends_with_the_connection() {
    let peer = Peer::new();
    let managed = managed(&peer, Policy { keepalive: Duration::ZERO, ..Policy::default() });
    let live = connected(&managed).await;
    let mut events = live.events.subscribe(16);
    let mut monitor = live.monitor_health(seconds(30), seconds(5));
    let health = monitor.next().await.unwrap();
    assert_eq!((health.healthy, health.round_trip_ms), (true, Some(7.0)));
    peer.answers.store(false, Ordering::SeqCst);
    let health = monitor.next().await.unwrap();
    assert!(!health.healthy && !live.flags().is_healthy, "{health:?}");
    assert_eq!(live.diagnose().findings[0].rule, "unhealthy");
    let failed = events.next().await.unwrap();
    let EventKind::Error { cause } = failed.kind else { panic!("{failed:?}") };
    assert!(cause.is(jackfield_plugin_api::ErrorKind::TimedOut), "{cause:?}");
    let event = events.next().await.unwrap();
    assert!(matches!(event.kind, EventKind::Health { healthy: false, .. }), "{event:?}");
    live.abort("enough");
    assert_eq!(monitor.next().await, None);
}

#[tokio::test(start_paused = true)]
async fn a_diagnosis_says_what_decided_and_what_is_waited_for() {
    let peer = Peer::new();
    let policy = Policy { idle_timeout: seconds(600), reconnect: again(9), ..Policy::default() };
    let managed = managed(&peer, policy);
    let live = connected(&managed).await;
    let timers = live.diagnose().timers;
    let due: Vec<_> = timers.iter().map(|timer| (timer.rule, timer.in_ms)).collect();
    assert_eq!(due, [("idle_timeout", 600_000), ("keepalive", 30_000)]);
    peer.up.store(false, Ordering::SeqCst);
    live.call("lose", &json!({})).await.unwrap_err();
    live.left(1).await;
    let diagnosis = live.diagnose();
    assert_eq!(diagnosis.findings[0].rule, "not_connected");
    assert_eq!(diagnosis.timers[0].rule, "reconnect");
    let text = diagnosis.to_string();
    for part in ["reconnecting, decided by session: the line is cut", "waits: reconnect in 1000 ms"]
    {
        assert!(text.contains(part), "{text}");
    }
    let json = serde_json::to_value(&diagnosis).unwrap();
    assert_eq!(json["decided"]["by"], "session");
}

#[tokio::test(start_paused = true)]
async fn what_a_program_tells_a_connection_reaches_its_subscribers_and_no_one_after_the_end() {
    let peer = Peer::new();
    let managed = managed(&peer, Policy::default());
    let live = connected(&managed).await;
    let mut events = managed.events().subscribe(16);
    live.notify("wakeup", json!({ "from": "a timer" }));
    let told = events.next().await.unwrap();
    let (name, data) = ("wakeup".to_owned(), json!({ "from": "a timer" }));
    assert_eq!((told.id, told.kind), (Some(live.id), EventKind::Program { name, data }));
    live.close(0, "").await;
    live.notify("late", json!(null));
    let told: Vec<_> = live.events.history().iter().map(|event| event.kind.name()).collect();
    assert_eq!(told.last(), Some(&"closed"), "{told:?}");
    assert!(peer.texts().is_empty(), "nothing was sent");
}
