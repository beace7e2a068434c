//! A handler whose code panics in one request of a connection that has others.

use futures_util::StreamExt;
use jackfield_plugin_api::{Body, BodyPart, Envelope, Exchange, HeaderBlock};
use serde_json::json;

use crate::{loading::faulty_folder, support::host::TestHost};

fn asking(path: &str, body: Body) -> Envelope {
    let head = HeaderBlock::new([(":method", "POST"), (":path", path)]).expect("a head");
    Envelope::new(head, body)
}

async fn status(exchange: &Exchange, path: &str) -> String {
    let response = exchange.send(asking(path, Body::empty())).await.expect("a response");
    let status = response.head.get(":status").expect("a status");
    String::from_utf8_lossy(status).into_owned()
}

/// A host whose requests at `/fault` do what `how` says.
async fn faulty(folder: &std::path::Path, how: &str) -> TestHost {
    TestHost::start(&format!(
        "[host]\nplugins = [{folder:?}]\n[handlers.faulty]\n\
         options = {{ at = \"request\", how = \"{how}\" }}\n[[routes]]\n\
         listen = \"http://127.0.0.1:0\"\nto = \"handlers.faulty\"\n"
    ))
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_in_one_request_costs_that_request_and_not_its_connection() {
    let folder = faulty_folder();
    for how in ["panic", "panic_twice", "panic_long"] {
        let host = faulty(folder.path(), how).await;
        let uri = format!("http://{}", host.address(0));
        let session = host.open(&uri, json!({ "version": "2" })).await.expect("a session");
        let exchange = session.take_exchange().expect("an exchange");
        let (send, receive) = tokio::sync::mpsc::channel(1);
        let content = futures_util::stream::unfold(receive, async |mut receive| {
            let piece: bytes::Bytes = receive.recv().await?;
            Some((Ok(BodyPart::Data(piece)), receive))
        });
        let long = exchange.send(asking("/", Body::new(Box::pin(content))));
        send.send("before".into()).await.expect("a reader");
        let mut long = long.await.expect("a response").body;
        let piece = |text: &'static str| Some(Ok(BodyPart::Data(text.into())));
        assert_eq!(long.next().await, piece("before"), "{how}");

        for _ in 0..3 {
            assert_eq!(status(&exchange, "/fault").await, "500", "{how}");
            assert_eq!(status(&exchange, "/").await, "200", "{how}: the same connection");
        }
        send.send("after".into()).await.expect("a reader");
        assert_eq!(long.next().await, piece("after"), "{how}: a request beside those that failed");
        drop(send);
        while let Some(rest) = long.next().await {
            assert_eq!(rest, Ok(BodyPart::Data(bytes::Bytes::new())), "{how}: nothing but the end");
        }
    }
}
