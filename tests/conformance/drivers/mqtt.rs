//! How the suite reaches `mqtt`.

use futures_util::FutureExt;
use serde_json::json;

use super::refused;
use crate::conformance::{
    far::Wrapping,
    mangler::{Hostile, Victim},
    subject::{OnDatagrams, Subject, World},
};

pub(in crate::conformance) fn mqtt() -> Subject {
    /// A PUBLISH that says it has 256 MiB, and one whose length has no end (MQTT 5.0 §1.5.5).
    fn oversized() -> Vec<Hostile> {
        let long = [&[0x30, 0xff, 0xff, 0xff, 0x7f][..], &[0; 64]].concat();
        let endless = vec![0x30, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
        [Victim::Client, Victim::Server]
            .into_iter()
            .flat_map(|victim| {
                let hostile = |bytes| Hostile { victim, after_head: false, bytes };
                [hostile(long.clone()), hostile(endless.clone())]
            })
            .collect()
    }
    Subject {
        name: "mqtt",
        world: |behaviour| {
            async move {
                let listener = "topic = \"far\", anonymous = true";
                World::of_both_roles(behaviour, "mqtt://127.0.0.1:0", listener, Wrapping::Bytes)
                    .await
                    .with_uri(|local| format!("mqtt://{local}"))
                    .with_options(json!({ "topic": "near", "subscribe": ["far"] }))
            }
            .boxed_local()
        },
        at: Some(|_, address| format!("mqtt://{address}")),
        on_datagrams: OnDatagrams::No,
        nowhere: Some(|| (refused("mqtt"), json!({}))),
        oversized,
        except: &[],
    }
}
