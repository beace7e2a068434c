//! What of a broker is there again, without clients: the journal is written by hand, and read by a hub.

use super::Hub;
use crate::broker::options::BrokerOptions;
use crate::broker::state::{Journal, Queued, Record, WrittenFilter, WrittenMessage, unix_now};
use crate::packet::{Filter, Publication};
use jackfield_plugin_api::testing::TestHost;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

fn hub(folder: &Path, host: &TestHost, max_sessions: u32) -> Arc<Hub> {
    let state_dir = folder.display().to_string();
    let options = BrokerOptions { state_dir, max_sessions, ..BrokerOptions::default() };
    Arc::new(Hub::new(host.host(), options))
}

fn write(folder: &Path, records: &[Record]) {
    let (mut journal, _) = Journal::open(folder, |_| ()).unwrap();
    for record in records {
        journal.note(record);
    }
    journal.commit(Duration::ZERO).unwrap();
}

fn session(client: &str) -> Record {
    Record::Session { client: client.to_owned(), user: None, expiry: 60 }
}

fn left(client: &str, ends: u64) -> Record {
    let client = client.to_owned();
    Record::Left { client, ends, unanswered: vec![], last_id: 0, held: vec![], will: None }
}

fn message(topic: &str, content: &str, expiry: Option<u32>, at: u64, retained: bool) -> Record {
    let mut publication = Publication::new(topic, content.to_owned(), 1);
    publication.properties.expiry = expiry;
    let message = Box::new(WrittenMessage::of(&publication));
    let client = || "kept".to_owned();
    let copy =
        Queued { client: client(), number: at, qos: 1, retain: false, subscriptions: vec![] };
    Record::Message { message, at, copies: vec![copy], retained }
}

fn waiting(hub: &Hub, client: &str) -> Vec<(u64, String)> {
    let state = hub.state();
    let session = &state.sessions[&state.by_client[client]];
    let text = |publication: Publication| String::from_utf8(publication.payload.to_vec()).unwrap();
    session.outbox.written().into_iter().map(|(number, it, _)| (number, text(it))).collect()
}

#[tokio::test]
async fn what_was_over_while_no_host_ran_is_not_there() {
    let (folder, host) = (tempfile::tempdir().unwrap(), TestHost::new());
    let now = unix_now();
    write(
        folder.path(),
        &[
            session("over"),
            left("over", now - 1),
            session("kept"),
            message("a", "worthless", Some(10), now - 10, true),
            message("b", "worth something", Some(10_000), now - 9, true),
            message("c", "for ever", None, 1, true),
            left("kept", now + 1000),
        ],
    );
    let hub = hub(folder.path(), &host, 10);
    hub.open().await.unwrap();
    let counts = hub.sweep(hub.host.now());
    assert_eq!((counts.sessions, counts.retained), (1, 2));
    let contents: Vec<String> = waiting(&hub, "kept").into_iter().map(|(_, text)| text).collect();
    assert_eq!(contents, ["for ever", "worth something"]);
}

#[tokio::test]
async fn more_than_the_limits_is_left_out_and_told() {
    let (folder, host) = (tempfile::tempdir().unwrap(), TestHost::new());
    write(folder.path(), &["a", "b", "c"].map(session));
    let hub = hub(folder.path(), &host, 2);
    hub.open().await.unwrap();
    assert_eq!(hub.sweep(hub.host.now()).sessions, 2);
    let told = host.lines().into_iter().find(|line| line.message.contains("left out"));
    assert!(told.unwrap().message.contains("[count=1]"));
}

#[tokio::test]
async fn a_journal_that_is_mostly_of_no_use_is_rewritten_and_says_the_same() {
    let (folder, host) = (tempfile::tempdir().unwrap(), TestHost::new());
    let long = "x".repeat(1000);
    let mut records = vec![session("kept")];
    records.extend((1..=1500).map(|at| message("a", &long, None, at, true)));
    let numbers = (1..=1498).collect();
    records.push(Record::Taken { client: "kept".to_owned(), numbers, last_id: Some(9) });
    write(folder.path(), &records);
    let file = folder.path().join("sessions.journal");
    let before = fs::metadata(&file).unwrap().len();
    let first = hub(folder.path(), &host, 10);
    first.open().await.unwrap();
    assert!(first.wants_rewriting());
    first.rewrite();
    assert!(!first.wants_rewriting());
    let after = fs::metadata(&file).unwrap().len();
    assert!(before > 1_500_000 && after < 10_000, "{before} {after}");
    // What comes after that stands in the new file.
    let mut publication = Publication::new("b", "new", 1);
    publication.retain = true;
    let now = first.host.now();
    first.publishing(0, now, |publishing| assert!(!publishing.publish(publication)));
    drop(first);
    let second = hub(folder.path(), &host, 10);
    second.open().await.unwrap();
    assert_eq!(waiting(&second, "kept"), [(1499, long.clone()), (1500, long)]);
    assert_eq!(second.sweep(now).retained, 2);
}

#[tokio::test]
async fn a_directory_is_used_by_one_broker_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let (first, _) = Journal::open(folder.path(), |_| ()).unwrap();
    let second = Journal::open(folder.path(), |_| ()).map(drop).unwrap_err();
    assert_eq!(second.kind(), jackfield_plugin_api::ErrorKind::InUse);
    drop(first);
    assert!(Journal::open(folder.path(), |_| ()).is_ok());
}

#[tokio::test]
async fn a_will_that_waited_for_its_time_is_published_once() {
    let (folder, host) = (tempfile::tempdir().unwrap(), TestHost::new());
    let now = unix_now();
    let will = Some((Box::new(WrittenMessage::of(&Publication::new("a", "gone", 1))), now - 1));
    let client = "kept".to_owned();
    let filter = WrittenFilter::of(&Filter::new("a", 1));
    let subscribe = Record::Subscribe { client: client.clone(), filter, number: None };
    let ends = now + 1000;
    let left = Record::Left { client, ends, unanswered: vec![], last_id: 0, held: vec![], will };
    write(folder.path(), &[session("kept"), subscribe, left]);
    for _ in 0..2 {
        let hub = hub(folder.path(), &host, 10);
        hub.open().await.unwrap();
        hub.sweep(hub.host.now());
        assert_eq!(waiting(&hub, "kept"), [(1, "gone".to_owned())]);
    }
}
