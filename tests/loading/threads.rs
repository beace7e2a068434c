//! Threads that end while they hold something of a plugin.

use std::cell::RefCell;

use jackfield::stack::Stack;
use jackfield_plugin_api::{Role, Session};
use serde_json::Map;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    runtime::Handle,
};

use super::{
    faults::{LIMIT, fault, open, stack},
    folder::{Folder, faulty},
};

thread_local! {
    static KEPT: RefCell<Option<(Stack, Session)>> = const { RefCell::new(None) };
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_thread_that_ends_has_of_a_plugin_is_dropped_and_nothing_else_happens() {
    let mut folder = Folder::new();
    folder.options.quarantine =
        jackfield::driver::QuarantineOptions { panics: 0, ..Default::default() }.shared();
    folder.put("faulty.so", &faulty());
    let registry = folder.load().await;
    let bystander = open(&registry, Map::new()).await.expect("a session");
    for at in ["nowhere", "drop_endpoint", "drop_session", "drop_stream"] {
        let options = if at == "nowhere" { Map::new() } else { fault(at, "panic") };
        let stack = stack(&registry, "faulty://x", options, Role::Client).await.expect("a stack");
        let runtime = Handle::current();
        let thread = std::thread::spawn(move || {
            // Registered first, so dropped last: when what the plugin has of this thread is gone.
            KEPT.take();
            let session = runtime.block_on(stack.open(None, LIMIT)).expect("a session");
            KEPT.set(Some((stack, session)));
        });
        tokio::task::spawn_blocking(move || thread.join()).await.expect("no panic").expect(at);
    }
    let mut stream = bystander.take_stream().expect("a stream");
    stream.write_all(b"alive").await.expect("to be written");
    let mut back = [0; 5];
    stream.read_exact(&mut back).await.expect("to come back");
    assert_eq!(&back, b"alive");
}
