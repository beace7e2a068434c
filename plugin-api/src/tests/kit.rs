//! The kit for authors' tests: a plugin through its tables, and both ends of each facet.

use crate::prelude::*;
use crate::services::{Socket, SocketKind};
use crate::testing::{self, TestHost, TestPlugin};
use crate::{Body, DatagramMeta, Envelope, HeaderBlock, Incoming, Serving};
use std::time::Duration;

options! {
    /// Options of the test's plugin.
    pub struct Options {
        /// Panics when it is configured.
        pub panics: bool,
    }
}

struct Sample {
    host: Host,
}

impl Driver for Sample {
    const INFO: DriverInfo = DriverInfo::layer("sample", "A driver of a test")
        .schemes(&[Scheme::new("sample", "sample+tcp")])
        .client();
    type Options = Options;
    type Endpoint = ();

    fn new(host: Host) -> Result<Self> {
        Ok(Sample { host })
    }

    fn configure(&self, options: Options, _role: Role) -> Result<()> {
        assert!(!options.panics, "told to panic");
        Ok(())
    }

    async fn open(&self, _endpoint: &(), mut request: Request) -> Result<Session> {
        let (carrier, info) = request.take_carrier()?;
        self.host.log(Level::Info, "sample", "opened");
        self.host.metric("counter", "opened", &json!({ "by": "test" }), 1.0);
        self.host.event(&Event::new("opened", json!({ "peer": info.peer })));
        Ok(Session::of_stream(info, carrier))
    }
}

struct Counts;

impl Handler for Counts {
    const INFO: HandlerInfo = HandlerInfo::new("counts", "A handler of a test", Facets::EXCHANGE);
    type Options = NoParams;

    fn new(_host: Host, _options: NoParams) -> Result<Self> {
        Ok(Counts)
    }

    async fn serve(&self, session: Session) -> Result<()> {
        let exchange = session.take_exchange().ok_or_else(|| Error::unsupported("this"))?;
        let answer = async |incoming: Incoming| {
            let Incoming { request, answer, .. } = incoming;
            if request.path() == "/dropped" {
                return;
            }
            let size = request.body.whole(16).await.map(|content| content.len());
            let text = size.map_or_else(|error| error.to_string(), |size| size.to_string());
            let _ = answer.send(Envelope::response(200, "text/plain", text).unwrap()).await;
        };
        Serving::new(exchange, 2).run(answer).await
    }
}

// The macro makes a plugin of this module, whose symbol nobody loads.
export_plugin! { drivers: [Sample], handlers: [Counts] }

#[test]
fn a_plugin_is_what_a_host_sees_of_it() -> Result<()> {
    testing::run(async {
        let host = TestHost::new();
        let plugin = TestPlugin::of::<Plugin>(&host)?;
        assert_eq!(plugin.describe()?["drivers"][0]["name"], "sample");
        let missing = plugin.driver("smaple", Role::Client, &json!({})).unwrap_err();
        assert!(missing.to_string().contains("there are: sample"), "{missing}");
        let unknown = plugin.driver("sample", Role::Client, &json!({ "x": 1 })).unwrap_err();
        assert_eq!(unknown.kind(), ErrorKind::Config);
        let panics = plugin.driver("sample", Role::Client, &json!({ "panics": true }));
        assert_eq!(panics.unwrap_err().kind(), ErrorKind::Panicked);

        let endpoint = plugin.driver("sample", Role::Client, &json!({}))?;
        let (near, _far) = testing::carriers(64);
        let session = endpoint.open(testing::over(near)).await?;
        assert_eq!(session.facets(), Facets::STREAM);
        let lines = host.lines();
        assert_eq!((lines[0].level, lines[0].message.as_str()), (Level::Info, "opened"));
        // The constants of the driver do not name the stream.
        assert!(
            lines.iter().any(|line| line.message.contains("does not name: stream")),
            "{lines:?}"
        );
        assert_eq!(host.events(), [Event::new("opened", json!({ "peer": "memory:2" }))]);
        assert_eq!(host.measurements()[0].labels, json!({ "by": "test" }));
        Ok(())
    })
}

#[test]
fn a_handler_answers_requests_of_a_client_in_memory() -> Result<()> {
    testing::run(async {
        let plugin = TestPlugin::of::<Plugin>(&TestHost::new())?;
        let handler = plugin.handler("counts", &json!({}))?;
        let (client, session) = testing::exchange();
        let asking = async move {
            for (content, answer) in [("seven b", "7"), ("far more than sixteen", "the content is")]
            {
                let head = HeaderBlock::new([(":method", "POST"), (":path", "/")])?;
                let answered = client.send(Envelope::new(head, Body::full(content))).await?;
                assert_eq!(answered.status(), 200);
                let text = answered.body.whole(1024).await?;
                assert!(text.starts_with(answer.as_bytes()), "{text:?}");
            }
            let dropped = client.send(Envelope::request("GET", "/dropped")?).await?;
            assert_eq!(dropped.status(), 500);
            Ok(())
        };
        let (served, asked) = tokio::join!(handler.serve(session), asking);
        served.and(asked)
    })
}

#[test]
fn a_session_ends_when_its_client_goes_in_the_middle_of_any_request() -> Result<()> {
    testing::run(async {
        let plugin = TestPlugin::of::<Plugin>(&TestHost::new())?;
        let (times, result) = testing::cancel_at_every_await(|| async {
            let handler = plugin.handler("counts", &json!({}))?;
            let (client, session) = testing::exchange();
            let asking = async move {
                client.send(Envelope::request("GET", "/")?).await?.body.whole(16).await
            };
            let (served, asked) = tokio::join!(handler.serve(session), asking);
            served.and(asked)
        })
        .await;
        assert!(times > 0 && &result?[..] == b"0");
        Ok(())
    })
}

#[test]
fn messages_and_datagrams_pass_between_both_ends() -> Result<()> {
    testing::run(async {
        let (near, far) = testing::messages(2);
        let (mut near, mut far) = (near.take_messages().unwrap(), far.take_messages().unwrap());
        near.send(Message::text("a").with_id(7)).await?;
        assert_eq!(far.next().await.transpose()?, Some(Message::text("a").with_id(7)));
        drop(near);
        assert!(far.next().await.is_none());

        let (near, far) = testing::datagrams(4, 2);
        let (mut near, mut far) = (near.take_datagrams().unwrap(), far.take_datagrams().unwrap());
        for bytes in [&b"a"[..], b"b", b"lost"] {
            near.send(bytes, DatagramMeta::default()).await?;
        }
        let long = near.send(b"too long", DatagramMeta::default()).await.unwrap_err();
        assert_eq!(long.kind(), ErrorKind::Limit);
        drop(near);
        let mut heard = Vec::new();
        let mut buffer = [0; 8];
        while let Some(meta) = far.recv(&mut buffer).await? {
            heard.push(buffer[..meta.len].to_vec());
        }
        assert_eq!(heard, [b"a", b"b"]);
        Ok(())
    })
}

#[test]
fn a_host_counts_tasks_gives_its_secrets_and_stops_when_told() -> Result<()> {
    testing::paused(async {
        let kit = TestHost::new().secret("token", "hunter2").opens(|uri, _| {
            assert_eq!(uri, "tcp://lab");
            Ok(testing::carriers(1).0)
        });
        let host = kit.host();
        assert_eq!(&host.secret("token").await?[..], b"hunter2");
        assert_eq!(host.secret("other").await.unwrap_err().kind(), ErrorKind::NotFound);
        assert!(host.open("tcp://lab", &json!({})).await.is_ok());
        let began = host.now();
        let task = host.spawn(async move { host.stopping().await });
        host.timer(Duration::from_secs(30)).await;
        assert_eq!((host.now() - began, kit.tasks()), (Duration::from_secs(30), 1));
        kit.stop();
        task.await?;
        assert_eq!(kit.tasks(), 0);
        Ok(())
    })
}

#[test]
fn the_tests_clock_is_the_hosts_also_beside_a_private_runtime() -> Result<()> {
    crate::runtime::start("private", 1)?;
    testing::paused(async {
        let host = TestHost::new().host();
        let began = host.now();
        host.timer(Duration::from_secs(30)).await;
        assert_eq!(host.now() - began, Duration::from_secs(30));
        let listener = host.listen(&Socket::new(SocketKind::Tcp, "127.0.0.1", 0)).await?;
        assert!(listener.info().local.is_some());
        host.spawn(async {}).await
    })
}

#[test]
fn a_host_that_is_made_outside_of_a_runtime_is_of_the_one_it_is_first_used_in() -> Result<()> {
    let host = TestHost::new().host();
    let began = host.now();
    testing::run(async { host.spawn(async {}).await })?;
    assert!(host.now() >= began);
    Ok(())
}
