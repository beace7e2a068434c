//! The drivers over QUIC.

use futures_util::FutureExt;
use serde_json::json;

use crate::conformance::far::{Behaviour, Wrapping};
use crate::conformance::subject::{OnDatagrams, Subject, World, no_form};
use crate::support::certs::Certs;

pub(in crate::conformance) fn quic() -> Subject {
    Subject {
        name: "quic",
        world: |behaviour| over_udp(behaviour, "quic").boxed_local(),
        at: None,
        on_datagrams: OnDatagrams::Protected(|address| format!("quic://{address}")),
        nowhere: Some(|| ("quic://127.0.0.1:1".to_owned(), json!({}))),
        oversized: no_form,
        except: &[],
    }
}

pub(in crate::conformance) fn webtransport() -> Subject {
    Subject {
        name: "webtransport",
        world: |behaviour| over_udp(behaviour, "webtransport").boxed_local(),
        at: None,
        on_datagrams: OnDatagrams::Protected(|address| format!("webtransport://{address}")),
        nowhere: Some(|| ("webtransport://127.0.0.1:1".to_owned(), json!({}))),
        oversized: no_form,
        except: &[],
    }
}

async fn over_udp(behaviour: Behaviour, scheme: &'static str) -> World {
    let certs = Certs::new();
    let options = format!(
        "certificate_file = {:?}, key_file = {:?}",
        certs.server.certificate, certs.server.key
    );
    let listen = format!("{scheme}://127.0.0.1:0");
    World::of_both_roles(behaviour, &listen, &options, Wrapping::Bytes)
        .await
        .with_uri(|local| format!("{scheme}://{local}"))
        .with_options(json!({ "ca_file": certs.ca }))
        .keeping(certs)
}
