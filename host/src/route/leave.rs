//! How a connection that a route serves is ended when somebody asks for it.

use super::{Served, forward};
use crate::connection::{Entered, Wish};
use crate::session::SessionExt;
use jackfield_plugin_api::{Result, Session};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::timeout;

/// Completes when the connection was told to end and its peer knows, as far as its protocol can tell it.
/// What it is joined to goes on until then. Small: most connections end by themselves.
pub(super) struct ToldToLeave<'a> {
    session: &'a Session,
    connection: &'a Entered,
    leaving: Option<Pin<Box<dyn Future<Output = Wish> + Send + 'a>>>,
}

impl<'a> ToldToLeave<'a> {
    pub(super) fn new(session: &'a Session, connection: &'a Entered) -> Self {
        ToldToLeave { session, connection, leaving: None }
    }
}

impl Future for ToldToLeave<'_> {
    type Output = Wish;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Wish> {
        let (session, connection) = (self.session, self.connection);
        if self.leaving.is_none() {
            let wish = ready!(connection.poll_told(cx, &Wish::GoOn));
            self.leaving = Some(Box::pin(leave(session, connection, wish)));
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
    let wish = tokio::select! {
        handled = &mut handled => return handled.map(|()| Served::Handled),
        wish = connection.told(&Wish::GoOn) => wish,
    };
    let Wish::Drain(limit) = wish else { return Ok(Served::Told(Box::new(wish))) };
    connection.draining();
    let after = Wish::Drain(limit);
    tokio::select! {
        handled = timeout(limit, handled) => match handled {
            Ok(handled) => handled.map(|()| Served::Handled),
            Err(_) => Ok(Served::Told(Box::new(close("cut off at the drain's deadline")))),
        },
        wish = connection.told(&after) => Ok(Served::Told(Box::new(wish))),
    }
}

fn close(reason: &str) -> Wish {
    Wish::Close { code: 0, reason: reason.to_owned() }
}

async fn leave(session: &Session, connection: &Entered, wish: Wish) -> Wish {
    let wish = match wish {
        Wish::Drain(limit) => drained(session, connection, limit).await,
        wish => wish,
    };
    if let Wish::Close { code, reason } = &wish {
        connection.closing(*code, reason);
        tokio::select! {
            // What it says about its end is of no use any more.
            () = session.close_politely(*code, reason) => {}
            cut = connection.told(&wish) => return cut,
        }
    }
    wish
}

/// Lets requests that are here be answered; what is relayed has the time to end by itself.
async fn drained(session: &Session, connection: &Entered, limit: Duration) -> Wish {
    connection.draining();
    let after = Wish::Drain(limit);
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
        wish = connection.told(&after) => wish,
    }
}
