//! A dialogue: `cargo run -p jackfield --example dialogue`.
//!
//! The device is played by a task, so that nothing has to be there to connect to. Any stream will do in its
//! place: that of a session of `Manager::open`, or `Live::take_stream`.
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use jackfield::dialogue::{Dialogue, Login, Patterns, Rule, Rules};
use jackfield_plugin_api::{Result, Secret};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream};

/// Asks for a name and a password, then answers lines.
async fn device(stream: DuplexStream) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    for (prompt, wanted) in [("login: ", "lab"), ("Password: ", "sesame")] {
        stream.write_all(prompt.as_bytes()).await?;
        let mut line = Vec::new();
        stream.read_until(b'\r', &mut line).await?;
        if line.strip_suffix(b"\r") != Some(wanted.as_bytes()) {
            return stream.write_all(b"Login incorrect\r\n").await;
        }
    }
    stream.write_all(b"\r\nr1# ").await?;
    let mut line = Vec::new();
    while stream.read_until(b'\r', &mut line).await? > 0 {
        let answer: &[u8] = match line.as_slice() {
            b"show version\r" => b"\r\nversion 15.2, up 3 days\r\nr1# ",
            b"erase\r" => b"\r\nErase all? [confirm]",
            b"y\r" => b"\r\nerased\r\nr1# ",
            _ => b"\r\n% what?\r\nr1# ",
        };
        stream.write_all(answer).await?;
        line.clear();
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<()> {
    let (near, far) = tokio::io::duplex(1024);
    tokio::spawn(device(far));
    let limit = Duration::from_secs(5);
    let mut dialogue = Dialogue::new(near);

    let login = Login {
        username: Some("lab".to_owned()),
        password: Some(Secret::new("sesame")),
        ..Login::default()
    };
    login.run(&mut dialogue, limit).await?;
    println!("logged in");

    // Whichever comes first; `index` says which it was.
    let answers = Patterns::new(["version ([0-9.]+), up ([^\n]*)", "% .*"])?;
    for command in ["show version", "show me"] {
        let found = dialogue.send_expect(&format!("{command}\r"), &answers, limit).await?;
        let text = String::from_utf8_lossy(&found.matched).into_owned();
        println!("{command}: {} ({})", text.trim_end(), found.index);
    }

    // A device that asks back is answered by rules, until the last of them applies.
    let rule = |pattern: &str, answer: Option<&str>| Rule {
        pattern: pattern.to_owned(),
        answer: answer.map(str::to_owned),
        secret: None,
        end: "\r".to_owned(),
        last: None,
        renew: false,
    };
    let rules = Rules::new(vec![rule(r"\[confirm\]", Some("y")), rule("# $", None)], 10)?;
    dialogue.send_anew("erase\r", limit).await?;
    let conversed = rules.run(&mut dialogue, limit).await?;
    println!("erased, {} question answered", conversed.applied.len());

    // What does not come is an error that says what was awaited and what was heard instead.
    let never = Patterns::new(["never"])?;
    if let Err(error) = dialogue.expect(&never, Duration::from_millis(50)).await {
        println!("{error}");
    }
    Ok(())
}
