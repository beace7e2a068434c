use super::*;
use crate::connection::Policy;
use crate::connection::State;
use crate::events::EventKind;
use crate::manager::{DefinedBy, Quorum, Removal};
use serde_json::json;

#[tokio::test]
async fn define_register_get_and_forget() {
    let manager = manager(10);
    let managed = manager.define_connection("lab", null(), Existing::Refuse).await.unwrap();
    assert_eq!(managed.state(), State::Disconnected, "defined is not connected");
    assert_eq!((manager.defined(), manager.count().now), (1, 0));
    let live = manager.get_or_connect("lab", SOON).await.unwrap();
    let again = manager.get_or_connect("lab", SOON).await.unwrap();
    assert_eq!(live.id, again.id);
    assert_eq!(manager.live(live.id).map(|live| live.id).ok(), Some(live.id));
    let error = manager.connection("lob").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("did you mean \"lab\"?"), "{error}");
    manager.disconnect("lab", 0, "").await.unwrap();
    assert_eq!((manager.defined(), manager.count().now), (1, 0), "the definition stays");
    let live = manager.get_or_connect("lab", SOON).await.unwrap();
    manager.unregister("lab", Removal::Close { code: 0, reason: String::new() }).await.unwrap();
    assert_eq!((live.state(), manager.defined()), (State::Closed, 0));
    assert_eq!(kind(manager.destroy("lab")).await, ErrorKind::NotFound);
}

#[tokio::test]
async fn a_taken_name_is_refused_unless_replaced_and_then_the_old_session_is_closed() {
    let manager = manager(10);
    let first = manager.register("lab", null(), Existing::Refuse, SOON).await.unwrap();
    let other = config(json!({"uri": "null://y"}));
    assert_eq!(
        kind(manager.define_connection("lab", other, Existing::Refuse)).await,
        ErrorKind::InUse
    );
    assert_eq!(kind(manager.define_own("lab", own(None), Own::default())).await, ErrorKind::InUse);
    assert_eq!(first.state(), State::Connected, "a refusal changes nothing");
    let before = manager.connection("lab").await.unwrap();
    manager.define_own("lab", own(None), replace()).await.unwrap();
    assert_eq!(first.state(), State::Closed);
    let after = manager.connection("lab").await.unwrap();
    assert!(Arc::ptr_eq(&before, &after), "who holds it has the new one");
    assert_eq!(kind(before.connect(SOON)).await, ErrorKind::Unreachable);
    assert_eq!(manager.defined(), 1);
}

#[tokio::test]
async fn names_keys_and_options_are_checked_before_anything_is_defined() {
    let manager = manager(10);
    for name in ["", "Lab", "a b", "../x", "-x", &"x".repeat(65)] {
        assert_eq!(
            kind(manager.define_connection(name, null(), Existing::Refuse)).await,
            ErrorKind::Config
        );
    }
    for wrong in [
        json!({"uri": "null://x", "options": {"pendin": true}}),
        json!({"uri": "null://x", "call_timeout": "0s"}),
        json!({"uri": "null://x", "reconnect": {"factor": 0.1}}),
        json!({"options": {}}),
    ] {
        let defining = manager.define_connection("lab", config(wrong), Existing::Refuse);
        assert_eq!(kind(defining).await, ErrorKind::Config);
    }
    let unknown =
        manager.define_connection("lab", config(json!({"uri": "nul://x"})), Existing::Refuse);
    assert!(unknown.await.unwrap_err().to_string().contains("did you mean \"null\"?"));
    assert_eq!(manager.defined(), 0);
}

#[tokio::test]
async fn via_refers_to_run_time_definitions_and_never_in_a_circle() {
    let manager = manager(10);
    let via = |name: &str| config(json!({"uri": "null://x", "via": format!("connections.{name}")}));
    let missing = manager.define_connection("inner", via("bastion"), Existing::Refuse);
    assert_eq!(kind(missing).await, ErrorKind::NotFound);
    manager.define_connection("bastion", null(), Existing::Refuse).await.unwrap();
    manager.define_connection("inner", via("bastion"), Existing::Refuse).await.unwrap();
    manager.define_connection("core", via("inner"), Existing::Refuse).await.unwrap();
    let circle = manager.define_connection("bastion", via("core"), Existing::Replace);
    assert_eq!(kind(circle).await, ErrorKind::Config);
    assert_eq!(kind(manager.destroy("bastion")).await, ErrorKind::InUse);
    // Replacing what carries keeps counting what it carries.
    manager.define_connection("bastion", null(), Existing::Replace).await.unwrap();
    assert_eq!(kind(manager.destroy("bastion")).await, ErrorKind::InUse);
    for name in ["core", "inner", "bastion"] {
        manager.destroy(name).await.unwrap();
    }
}

#[tokio::test]
async fn an_equal_definition_is_used_again_and_disturbs_nothing() {
    let manager = manager(10);
    let live = manager.register("lab", null(), Existing::Refuse, SOON).await.unwrap();
    let managed = manager.connection("lab").await.unwrap();
    for existing in [Existing::Refuse, Existing::Replace] {
        let again = manager.define_connection("lab", null(), existing).await.unwrap();
        assert!(Arc::ptr_eq(&managed, &again));
        assert_eq!(manager.register("lab", null(), existing, SOON).await.unwrap().id, live.id);
    }
    assert!(manager.is_connected("lab") && manager.is_connected("connections.lab"));
    live.close(0, "").await;
    assert!(!manager.is_connected("lab"));
    assert!(!manager.is_connected("lob") && !manager.is_connected("devices.lab.cli"), "unknown");
}

#[tokio::test]
async fn all_are_forgotten_those_that_go_via_others_first() {
    let via = |name: &str| config(json!({"uri": "null://x", "via": format!("connections.{name}")}));
    let manager = manager(10);
    let three = async || {
        let live = manager.register("a", null(), Existing::Refuse, SOON).await.unwrap();
        manager.define_connection("b", via("a"), Existing::Refuse).await.unwrap();
        manager.define_connection("c", via("b"), Existing::Refuse).await.unwrap();
        live
    };
    let live = three().await;
    let only = Filter { names: Some(vec!["b".to_owned()]), ..Filter::default() };
    let end = Removal::Close { code: 0, reason: String::new() };
    let kept = manager.unregister_all(&only, &end, AllOptions::default()).await;
    assert_eq!(kept["b"].as_ref().unwrap_err().kind(), ErrorKind::InUse);
    let gone = manager.unregister_all(&Filter::default(), &end, AllOptions::default()).await;
    assert_eq!(
        gone.into_iter().map(|(name, it)| (name, it.is_ok())).collect::<Vec<_>>(),
        [("a".to_owned(), true), ("b".to_owned(), true), ("c".to_owned(), true)]
    );
    assert_eq!((live.state(), manager.defined()), (State::Closed, 0));
    let live = three().await;
    let gone = manager.destroy_all(&Filter::default()).await;
    assert!(gone.len() == 3 && gone.values().all(Result::is_ok), "{gone:?}");
    assert_eq!((live.state(), manager.defined(), manager.count().now), (State::Closed, 0, 0));
}

#[tokio::test]
async fn find_filters_by_driver_label_state_and_name() {
    let manager = manager(10);
    let labelled = json!({"uri": "null://x", "labels": {"site": "lab"}});
    manager.register("a", config(labelled.clone()), Existing::Refuse, SOON).await.unwrap();
    manager.define_connection("b", config(labelled), Existing::Refuse).await.unwrap();
    manager.define_own("c", own(None), Own::default()).await.unwrap();
    let find = |filter: &Filter| -> Vec<String> {
        manager.find(filter).into_iter().map(|found| found.connection.name).collect()
    };
    let site = |value: Option<&str>| Filter {
        label: Some(("site".to_owned(), value.map(str::to_owned))),
        ..Filter::default()
    };
    assert_eq!(find(&Filter::default()), ["a", "b", "c"]);
    assert_eq!(find(&Filter { driver: Some("null".to_owned()), ..Filter::default() }), ["a", "b"]);
    assert_eq!(find(&site(None)), ["a", "b"]);
    assert_eq!(find(&site(Some("lab"))), ["a", "b"]);
    assert!(find(&site(Some("elsewhere"))).is_empty());
    let connected = Filter { state: Some(State::Connected), ..site(None) };
    assert_eq!(find(&connected), ["a"]);
    let named = Filter { names: Some(vec!["c".to_owned(), "z".to_owned()]), ..Filter::default() };
    assert_eq!(find(&named), ["c"]);
    assert_eq!(manager.find(&named)[0].defined_by, DefinedBy::Program);
}

#[tokio::test]
async fn what_happens_to_connections_is_told_on_the_hosts_events() {
    let manager = manager(10);
    let mut events = manager.events().subscribe(16);
    let live = manager.register("lab", null(), Existing::Refuse, SOON).await.unwrap();
    live.close(0, "").await;
    let defined = events.next().await.unwrap().kind;
    assert_eq!(defined, EventKind::Defined { what: "connections.lab".to_owned(), replaced: false });
    for kind in ["created", "connecting", "connected", "closing", "closed"] {
        let event = events.next().await.unwrap();
        assert_eq!((event.kind.name(), &*event.source.unwrap().name), (kind, "lab"));
    }
}

#[tokio::test]
async fn the_limit_is_a_typed_refusal_and_closing_makes_room_at_once() {
    let manager = manager(1);
    let first = manager.register("a", null(), Existing::Refuse, SOON).await.unwrap();
    let refused = manager.register("b", null(), Existing::Refuse, SOON).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Limit);
    first.close(0, "").await;
    manager.get_or_connect("b", SOON).await.unwrap();
    let count = manager.count();
    assert_eq!((count.now, count.most, count.total, count.max), (1, 1, 2, 1));
}

#[tokio::test]
async fn an_open_session_is_adopted_and_a_detached_one_lives_on() {
    let manager = manager(10);
    let live = manager.adopt("lab", session(), Own::default()).await.unwrap();
    assert_eq!(live.state(), State::Connected);
    let held = manager.unregister("lab", Removal::Detach).await.unwrap().expect("it was built");
    assert_eq!((manager.defined(), live.state()), (0, State::Connected));
    drop((held, live));
    while manager.count().now > 0 {
        tokio::task::yield_now().await;
    }
    let live = manager.adopt("lab", session(), Own::default()).await.unwrap();
    live.close(0, "").await;
    while manager.defined() > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(kind(manager.get_or_connect("lab", SOON)).await, ErrorKind::NotFound);
    // Another that has its name since stays.
    let live = manager.adopt("lab", session(), Own::default()).await.unwrap();
    manager.define_connection("lab", null(), Existing::Replace).await.unwrap();
    live.wait_closed().await;
    tokio::task::yield_now().await;
    assert_eq!(manager.defined(), 1);
}

#[tokio::test]
async fn lives_are_counted_by_their_states() {
    let manager = manager(10);
    assert!(manager.states().is_empty());
    for name in ["a", "b"] {
        manager.register(name, null(), Existing::Refuse, SOON).await.unwrap();
    }
    let never = Stack::of_source("test:", |_| std::future::pending());
    manager.define_own("c", never, Own::default()).await.unwrap().live();
    while !manager.states().contains_key("connecting") {
        tokio::task::yield_now().await;
    }
    assert_eq!(manager.states(), [("connected", 2), ("connecting", 1)].into());
    manager.disconnect("a", 0, "").await.unwrap();
    let count = manager.count();
    assert_eq!((manager.states()["connected"], count.ended()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn all_at_once_gives_a_result_each_within_one_deadline() {
    let manager = manager(10);
    let seconds = Duration::from_secs;
    manager.define_own("good", own(Some(seconds(1))), Own::default()).await.unwrap();
    manager.define_own("bad", own(None), Own::default()).await.unwrap();
    manager.define_own("slow", own(Some(seconds(15))), Own::default()).await.unwrap();
    let begun = tokio::time::Instant::now();
    let options = AllOptions { within: seconds(5), ..AllOptions::default() };
    let outcomes = manager.connect_all(&Filter::default(), options).await;
    assert_eq!(begun.elapsed(), seconds(5));
    let kinds: Vec<_> = outcomes
        .iter()
        .map(|(name, result)| (name.as_str(), result.as_ref().err().map(Error::kind)))
        .collect();
    let late = Some(ErrorKind::TimedOut);
    assert_eq!(kinds, [("bad", Some(ErrorKind::Unreachable)), ("good", None), ("slow", late)]);
    let closed = manager.disconnect_all(&Filter::default(), 0, "", options).await;
    assert!(closed.values().all(Result::is_ok), "{closed:?}");
    assert_eq!(manager.count().now, 0);
}

#[tokio::test]
async fn the_snapshot_serialises_what_the_faces_show() {
    let manager = manager(10);
    manager.register("lab", null(), Existing::Refuse, SOON).await.unwrap();
    let json = serde_json::to_value(manager.named()).unwrap();
    assert_eq!(json[0]["name"], "lab");
    assert_eq!(json[0]["defined_by"], "call");
    assert_eq!(json[0]["life"]["state"], "connected");
    assert_eq!(json[0]["life"]["flags"]["is_connected"], true);
}

#[tokio::test]
async fn a_host_runs_until_its_process_is_told_to_stop() {
    use rustix::process::{Signal, getpid, kill_process};
    let manager = manager(10);
    let running = manager.run_until_signal().unwrap();
    kill_process(getpid(), Signal::TERM).unwrap();
    assert_eq!(running.await, 0, "no connection had to be ended");
    assert_eq!(manager.events().history().last().map(|event| event.kind.name()), Some("closed"));
}

#[tokio::test]
async fn a_connection_that_is_there_can_be_in_two_managers_with_one_session() {
    let (one, other) = (manager(10), manager(10));
    let managed = one.define_own("lab", own(Some(Duration::ZERO)), Own::default()).await.unwrap();
    other.add_connection(&managed).unwrap();
    other.add_connection(&managed).unwrap();
    let (mine, theirs) =
        (one.get_or_connect("lab", SOON).await, other.get_or_connect("lab", SOON).await);
    let live = mine.unwrap();
    assert_eq!(live.id, theirs.unwrap().id);
    assert_eq!((one.count().now, other.count().now), (1, 0), "counted where it was first");
    assert!(Arc::ptr_eq(&other.connection("lab").await.unwrap(), &managed));
    other.unregister("lab", Removal::Detach).await.unwrap();
    assert_eq!((live.state(), other.defined(), one.defined()), (State::Connected, 0, 1));
    // A name that another has stays with that.
    other.define_connection("lab", null(), Existing::Refuse).await.unwrap();
    assert_eq!(other.add_connection(&managed).unwrap_err().kind(), ErrorKind::InUse);
    // One that nobody has counted yet is counted by the first that has it.
    let target = crate::connection::Target::new(own(Some(Duration::ZERO)), None);
    let free = Arc::new(crate::connection::Managed::new("free", target.into(), Policy::default()));
    one.add_connection(&free).unwrap();
    other.add_connection(&free).unwrap();
    free.connect(SOON).await.unwrap();
    assert_eq!((one.count().now, other.count().now), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn as_many_as_are_needed_are_connected_or_none_of_those_that_were_not() {
    let manager = manager(10);
    manager.define_own("before", own(Some(Duration::ZERO)), Own::default()).await.unwrap();
    manager.define_own("good", own(Some(Duration::from_secs(1))), Own::default()).await.unwrap();
    manager.define_own("bad", own(None), Own::default()).await.unwrap();
    manager.define_own("slow", own(Some(Duration::from_secs(300))), Own::default()).await.unwrap();
    let before = manager.get_or_connect("before", SOON).await.unwrap();
    let (all, options) = (Filter::default(), AllOptions { limit: 100, within: SOON });
    for needed in [Quorum::All, Quorum::AtLeast(3)] {
        let error = manager.connect_quorum(&all, needed, options).await.unwrap_err();
        assert_eq!((error.kind(), error.message()), (ErrorKind::Unreachable, "nobody there"));
        let facts: Vec<_> = error.context().map(|(key, value)| format!("{key}={value}")).collect();
        assert!(facts.contains(&"connection=bad".to_owned()), "{facts:?}");
        assert!(facts.contains(&"connected=2".to_owned()), "{facts:?}");
        let now = manager.lives();
        assert_eq!(now.iter().map(|live| live.id).collect::<Vec<_>>(), [before.id], "{needed:?}");
    }
    let outcomes = manager.connect_quorum(&all, Quorum::AtLeast(2), options).await.unwrap();
    assert_eq!(outcomes.values().filter(|outcome| outcome.is_ok()).count(), 2);
    assert!(manager.is_connected("good") && manager.is_connected("before"));
    let more = manager.connect_quorum(&all, Quorum::AtLeast(5), options).await.unwrap_err();
    assert_eq!(more.kind(), ErrorKind::NotFound);
}
