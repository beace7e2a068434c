//! Opening that is given up, by us or because nobody answers.

use std::{future::poll_fn, pin::pin, task::Poll};

use jackfield_plugin_api::ErrorKind;
use tokio::time::timeout;

use super::strangers;
use crate::{
    conformance::{
        far::{self, Behaviour, Wrapping},
        subject::{Subject, World},
    },
    support::process::DEADLINE,
};

/// Polls at which an opening is dropped; between them others get their turn.
const MOMENTS: usize = 24;

pub(super) async fn cancelled(subject: Subject) {
    let world = subject.echo().await;
    for moment in 0..MOMENTS {
        let mut opening = pin!(world.open());
        for _ in 0..moment {
            let polled = poll_fn(|cx| Poll::Ready(opening.as_mut().poll(cx))).await;
            if polled.is_ready() {
                break;
            }
            tokio::task::yield_now().await;
        }
    }
    // Whatever an opening has taken is free again.
    world.still_works().await;
    if world.hears_ends {
        no_connection_left(&world).await;
        timeout(DEADLINE, world.far.has_none_left()).await.expect("the far end still has some");
    }
}

async fn no_connection_left(world: &World) {
    let gone = async {
        while !world.host.manager().snapshot().connections.is_empty() {
            tokio::task::yield_now().await;
        }
    };
    timeout(DEADLINE, gone).await.expect("the host still has connections of nobody");
}

pub(super) async fn silent_peer(subject: Subject) {
    let Some(at) = subject.at else { return strangers::silent_peer(subject).await };
    let world = subject.echo().await;
    // Reads and says nothing: it echoes only once its gate is open.
    let (silent, gate) = far::start(Behaviour::Waits, Wrapping::Bytes);
    let uri = at(&world, silent.address());
    let dropped = timeout(DEADLINE, async {
        tokio::select! {
            opened = world.open_at(&uri) => panic!("nobody has answered: {opened:?}"),
            () = silent.has_accepted(1) => {}
        }
    });
    dropped.await.expect("in time");
    let error = timeout(DEADLINE, world.open_at(&uri)).await.expect("in time").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error:?}");
    gate.send(true).unwrap();
    silent.has_none_left().await;
}
