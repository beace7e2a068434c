//! Ends: of one direction, of both, and those that nobody wished for.

use bytes::Bytes;
use jackfield_plugin_api::Origin;
use tokio::time::timeout;

use super::{hostile::is_clear, load::pattern};
use crate::{
    conformance::{
        far::{ANSWER, Behaviour},
        pipe::PIECE,
        subject::Subject,
    },
    support::process::DEADLINE,
};

pub(super) async fn ours_first(subject: Subject) {
    let world = (subject.world)(Behaviour::AnswersAfterTheEnd).await;
    let (_session, mut pipe) = world.pipe().await;
    pipe.out.send(&pattern(100_000)).await.unwrap();
    pipe.out.finish().await.unwrap();
    let came = timeout(DEADLINE, pipe.back.read_to_end()).await.expect("in time").unwrap();
    assert_eq!(String::from_utf8_lossy(&came), String::from_utf8_lossy(ANSWER));
}

pub(super) async fn peers_first(subject: Subject) {
    let world = (subject.world)(Behaviour::EndsFirst).await;
    let (_session, mut pipe) = world.pipe().await;
    let came = timeout(DEADLINE, pipe.back.read_to_end()).await.expect("in time").unwrap();
    assert_eq!(String::from_utf8_lossy(&came), String::from_utf8_lossy(ANSWER));
    pipe.out.send(&pattern(100_000)).await.unwrap();
    world.far.has_received(100_000).await;
}

pub(super) async fn peer_killed(subject: Subject) {
    let world = (subject.world)(Behaviour::Resets).await;
    let (_session, mut pipe) = world.pipe().await;
    let piece = Bytes::from(pattern(PIECE));
    let sending = async {
        loop {
            if let Err(error) = pipe.out.offer(&piece).await {
                return error;
            }
        }
    };
    let first = async {
        tokio::select! {
            error = sending => Err(error),
            came = pipe.back.read_to_end() => came,
        }
    };
    match timeout(DEADLINE, first).await.expect("nobody is told that the peer has gone") {
        Ok(_) => {}
        Err(error) => {
            is_clear(&error);
            assert_eq!(error.origin(), Origin::Upstream, "{error:?}");
        }
    }
    // Others are not touched.
    drop(world);
    subject.echo().await.still_works().await;
}
