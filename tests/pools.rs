//! Pools of an upstream's targets over real connections.

mod calls;
mod consoles;
mod hash;
mod shared;
mod streams;
mod used_up;

use std::{sync::Arc, time::Duration};

use jackfield::upstream::{PoolSnapshot, TargetSnapshot, Upstream};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{sleep, timeout},
};

use crate::support::{host::TestHost, process::DEADLINE};

/// A host with one route to `[upstreams.u]`.
async fn host(upstream: &str) -> TestHost {
    let route = "[[routes]]\nlisten = \"tcp://127.0.0.1:0\"\nto = \"upstreams.u\"\n";
    TestHost::start(&format!("{route}[upstreams.u]\n{upstream}\n")).await
}

fn upstream(host: &TestHost) -> Arc<Upstream> {
    host.manager().upstream("u").unwrap()
}

/// The target number `at` as a face would show it.
fn target(host: &TestHost, at: usize) -> TargetSnapshot {
    let snapshot = host.manager().snapshot();
    let upstream = snapshot.upstreams.into_iter().find(|upstream| upstream.name == "u").unwrap();
    upstream.it.targets.into_iter().nth(at).unwrap()
}

fn pool(host: &TestHost) -> PoolSnapshot {
    target(host, 0).pool.expect("a pool")
}

/// Waits for something that a task of the host brings about.
async fn until(host: &TestHost, what: &str, holds: impl Fn(&PoolSnapshot) -> bool) {
    let wait = async {
        while !holds(&pool(host)) {
            sleep(Duration::from_millis(5)).await;
        }
    };
    let reached = timeout(DEADLINE, wait).await;
    reached.unwrap_or_else(|_| panic!("not {what}: {:?}", pool(host)));
}

/// One connection that stays.
struct Lasting(TcpStream);

impl Lasting {
    /// Connected to the host, and maybe not yet further.
    async fn connect(host: &TestHost) -> Self {
        Lasting(TcpStream::connect(host.address(0)).await.unwrap())
    }

    async fn open(host: &TestHost) -> Self {
        let mut lasting = Self::connect(host).await;
        lasting.works().await;
        lasting
    }

    async fn works(&mut self) {
        self.0.write_all(b"still\n").await.unwrap();
        let mut back = [0; 6];
        timeout(DEADLINE, self.0.read_exact(&mut back)).await.expect("an answer").unwrap();
        assert_eq!(&back, b"still\n");
    }

    /// Reads until the host ends it.
    async fn ends(mut self) {
        let mut rest = Vec::new();
        let end = timeout(DEADLINE, self.0.read_to_end(&mut rest)).await.expect("an end");
        assert!(end.is_err() || rest.is_empty(), "{rest:?}");
    }
}
