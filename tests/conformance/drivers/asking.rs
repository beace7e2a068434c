//! How the suite reaches drivers that ask and carry no bytes.

use futures_util::FutureExt;

use super::no_form;
use crate::{
    conformance::subject::{OnDatagrams, Subject, World},
    support::peers::names::NamePeer,
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
