//! [`Echo`]: the smallest useful handler, and the one to read first.

use jackfield_plugin_api::prelude::*;

options! {
    /// Options of `echo`.
    pub struct EchoOptions {
        /// The most bytes of a stream that are read before they are sent back; at least 1.
        pub buffer: u32 = 16 * 1024,
    }
}

/// Bytes of a stream's buffer until they have been filled once.
const FIRST: usize = 256;

/// Sends back what it receives: bytes as bytes, messages as messages.
#[derive(Debug)]
pub struct Echo {
    buffer: usize,
}

impl Handler for Echo {
    const INFO: HandlerInfo = HandlerInfo::new(
        "echo",
        "Sends back what it receives",
        Facets::STREAM.union(Facets::MESSAGES),
    );
    type Options = EchoOptions;

    fn new(_host: Host, options: EchoOptions) -> Result<Self> {
        match usize::try_from(options.buffer) {
            Ok(buffer @ 1..) => Ok(Echo { buffer }),
            _ => Err(Error::option("buffer", "must be at least 1")),
        }
    }

    async fn serve(&self, session: Session) -> Result<()> {
        if let Some(messages) = session.take_messages() {
            echo_messages(messages).await
        } else if let Some(stream) = session.take_stream() {
            self.echo_bytes(stream).await
        } else {
            Err(Error::unsupported("a session with neither bytes nor messages"))
        }
    }
}

impl Echo {
    /// Until the peer has sent its last byte; then ends our direction too.
    async fn echo_bytes(&self, mut stream: Stream) -> Result<()> {
        // A peer that sends little holds little: thousands of them may be silent.
        let mut buffer = vec![0; self.buffer.min(FIRST)];
        loop {
            let count = stream.read(&mut buffer).await?;
            if count == 0 {
                break;
            }
            stream.write_all(&buffer[..count]).await?;
            stream.flush().await?;
            if count == buffer.len() {
                buffer.resize(self.buffer, 0);
            }
        }
        Ok(stream.shutdown().await?)
    }
}

async fn echo_messages(mut messages: Messages) -> Result<()> {
    while let Some(message) = messages.next().await {
        messages.send(message?).await?;
    }
    messages.close().await
}

#[cfg(test)]
mod tests {
    use super::*;
    use jackfield_plugin_api::futures::future;
    use jackfield_plugin_api::testing::{self, Endpoint, Fault, Script, TestHost, TestPlugin};

    fn echo(options: &Value) -> Result<Endpoint> {
        TestPlugin::of::<crate::Plugin>(&TestHost::new())?.handler("echo", options)
    }

    /// What comes back for `sent` over a line with these faults, and how serving ended.
    async fn answered(script: Script, options: &Value, sent: &[u8]) -> (Vec<u8>, Result<()>) {
        let (near, far) = testing::carriers(64);
        let near = script.over(near).expect("a stream");
        let peer = async move {
            let mut far = far.take_stream().expect("a stream");
            let mut heard = Vec::new();
            for piece in sent.chunks(32) {
                // When the connection is cut, the echo ends, and so does its reader.
                if far.write_all(piece).await.is_err() {
                    break;
                }
                let mut back = vec![0; piece.len()];
                match far.read_exact(&mut back).await {
                    Ok(_) => heard.extend(back),
                    Err(_) => return heard,
                }
            }
            let _ = far.shutdown().await;
            let _ = far.read_to_end(&mut heard).await;
            heard
        };
        let serving = echo(options).expect("options").serve(near);
        future::join(peer, serving).await
    }

    #[test]
    fn bytes_come_back_whole_over_the_worst_of_lines() {
        let text: Vec<u8> = (0..=255).collect();
        for script in [Script::new(), Script::slow(), Script::new().write(Fault::Short(1)).again()]
        {
            for options in [json!({}), json!({ "buffer": 1 })] {
                let (heard, served) = testing::run(answered(script.clone(), &options, &text));
                assert_eq!(heard, text);
                served.expect("the end of the stream is no error");
            }
        }
    }

    #[test]
    fn an_end_is_passed_on_and_a_reset_is_told_wherever_they_come() {
        for script in Script::at_every_byte(8) {
            let (heard, served) = testing::run(answered(script, &json!({}), b"12345678"));
            assert!(b"12345678".starts_with(&heard), "{heard:?}");
            if let Err(error) = served {
                assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
            }
        }
    }

    #[test]
    fn messages_keep_their_kind_and_the_end_is_passed_on() {
        testing::run(async {
            let (near, far) = testing::messages(4);
            let mut far = far.take_messages().expect("messages");
            let peer = async move {
                far.send(Message::text("a")).await?;
                far.send(Message::binary("b")).await?;
                let heard = [far.next().await.transpose()?, far.next().await.transpose()?];
                assert_eq!(heard, [Some(Message::text("a")), Some(Message::binary("b"))]);
                drop(far);
                Ok(())
            };
            let serving = echo(&json!({}))?.serve(near);
            let (peer, served) = future::join(peer, serving).await;
            peer.and(served)
        })
        .expect("an echo");
    }

    #[test]
    fn nothing_is_left_of_a_session_that_is_dropped_at_any_await() {
        let (times, heard) = testing::run(testing::cancel_at_every_await(|| async {
            answered(Script::slow(), &json!({}), b"1234").await.0
        }));
        assert!(times > 4 && heard == b"1234");
    }

    #[test]
    fn a_buffer_of_nothing_and_unknown_options_are_refused() {
        for options in [json!({ "buffer": 0 }), json!({ "bufer": 1 })] {
            let error = echo(&options).expect_err("refused");
            assert_eq!(error.kind(), ErrorKind::Config);
        }
    }
}
