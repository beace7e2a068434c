//! Sessions around sessions: what their controls do not write goes to the session inside.

use crate::watch::Operation;
use crate::{
    Address, Control, Error, Event, Facets, Info, Messages, Result, Session, Stream, testing,
};
use serde_json::{Value, json};
use std::time::Duration;

/// Answers each call in a way that no default does.
struct Inside;

fn heard(call: &str) -> Error {
    Error::unsupported(&format!("heard {call}"))
}

impl Control for Inside {
    fn info(&self) -> Info {
        Info::new().peer("inside")
    }
    async fn call(&self, operation: String, _: Value) -> Result<Value> {
        Err(heard(&format!("call {operation}")))
    }
    async fn open_stream(&self, _: Value) -> Result<Session> {
        Err(heard("open_stream"))
    }
    async fn accept_stream(&self) -> Result<Option<Session>> {
        Err(heard("accept_stream"))
    }
    async fn dial(&self, _: Address) -> Result<Session> {
        Err(heard("dial"))
    }
    async fn ping(&self) -> Result<Duration> {
        Err(heard("ping"))
    }
    async fn next_event(&self) -> Result<Option<Event>> {
        Err(heard("event"))
    }
    async fn close(&self, _: u64, _: String) -> Result<()> {
        Err(heard("close"))
    }
    async fn reset(&self) -> Result<()> {
        Err(heard("reset"))
    }
    async fn drain(&self) -> Result<()> {
        Err(heard("drain"))
    }
}

struct Outside(Session);

impl Control for Outside {
    fn inner(&self) -> Option<&Session> {
        Some(&self.0)
    }
}

fn around(session: Session) -> Session {
    let facets = session.facets();
    Session::builder(Outside(session)).facets(facets).inner_data().build()
}

/// What the session says to an operation; `None` for one that no control has.
async fn asked(session: &Session, operation: Operation) -> Option<Result<()>> {
    // Each new operation has to say here whether a control has it.
    Some(match operation {
        Operation::Call => session.call("exec", &json!({})).await.map(drop),
        Operation::OpenStream => session.open_stream(&Value::Null).await.map(drop),
        Operation::AcceptStream => session.accept_stream().await.map(drop),
        Operation::Dial => session.dial(&Address::new("a", 1)).await.map(drop),
        Operation::Ping => session.ping().await.map(drop),
        Operation::Event => session.next_event().await.map(drop),
        Operation::Drain => session.drain().await,
        Operation::Reset => session.reset().await,
        Operation::Close => session.close(0, "").await,
        Operation::Info => {
            assert_eq!(session.info().peer.as_deref(), Some("inside"));
            return None;
        }
        Operation::Open
        | Operation::Accept
        | Operation::Listen
        | Operation::Serve
        | Operation::Intercept
        | Operation::Request
        | Operation::Configure
        | Operation::Health
        | Operation::Read
        | Operation::Write
        | Operation::Flush
        | Operation::Shutdown
        | Operation::TakeFd
        | Operation::Receive
        | Operation::Send
        | Operation::Body
        | Operation::Answer
        | Operation::Drop => return None,
    })
}

#[tokio::test]
async fn each_operation_reaches_the_session_inside() {
    let session = around(around(Session::builder(Inside).build()));
    for operation in Operation::ALL {
        let Some(answer) = asked(&session, *operation).await else { continue };
        let error = answer.expect_err("an answer of its own");
        assert!(error.message().contains(&format!("heard {}", operation.as_str())), "{error}");
    }
}

#[tokio::test]
async fn without_a_session_inside_the_defaults_hold() {
    let session = Session::builder(Info::default()).build();
    let unsupported = [
        Operation::Call,
        Operation::OpenStream,
        Operation::AcceptStream,
        Operation::Dial,
        Operation::Ping,
    ];
    for operation in unsupported {
        let answer = asked(&session, operation).await.expect("a control has it");
        assert_eq!(answer.expect_err("nothing").kind(), crate::ErrorKind::Unsupported);
    }
    for operation in [Operation::Event, Operation::Drain, Operation::Reset, Operation::Close] {
        asked(&session, operation).await.expect("a control has it").expect("nothing to do");
    }
}

#[tokio::test]
async fn data_comes_through_unless_it_was_made_anew() {
    let (near, _far) = testing::carriers(64);
    let (messages, _other) = testing::messages(1);
    let messages: Option<Messages> = messages.take_messages();
    let session = around(near);
    assert_eq!(session.facets(), Facets::STREAM);
    assert!(session.take_stream().is_some());

    let (stream, _far) = tokio::io::duplex(1);
    let inside = Session::of_stream(Info::default(), Stream::new(stream));
    let builder = Session::builder(Outside(inside)).messages(messages.expect("messages"));
    let session = builder.inner_data().build();
    assert_eq!(session.facets(), Facets::STREAM | Facets::MESSAGES);
}
