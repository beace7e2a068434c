//! Which of what a device says is the answer to a line.

use super::*;
use jackfield_plugin_api::{ErrorKind, Info, Result, Session, Stream};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::time::sleep;

/// How a device behaves.
#[derive(Clone)]
struct Device {
    /// Said at once when it is connected to.
    greeting: &'static str,
    /// Its prompt comes so long after the greeting.
    late: Duration,
    prompt: &'static str,
    echo: bool,
    /// Bytes of an answer that are shown before a key is waited for.
    page: Option<(&'static str, &'static str)>,
}

const OUTPUT: &str = "Version 15.2(4)\r\nuptime 3 days\r\n";
const READ: &str = "Version 15.2(4)\nuptime 3 days\n";

fn device(prompt: &'static str) -> Device {
    Device { greeting: "", late: Duration::ZERO, prompt, echo: true, page: None }
}

async fn say(stream: &mut DuplexStream, text: &str) {
    // Whoever has gone hears nothing.
    let _ = stream.write_all(text.as_bytes()).await;
}

impl Device {
    /// Answers each line with its output and the prompt, until the user goes.
    async fn run(self, mut stream: DuplexStream) {
        say(&mut stream, self.greeting).await;
        sleep(self.late).await;
        say(&mut stream, self.prompt).await;
        let mut line = String::new();
        while let Ok(byte) = stream.read_u8().await {
            if byte != b'\r' {
                line.push(char::from(byte));
                continue;
            }
            if self.echo {
                say(&mut stream, &line).await;
            }
            say(&mut stream, "\r\n").await;
            sleep(Duration::from_millis(150)).await;
            if !line.is_empty() {
                say(&mut stream, OUTPUT).await;
            }
            if let Some((question, erase)) = self.page.filter(|_| !line.is_empty()) {
                say(&mut stream, question).await;
                let Ok(b' ') = stream.read_u8().await else { return };
                say(&mut stream, erase).await;
                say(&mut stream, "last page\r\n").await;
            }
            line.clear();
            say(&mut stream, self.prompt).await;
        }
    }

    /// One operation on a session with it.
    async fn call(self, operation: &str, params: Value) -> Result<Value> {
        let (near, far) = duplex(4096);
        tokio::spawn(self.run(far));
        let session = Session::of_stream(Info::default(), Stream::new(near));
        converse(&session, operation, &params).await
    }
}

fn ask(pattern: &str) -> Value {
    json!({ "text": "show version", "pattern": pattern })
}

#[tokio::test(start_paused = true)]
async fn the_prompt_of_before_answers_no_command_and_is_no_part_of_an_answer() {
    let slow = Duration::from_millis(700);
    for (device, pattern) in [
        (device("core1# "), "# $"),
        (device("core1#"), "#$"),
        (device("core1# "), "core1# $"),
        (device("\x1b[32mcore1\x1b[0m# \x1b[?25h"), "core1# ?$"),
        (
            Device { greeting: "Welcome!\r\n#### lab ####\r\n", late: slow, ..device("core1# ") },
            "# $",
        ),
        // So late that the command is sent before it comes.
        (Device { late: Duration::from_secs(3), ..device("core1# ") }, "# $"),
    ] {
        let heard = device.call("send_expect", ask(pattern)).await.expect("an answer");
        assert_eq!(heard["before"], READ, "{pattern}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_line_that_the_terminal_echoes_before_the_device_reads_it_has_its_own_answer() {
    let (near, mut far) = duplex(4096);
    let device = tokio::spawn(async move {
        let mut line = [0; 13];
        far.read_exact(&mut line).await.unwrap();
        for (said, after) in [
            ("show version\r\n", 50),
            ("core1# ", 100),
            ("show version\r\n", 50),
            (OUTPUT, 50),
            ("core1# ", 0),
        ] {
            say(&mut far, said).await;
            sleep(Duration::from_millis(after)).await;
        }
        far
    });
    let mut dialogue = Dialogue::new(near);
    let heard = call(&mut dialogue, "send_expect", &ask("# $")).await.expect("an answer");
    assert_eq!(heard["before"], READ);
    device.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_device_without_echo_or_prompt_is_answered_too() {
    let modem = Device { echo: false, ..device("") };
    let heard = modem.call("send_expect", ask("uptime ([0-9]+)")).await.expect("an answer");
    assert_eq!(
        (&heard["groups"], &heard["before"]),
        (&json!(["3"]), &json!("\nVersion 15.2(4)\n"))
    );
    let (near, far) = duplex(4096);
    tokio::spawn(Device { echo: false, ..device("r1> ") }.run(far));
    let mut dialogue = Dialogue::new(near);
    for _ in 0..3 {
        let heard = call(&mut dialogue, "send_expect", &ask("> $")).await.expect("an answer");
        assert!(heard["before"].as_str().unwrap().ends_with(READ), "{heard}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_an_earlier_command_still_says_answers_no_later_one() {
    let (near, far) = duplex(4096);
    tokio::spawn(device("core1# ").run(far));
    let mut dialogue = Dialogue::new(near);
    for _ in 0..3 {
        // Leaves the rest of the answer and the prompt on their way.
        let heard = call(&mut dialogue, "send_expect", &ask("Version")).await.expect("an answer");
        assert_eq!(heard["before"], "");
        let heard = call(&mut dialogue, "send_expect", &ask("# $")).await.expect("an answer");
        assert_eq!(heard["before"], READ);
    }
}

#[tokio::test(start_paused = true)]
async fn a_command_is_executed_behind_whatever_prompt_the_device_has() {
    let silent = Device { late: Duration::from_secs(60), ..device("core1# ") };
    for (device, prompt) in [
        (device("core1# "), "core1# "),
        (device("ups:"), "ups:"),
        (device("lab@srv:~$ "), "lab@srv:~$ "),
        (device("\x1b]0;srv\x07\x1b[1m[root@srv ~]\x1b[0m# "), "[root@srv ~]# "),
        (
            Device { greeting: "Welcome\r\n", late: Duration::from_millis(700), ..device("> ") },
            "> ",
        ),
    ] {
        let done = device.call("execute", json!({ "command": "show version" })).await;
        assert_eq!(done.expect("output"), json!({ "output": READ, "prompt": prompt }));
    }
    let asked = json!({ "command": "show version", "timeout": "5s" });
    let error = silent.call("execute", asked).await.expect_err("no prompt");
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    let asked = json!({ "command": "show version", "prompt": "# $", "timeout": "5s" });
    let done = device("core1# ").call("execute", asked).await.expect("output");
    assert_eq!(done, json!({ "output": READ, "prompt": "core1# " }));
}

#[tokio::test(start_paused = true)]
async fn pagers_are_answered_and_leave_nothing_in_the_output() {
    for page in [
        (
            " --More-- ",
            "\x08\x08\x08\x08\x08\x08\x08\x08\x08\x08          \x08\x08\x08\x08\x08\x08\x08\x08\x08\x08",
        ),
        ("--More--", "\r        \r"),
        ("---(more 50%)---", "\r\x1b[K"),
        ("  ---- More ----", "\x1b[16D                \x1b[16D"),
        ("-- MORE --, next page: Space, next line: Enter, quit: Control-C", "\r\x1b[K"),
        ("Press any key to continue (Q to quit)", "\r\x1b[2K"),
        ("lines 1-2", "\r\x1b[K"),
    ] {
        let device = Device { page: Some(page), ..device("core1# ") };
        let done = device.call("execute", json!({ "command": "show log" })).await.expect("output");
        assert_eq!(done["output"], format!("{READ}last page\n"), "{page:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_command_asks_back_and_has_too_much_to_say() {
    let device_that_asks = Device { page: Some(("Sure? [y/n] ", "\r\n")), ..device("core1# ") };
    let rules = json!([{ "pattern": r"\[y/n\] $", "answer": " ", "end": "" }]);
    let asked = json!({ "command": "reload", "rules": rules });
    let done = device_that_asks.call("execute", asked).await.expect("output");
    assert_eq!(done["output"], format!("{READ}Sure? [y/n] \nlast page\n"));
    let asked = json!({ "command": "show version", "max_output": 20 });
    let error = device("core1# ").call("execute", asked).await.expect_err("too much");
    assert_eq!(error.kind(), ErrorKind::Limit, "{error}");
    let login = Device { greeting: "login: ", ..device("") };
    let error = login.call("execute", json!({ "command": "x" })).await.expect_err("a login");
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
}

#[tokio::test(start_paused = true)]
async fn patterns_see_text_unless_bytes_are_asked_for() {
    let switch = "\x1b[2J\x1b[1;24r\x1b[24;1Hsw1# \x1b[24;1H\x1b[24;6H\x1b[?25h";
    let heard = device(switch).call("expect", json!({ "pattern": "^sw1# ?$" })).await;
    assert_eq!(heard.expect("a prompt")["matched"], "sw1# ");
    device(switch).call("login", json!({})).await.expect("a prompt by default");
    let raw = json!({ "pattern": r"\x1b\[\?25h$", "raw": true });
    device(switch).call("expect", raw).await.expect("bytes as they came");
    let ends = json!({ "pattern": "one\r\ntwo\n", "patterns": [r"two\r\nthree"] });
    let lines = Device { greeting: "one\r\ntwo\r\nthree", ..device("") };
    assert_eq!(lines.call("expect", ends).await.expect("lines")["index"], 0);
}

#[tokio::test(start_paused = true)]
async fn a_banner_is_no_prompt_and_a_login_knows_its_prompt() {
    let (near, far) = duplex(4096);
    let banner = Device {
        greeting: "*** #1 of ####",
        late: Duration::from_millis(50),
        ..device(" ***\r\ncore1> ")
    };
    tokio::spawn(banner.run(far));
    let session = Session::of_stream(Info::default(), Stream::new(near));
    let login = Login { prompt: "[>#] ?$".to_owned(), ..Login::default() };
    let session = login.session(session, Duration::from_secs(5)).await.expect("a session");
    assert_eq!(session.info().facts["prompt"], "core1> ");
    let done = converse(&session, "execute", &json!({ "command": "show version" })).await;
    assert!(done.expect("output")["output"].as_str().unwrap().starts_with(READ));
}

#[tokio::test(start_paused = true)]
async fn the_echo_is_the_answer_where_nothing_else_comes() {
    let (near, mut far) = duplex(4096);
    tokio::spawn(async move {
        let mut piece = [0; 64];
        while let Ok(count @ 1..) = far.read(&mut piece).await {
            let _ = far.write_all(&piece[..count]).await;
        }
    });
    let mut dialogue = Dialogue::new(near);
    for line in ["one", "two"] {
        let asked = json!({ "text": line, "end": "\n", "pattern": format!("{line}\n") });
        let heard = call(&mut dialogue, "send_expect", &asked).await.expect("an answer");
        assert_eq!(heard["matched"], format!("{line}\n"));
    }
    // Of a device that answers, it is not.
    let heard = device("core1# ").call("send_expect", ask("[Vv]ersion")).await.expect("an answer");
    assert_eq!(heard["matched"], "Version");
}
