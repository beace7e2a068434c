//! Outages of real servers under load: each of three OpenSSH servers is killed, stopped, slowed and
//! brought back while commands run all the time. No command may fail, because there is always a
//! healthy target and time left; only one that already runs where its session is killed can.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use jackfield::upstream::{TargetSnapshot, Upstream};
use serde_json::json;
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::support::{
    host::TestHost,
    peers::sshd::{Sshd, USER},
    process::DEADLINE,
};

/// Commands run at a time.
const CALLERS: usize = 4;

/// Three servers behind one upstream, and callers that never rest.
struct Lab {
    servers: [Sshd; 3],
    host: TestHost,
    load: Load,
}

impl Lab {
    async fn start(pool: &str) -> Self {
        let servers = [Sshd::start().await, Sshd::start().await, Sshd::start().await];
        let target = |sshd: &Sshd| {
            format!(
                "{{ uri = \"{}\", options = {{ key_file = {:?}, known_hosts = {:?} }} }}",
                uri(sshd),
                sshd.key(),
                sshd.known_hosts(),
            )
        };
        let host = TestHost::start(&format!(
            "[upstreams.lab]\n\
             targets = [{}, {}, {}]\n\
             balance = \"least_connections\"\n\
             connect_timeout = \"40s\"\n\
             {pool}\n\
             outlier = {{ consecutive_failures = 3, base_ejection = \"100ms\", \
                          max_ejected_percent = 70 }}\n\
             health = {{ interval = \"300ms\", timeout = \"2s\", rise = 2, fall = 2 }}\n",
            target(&servers[0]),
            target(&servers[1]),
            target(&servers[2]),
        ))
        .await;
        let upstream = host.manager().upstream("lab").expect("the upstream");
        let load = Load::start(&upstream);
        let lab = Lab { servers, host, load };
        lab.served_by(&[0, 1, 2]).await;
        lab
    }

    fn target(&self, index: usize) -> TargetSnapshot {
        let snapshot = self.host.manager().snapshot();
        let lab = snapshot.upstreams.into_iter().find(|upstream| upstream.name == "lab");
        let name = uri(&self.servers[index]);
        let mut targets = lab.expect("the upstream").it.targets.into_iter();
        targets.find(|target| target.name == name).expect("the target")
    }

    /// Waits for a state that the checks bring about.
    async fn reaches(&self, index: usize, states: &[&str]) {
        let what = format!("target {index} to be {states:?}");
        self.until(&what, || states.contains(&self.target(index).state)).await;
    }

    /// Waits until the checks have found it well again and it serves.
    async fn recovers(&self, index: usize) {
        self.reaches(index, &["up"]).await;
        self.served_by(&[index]).await;
    }

    /// Waits until each of those targets has served more than it has now.
    async fn served_by(&self, indices: &[usize]) {
        for &index in indices {
            let before = self.target(index).successes;
            let what = format!("target {index} to serve");
            self.until(&what, || self.target(index).successes > before + 5).await;
        }
    }

    async fn until(&self, what: &str, condition: impl Fn() -> bool) {
        let wait = async {
            while !condition() {
                sleep(Duration::from_millis(5)).await;
            }
        };
        let states = || [0, 1, 2].map(|index| self.target(index));
        timeout(DEADLINE, wait).await.unwrap_or_else(|_| panic!("no {what}: {:#?}", states()));
    }
}

fn uri(sshd: &Sshd) -> String {
    format!("ssh://{USER}@127.0.0.1:{}", sshd.port())
}

/// Callers that run commands over and over, each on a session of its own or on a pooled one.
struct Load {
    callers: JoinSet<()>,
    end: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
    failures: Arc<Mutex<Vec<String>>>,
}

impl Load {
    fn start(upstream: &Arc<Upstream>) -> Self {
        let mut load = Load {
            callers: JoinSet::new(),
            end: Arc::default(),
            done: Arc::default(),
            failures: Arc::default(),
        };
        for _ in 0..CALLERS {
            let (upstream, end) = (Arc::clone(upstream), Arc::clone(&load.end));
            let (done, failures) = (Arc::clone(&load.done), Arc::clone(&load.failures));
            load.callers.spawn(async move {
                while !end.load(Relaxed) {
                    match command(&upstream).await {
                        Ok(()) => {
                            done.fetch_add(1, Relaxed);
                        }
                        Err(error) => failures.lock().unwrap().push(error),
                    }
                }
            });
        }
        load
    }

    /// Ends the callers; how many commands were run, and what went wrong.
    async fn finish(mut self) -> (u64, Vec<String>) {
        self.end.store(true, Relaxed);
        while let Some(ended) = self.callers.join_next().await {
            ended.expect("a caller");
        }
        let failures = std::mem::take(&mut *self.failures.lock().unwrap());
        (self.done.load(Relaxed), failures)
    }
}

async fn command(upstream: &Arc<Upstream>) -> Result<(), String> {
    let params = json!({ "command": "echo over" });
    let result = upstream.call(None, "exec", &params).await;
    let result = result.map_err(|error| format!("{}: {error}", error.kind().as_str()))?;
    if result["stdout"] == "over\n" { Ok(()) } else { Err(result.to_string()) }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_command_fails_while_servers_are_killed_stopped_slowed_and_brought_back() {
    let mut lab = Lab::start("").await;
    for index in [0, 1, 2] {
        let others: Vec<usize> = (0..3).filter(|other| *other != index).collect();

        lab.servers[index].kill_listener();
        lab.reaches(index, &["down"]).await;
        lab.served_by(&others).await;
        lab.servers[index].listen_again().await;
        lab.recovers(index).await;

        lab.servers[index].pause();
        lab.reaches(index, &["down"]).await;
        lab.served_by(&others).await;
        lab.servers[index].resume();
        lab.recovers(index).await;

        // Slow: it answers only now and then.
        for _ in 0..5 {
            lab.servers[index].pause();
            lab.served_by(&others).await;
            lab.servers[index].resume();
            sleep(Duration::from_millis(20)).await;
        }
        lab.recovers(index).await;
    }
    let (done, failures) = lab.load.finish().await;
    assert_eq!(failures, Vec::<String>::new(), "of {done} commands");
    assert!(done > 100, "{done} commands");
    lab.host.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_pools_only_commands_that_run_where_a_session_is_killed_fail() {
    let mut lab = Lab::start("pool = { max_size = 2, share = 4 }").await;
    let mut killed = 0;
    for index in [0, 1, 2] {
        let others: Vec<usize> = (0..3).filter(|other| *other != index).collect();
        // Its pooled sessions die; it goes on to listen.
        killed += lab.servers[index].kill_sessions();
        lab.served_by(&[index]).await;
        // New ones cannot be opened; those that are open serve on.
        lab.servers[index].kill_listener();
        killed += lab.servers[index].kill_sessions();
        lab.reaches(index, &["down"]).await;
        lab.served_by(&others).await;
        lab.servers[index].listen_again().await;
        lab.recovers(index).await;
    }
    let (done, failures) = lab.load.finish().await;
    assert!(done > 100, "{done} commands");
    // Each caller can have had one command at each of six killings.
    assert!(failures.len() <= 6 * CALLERS, "{killed} sessions were killed: {failures:?}");
    assert!(failures.iter().all(|text| text.starts_with("closed: ")), "{failures:?}");
    lab.host.shutdown().await;
}
