//! How the suite reaches the drivers of Modbus: its bytes are the data of loopbacks.

use futures_util::{FutureExt, future::LocalBoxFuture};
use serde_json::json;

use super::refused;
use crate::conformance::{
    far::{Behaviour, Wrapping},
    mangler::{Hostile, Victim},
    subject::{OnDatagrams, Subject, World, no_form},
};

/// A loopback whose far end waits has its answer when that goes on.
fn world(behaviour: Behaviour, scheme: &'static str) -> LocalBoxFuture<'static, World> {
    async move {
        World::of_both_roles(behaviour, &format!("{scheme}://127.0.0.1:0"), "", Wrapping::Bytes)
            .await
            .with_uri(|local| format!("{scheme}://{local}"))
            .with_options(json!({ "timeout": 3600, "retries": 0, "in_flight": 16 }))
    }
    .boxed_local()
}

/// A loopback waits for its answer.
const ANSWERED: &str =
    "each request waits for its answer: a far end that gives nothing back is asked no more";
const SILENT: (&str, &str) = ("silent peer", "opening asks nothing: `timeout` bounds each request");
const SLOW: (&str, &str) = ("slow reader", ANSWERED);
const KILLED: (&str, &str) = ("peer killed", ANSWERED);
const LOST: (&str, &str) = ("loss is told", ANSWERED);
const ONE_BY_ONE: (&str, &str) = ("16 MiB", "on a line 67,000 loopbacks go one after the other");

pub(in crate::conformance) fn modbus() -> Subject {
    /// Headers that say that 64 KiB follow, or another protocol.
    fn oversized() -> Vec<Hostile> {
        [Victim::Client, Victim::Server]
            .into_iter()
            .flat_map(|victim| {
                let long = [&[0, 1, 0, 0, 0xff, 0xff, 1][..], &[0; 0xffff]].concat();
                let other = vec![0xff; 64];
                [long, other].map(|bytes| Hostile { victim, after_head: false, bytes })
            })
            .collect()
    }
    Subject {
        name: "modbus",
        world: |behaviour| world(behaviour, "modbus"),
        at: Some(|_, address| format!("modbus://{address}")),
        on_datagrams: OnDatagrams::No,
        nowhere: Some(|| (refused("modbus"), json!({}))),
        oversized,
        except: &[SILENT, SLOW, KILLED, LOST],
    }
}

pub(in crate::conformance) fn modbus_rtu() -> Subject {
    Subject {
        name: "modbus-rtu",
        world: |behaviour| world(behaviour, "modbus-rtu+tcp"),
        // What is no frame is noise, as lines have it.
        at: None,
        on_datagrams: OnDatagrams::No,
        nowhere: Some(|| (refused("modbus-rtu+tcp"), json!({}))),
        oversized: no_form,
        except: &[ONE_BY_ONE, SLOW, KILLED, LOST],
    }
}

pub(in crate::conformance) fn modbus_ascii() -> Subject {
    Subject {
        name: "modbus-ascii",
        world: |behaviour| world(behaviour, "modbus-ascii+tcp"),
        at: None,
        on_datagrams: OnDatagrams::No,
        nowhere: Some(|| (refused("modbus-ascii+tcp"), json!({}))),
        oversized: no_form,
        except: &[ONE_BY_ONE, SLOW, KILLED, LOST],
    }
}
