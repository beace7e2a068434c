//! How a connection that a route serves is ended on request.

use super::{Served, forward};
use crate::connection::{ConnectionCommand, Entered};
use crate::session::SessionExt;
use jackfield_plugin_api::{Result, Session};
use jackfield_timers::timeout;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

/// Completes when the connection was told to end and its peer knows, as far as its protocol can tell it.
/// What it is joined to goes on until then. Small: most connections end by themselves.
pub(super) struct EndOnCommand<'a> {
    session: &'a Session,
    connection: &'a Entered,
    leaving: Option<Pin<Box<dyn Future<Output = ConnectionCommand> + Send + 'a>>>,
}

impl<'a> EndOnCommand<'a> {
    pub(super) fn new(session: &'a Session, connection: &'a Entered) -> Self {
        EndOnCommand { session, connection, leaving: None }
    }
}

impl Future for EndOnCommand<'_> {
    type Output = ConnectionCommand;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<ConnectionCommand> {
        let (session, connection) = (self.session, self.connection);
        if self.leaving.is_none() {
            let command = ready!(connection.poll_told(cx, &ConnectionCommand::Run));
            self.leaving = Some(Box::pin(leave(session, connection, command)));
        }
        match &mut self.leaving {
            Some(leaving) => leaving.as_mut().poll(cx),
            None => Poll::Pending,
        }
    }
}

/// Runs a handler to its end, or to that of its connection: drained, it may finish within the limit.
pub(super) async fn unless_told(
    mut handled: Pin<&mut impl Future<Output = Result<()>>>,
    connection: &Entered,
) -> Result<Served> {
    let command = tokio::select! {
        handled = &mut handled => return handled.map(|()| Served::Handled),
        command = connection.told(&ConnectionCommand::Run) => command,
    };
    let ConnectionCommand::Drain(limit) = command else {
        return Ok(Served::Told(Box::new(command)));
    };
    connection.draining();
    let after = ConnectionCommand::Drain(limit);
    tokio::select! {
        handled = timeout(limit, handled) => match handled {
            Ok(handled) => handled.map(|()| Served::Handled),
            Err(_) => Ok(Served::Told(Box::new(close("cut off at the drain's deadline")))),
        },
        command = connection.told(&after) => Ok(Served::Told(Box::new(command))),
    }
}

fn close(reason: &str) -> ConnectionCommand {
    ConnectionCommand::Close { code: 0, reason: reason.to_owned() }
}

async fn leave(
    session: &Session,
    connection: &Entered,
    command: ConnectionCommand,
) -> ConnectionCommand {
    let command = match command {
        ConnectionCommand::Drain(limit) => drained(session, connection, limit).await,
        command => command,
    };
    if let ConnectionCommand::Close { code, reason } = &command {
        connection.closing(*code, reason);
        tokio::select! {
            // What it says about its end is of no use any more.
            () = session.close_politely(*code, reason) => {}
            cut = connection.told(&command) => return cut,
        }
    }
    command
}

/// Lets requests that are here be answered; what is relayed has the time to end by itself.
async fn drained(session: &Session, connection: &Entered, limit: Duration) -> ConnectionCommand {
    connection.draining();
    let after = ConnectionCommand::Drain(limit);
    let done = async {
        let drained = timeout(limit, async {
            if !forward::asks(session) {
                std::future::pending::<()>().await;
            }
            // An error is an end, too.
            let _ = session.drain().await;
        });
        drained.await.is_ok()
    };
    tokio::select! {
        done = done => close(if done { "drained" } else { "cut off at the drain's deadline" }),
        command = connection.told(&after) => command,
    }
}
