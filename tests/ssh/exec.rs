//! Commands by call.

use std::time::Duration;

use futures_util::future::{Either, join_all};
use jackfield_plugin_api::ErrorKind;
use serde_json::json;

use super::{Lab, exec, output};

#[tokio::test(flavor = "multi_thread")]
async fn output_error_output_and_status_come_apart() {
    let lab = Lab::new().await;
    let session = lab.session(&json!({})).await;
    let command = "cat; echo wrong >&2; exit 7";
    let done =
        exec(&session, json!({ "command": command, "stdin": "in" })).await.expect("a result");
    assert_eq!(done["stdout"], "in");
    assert_eq!(done["stderr"], "wrong\n");
    assert_eq!(done["exit_status"], 7);
    assert_eq!(done["signal"], json!(null));
    assert!(done["duration_ms"].is_u64());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_is_named() {
    let lab = Lab::new().await;
    let session = lab.session(&json!({})).await;
    let done = exec(&session, json!({ "command": "kill -TERM $$" })).await.expect("a result");
    assert_eq!(done["signal"], "TERM", "{done}");
    assert_eq!(done["exit_status"], json!(null), "{done}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_environment_comes_from_options_and_call() {
    let lab = Lab::new().await;
    let session = lab.session(&json!({ "env": { "JACKFIELD_A": "1", "JACKFIELD_B": "1" } })).await;
    let params = json!({
        "command": "echo $JACKFIELD_A$JACKFIELD_B$JACKFIELD_C",
        "env": { "JACKFIELD_B": "2", "JACKFIELD_C": "3" },
    });
    assert_eq!(exec(&session, params).await.expect("a result")["stdout"], "123\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn binary_input_and_output_survive() {
    let lab = Lab::new().await;
    let session = lab.session(&json!({})).await;
    // The bytes ff 00 fe.
    let params = json!({ "command": "cat", "stdin": "/wD+", "binary": true });
    assert_eq!(exec(&session, params).await.expect("a result")["stdout"], "/wD+");
    let params = json!({ "command": r"printf '\377'" });
    assert_eq!(exec(&session, params).await.expect("a result")["stdout"], "\u{fffd}");
}

#[tokio::test(flavor = "multi_thread")]
async fn much_input_and_output_pass_at_the_same_time() {
    let lab = Lab::new().await;
    let session = lab.session(&json!({})).await;
    let much = "0123456789abcdef".repeat(512 * 1024);
    let done = exec(&session, json!({ "command": "cat", "stdin": much })).await.expect("a result");
    assert!(
        done["stdout"] == much.as_str(),
        "{} bytes",
        done["stdout"].as_str().map_or(0, str::len)
    );
    // A command that does not read its input ends all the same.
    let done =
        exec(&session, json!({ "command": "exit 3", "stdin": much })).await.expect("a result");
    assert_eq!(done["exit_status"], 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn too_much_output_is_an_error_and_the_session_lives_on() {
    let lab = Lab::new().await;
    let session = lab.session(&json!({})).await;
    let params = json!({ "command": "head -c 100000 /dev/zero", "max_output": 99_999 });
    let error = exec(&session, params).await.expect_err("a limit");
    assert_eq!(error.kind(), ErrorKind::Limit, "{error}");
    let params = json!({ "command": "head -c 100000 /dev/zero", "max_output": 100_000 });
    exec(&session, params).await.expect("a result");
    assert_eq!(output(&session, "echo on").await, "on\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_takes_too_long_is_ended() {
    let mut lab = Lab::new().await;
    let session = lab.session(&json!({})).await;
    let params = json!({ "command": "while echo; do sleep 0.05; done", "timeout_ms": 300 });
    let error = exec(&session, params).await.expect_err("a time-out");
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
    // This server only passes signals on to another account than its own; it does say so.
    lab.sshd.logged("session signalling requires").await;
    assert_eq!(output(&session, "echo on").await, "on\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_commands_run_at_the_same_time_over_one_connection() {
    let lab = Lab::new().await;
    let session = lab.session(&json!({})).await;
    // All wait for the last one: they are really there together.
    let dir = lab.sshd.home();
    let command = |number: u32| {
        let dir = dir.display();
        format!(
            "touch {dir}/at{number}; until [ $(ls {dir} | grep -c at) = 40 ]; do sleep 0.05; done; echo {number}"
        )
    };
    let calls = (0..40).map(|number| {
        let (session, command) = (&session, command(number));
        async move { (number, output(session, &command).await) }
    });
    for (number, text) in join_all(calls).await {
        assert_eq!(text, format!("{number}\n"));
    }
    let log = lab.sshd.log();
    assert_eq!(log.matches("Accepted publickey").count(), 1, "{log}");
    assert_eq!(session.info().facts["channels"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn more_sessions_than_the_server_wants_are_a_limit() {
    let lab = Lab::with("MaxSessions 1").await;
    let session = lab.session(&json!({})).await;
    let held = session.open_stream(&json!({ "exec": "cat" })).await.expect("a stream");
    let error = exec(&session, json!({ "command": "true" })).await.expect_err("a limit");
    assert_eq!(error.kind(), ErrorKind::Limit, "{error}");
    drop(held);
}

#[tokio::test(flavor = "multi_thread")]
async fn dropping_a_call_closes_its_channel() {
    let lab = Lab::with("MaxSessions 1").await;
    let session = lab.session(&json!({})).await;
    // It ends when nobody takes its output any longer, and only then is there room for the next.
    let params = json!({ "command": "touch up; while echo; do sleep 0.05; done" });
    let mut call = Box::pin(session.call("exec", &params));
    let up = lab.sshd.home().join("up");
    while !up.exists() {
        let turn = Box::pin(tokio::time::sleep(Duration::from_millis(10)));
        let early = futures_util::future::select(&mut call, turn).await;
        assert!(matches!(early, Either::Right(_)), "the command was to go on");
    }
    drop(call);
    loop {
        match exec(&session, json!({ "command": "echo room" })).await {
            Ok(done) => break assert_eq!(done["stdout"], "room\n"),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Limit, "{error}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_parameters_and_operations_are_refused() {
    let lab = Lab::new().await;
    let session = lab.session(&json!({})).await;
    let error = exec(&session, json!({ "command": "true", "evn": {} })).await;
    assert_eq!(error.expect_err("a refusal").kind(), ErrorKind::Config);
    let error = exec(&session, json!({ "command": "" })).await;
    assert_eq!(error.expect_err("a refusal").kind(), ErrorKind::Config);
    let error = session.call("exce", &json!({})).await;
    assert_eq!(error.expect_err("a refusal").kind(), ErrorKind::Unsupported);
}
