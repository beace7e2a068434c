//! Serial lines that come and go, and who may use them.

use std::{fs::File, path::Path, process::Command, sync::Arc};

use jackfield::{
    config::model::ConnectionConfig,
    connection::{Delivery, Live, Payload, SessionHandler},
    events::EventKind,
    manager::Existing,
};
use jackfield_plugin_api::{ErrorKind, Stream};
use serde_json::json;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UnixStream},
    time::timeout,
};

use crate::support::{
    host::TestHost,
    need::need,
    peers::socat::Line,
    process::{DEADLINE, command, run, tempdir},
};

async fn far_end(host: &TestHost, line: &Line) -> Stream {
    let uri = format!("serial://{}", line.end("b").display());
    host.open(&uri, json!({})).await.unwrap().take_stream().unwrap()
}

async fn heard(far: &mut Stream, wanted: &[u8]) {
    let mut got = vec![0; wanted.len()];
    timeout(DEADLINE, far.read_exact(&mut got)).await.expect("in time").unwrap();
    assert_eq!(got, wanted);
}

/// Reads, and does nothing.
struct Reader;

impl SessionHandler for Reader {
    fn received<'a>(&'a self, _: &'a Arc<Live>, _: Payload) -> Delivery<'a> {
        Box::pin(std::future::ready(()))
    }
}

fn names(live: &Live) -> Vec<String> {
    let history = live.events.history();
    let kinds = history.iter().map(|event| &event.kind);
    // One attempt fails, with an error, for each look at a place where nothing is.
    let mut names: Vec<String> = kinds
        .filter_map(|kind| serde_json::to_value(kind).unwrap()["event"].as_str().map(str::to_owned))
        .filter(|name| name != "error")
        .collect();
    names.dedup();
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_is_plugged_in_again_is_opened_again_under_its_lasting_name() {
    let mut line = Line::new().await;
    let path = line.by_id("usb-Maker_Model_0001-if00-port0");
    let host = TestHost::start("").await;
    let config: ConnectionConfig = serde_json::from_value(json!({
        "uri": format!("serial://{}", path.display()),
        "options": { "baud": 57600 },
        "reconnect": { "attempts": -1, "first_delay": "20ms", "max_delay": "1s" },
    }))
    .unwrap();
    let manager = host.manager();
    let live = manager.register("console", config, Existing::Refuse, DEADLINE).await.unwrap();
    live.set_handler(Arc::new(Reader)).unwrap();
    let mut far = far_end(&host, &line).await;
    live.post("before").unwrap().sent().await.unwrap();
    heard(&mut far, b"before").await;

    let mut events = live.events.subscribe(64);
    line.unplug();
    // It is looked for in vain at least once.
    let missed = async {
        while let Some(event) = events.next().await {
            if matches!(event.kind, EventKind::Reconnecting { attempt: 2.., .. }) {
                break;
            }
        }
    };
    timeout(DEADLINE, missed).await.expect("it is tried again");
    line.plug_in().await;
    let mut far = far_end(&host, &line).await;
    live.wait_ready(DEADLINE).await.expect("opened again");
    live.post("after").unwrap().sent().await.unwrap();
    heard(&mut far, b"after").await;
    let settings = live.call("set", &json!({})).await.unwrap();
    assert_eq!(settings["baud"], 57600, "it is set as before");
    let wanted = ["connecting", "connected", "lost", "reconnecting", "connected"];
    assert_eq!(names(&live), wanted);
    assert_eq!(live.generation(), 2);
}

/// Not shared with anybody.
const ALONE: &str = "--exclusive";

/// Whether another program gets the lock, for itself or shared with others.
async fn lock(path: &Path, how: &str) -> bool {
    let mut flock: Command = command(need("flock", "util-linux"));
    flock.args(["--nonblock", "--conflict-exit-code", "9", how]).arg(path).arg("true");
    let ran = run(flock, "").await;
    assert!(matches!(ran.code, Some(0 | 9 | 66)), "{:?} {}", ran.code, ran.stderr);
    ran.code == Some(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_is_used_is_locked_for_other_programs() {
    let line = Line::new().await;
    let path = line.end("a");
    let host = TestHost::start("").await;
    let uri = format!("serial://{}", path.display());
    assert!(lock(&path, ALONE).await);
    let session = host.open(&uri, json!({})).await.unwrap();
    assert!(!lock(&path, ALONE).await, "another program has got in");
    assert!(!lock(&path, "--shared").await, "another program has got in");
    let error = host.open(&uri, json!({})).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InUse, "{error}");
    drop(session);
    assert!(lock(&path, ALONE).await, "it is still locked");
    let shared = json!({ "exclusive": false });
    let one = host.open(&uri, shared.clone()).await.unwrap();
    let other = host.open(&uri, shared).await.unwrap();
    assert!(lock(&path, "--shared").await, "it was to be shared");
    assert!(!lock(&path, ALONE).await, "somebody else has it to himself");
    drop((one, other));
}

/// What `stty` says of a line, in a form that it takes back.
async fn stty(path: &Path) -> String {
    let mut stty = command(need("stty", "coreutils"));
    stty.arg("-F").arg(path).arg("-g");
    run(stty, "").await.ok().text()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_is_given_back_as_it_was_found() {
    let line = Line::new().await;
    let path = line.end("a");
    // A pseudo terminal that nobody has open forgets its settings.
    let kept = File::open(&path).unwrap();
    let mut set = command(need("stty", "coreutils"));
    set.arg("-F").arg(&path).args(["1200", "cstopb", "echo", "icanon", "ixon"]);
    run(set, "").await.ok();
    let before = stty(&path).await;
    let host = TestHost::start("").await;
    let uri = format!("serial://{}?baud=9600&flow=hardware", path.display());
    let session = host.open(&uri, json!({ "exclusive": false })).await.unwrap();
    assert_ne!(stty(&path).await, before);
    session.call("set", &json!({ "baud": 38400, "stop_bits": 1 })).await.unwrap();
    drop(session);
    assert_eq!(stty(&path).await, before);
    drop(kept);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_user_of_a_line_is_told_who_has_it_and_since_when() {
    let line = Line::new().await;
    let folder = tempdir();
    let uri = format!("serial://{}", line.end("a").display());
    let socket = folder.path().join("line");
    let listeners =
        ["tcp://127.0.0.1:0", "telnet://127.0.0.1:0", &format!("unix://{}", socket.display())];
    let routes: String = listeners
        .iter()
        .map(|listen| format!("[[routes]]\nlisten = \"{listen}\"\nto = \"{uri}\"\n"))
        .collect();
    let host = TestHost::start(&routes).await;
    // There before anything is said: a line that is opened begins without what came earlier.
    let mut far = far_end(&host, &line).await;
    let mut ann = TcpStream::connect(host.address(0)).await.unwrap();
    ann.write_all(b"ann").await.unwrap();
    heard(&mut far, b"ann").await;
    let told = format!("\r\nin use by {} since 2", ann.local_addr().unwrap());
    let by_tcp = read_all(TcpStream::connect(host.address(0)).await.unwrap()).await;
    let by_telnet = read_all(TcpStream::connect(host.address(1)).await.unwrap()).await;
    let by_unix = read_all(UnixStream::connect(&socket).await.unwrap()).await;
    for (listener, said) in listeners.iter().zip([by_tcp, by_telnet, by_unix]) {
        assert!(said.contains(&told) && said.ends_with("Z\r\n"), "{listener}: {said:?}");
    }
}

/// What comes until the end, which may be a reset.
async fn read_all(mut stream: impl AsyncRead + Unpin) -> String {
    let mut all = Vec::new();
    let _ = timeout(DEADLINE, stream.read_to_end(&mut all)).await.expect("in time");
    String::from_utf8_lossy(&all).into_owned()
}
