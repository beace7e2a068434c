//! What is shown inside the guest of `tests/serial-guest/run`: the driver on two 16550A that are joined.
//! Any other place has no such lines; `run` is the only way to start it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a failed expectation is how a test fails, and a line is how it succeeds"
)]

use std::{process::Command, time::Duration};

use jackfield::{
    config::{self, Overrides, model::ConnectionConfig},
    events::EventKind,
    manager::{Existing, Manager},
};
use jackfield_plugin_api::{ErrorKind, Event, Session};
use serde_json::{Map, Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

const ONE: &str = "/dev/ttyS1";
const TWO: &str = "/dev/ttyS2";

/// It only bounds what has failed: emulation is slow.
const DEADLINE: Duration = Duration::from_secs(60);

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let file = "/tmp/jackfield.toml";
    std::fs::write(file, "[host]\nplugins = [\"/plugins\"]\n").unwrap();
    let loaded = config::load(&[file.into()], &Overrides::new()).unwrap();
    let manager = Manager::start(&loaded).await.unwrap();
    let guest = Guest(manager);
    // What stood on the console before has no end of a line.
    println!();
    guest.settings_are_the_chips_own().await;
    guest.bytes_pass_with_seven_bits_and_with_eight().await;
    guest.lines_go_out_and_come_in().await;
    guest.a_change_of_lines_is_an_event().await;
    guest.a_named_connection_tells_it_while_it_is_connected().await;
    guest.a_break_is_taken().await;
    guest.the_line_is_given_back_as_it_was().await;
    guest.0.shutdown().await;
}

fn busybox(words: &[&str]) -> String {
    let output = Command::new("/bin/busybox").args(words).output().unwrap();
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// As the kernel says that it is set.
fn stty(device: &str) -> String {
    busybox(&["stty", "-F", device, "-a"])
}

/// What the kernel says of the lines of a chip, such as `RTS|CTS|DTR|DSR|CD`.
fn lines(number: &str) -> Vec<String> {
    let all = std::fs::read_to_string("/proc/tty/driver/serial").unwrap();
    let own = all.lines().find(|line| line.starts_with(&format!("{number}:"))).unwrap();
    own.rsplit(' ').next().unwrap().split('|').map(str::to_owned).collect()
}

fn loopback(device: &str, on: bool) {
    let state = if on { "on" } else { "off" };
    assert!(Command::new("/bin/loopback").args([device, state]).status().unwrap().success());
}

struct Guest(Manager);

impl Guest {
    async fn open(&self, device: &str, options: Value) -> Session {
        let options: Map<String, Value> = options.as_object().cloned().unwrap();
        let opened = self.0.open(&format!("serial://{device}"), &options).await;
        opened.unwrap_or_else(|error| panic!("{error}"))
    }

    async fn settings_are_the_chips_own(&self) {
        let odd = json!({ "baud": 9600, "data_bits": 7, "parity": "even", "stop_bits": 2 });
        let session = self.open(ONE, odd).await;
        let facts = session.info().facts;
        let told = ["baud", "data_bits", "parity", "stop_bits"].map(|name| &facts[name]);
        assert_eq!(told, [&json!(9600), &json!(7), &json!("even"), &json!(2)]);
        let kernels = stty(ONE);
        for word in ["9600 baud", "cs7", "parenb", "-parodd", "cstopb"] {
            assert!(kernels.contains(word), "no {word} in {kernels}");
        }
        let wanted = json!({ "baud": 57600, "data_bits": 5, "parity": "odd", "flow": "hardware" });
        let set = session.call("set", &wanted).await.unwrap();
        for (name, value) in wanted.as_object().unwrap() {
            assert_eq!(&set[name], value, "{set}");
        }
        let kernels = stty(ONE);
        for word in ["57600 baud", "cs5", "parenb", " parodd", "crtscts"] {
            assert!(kernels.contains(word), "no {word} in {kernels}");
        }
        let other = self.0.open(&format!("serial://{ONE}"), &Map::new()).await;
        assert_eq!(other.unwrap_err().kind(), ErrorKind::InUse);
        println!("ok 7 bits, parity, stop bits and flow control are set in the chip, and told");
    }

    async fn bytes_pass_with_seven_bits_and_with_eight(&self) {
        let seven = json!({ "data_bits": 7, "parity": "even" });
        for (options, most) in [(seven, 127), (json!({}), 255)] {
            let one = self.open(ONE, options.clone()).await.take_stream().unwrap();
            let two = self.open(TWO, options).await.take_stream().unwrap();
            let sent: Vec<u8> = (0..=most).cycle().take(5000).collect();
            for (mut from, mut to) in [(one, two)] {
                let mut came = vec![0; sent.len()];
                let there = async { from.write_all(&sent).await.unwrap() };
                let passing = async { tokio::join!(there, to.read_exact(&mut came)).1 };
                timeout(DEADLINE, passing).await.expect("in time").unwrap();
                assert!(came == sent, "the bytes came changed");
                to.write_all(b"back").await.unwrap();
                let mut back = [0; 4];
                timeout(DEADLINE, from.read_exact(&mut back)).await.expect("in time").unwrap();
                assert_eq!(&back, b"back");
            }
        }
        println!("ok bytes pass between two chips, 7 bits with parity and 8 without");
    }

    async fn lines_go_out_and_come_in(&self) {
        let session = self.open(ONE, json!({ "dtr": false, "rts": false })).await;
        let out = |wanted: &str| lines("1").iter().any(|line| line == wanted);
        assert!(!out("DTR") && !out("RTS"), "{:?}", lines("1"));
        for (dtr, rts) in [(true, false), (false, true), (true, true)] {
            session.call("set_lines", &json!({ "dtr": dtr, "rts": rts })).await.unwrap();
            assert_eq!((out("DTR"), out("RTS")), (dtr, rts), "{:?}", lines("1"));
        }
        // What the other chip has at its end is always on in QEMU, but for the ring.
        let came = session.call("lines", &json!({})).await.unwrap();
        assert_eq!(came, json!({ "cts": true, "dsr": true, "cd": true, "ri": false }));
        loopback(ONE, true);
        for (dtr, rts) in [(true, false), (false, true), (false, false)] {
            session.call("set_lines", &json!({ "dtr": dtr, "rts": rts })).await.unwrap();
            let came = session.call("lines", &json!({})).await.unwrap();
            assert_eq!((&came["dsr"], &came["cts"]), (&json!(dtr), &json!(rts)), "{came}");
        }
        loopback(ONE, false);
        println!("ok DTR and RTS are set, and CTS, DSR, CD and RI are read");
    }

    async fn a_change_of_lines_is_an_event(&self) {
        let session = self.open(ONE, json!({ "modem_poll": 10 })).await;
        loopback(ONE, true);
        session.call("set_lines", &json!({ "dtr": true, "rts": true })).await.unwrap();
        // The first look has nothing to compare with.
        let first = timeout(Duration::from_millis(500), session.next_event()).await;
        assert!(first.is_err(), "nothing has changed: {first:?}");
        let next = async || -> Event {
            let next = timeout(DEADLINE, session.next_event()).await.expect("in time");
            next.unwrap().expect("an event")
        };
        let off = json!({ "rts": false });
        session.call("set_lines", &off).await.unwrap();
        let event = next().await;
        assert_eq!(event.name, "modem");
        // CD is what Linux sets for its own interrupts there.
        assert_eq!(event.data, json!({ "cts": false, "dsr": true, "cd": true, "ri": false }));
        session.call("set_lines", &json!({ "rts": true, "dtr": false })).await.unwrap();
        let event = next().await;
        assert_eq!((&event.data["cts"], &event.data["dsr"]), (&json!(true), &json!(false)));
        loopback(ONE, false);
        println!("ok modem lines that change are told as events, in order");
    }

    async fn a_named_connection_tells_it_while_it_is_connected(&self) {
        let value = json!({ "uri": format!("serial://{ONE}"), "options": { "modem_poll": 10 } });
        let config: ConnectionConfig = serde_json::from_value(value).unwrap();
        let manager = self.0.clone();
        let live = manager.register("line", config, Existing::Refuse, DEADLINE).await.unwrap();
        let mut events = live.events.subscribe(64);
        loopback(ONE, true);
        let changing = async {
            for on in [false, true].into_iter().cycle() {
                live.call("set_lines", &json!({ "rts": on })).await.unwrap();
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let told = async {
            while let Some(event) = events.next().await {
                if matches!(&event.kind, EventKind::Driver { name, .. } if name == "modem") {
                    return;
                }
            }
            panic!("the connection ended");
        };
        let all = async {
            tokio::select! { () = told => {}, () = changing => {} }
        };
        timeout(DEADLINE, all).await.expect("an event in time");
        loopback(ONE, false);
        live.close(0, "enough").await;
        let kinds: Vec<EventKind> = live.events.history().into_iter().map(|it| it.kind).collect();
        assert!(
            matches!(
                kinds[..3],
                [
                    EventKind::Connecting { .. },
                    EventKind::Connected { .. },
                    EventKind::Driver { .. }
                ]
            ),
            "{kinds:?}"
        );
        assert!(matches!(kinds.last(), Some(EventKind::Closed { .. })), "{kinds:?}");
        println!("ok a named connection tells them between connected and closed");
    }

    async fn a_break_is_taken(&self) {
        let session = self.open(ONE, json!({})).await;
        session.call("break", &json!({ "milliseconds": 20 })).await.unwrap();
        // The line carries data again after it.
        let mut one = session.take_stream().unwrap();
        let mut two = self.open(TWO, json!({})).await.take_stream().unwrap();
        one.write_all(b"after").await.unwrap();
        let mut came = [0; 5];
        timeout(DEADLINE, two.read_exact(&mut came)).await.expect("in time").unwrap();
        assert_eq!(&came, b"after");
        println!("ok a break is sent, and bytes pass after it");
    }

    async fn the_line_is_given_back_as_it_was(&self) {
        busybox(&["stty", "-F", ONE, "1200", "cs7", "parenb", "parodd", "cstopb", "echo"]);
        let before = stty(ONE);
        assert!(before.contains("1200 baud") && before.contains("cs7"), "{before}");
        let session = self.open(ONE, json!({ "baud": 115_200, "flow": "software" })).await;
        assert_ne!(stty(ONE), before);
        drop(session);
        assert_eq!(stty(ONE), before);
        println!("ok speed, bits, parity and echo are restored");
    }
}
