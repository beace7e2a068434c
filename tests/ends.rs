//! What an end means at the other side of a route, and who goes before there is one.
//!
//! A peer of each kind is joined to a peer of TCP, as the client of a route and as its destination. Each of the
//! two ends in each way, and the other says what it has seen: the table in `plugins/README.md`, where
//! `JACKFIELD_WRITE_TABLE=1` lets a test write its row. Nothing that was cut off may look like an end.

mod asking;
mod breaker;
mod codes;
mod gone;
mod kind;
mod peers;
mod requests;
mod seen;
mod stage;
mod table;

use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};

use self::{
    kind::Kind,
    peers::Peer,
    seen::Seen,
    stage::{Stage, World},
};
use crate::support::process::DEADLINE;

/// Which end of a route the peer under test is; TCP is the other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Role {
    Client,
    Destination,
}

/// What happens: what TCP sees of the first four, and the peer of the others.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Column {
    /// The peer has its own way of saying that all was sent.
    Ends,
    /// The connection below ends without its protocol's goodbye, or nothing more comes.
    NoGoodbye,
    /// It is reset, or gone, in the middle.
    Resets,
    /// It says what its protocol does not know.
    Nonsense,
    /// TCP ends.
    OtherEnds,
    /// TCP resets.
    OtherResets,
    /// Nothing passes for longer than the limit.
    Idle,
    /// The host stops.
    Stops,
}

pub(crate) const COLUMNS: [Column; 8] = [
    Column::Ends,
    Column::NoGoodbye,
    Column::Resets,
    Column::Nonsense,
    Column::OtherEnds,
    Column::OtherResets,
    Column::Idle,
    Column::Stops,
];

impl Column {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ends => "it ends",
            Self::NoGoodbye => "it ends without goodbye",
            Self::Resets => "it resets",
            Self::Nonsense => "it breaks its protocol",
            Self::OtherEnds => "TCP ends",
            Self::OtherResets => "TCP resets",
            Self::Idle => "the limit of silence passes",
            Self::Stops => "the host stops",
        }
    }

    /// Whether what happens is an end, and not a cut.
    fn is_whole(self) -> bool {
        matches!(self, Self::Ends | Self::OtherEnds)
    }
}

/// What is seen at the other side; `None` where the kind knows no such end.
async fn seen(stage: &mut Stage, column: Column) -> Option<Seen> {
    let mut world = stage.world().await;
    match column {
        Column::Ends | Column::NoGoodbye | Column::Resets | Column::Nonsense => {
            if !stage.break_peer(&mut world, column).await {
                return None;
            }
            Some(world.tcp.sees().await)
        }
        Column::OtherEnds => {
            world.tcp.end().await;
            if let Peer::Program(_) = world.peer {
                // What it answers after that is heard.
                world.tcp.hears("over\n").await;
                return Some(Seen::End);
            }
            Some(world.peer.sees().await)
        }
        Column::OtherResets => {
            world.tcp.reset().await;
            Some(world.peer.sees().await)
        }
        Column::Idle | Column::Stops => {
            let stopping = async {
                if column == Column::Stops {
                    stage.stop().await;
                }
            };
            let World { peer, tcp } = &mut world;
            let (seen, other, ()) = tokio::join!(peer.sees(), tcp.sees(), stopping);
            assert_ne!(other, Seen::End, "{column:?}: what was cut off looks like an end to TCP");
            Some(seen)
        }
    }
}

async fn within<T>(column: Column, work: impl Future<Output = T>) -> T {
    let done = tokio::time::timeout(DEADLINE, work).await;
    done.unwrap_or_else(|_| panic!("{}: nothing is seen", column.name()))
}

/// A row of the table.
async fn row(kind: Kind, role: Role) {
    let (mut cells, mut wrong) = (Vec::new(), Vec::new());
    // Most columns share a host; where limits are short, or it is stopped, it has one of its own.
    let mut shared = Stage::new(kind, role, Column::Ends).await;
    for column in COLUMNS {
        let has_own = match column {
            Column::Idle | Column::Stops => true,
            Column::NoGoodbye => kind.is_quic(),
            // One uses a line at a time.
            _ => kind == Kind::Serial,
        };
        let found = if has_own {
            let mut own = Stage::new(kind, role, column).await;
            within(column, seen(&mut own, column)).await
        } else {
            within(column, seen(&mut shared, column)).await
        };
        let found = kind.settled(column, found);
        let note = kind.note(column);
        if found == Some(Seen::End) && !column.is_whole() && note.is_none() {
            wrong.push(format!("{}: what was cut off looks like an end", column.name()));
        }
        let text = found.map_or_else(|| "–".to_owned(), |seen| seen.to_string());
        cells.push(table::marked(&text, note));
    }
    assert!(wrong.is_empty(), "{}: {wrong:?}, {cells:?}", role.of(kind));
    table::row(&role.of(kind), &cells);
}

impl Role {
    /// What a row is called.
    fn of(self, kind: Kind) -> String {
        match self {
            Self::Client => format!("{} client", kind.name()),
            Self::Destination => format!("{} destination", kind.name()),
        }
    }
}

/// A test for each row, and the list of all.
macro_rules! rows {
    ($($name:ident = $kind:ident $role:ident,)*) => {
        const ROWS: &[(Kind, Role)] = &[$((Kind::$kind, Role::$role)),*];

        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                row(Kind::$kind, Role::$role).await;
            }
        )*
    };
}

rows! {
    ends_of_a_tcp_client = Tcp Client,
    ends_of_a_tls_client = Tls Client,
    ends_of_a_ws_client = Ws Client,
    ends_of_an_http1_client = Http1 Client,
    ends_of_an_http2_client = Http2 Client,
    ends_of_a_telnet_client = Telnet Client,
    ends_of_a_quic_client = Quic Client,
    ends_of_a_webtransport_client = WebTransport Client,
    ends_of_a_unix_client = Unix Client,
    ends_of_a_tcp_destination = Tcp Destination,
    ends_of_a_tls_destination = Tls Destination,
    ends_of_a_ws_destination = Ws Destination,
    ends_of_an_http1_destination = Http1 Destination,
    ends_of_an_http2_destination = Http2 Destination,
    ends_of_a_telnet_destination = Telnet Destination,
    ends_of_a_quic_destination = Quic Destination,
    ends_of_a_webtransport_destination = WebTransport Destination,
    ends_of_a_unix_destination = Unix Destination,
    ends_of_an_ssh_destination = Ssh Destination,
    ends_of_a_serial_destination = Serial Destination,
    ends_of_a_process_destination = Process Destination,
}

#[test]
fn the_table_of_ends_has_every_row() {
    let names: Vec<String> = ROWS.iter().map(|(kind, role)| role.of(*kind)).collect();
    table::frame(&names);
}

/// A TCP peer that waits.
async fn tcp_listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.expect("a port")
}

/// Makes the close of `stream` a reset.
fn reset_on_close(stream: &TcpStream) {
    rustix::net::sockopt::set_socket_linger(stream, Some(Duration::ZERO)).expect("set");
}
