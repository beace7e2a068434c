//! What an end of one kind means at the other side of a route: the tables in `plugins/README.md`.
//!
//! A peer of each kind is joined to a peer of TCP; each of the two ends in each way, and the other says what it
//! has seen. Nothing that was cut off may look like an end.

mod breaker;
mod codes;
mod gone;
mod peers;
mod table;

use std::fmt::Write as _;

use tokio::net::TcpListener;

use self::peers::{Common, Kind, Near, Seen, Stage};
use crate::support::peers::quic::soon;

/// How the peer under test, or the TCP peer at the other side, comes to its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Break {
    /// Its own way of saying that all was sent.
    Ends,
    /// The connection below is gone in the middle, by a reset.
    Resets,
    /// The connection below ends without the protocol's goodbye.
    NoGoodbye,
    /// It says what its protocol does not know.
    Nonsense,
}

const BREAKS: [Break; 4] = [Break::Ends, Break::NoGoodbye, Break::Resets, Break::Nonsense];

/// What the TCP peer sees when the peer of that kind breaks.
async fn tcp_sees(stage: &Stage<'_>, kind: Kind, how: Break) -> Option<Seen> {
    let mut world = stage.world().await;
    if !world.break_near(how).await {
        return None;
    }
    let seen = soon(world.far.sees()).await;
    assert!(
        how == Break::Ends || kind.is_plain(how) || seen != Seen::End,
        "{kind:?} {how:?}: what was cut off looks like an end"
    );
    Some(seen)
}

/// What the peer of that kind sees of the TCP peer.
async fn near_sees(stage: &Stage<'_>, kind: Kind, how: Break) -> Seen {
    let mut world = stage.world().await;
    match how {
        Break::Ends => world.far.end().await,
        _ => world.far.reset(),
    }
    let seen = soon(world.near.sees()).await;
    assert!(
        how == Break::Ends || kind == Kind::Unix || seen != Seen::End,
        "{kind:?}: a reset behind it looks like an end"
    );
    seen
}

/// What the peer sees when the route's idle limit passes, or the host stops. The TCP peer sees a reset.
async fn left_alone(common: &Common, kind: Kind, stops: bool) -> Seen {
    let more = if stops { "" } else { "idle_timeout = \"1s\"\n" };
    let stage = Stage::new(common, kind, more).await;
    let mut world = stage.world().await;
    let stopping = async {
        if stops {
            stage.host.shutdown().await;
        }
    };
    let (near, far, ()) =
        soon(async { tokio::join!(world.near.sees(), world.far.sees(), stopping) }).await;
    assert!(far == Seen::Reset, "{kind:?}: the TCP peer sees {far}");
    near
}

const NEAR: [Kind; 7] =
    [Kind::Tcp, Kind::Unix, Kind::Tls, Kind::Ws, Kind::Telnet, Kind::Quic, Kind::WebTransport];

#[tokio::test(flavor = "multi_thread")]
async fn what_is_cut_off_never_looks_like_an_end() {
    let mut first = String::from(
        "| a peer of | ends | ends without its protocol's goodbye | resets | breaks its protocol |\n\
         |---|---|---|---|---|\n",
    );
    let mut second = String::from(
        "| a peer of | when TCP ends | when TCP resets | at the idle limit | when the host stops |\n\
         |---|---|---|---|---|\n",
    );
    let common = Common::new().await;
    for kind in NEAR {
        let stage = Stage::new(&common, kind, "").await;
        write!(first, "| {} |", kind.name()).unwrap();
        for how in BREAKS {
            let seen = tcp_sees(&stage, kind, how).await;
            write!(first, " {} |", seen.map_or("–".to_owned(), |seen| seen.to_string())).unwrap();
        }
        first.push('\n');
        let ends = near_sees(&stage, kind, Break::Ends).await;
        let resets = near_sees(&stage, kind, Break::Resets).await;
        let idle = left_alone(&common, kind, false).await;
        let stops = left_alone(&common, kind, true).await;
        writeln!(second, "| {} | {ends} | {resets} | {idle} | {stops} |", kind.name()).unwrap();
    }
    let mut third =
        String::from("| behind the route | ends | is gone in the middle |\n|---|---|---|\n");
    for far in [peers::Behind::Process, peers::Behind::Serial, peers::Behind::Ws] {
        write!(third, "| {} |", far.name()).unwrap();
        for gone in [false, true] {
            let seen = soon(peers::client_sees(far, gone)).await;
            let text = seen.as_ref().map_or("–".to_owned(), ToString::to_string);
            // A pipe ends in the same way whoever has closed it; its exit is told beside the bytes.
            let is_pipe = far == peers::Behind::Process;
            assert!(!gone || is_pipe || seen != Some(Seen::End), "{far:?}: it looks like an end");
            write!(third, " {text} |").unwrap();
        }
        third.push('\n');
    }
    table::hold(&[&first, &second, &third]);
}

/// Where the TCP peer waits.
async fn tcp_listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.expect("a port")
}

/// A peer of TCP.
pub(crate) type Far = Near;
