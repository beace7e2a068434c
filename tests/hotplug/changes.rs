//! Files that come, have other content, and go.

use std::{fs, os::unix::fs::symlink};

use super::{FAULTY, FAULTY_PLUGIN, Plugged, copy, mode, words};

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_is_replaced_fifty_times_and_a_session_of_each_generation_goes_on() {
    const TIMES: u32 = 50;
    let host = Plugged::start(&[], "").await;
    assert!(host.open("faulty://x").await.is_err());
    let mut sessions = Vec::new();
    for number in 1..=TIMES {
        let name = format!("copy {number}");
        host.put(FAULTY, &copy(&name));
        let expected = if number == 1 { "admitted 1" } else { &format!("replaced {number}") };
        assert_eq!(words(&host.look().await), [expected]);
        sessions.push(host.open("faulty://x").await.unwrap());
    }
    for (number, session) in (1..).zip(&sessions) {
        assert_eq!(mode(session).await, format!("copy {number}"));
    }
    let generations = host.generations(FAULTY_PLUGIN);
    assert_eq!(generations.len(), TIMES as usize);
    assert!(generations.iter().all(|generation| generation.sessions == 1), "{generations:?}");
    assert_eq!(generations.iter().filter(|it| it.retired.is_none()).count(), 1);
    // Those without a session are not kept.
    drop(sessions);
    let left = host.generations(FAULTY_PLUGIN);
    assert_eq!(left.len(), 1, "{left:?}");
    assert_eq!((left[0].id.generation, left[0].sessions), (TIMES, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_grows_in_steps_is_used_when_it_is_whole_and_what_runs_goes_on_until_then() {
    let host = Plugged::start(&[], "").await;
    host.put(FAULTY, &copy("whole"));
    host.look().await;
    let next = copy("grown");
    let place = host.path(FAULTY);
    for quarter in 0..4 {
        fs::write(&place, &next[..next.len() / 4 * quarter]).unwrap();
        // While it is written, nothing is said of it.
        let news = host.manager.refresh_plugins(false).await;
        assert!(news.changes.is_empty() && news.again.is_some(), "{news:?}");
        assert_eq!(host.mode().await, "whole");
    }
    // Nobody writes for so long that it is taken for whole.
    assert_eq!(words(&host.look().await), ["refused not_elf"]);
    assert_eq!(host.mode().await, "whole");
    fs::write(&place, &next).unwrap();
    assert_eq!(words(&host.look().await), ["replaced 2"]);
    assert_eq!(host.mode().await, "grown");
    // What was refused in between is not told of any more.
    let reports = host.manager.plugins();
    assert!(reports.iter().all(|report| report.state == "running"), "{reports:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_leads_to_another_file_is_another_generation() {
    let host = Plugged::start(&[], "").await;
    for name in ["one", "two"] {
        host.put(name, &copy(name));
    }
    for (name, expected) in [("one", "admitted 1"), ("two", "replaced 2"), ("one", "replaced 3")] {
        let link = host.path("next");
        symlink(name, &link).unwrap();
        fs::rename(&link, host.path(FAULTY)).unwrap();
        assert_eq!(words(&host.look().await), [expected]);
        assert_eq!(host.mode().await, name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_touched_is_the_same_plugin() {
    let host = Plugged::start(&[], "").await;
    host.put(FAULTY, &copy("same"));
    host.look().await;
    host.put(FAULTY, &copy("same"));
    assert_eq!(words(&host.look().await), [""; 0]);
    assert_eq!(host.generations(FAULTY_PLUGIN)[0].id.generation, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_removed_file_has_opened_goes_on_nothing_new_is_opened_and_it_may_come_back() {
    let host = Plugged::start(
        &[],
        "[reload.plugins]\nwait = true\n[connections.far]\nuri = \"faulty://x\"\n",
    )
    .await;
    host.put(FAULTY, &copy("first"));
    host.look().await;
    let own = host.open("faulty://x").await.unwrap();
    fs::remove_file(host.path(FAULTY)).unwrap();
    assert_eq!(words(&host.look().await), ["removed with 1 sessions"]);
    assert_eq!(mode(&own).await, "first");
    let snapshot = host.manager.plugins();
    assert_eq!((snapshot[0].state, snapshot[0].retired[0].sessions), ("removed", 1));
    let error = host.open("faulty://x").await.expect_err("it is gone").to_string();
    let says =
        format!("the driver faulty is gone: its plugin file {}", host.path(FAULTY).display());
    assert!(error.contains(&says) && error.contains("was removed"), "{error}");
    host.put(FAULTY, &copy("second"));
    assert_eq!(words(&host.look().await), ["admitted 2"]);
    assert_eq!(host.mode().await, "second");
    assert_eq!(mode(&own).await, "first");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_configured_of_a_driver_follows_its_generations_and_waits_while_it_is_gone() {
    let host = Plugged::start(&[], "").await;
    host.put(FAULTY, &copy("first"));
    host.look().await;
    let held = host.manager.define("far", "faulty://x").register().await.unwrap();
    let asked = async || held.call("mode", &serde_json::Value::Null).await;
    assert_eq!(asked().await.unwrap(), "first");
    host.put(FAULTY, &copy("second"));
    host.look().await;
    // The session that it shares is of the one before.
    assert_eq!(asked().await.unwrap(), "first");
    assert!(host.manager.disconnect("far", 0, "").await.is_ok());
    assert_eq!(asked().await.unwrap(), "second");
    fs::remove_file(host.path(FAULTY)).unwrap();
    host.look().await;
    assert!(host.manager.disconnect("far", 0, "").await.is_ok());
    let error = asked().await.expect_err("it is gone").to_string();
    assert!(error.contains("the driver faulty is gone"), "{error}");
    host.put(FAULTY, &copy("third"));
    host.look().await;
    assert_eq!(asked().await.unwrap(), "third");
}
