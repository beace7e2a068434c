//! Files that must not be used: what runs goes on.

use std::fs;

use jackfield::events::EventKind;

use super::{FAULTY, FAULTY_PLUGIN, Plugged, copy, words};
use crate::loading::faulty;

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_file_ten_times_is_told_of_once_and_does_no_harm() {
    let host = Plugged::start(&[], "").await;
    host.put(FAULTY, &copy("good"));
    host.look().await;
    let mut events = host.manager.events().subscribe(100);
    let mut told = Vec::new();
    for _ in 0..10 {
        host.put(FAULTY, b"#!/bin/sh\n");
        told.extend(words(&host.look().await));
        assert_eq!(host.mode().await, "good");
    }
    assert_eq!(told, ["refused not_elf"]);
    let refused = loop {
        let event = events.next().await.unwrap();
        if let EventKind::PluginRefused { code, keeps, .. } = event.kind {
            break (code, keeps);
        }
    };
    assert_eq!(refused, ("not_elf", Some(1)));
    let states: Vec<_> = host.manager.plugins().iter().map(|it| it.state).collect();
    assert_eq!(states, ["running", "not_elf"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_fails_to_start_does_not_take_the_place_of_one_that_runs() {
    let host = Plugged::start(&[], "").await;
    host.put(FAULTY, &copy("good"));
    host.look().await;
    for (mode, code) in [("fails", "init_failed"), ("panics", "init_panicked")] {
        host.put(FAULTY, &copy(mode));
        assert_eq!(words(&host.look().await), [format!("refused {code}")]);
        assert_eq!(host.mode().await, "good");
    }
    host.put(FAULTY, &copy("better"));
    // What was refused counts, too: it is another one each time.
    assert_eq!(words(&host.look().await).len(), 1);
    assert_eq!(host.mode().await, "better");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_so_many_different_files_of_a_plugin_are_loaded_and_known_ones_again() {
    let host = Plugged::start(&[], "[reload.plugins]\ngenerations = 2\n").await;
    for (mode, expected) in [
        ("one", "admitted 1"),
        ("two", "replaced 2"),
        ("three", "refused too_many_generations"),
        ("one", "replaced 3"),
    ] {
        host.put(FAULTY, &copy(mode));
        assert_eq!(words(&host.look().await), [expected]);
    }
    assert_eq!(host.mode().await, "one");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_file_with_the_same_driver_is_used_when_the_first_goes() {
    let host = Plugged::start(&[], "").await;
    host.put(FAULTY, &copy("first"));
    host.look().await;
    host.put("other.so", &copy("other"));
    assert_eq!(words(&host.look().await), ["refused duplicate"]);
    assert_eq!(host.mode().await, "first");
    fs::remove_file(host.path(FAULTY)).unwrap();
    let told = words(&host.look().await);
    assert_eq!(told, ["removed with 0 sessions", "admitted 2"]);
    assert_eq!(host.mode().await, "other");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_others_may_write_is_refused_as_at_start() {
    use std::os::unix::fs::PermissionsExt;
    let host = Plugged::start(&[], "").await;
    let place = host.path(FAULTY);
    host.put(FAULTY, &faulty());
    fs::set_permissions(&place, fs::Permissions::from_mode(0o666)).unwrap();
    assert_eq!(words(&host.look().await), ["refused writable"]);
    fs::set_permissions(&place, fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(words(&host.look().await), ["admitted 1"]);
    assert_eq!(host.generations(FAULTY_PLUGIN).len(), 1);
}
