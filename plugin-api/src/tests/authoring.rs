//! What authors write with: options, wires, bytes that change on their way.

use crate::bytes::BytesMut;
use crate::io::{AsyncReadExt, AsyncWriteExt};
use crate::testing::{self, Fault, Script};
use crate::{Apply, Error, ErrorKind, Result, Secret, Stream, Transform, Wire, options};
use serde_json::{Value, json};

options! {
    /// Options of a test.
    #[derive(PartialEq)]
    struct Shout {
        /// The most bytes.
        #[schemars(range(min = 1), extend("x-apply" = "live"))]
        max_line: u32 = 16 * 1024,
        /// How loud.
        tone: Tone = Tone::Loud,
        /// A password.
        password: Option<Secret>,
        /// What a default has.
        token: Secret = Secret::new("hunter2"),
        /// A name with another spelling.
        #[serde(rename = "type")]
        kind: String,
    }

    /// How loud.
    enum Tone {
        /// Very.
        Loud,
        /// As it comes.
        AsItComes,
    }
}

#[test]
fn options_have_their_defaults_and_refuse_what_they_do_not_know() {
    let none: Shout = serde_json::from_value(json!({})).unwrap();
    assert_eq!(none, Shout::default());
    assert_eq!((none.max_line, none.tone, none.kind.as_str()), (16 * 1024, Tone::Loud, ""));
    let some: Shout =
        serde_json::from_value(json!({ "tone": "as_it_comes", "type": "x", "password": "p" }))
            .unwrap();
    assert_eq!((some.tone, some.kind.as_str(), some.max_line), (Tone::AsItComes, "x", 16 * 1024));
    assert_eq!(some.password.map(|password| password.expose().to_owned()).as_deref(), Some("p"));
    let wrong = serde_json::from_value::<Shout>(json!({ "max_lien": 1 })).unwrap_err();
    assert!(wrong.to_string().contains("max_lien"), "{wrong}");
}

#[test]
fn the_schema_of_options_has_what_the_host_reads() {
    let schema = crate::manifest::schema_of::<Shout>();
    let of = |name: &str| &schema["properties"][name];
    assert_eq!(of("max_line")["default"], 16 * 1024);
    assert_eq!(of("max_line")["description"], "The most bytes.");
    assert_eq!(of("max_line")["minimum"], 1);
    assert_eq!(Apply::of(&schema, "max_line"), Apply::Live);
    assert_eq!(Apply::of(&schema, "tone"), Apply::NewSessions);
    assert_eq!(schema["additionalProperties"], Value::Bool(false));
    assert!(of("password").to_string().contains("x-secret"), "{schema}");
    assert!(!schema.to_string().contains("hunter2"), "{schema}");
    assert!(schema.to_string().contains("as_it_comes"), "{schema}");
}

/// Each byte twice, and a full stop at the end.
#[derive(Default)]
struct Twice {
    half: Option<u8>,
}

impl Transform for Twice {
    fn decode(&mut self, from: &[u8], to: &mut BytesMut) -> Result<()> {
        for byte in from {
            match self.half.take() {
                None => self.half = Some(*byte),
                Some(half) if half == *byte => to.extend([half]),
                Some(_) => return Err(Error::new(ErrorKind::Protocol, "two that differ")),
            }
        }
        Ok(())
    }
    fn encode(&mut self, from: &[u8], to: &mut BytesMut) -> Result<()> {
        if from.contains(&b'!') {
            to.extend(b"half of it");
            return Err(Error::new(ErrorKind::Config, "not that"));
        }
        to.extend(from.iter().flat_map(|byte| [*byte, *byte]));
        Ok(())
    }
    fn decode_end(&mut self, _: &mut BytesMut) -> Result<()> {
        self.half.map_or(Ok(()), |_| Err(Error::new(ErrorKind::Closed, "half a byte")))
    }
    fn encode_end(&mut self, to: &mut BytesMut) -> Result<()> {
        to.extend(b"..");
        Ok(())
    }
}

fn twice(script: Script, io: tokio::io::DuplexStream) -> Stream {
    script.over_stream(io).transformed(Twice::default())
}

fn scripts() -> [Script; 4] {
    [
        Script::new(),
        Script::slow(),
        Script::new().write(Fault::Short(3)).read(Fault::Short(3)).again(),
        Script::new().write(Fault::Pending).write(Fault::Short(1)).again(),
    ]
}

#[test]
fn changed_bytes_arrive_whole_over_any_line_and_end_with_what_ends_them() -> Result<()> {
    let text: Vec<u8> = (0..10_000_u32).map(|n| b'a' + (n % 26) as u8).collect();
    for script in scripts() {
        testing::run(async {
            let (near, far) = tokio::io::duplex(777);
            let (mut near, mut far) = (twice(script.clone(), near), twice(script.clone(), far));
            let writing = async {
                near.write_all(&text).await?;
                near.flush().await?;
                near.shutdown().await?;
                assert!(near.write_all(b"more").await.is_err());
                Ok::<_, Error>(())
            };
            let reading = async {
                let mut all = Vec::new();
                far.read_to_end(&mut all).await?;
                assert_eq!(far.read(&mut [0; 8]).await?, 0);
                Ok::<_, Error>(all)
            };
            let (wrote, read) = tokio::join!(writing, reading);
            wrote?;
            let read = read?;
            assert_eq!(read.len(), text.len() + 1);
            assert!(read.starts_with(&text) && read.ends_with(b"."));
            Ok::<_, Error>(())
        })?;
    }
    Ok(())
}

#[test]
fn what_came_before_a_mistake_is_read_and_then_the_mistake() -> Result<()> {
    testing::run(async {
        let (mut far, near) = tokio::io::duplex(64);
        let mut near = twice(Script::new(), near);
        far.write_all(b"aabbxy").await?;
        let mut heard = [0; 8];
        assert_eq!(near.read(&mut heard).await?, 2);
        assert_eq!(&heard[..2], b"ab");
        let error = Error::from(near.read(&mut heard).await.unwrap_err());
        assert_eq!(error.kind(), ErrorKind::Protocol);
        Ok(())
    })
}

#[test]
fn an_end_or_a_reset_at_any_byte_is_told_as_such() -> Result<()> {
    for (index, script) in Script::at_every_byte(4).enumerate() {
        testing::run(async {
            let (mut far, near) = tokio::io::duplex(64);
            let mut near = twice(script, near);
            far.write_all(b"aabb").await?;
            let mut all = Vec::new();
            let ended = near.read_to_end(&mut all).await;
            let (at, reset) = (index / 2, index % 2 == 1);
            assert_eq!(all, b"ab"[..at / 2], "cut at {at}");
            assert_eq!(ended.is_ok(), !reset && at % 2 == 0, "cut at {at}: {ended:?}");
            Ok::<_, Error>(())
        })?;
    }
    Ok(())
}

#[test]
fn a_piece_that_cannot_be_encoded_is_not_sent_in_part() -> Result<()> {
    testing::run(async {
        let (mut far, near) = tokio::io::duplex(64);
        let mut near = twice(Script::new(), near);
        near.write_all(b"a").await?;
        assert!(near.write_all(b"b!").await.is_err());
        near.shutdown().await?;
        let mut all = Vec::new();
        far.read_to_end(&mut all).await?;
        assert_eq!(all, b"aa..");
        Ok(())
    })
}

#[test]
fn writing_waits_when_the_carrier_takes_nothing() -> Result<()> {
    testing::paused(async {
        let (_far, near) = tokio::io::duplex(1);
        let mut near = twice(Script::new(), near);
        let mut taken = 0;
        let piece = vec![b'a'; 1024];
        let limit = std::time::Duration::from_secs(1);
        while let Ok(count) = tokio::time::timeout(limit, near.write(&piece)).await {
            taken += count?;
            assert!(taken < 64 * 1024, "what is kept is bounded");
        }
        assert!(taken > 0);
        Ok(())
    })
}

#[test]
fn a_turn_that_was_dropped_breaks_the_wire_and_one_that_was_done_does_not() -> Result<()> {
    testing::run(async {
        let wire = Wire::new(1);
        let mut turn = wire.turn().await?;
        *turn += 1;
        turn.done();
        let turn = wire.turn().await?;
        assert_eq!(*turn, 2);
        drop(turn);
        assert_eq!(wire.turn().await.unwrap_err().kind(), ErrorKind::Closed);
        assert_eq!(wire.close().await, None);
        Ok(())
    })
}

#[test]
fn a_future_is_dropped_at_each_of_its_awaits() {
    testing::run(async {
        let dropped_at = std::cell::RefCell::new(Vec::new());
        let (times, result) = testing::cancel_at_every_await(|| async {
            let step = std::cell::Cell::new(0);
            let _guard = on_drop(|| dropped_at.borrow_mut().push(step.get()));
            for number in 1..4 {
                step.set(number);
                tokio::task::yield_now().await;
            }
            step.set(4);
            "done"
        })
        .await;
        assert_eq!((times, result), (3, "done"));
        assert_eq!(dropped_at.into_inner(), [1, 2, 3, 4]);
    });
}

struct Guard<F: FnMut()>(F);

impl<F: FnMut()> Drop for Guard<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

fn on_drop<F: FnMut()>(drop: F) -> Guard<F> {
    Guard(drop)
}
