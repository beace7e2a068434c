//! Calls on pooled sessions.

use futures_util::future::join_all;
use jackfield_plugin_api::Result;
use serde_json::{Map, Value, json};

use super::*;
use crate::support::peers::sshd::{Sshd, USER};

async fn lab(sshd: &Sshd, pool: &str) -> TestHost {
    host(&format!(
        "targets = [{{ uri = \"ssh://{USER}@127.0.0.1:{}\", options = {{ key_file = {:?}, \
         known_hosts = {:?} }} }}]\n{pool}",
        sshd.port(),
        sshd.key(),
        sshd.known_hosts()
    ))
    .await
}

async fn exec(host: &TestHost, command: &str) -> Result<Value> {
    let manager = host.manager();
    manager.call("upstreams.u", &Map::new(), "exec", &json!({ "command": command })).await
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_borrow_a_session_and_give_it_back() {
    let sshd = Sshd::start().await;
    let host = lab(&sshd, "pool = { max_size = 1 }").await;
    for number in 0..3 {
        let done = exec(&host, &format!("echo {number}")).await.unwrap();
        assert_eq!(done["stdout"], format!("{number}\n"));
        let pool = pool(&host);
        assert_eq!((pool.opened, pool.idle, pool.users), (1, 1, 0));
    }
    // What the command says is no fault of the session.
    assert_eq!(exec(&host, "exit 3").await.unwrap()["exit_status"], 3);
    assert_eq!(pool(&host).opened, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_at_the_same_time_share_what_may_be_shared() {
    let sshd = Sshd::start().await;
    let host = lab(&sshd, "pool = { max_size = 1, share = 3 }").await;
    let calls = join_all((0..6).map(|_| exec(&host, "sleep 0.05; echo $PPID"))).await;
    let parents: Vec<String> =
        calls.into_iter().map(|done| done.unwrap()["stdout"].to_string()).collect();
    assert!(parents.iter().all(|parent| *parent == parents[0]), "one server process: {parents:?}");
    let pool = pool(&host);
    assert_eq!((pool.opened, pool.users), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_lost_in_a_call_is_replaced_for_the_next() {
    let sshd = Sshd::start().await;
    let host = lab(&sshd, "pool = { max_size = 1 }").await;
    assert!(exec(&host, "kill -9 $PPID; sleep 60").await.is_err());
    assert_eq!(exec(&host, "echo well").await.unwrap()["stdout"], "well\n");
    assert_eq!(pool(&host).opened, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_pool_a_call_has_a_session_of_its_own() {
    let sshd = Sshd::start().await;
    let host = lab(&sshd, "").await;
    assert_eq!(exec(&host, "echo well").await.unwrap()["stdout"], "well\n");
    let target = target(&host, 0);
    assert_eq!((target.pool.clone(), target.in_flight, target.successes), (None, 0, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_items_are_worked_on_by_as_many_sessions_as_the_pool_has() {
    let sshd = Sshd::start().await;
    let host = lab(&sshd, "pool = { max_size = 2 }").await;
    let commands = (0..12).map(|number| {
        let command =
            if number == 5 { "exit 3".to_owned() } else { format!("echo {number} $PPID") };
        json!({ "command": command })
    });
    let done = upstream(&host).call_each("exec", commands, 4).await;
    let mut parents = std::collections::BTreeSet::new();
    for (number, result) in done.iter().enumerate() {
        let result = result.as_ref().unwrap();
        if number == 5 {
            assert_eq!(result["exit_status"], 3);
            continue;
        }
        let text = result["stdout"].as_str().unwrap();
        let (first, parent) = text.trim_end().split_once(' ').unwrap();
        assert_eq!(first, number.to_string());
        parents.insert(parent.to_owned());
    }
    assert_eq!((done.len(), parents.len(), pool(&host).opened), (12, 2, 2));
    let failed = upstream(&host).call_each("exce", [json!({}), json!({})], 9).await;
    assert!(failed.iter().all(Result::is_err) && failed.len() == 2);
}
