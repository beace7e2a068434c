//! The plugin as a host sees it: through its tables, over bad lines, dropped at every await.

use jackfield_plugin_api::testing::{self, Endpoint, Script, TestHost, TestPlugin};
use jackfield_plugin_api::{ErrorKind, Result, Role, Stream};
use serde_json::{Value, json};
use std::cell::RefCell;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn telnet(host: &TestHost, role: Role, options: &Value) -> Result<Endpoint> {
    TestPlugin::of::<crate::Plugin>(host)?.driver("telnet", role, options)
}

/// Both roles joined, the client over a line with these faults.
async fn joined(script: Script) -> Result<(Stream, Stream)> {
    let host = TestHost::new();
    let given = json!({ "binary": true });
    let (client, server) =
        (telnet(&host, Role::Client, &given)?, telnet(&host, Role::Server, &given)?);
    let (near, far) = testing::carriers(64 * 1024);
    let near = client.open(testing::over(script.over(near)?));
    let (near, far) = tokio::join!(near, server.accept(testing::over(far)));
    let stream = |session: jackfield_plugin_api::Session| session.take_stream().expect("a stream");
    Ok((stream(near?), stream(far?)))
}

#[test]
fn every_byte_passes_over_the_worst_of_lines() -> Result<()> {
    testing::run(async {
        let (mut near, mut far) = joined(Script::slow()).await?;
        let sent: Vec<u8> = (0..=255).chain(*b"\r\n\r\0\xff\xff").collect();
        near.write_all(&sent).await?;
        near.flush().await?;
        let mut heard = vec![0; sent.len()];
        far.read_exact(&mut heard).await?;
        assert_eq!(heard, sent);
        Ok(())
    })
}

#[test]
fn a_line_that_is_cut_anywhere_while_they_agree_is_an_error_and_no_panic() {
    for script in Script::at_every_byte(24) {
        testing::run(async {
            let exchanged = async {
                let (mut near, mut far) = joined(script).await?;
                near.write_all(b"hello").await?;
                near.flush().await?;
                far.write_all(b"welcome").await?;
                far.shutdown().await?;
                let mut heard = Vec::new();
                near.read_to_end(&mut heard).await?;
                Ok(heard)
            };
            match exchanged.await {
                Ok(heard) => assert!(b"welcome".starts_with(&heard[..]), "{heard:?}"),
                Err(error) => {
                    let error: jackfield_plugin_api::Error = error;
                    assert_ne!(error.kind(), ErrorKind::Panicked, "{error}");
                }
            }
        });
    }
}

#[test]
fn opening_that_is_dropped_at_any_await_lets_go_of_its_line() -> Result<()> {
    testing::run(async {
        let host = TestHost::new();
        let client = telnet(&host, Role::Client, &json!({ "binary": true }))?;
        let lines = RefCell::new(Vec::new());
        let (times, opened) = testing::cancel_at_every_await(|| {
            let (near, far) = testing::carriers(1024);
            let far = far.take_stream().expect("a stream");
            let (rest, mut answers) = tokio::io::split(far);
            lines.borrow_mut().push(rest);
            let opening = client.open(testing::over(Script::slow().over(near).expect("a stream")));
            async move {
                // IAC DO BINARY, IAC WILL BINARY: what was asked for.
                let answering = answers.write_all(&[255, 253, 0, 255, 251, 0]);
                let (opened, answered) = tokio::join!(opening, answering);
                answered?;
                opened
            }
        })
        .await;
        assert!(times > 0);
        drop(opened?);
        // Every line has come to its end.
        for mut line in lines.into_inner() {
            line.read_to_end(&mut Vec::new()).await?;
        }
        assert_eq!(host.tasks(), 0);
        Ok(())
    })
}

#[test]
fn unknown_options_are_refused_by_name() {
    let refused = telnet(&TestHost::new(), Role::Client, &json!({ "binray": true }));
    let error = refused.expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("binray"), "{error}");
}
