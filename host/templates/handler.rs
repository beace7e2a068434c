//! A handler: answers requests of http inside the host, and lines of a stream.

use jackfield_plugin_api::io::{AsyncBufReadExt, BufReader};
use jackfield_plugin_api::prelude::*;
use jackfield_plugin_api::{Envelope, Exchange, Incoming, Serving};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

options! {
    /// Options of `template`.
    pub struct Options {
        /// What is said of each visitor.
        pub greeting: String = "you are visitor".to_owned(),
        /// Requests of one session that are answered at the same time.
        #[schemars(range(min = 1))]
        pub requests: u32 = 64,
    }
}

struct TemplateHandler {
    options: Options,
    visitors: Arc<AtomicU64>,
}

impl Handler for TemplateHandler {
    const INFO: HandlerInfo =
        HandlerInfo::new("template", "Counts visitors", Facets::EXCHANGE.union(Facets::STREAM));
    type Options = Options;

    fn new(_host: Host, options: Options) -> Result<Self> {
        Ok(TemplateHandler { options, visitors: Arc::default() })
    }

    async fn serve(&self, session: Session) -> Result<()> {
        if let Some(exchange) = session.take_exchange() {
            return self.answer(exchange).await;
        }
        let stream = session.take_stream().ok_or_else(|| Error::unsupported("such a session"))?;
        self.answer_lines(stream).await
    }
}

impl TemplateHandler {
    fn greeting(&self) -> String {
        let number = self.visitors.fetch_add(1, Ordering::Relaxed) + 1;
        format!("{} {number}", self.options.greeting)
    }

    async fn answer(&self, exchange: Exchange) -> Result<()> {
        let most = usize::try_from(self.options.requests).unwrap_or(usize::MAX);
        let answer = async |incoming: Incoming| {
            let Incoming { request, answer, .. } = incoming;
            let response = match (request.method(), request.path()) {
                ("GET", "/") => {
                    let content = json!({ "greeting": self.greeting() }).to_string();
                    Envelope::response(200, "application/json", content)
                }
                _ => Envelope::response(404, "text/plain", "there is only /"),
            };
            if let Ok(response) = response {
                // A visitor that has gone is no mistake.
                let _ = answer.send(response).await;
            }
        };
        Serving::new(exchange, most).run(answer).await
    }

    async fn answer_lines(&self, stream: Stream) -> Result<()> {
        let mut stream = BufReader::new(stream);
        let mut line = String::new();
        while stream.read_line(&mut line).await? > 0 {
            stream.write_all(format!("{}\n", self.greeting()).as_bytes()).await?;
            stream.flush().await?;
            line.clear();
        }
        Ok(stream.shutdown().await?)
    }
}

export_plugin! { handlers: [TemplateHandler] }

#[cfg(test)]
mod tests {
    use super::*;
    use jackfield_plugin_api::futures::future;
    use jackfield_plugin_api::testing::{self, TestHost, TestPlugin};

    #[test]
    fn visitors_are_counted() -> Result<()> {
        testing::run(async {
            let plugin = TestPlugin::of::<crate::Plugin>(&TestHost::new())?;
            let handler = plugin.handler("template", &json!({ "greeting": "number" }))?;
            let (client, session) = testing::exchange();
            let asking = async move {
                for expected in ["number 1", "number 2"] {
                    let response = client.send(Envelope::request("GET", "/")?).await?;
                    let content = response.body.whole(1024).await?;
                    let content: Value = serde_json_of(&content);
                    assert_eq!(content["greeting"], expected);
                }
                let missed = client.send(Envelope::request("GET", "/nowhere")?).await?;
                assert_eq!(missed.status(), 404);
                Ok(())
            };
            let (served, asked) = future::join(handler.serve(session), asking).await;
            served.and(asked)
        })
    }

    fn serde_json_of(bytes: &[u8]) -> Value {
        jackfield_plugin_api::serde_json::from_slice(bytes).unwrap()
    }
}
