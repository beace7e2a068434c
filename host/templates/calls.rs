//! A driver of operations: asks a server that answers each line with a line.

use jackfield_plugin_api::io::{AsyncBufReadExt, BufReader};
use jackfield_plugin_api::prelude::*;

options! {
    /// Options of `template`.
    pub struct Options {}
}

params! {
    /// What to ask.
    pub struct Ask {
        /// One line.
        pub question: String,
    }

    /// What was answered.
    pub struct Answer {
        /// One line.
        pub answer: String,
    }
}

struct TemplateDriver;

impl Driver for TemplateDriver {
    const INFO: DriverInfo = DriverInfo::layer("template", "Asks a server that answers lines")
        .schemes(&[Scheme::new("template", "template+tcp").port(7007)])
        .client()
        .facets(Facets::CALL);
    type Options = Options;
    type Endpoint = ();

    fn new(_host: Host) -> Result<Self> {
        Ok(TemplateDriver)
    }

    fn configure(&self, _options: Options, _role: Role) -> Result<()> {
        Ok(())
    }

    fn operations() -> Vec<Operation> {
        vec![Operation::new::<Ask, Answer>("ask", "Asks one line")]
    }

    async fn open(&self, _endpoint: &(), mut request: Request) -> Result<Session> {
        let (carrier, info) = request.take_carrier()?;
        let asking = AskParams { wire: Wire::new(BufReader::new(carrier)), info };
        Ok(Session::builder(asking).facets(Facets::CALL).build())
    }
}

/// Calls may come at the same time and be dropped at any await: the wire lets one ask after the other, and
/// breaks where the answer of a dropped one would be read by the next.
struct AskParams {
    wire: Wire<BufReader<Stream>>,
    info: Info,
}

impl Control for AskParams {
    fn info(&self) -> Info {
        self.info.clone()
    }

    async fn call(&self, operation: String, given: Value) -> Result<Value> {
        match operation.as_str() {
            "ask" => Ok(json!(self.ask(params(given)?).await?)),
            _ => Err(Error::unsupported(&format!("operation {operation:?}"))),
        }
    }

    async fn close(&self, _code: u64, _reason: String) -> Result<()> {
        if let Some(mut carrier) = self.wire.close().await {
            carrier.shutdown().await?;
        }
        Ok(())
    }
}

impl AskParams {
    async fn ask(&self, ask: Ask) -> Result<Answer> {
        if ask.question.contains('\n') {
            return Err(Error::option("question", "must be one line"));
        }
        let mut turn = self.wire.turn().await?;
        turn.write_all(format!("{}\n", ask.question).as_bytes()).await?;
        turn.flush().await?;
        let mut answer = String::new();
        if turn.read_line(&mut answer).await? == 0 {
            return Err(Error::new(ErrorKind::Closed, "the server gave no answer"));
        }
        turn.done();
        Ok(Answer { answer: answer.trim_end().to_owned() })
    }
}

export_plugin! { drivers: [TemplateDriver] }

#[cfg(test)]
mod tests {
    use super::*;
    use jackfield_plugin_api::futures::{FutureExt, future};
    use jackfield_plugin_api::testing::{self, TestHost, TestPlugin};

    async fn open() -> Result<(Session, BufReader<Stream>)> {
        let plugin = TestPlugin::of::<crate::Plugin>(&TestHost::new())?;
        let endpoint = plugin.driver("template", Role::Client, &json!({}))?;
        let (near, far) = testing::carriers(1024);
        let session = endpoint.open(testing::over(near)).await?;
        Ok((session, BufReader::new(far.take_stream().unwrap())))
    }

    /// Answers what it is asked, in capitals, until the client goes.
    async fn serve(mut far: BufReader<Stream>) -> Result<()> {
        let mut line = String::new();
        while far.read_line(&mut line).await? > 0 {
            far.write_all(line.to_uppercase().as_bytes()).await?;
            far.flush().await?;
            line.clear();
        }
        Ok(())
    }

    #[test]
    fn a_question_is_answered() -> Result<()> {
        testing::run(async {
            let (session, far) = open().await?;
            let asking = async move {
                let answer = session.call("ask", &json!({ "question": "who?" })).await?;
                assert_eq!(answer["answer"], "WHO?");
                session.close(0, "").await
            };
            let (asked, served) = future::join(asking, serve(far)).await;
            asked.and(served)
        })
    }

    #[test]
    fn no_question_gets_the_answer_of_a_dropped_one() -> Result<()> {
        testing::run(async {
            // Nobody answers yet: the first is dropped at its first await, with its question on the way.
            let (session, far) = open().await?;
            let (a, b) = (json!({ "question": "a" }), json!({ "question": "b" }));
            let mut first = Box::pin(session.call("ask", &a));
            assert!(first.as_mut().now_or_never().is_none());
            drop(first);
            let (answer, _) = future::join(session.call("ask", &b), serve(far)).await;
            assert_eq!(answer.unwrap_err().kind(), ErrorKind::Closed);
            Ok(())
        })
    }
}
