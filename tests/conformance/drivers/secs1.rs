//! How the suite reaches the driver `secs1`, as host and as equipment.

use futures_util::FutureExt;
use serde_json::json;

use super::refused;
use crate::conformance::{
    far::Wrapping,
    mangler::{Hostile, Victim},
    subject::{OnDatagrams, Subject, World},
};

/// The equipment answers a ping, which a far end that echoes bytes does not. A line to somebody who does not read is
/// closed after T2; whoever reads late is waited for by retries.
const EQUIPMENT: &str =
    "equipment = true, t1 = 0.2, t2 = 1, rty = 31, answers = { S1F1 = \"S1F2 <L> .\" }";

pub(in crate::conformance) fn secs1() -> Subject {
    /// A peer that asks, and sends a block of 255 bytes without waiting, and asks again in it.
    fn oversized() -> Vec<Hostile> {
        let bytes = [&[5, 0xff][..], &[5, 0xff, 0].repeat(1000)].concat();
        [Victim::Client, Victim::Server]
            .map(|victim| Hostile { victim, after_head: false, bytes: bytes.clone() })
            .into()
    }
    Subject {
        name: "secs1",
        world: |behaviour| {
            async move {
                World::of_both_roles(behaviour, "secs1://127.0.0.1:0", EQUIPMENT, Wrapping::Bytes)
                    .await
                    .with_uri(|local| format!("secs1://{local}"))
                    .with_options(json!({ "t1": 0.2, "t2": 1, "rty": 31 }))
            }
            .boxed_local()
        },
        at: Some(|_, address| format!("secs1://{address}")),
        on_datagrams: OnDatagrams::No,
        nowhere: Some(|| (refused("secs1"), json!({}))),
        oversized,
        except: &[
            ("silent peer", "opening asks nothing: T2 bounds each block"),
            ("16 MiB", "on a line 137,000 blocks go one after the other"),
        ],
    }
}
