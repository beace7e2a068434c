//! Certificates of a listener that stays: another one in the configuration, and another one in the same files.

use std::fs;

use jackfield::config::diff::Effect;
use jackfield_plugin_api::{Result, Session, Stream};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Changing, free, soon};
use crate::support::certs::{Certs, Pair};

async fn echoes(stream: &mut Stream) {
    stream.write_all(b"x").await.unwrap();
    stream.flush().await.unwrap();
    assert_eq!(stream.read_u8().await.unwrap(), b'x');
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_shows_another_certificate_and_keeps_its_socket_and_sessions() {
    let (certs, address) = (Certs::new(), free());
    let config = |Pair { certificate, key }: &Pair| {
        format!(
            "[handlers.echo]\n[[routes]]\nlisten = \"tls://{address}\"\nto = \"handlers.echo\"\n\
             options = {{ certificate_file = {certificate:?}, key_file = {key:?} }}\n"
        )
    };
    let host = Changing::start(&config(&certs.server)).await;
    let trusting = json!({ "ca_file": certs.ca }).as_object().unwrap().clone();
    let uri = format!("tls://127.0.0.1:{}", address.port());
    let open = async || -> Result<(Session, Stream)> {
        let session = host.manager.open(&uri, &trusting).await?;
        let stream = session.take_stream().expect("a stream");
        Ok((session, stream))
    };
    let (_session, mut before) = open().await.unwrap();
    echoes(&mut before).await;
    // Under the listener that there is: one that is begun anew would be told as a restart.
    let report = host.reload(&config(&certs.wrong_name)).await;
    let effects: Vec<Effect> = report.changes.iter().map(|change| change.effect).collect();
    assert_eq!(effects, [Effect::NewSessions], "{report}");
    assert!(open().await.is_err(), "the certificate is for another name now");
    echoes(&mut before).await;

    let own = Pair { certificate: host.path("own.crt"), key: host.path("own.key") };
    let put = |pair: &Pair| {
        fs::copy(&pair.key, &own.key).unwrap();
        fs::copy(&pair.certificate, &own.certificate).unwrap();
    };
    put(&certs.wrong_name);
    host.reload(&config(&own)).await;
    assert!(open().await.is_err());
    // What is renewed on disk needs no reload.
    put(&certs.server);
    soon("the renewed certificate", async || open().await.is_ok()).await;
    let (_another, mut after) = open().await.unwrap();
    echoes(&mut after).await;
    echoes(&mut before).await;
}
