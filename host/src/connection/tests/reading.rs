use super::*;
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
    assert_eq!((info.bytes_out, info.messages_out, info.bytes_in, info.messages_in), (3, 1, 5, 1));
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
    assert_eq!((info.peer.as_deref(), info.uptime_ms), (Some("there"), 0), "the last session's");
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
