//! What a driver answers to words it does not know.

use jackfield_plugin_api::ErrorKind;
use serde_json::{Map, json};
use tokio::time::timeout;

use super::hostile::is_clear;
use crate::{conformance::subject::Subject, support::process::DEADLINE};

pub(super) async fn ping(subject: Subject) {
    let world = subject.echo().await;
    let session = world.open().await.unwrap();
    for _ in 0..3 {
        timeout(DEADLINE, session.ping()).await.expect("in time").unwrap();
    }
    session.close(0, "").await.unwrap();
    let error = timeout(DEADLINE, session.ping()).await.expect("in time").unwrap_err();
    is_clear(&error);
}

pub(super) async fn operations(subject: Subject) {
    let world = subject.echo().await;
    let session = world.open().await.unwrap();
    let error = session.call("no_such_operation", &json!({})).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error:?}");
    assert!(error.to_string().contains("no_such_operation"), "{error}");
    let operations = subject.manifest().await.operations;
    assert!(!operations.is_empty(), "it declares operations and describes none");
    for operation in operations {
        let called = session.call(&operation.name, &json!({ "no_such_parameter": 1 })).await;
        let error = called.expect_err(&operation.name);
        assert_eq!(error.kind(), ErrorKind::Config, "{}: {error:?}", operation.name);
        assert!(error.to_string().contains("no_such_parameter"), "{}: {error}", operation.name);
    }
    drop(session);
    world.still_works().await;
}

pub(super) async fn options(subject: Subject) {
    let schema = subject.manifest().await.options;
    let known = schema["properties"].as_object().expect("a schema of its options");
    // A long name, so that no other is as near.
    let nearest = known.keys().max_by_key(|name| name.len()).expect("an option");
    let wrong = format!("{nearest}x");
    let world = subject.echo().await;
    let mut options = world.options.as_object().cloned().unwrap_or_else(Map::new);
    options.insert(wrong.clone(), json!(1));
    let error = world.host.open(&world.uri, options.into()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config, "{error:?}");
    for part in [&wrong, nearest] {
        assert!(error.to_string().contains(part.as_str()), "{error}");
    }
}

pub(super) async fn facets(subject: Subject) {
    let manifest = subject.manifest().await;
    let world = subject.echo().await;
    let session = world.open().await.unwrap();
    let surplus: Vec<_> = session
        .facets()
        .names()
        .filter(|name| !manifest.facets.names().any(|declared| declared == *name))
        .collect();
    assert!(surplus.is_empty(), "facets that the manifest does not declare: {surplus:?}");
    assert!(session.info().peer.is_some(), "a session knows its peer");
}
