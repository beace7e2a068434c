//! How the suite reaches `snmp`.

use futures_util::FutureExt;
use serde_json::json;

use crate::{
    conformance::subject::{OnDatagrams, Subject, World, no_form},
    support::{peers::snmp::Snmpd, ports},
};

/// Why cases of bytes there and back are none.
const ASKED: &str = "an agent is asked, and gives no bytes back";
/// Where other datagrams are met.
const ELSEWHERE: &str = "agents and senders that lie are met in the driver's own tests";

pub(in crate::conformance) fn snmp() -> Subject {
    Subject {
        name: "snmp",
        world: |behaviour| {
            async move {
                let agent = Snmpd::start().await;
                World::of_client(behaviour)
                    .await
                    .with_uri(|_| agent.uri())
                    .with_server(([127, 0, 0, 1], agent.port).into())
                    .without_ends()
                    .by_calls("get", json!({ "oid": "1.3.6.1.2.1.1.3.0" }))
                    .keeping(agent)
            }
            .boxed_local()
        },
        at: None,
        on_datagrams: OnDatagrams::Protected(|address| format!("snmp://public@{address}")),
        nowhere: Some(|| (format!("snmp://public@127.0.0.1:{}", ports::free()), json!({}))),
        oversized: no_form,
        except: &[
            ("round trip", ASKED),
            ("16 MiB", ASKED),
            ("slow reader", ASKED),
            ("dead reader", ASKED),
            (
                "peer killed",
                "datagrams have no connection; a peer that is gone is told by the next call",
            ),
            (
                "loss is told",
                "datagrams have no connection; `health` tells a peer that does not answer",
            ),
            ("cut short", ELSEWHERE),
            ("oversized", ELSEWHERE),
            ("random", ELSEWHERE),
        ],
    }
}
