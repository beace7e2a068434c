//! Code that blocks where it must not: it costs the thread it holds and its own sessions, and no other's.
//! All of it in a process of its own, whose threads nobody wakes but its own watchdog and its sockets.

use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::folder::{faulty, write};
use crate::support::jackfield::Jackfield;

/// A host with two routes: to the echo that works, and to the faulty handler or, by `driver`, to sessions
/// of the faulty driver.
pub(super) struct Host {
    pub(super) host: Jackfield,
    _plugins: TempDir,
}

/// What a route to the faulty plugin leads to.
#[derive(Clone, Copy, Debug)]
pub(super) enum To {
    Handler,
    Driver,
}

impl Host {
    pub(super) async fn start(to: To, fault: &Value, settings: &[&str]) -> Self {
        let plugins = tempfile::tempdir().expect("a folder");
        write(&plugins.path().join("faulty.so"), &faulty());
        let to = match to {
            To::Handler => "handlers.faulty",
            To::Driver => "connections.faulty",
        };
        // JSON's texts, numbers and names are TOML's, too.
        let fault = fault.as_object().expect("options");
        let fault: Vec<String> =
            fault.iter().map(|(key, value)| format!("{key} = {value}")).collect();
        let fault = fault.join(", ");
        let (handler, driver) =
            if to.starts_with('h') { (fault.as_str(), "") } else { ("", fault.as_str()) };
        let toml = format!(
            "[host]\nplugins = [{:?}]\nworker_threads = 2\nshutdown_timeout = \"1s\"\n\
             [host.quarantine]\nstuck_warn = \"100ms\"\n\
             [handlers.echo]\n[handlers.faulty]\noptions = {{ {handler} }}\n\
             [connections.faulty]\nuri = \"faulty://x\"\noptions = {{ {driver} }}\n\
             [[routes]]\nlisten = \"tcp://127.0.0.1:0\"\nto = \"handlers.echo\"\n\
             [[routes]]\nlisten = \"tcp://127.0.0.1:0\"\nto = \"{to}\"\n",
            plugins.path(),
        );
        let settings: Vec<&str> = settings.iter().flat_map(|set| ["--set", set]).collect();
        let host = Jackfield::run_with(&toml, &settings).await;
        Self { host, _plugins: plugins }
    }

    pub(super) async fn dial(&self, route: usize) -> TcpStream {
        TcpStream::connect(self.host.address(route)).await.expect("to be accepted")
    }

    /// A line of the log that has all of `parts`, once it is there.
    pub(super) async fn line(&mut self, parts: &[&str]) -> String {
        self.host.logged(parts[0]).await;
        let log = self.host.log();
        let has_all = |line: &&str| parts.iter().all(|part| line.contains(part));
        log.lines()
            .find(has_all)
            .unwrap_or_else(|| panic!("no line with {parts:?} in:\n{log}"))
            .to_owned()
    }

    async fn ended(&mut self) -> Option<i32> {
        self.host.ended().await.code()
    }
}

async fn echoes(stream: &mut TcpStream) {
    stream.write_all(b"alive").await.expect("to be written");
    let mut back = [0; 5];
    stream.read_exact(&mut back).await.expect("to come back");
    assert_eq!(&back, b"alive");
}

const STUCK: &str = "a call into a plugin has not returned";

#[tokio::test]
async fn a_call_that_blocks_is_named_and_costs_no_other_connection() {
    for (to, at, how) in [
        (To::Handler, "serve", "spin"),
        (To::Handler, "serve", "block"),
        (To::Driver, "open", "block"),
        (To::Driver, "read", "spin"),
        (To::Driver, "read", "block"),
    ] {
        let mut host = Host::start(to, &json!({ "at": at, "how": how }), &[]).await;
        let mut before = host.dial(0).await;
        echoes(&mut before).await;
        let mut victim = host.dial(1).await;
        victim.write_all(b"go").await.expect("to be written");
        let whose = match to {
            To::Handler => "handler=\"faulty\"",
            To::Driver => "driver=\"faulty\"",
        };
        let operation = format!("operation=\"{at}\"");
        let peer = format!("peer=\"{}\"", victim.local_addr().expect("an address"));
        let parts =
            [STUCK, "plugin=\"jackfield-faulty\"", whose, &operation, &peer, "listener=\"tcp:"];
        assert!(host.line(&parts).await.contains(" WARN "));
        echoes(&mut before).await;
        for _ in 0..20 {
            echoes(&mut host.dial(0).await).await;
        }
        host.host.signal(Signal::TERM);
        // The manager cuts what is left when time is up. On a machine that is too busy for that, the thread
        // of the deadline ends the process a second later.
        let code = host.ended().await;
        let log = host.host.log();
        let said = match code {
            Some(0) => "shutdown_timeout has passed: open connections were ended",
            _ => "it did not stop in time",
        };
        assert!(matches!(code, Some(0 | 1)) && log.contains(said), "{to:?} {at} {how}: {log}");
    }
}

#[tokio::test]
async fn a_call_that_blocks_every_thread_does_not_hold_up_the_end_of_the_process() {
    let fault = json!({ "at": "serve", "how": "spin" });
    let one = "host.worker_threads=1";
    let mut host = Host::start(To::Handler, &fault, &[one]).await;
    let _victim = host.dial(1).await;
    host.host.logged(STUCK).await;
    host.host.signal(Signal::TERM);
    // Its timers are on a thread of their own, so that it can stop. On a machine that is too busy for that, the thread of
    // the deadline ends the process.
    let code = host.ended().await;
    assert!(matches!(code, Some(0 | 1)), "{code:?}: {}", host.host.log());
    let whose = "handler faulty of jackfield-faulty, in serve, for connection 1 (tcp:";
    let line = host.line(&["did not stop in time", whose]).await;
    assert!(line.contains("ERROR"), "{line}");

    let never = "host.shutdown_timeout=\"1h\"";
    let mut host = Host::start(To::Handler, &fault, &[one, never]).await;
    let _victim = host.dial(1).await;
    host.host.logged(STUCK).await;
    host.host.signal(Signal::TERM);
    host.host.logged("stopping").await;
    host.host.signal(Signal::INT);
    assert_eq!(host.ended().await, Some(1), "{}", host.host.log());
    host.line(&["ended at once by a second signal (SIGINT)"]).await;
}

#[tokio::test]
async fn a_plugin_that_is_stuck_gets_no_new_sessions_until_its_call_comes_back() {
    let gate = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = gate.local_addr().expect("an address").port();
    let fault = json!({ "at": "serve", "how": "gate", "gate": port });
    let limit = "host.quarantine.stuck_limit=\"300ms\"";
    let mut host = Host::start(To::Handler, &fault, &[limit]).await;
    let mut victim = host.dial(1).await;
    let (open, _) = gate.accept().await.expect("its call");
    host.host.logged(STUCK).await;
    // Held back, then refused.
    let mut early = host.dial(1).await;
    assert_eq!(early.read(&mut [0]).await.expect("an end"), 0);
    host.line(&["gets no new sessions until this call returns", "handler=\"faulty\"", "ERROR"])
        .await;
    assert_eq!(host.dial(1).await.read(&mut [0]).await.expect("an end"), 0);
    let text = "the plugin jackfield-faulty gets no new sessions: handler faulty";
    host.line(&["error=the plugin", text, "did not return within 300ms"]).await;
    echoes(&mut host.dial(0).await).await;

    drop(open);
    assert_eq!(victim.read(&mut [0]).await.expect("its end"), 0);
    host.line(&["the call has returned: the plugin is used again", "took=", "INFO"]).await;
    let mut again = host.dial(1).await;
    drop(gate.accept().await.expect("its call"));
    assert_eq!(again.read(&mut [0]).await.expect("an end"), 0);
    assert_eq!(host.host.log().matches("gets no new sessions: ").count(), 2, "{}", host.host.log());
}
