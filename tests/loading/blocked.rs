//! Code that blocks where it must not: it costs the thread it holds, and no other session.

use std::{sync::Arc, time::Duration};

use jackfield_plugin_api::{Result, Role, Session};
use serde_json::Map;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    runtime::Builder,
    sync::oneshot,
};

use super::{
    faults::{LIMIT, fault, open, stack},
    folder::{Folder, built, faulty},
};
use crate::support::peers::echo::TcpPeer;

/// A connection of its own: accepted, connected, read and written by the runtime that is short of
/// threads.
async fn round_trip(session: Result<Session>) {
    let session = session.expect("a session");
    let mut stream = session.take_stream().expect("a stream");
    stream.write_all(b"alive").await.expect("to be written");
    let mut back = [0; 5];
    stream.read_exact(&mut back).await.expect("to come back");
    assert_eq!(&back, b"alive");
}

#[test]
fn polls_that_block_cost_their_threads_and_no_other_session() {
    let runtime = Builder::new_multi_thread().worker_threads(4).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let others = async {
        let folder = Folder::empty();
        folder.put("faulty.so", &faulty());
        folder.put("tcp.so", &built("libjackfield_tcp.so"));
        let registry = Arc::new(folder.load().await);
        let peer = TcpPeer::echo().await;
        for at in ["open", "read", "call"] {
            let (blocks, blocked) = oneshot::channel();
            let registry = Arc::clone(&registry);
            tokio::spawn(async move {
                if at == "open" {
                    let stack = stack(&registry, "faulty://x", fault(at, "block"), Role::Client);
                    let stack = stack.await.expect("a stack");
                    // What follows is in the same poll as this.
                    let _ = blocks.send(());
                    return stack.open(None, LIMIT).await.map(drop);
                }
                let session = open(&registry, fault(at, "block")).await.expect("a session");
                let _ = blocks.send(());
                if at == "read" {
                    let _ = session.take_stream().expect("a stream").read(&mut [0; 1]).await;
                }
                session.call("mode", &serde_json::Value::Null).await.map(drop)
            });
            blocked.await.expect("the task to come so far");
        }
        let uri = peer.uri();
        for _ in 0..20 {
            let (registry, uri) = (Arc::clone(&registry), uri.clone());
            let other = tokio::spawn(async move {
                let stack = stack(&registry, &uri, Map::new(), Role::Client).await;
                round_trip(stack.expect("a stack").open(None, LIMIT).await).await;
                // Timers of the same runtime run too.
                tokio::time::sleep(Duration::from_millis(1)).await;
            });
            tokio::time::timeout(LIMIT, other).await.expect("another session").expect("its task");
        }
    };
    runtime.block_on(others);
    // The host ends in the same way: it does not wait for what never comes back.
    runtime.shutdown_background();
}
