//! How the suite reaches drivers that ask and carry no bytes.

use futures_util::FutureExt;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::no_form;
use crate::{
    conformance::subject::{OnDatagrams, Subject, World},
    support::{
        peers::{echo::TcpPeer, http::RestconfServer, names::NamePeer},
        ports,
    },
};

/// What all of them have in common.
const ASKING: Subject = Subject {
    name: "",
    world: |behaviour| World::of_calls(behaviour, "").boxed_local(),
    at: None,
    on_datagrams: OnDatagrams::No,
    nowhere: None,
    oversized: no_form,
    except: &[],
};

pub(in crate::conformance) fn sntp() -> Subject {
    const SERVER: &str = "[handlers.clock]\nhandler = \"sntp_server\"\noptions = { rate = 0 }\n\
                          [[routes]]\nlisten = \"udp://127.0.0.1:0\"\nto = \"handlers.clock\"\n";
    Subject {
        name: "sntp",
        world: |behaviour| {
            async move {
                let world = World::of_calls(behaviour, SERVER).await;
                world.with_uri(|local| format!("sntp://{local}"))
            }
            .boxed_local()
        },
        ..ASKING
    }
}

pub(in crate::conformance) fn dns() -> Subject {
    Subject {
        name: "dns",
        world: |behaviour| {
            async move {
                let peer =
                    NamePeer::start(|asked| vec![asked.addresses(60, &[[192, 0, 2, 1]])]).await;
                let world = World::of_calls(behaviour, "").await;
                world.with_uri(|_| peer.uri()).keeping(peer)
            }
            .boxed_local()
        },
        ..ASKING
    }
}

pub(in crate::conformance) fn netconf() -> Subject {
    Subject {
        name: "netconf",
        world: |behaviour| {
            async move {
                let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
                let peer = TcpPeer::serve_on(listener, |stream, _| async move {
                    // A client that is gone is what ends it.
                    let _ = agreeing(stream).await;
                });
                let world = World::of_calls(behaviour, "").await;
                world.with_uri(|_| format!("netconf+tcp://{}", peer.address())).keeping(peer)
            }
            .boxed_local()
        },
        nowhere: Some(|| (format!("netconf+tcp://127.0.0.1:{}", ports::free()), json!({}))),
        ..ASKING
    }
}

/// A server of NETCONF 1.0 that says yes to whatever it is asked.
async fn agreeing(mut stream: TcpStream) -> std::io::Result<()> {
    const BASE: &str = "urn:ietf:params:xml:ns:netconf:base:1.0";
    const END: &[u8] = b"]]>]]>";
    let hello = format!(
        "<hello xmlns=\"{BASE}\"><capabilities><capability>urn:ietf:params:netconf:base:1.0</capability>\
         </capabilities><session-id>1</session-id></hello>]]>]]>"
    );
    stream.write_all(hello.as_bytes()).await?;
    let mut said = Vec::new();
    loop {
        said.push(stream.read_u8().await?);
        if !said.ends_with(END) {
            continue;
        }
        let text = String::from_utf8_lossy(&said).into_owned();
        said.clear();
        // The greeting has none.
        let Some((_, rest)) = text.split_once("message-id=\"") else { continue };
        let id = rest.split('"').next().unwrap_or_default();
        let reply =
            format!("<rpc-reply xmlns=\"{BASE}\" message-id=\"{id}\"><ok/></rpc-reply>]]>]]>");
        stream.write_all(reply.as_bytes()).await?;
    }
}

/// Why cases of bytes there and back are none.
const TOLD: &str = "a stream of notifications goes one way; the reader of http is under it";

pub(in crate::conformance) fn restconf() -> Subject {
    Subject {
        name: "restconf",
        world: |behaviour| {
            async move {
                let server = RestconfServer::start().await;
                let world = World::of_calls(behaviour, "").await;
                world.with_uri(|_| server.uri("admin:secret@")).keeping(server)
            }
            .boxed_local()
        },
        nowhere: Some(|| (format!("restconf+tcp://127.0.0.1:{}", ports::free()), json!({}))),
        except: &[
            ("round trip", TOLD),
            ("16 MiB", TOLD),
            ("slow reader", TOLD),
            ("dead reader", TOLD),
            ("peer killed", TOLD),
            ("loss is told", "a kept connection that ends is no loss: the next request tells"),
        ],
        ..ASKING
    }
}
