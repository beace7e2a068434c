//! [`Line`]: who speaks and when (SEMI E4 §7). It carries one block at a time, so one task both reads and writes.

use super::assembly::Assembly;
use super::block::ENQ;
use super::options::LineTimes;
use super::sending::Sending;
use crate::header::Header;
use crate::incoming;
use crate::link::{ENDED, End, Link, broken, timed_out};
use crate::running::Share;
use bytes::{Buf, Bytes, BytesMut};
use futures_util::FutureExt;
use futures_util::future::{Either, select};
use jackfield_plugin_api::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use jackfield_plugin_api::{Error, Retry, Stream};
use std::pin::pin;
use std::time::Duration;

/// Bytes read at once; a block has 257.
const READ: usize = 4 << 10;

/// One line.
pub(super) struct Line<'a> {
    pub(super) link: &'a Link,
    pub(super) times: LineTimes,
    input: &'a mut ReadHalf<Stream>,
    output: &'a mut WriteHalf<Stream>,
    /// What has come and was not looked at.
    pub(super) buffer: BytesMut,
    pub(super) assembly: Assembly,
    pub(super) share: Share<'a>,
    pub(super) sending: Option<Sending>,
    /// A message that nobody has had room for yet.
    pub(super) held: Option<(Header, Bytes)>,
    /// The peer has asked to send, while there is one that nobody has had room for.
    pub(super) asked: bool,
    /// A block is under way, in either direction.
    pub(super) busy: bool,
}

/// Speaks over a line until its end.
pub(crate) async fn run(
    link: &Link,
    times: LineTimes,
    input: &mut ReadHalf<Stream>,
    output: &mut WriteHalf<Stream>,
) -> End {
    let most = link.endpoint.most.message;
    let mut line = Line {
        link,
        times,
        input,
        output,
        buffer: BytesMut::new(),
        assembly: Assembly::new(times.t4, most, times.open_messages),
        share: Share::of(link),
        sending: None,
        held: None,
        asked: false,
        busy: false,
    };
    loop {
        if let Err(end) = line.step().await {
            line.give().await;
            return end;
        }
    }
}

/// What an idle line waits for.
enum Woken {
    Read(Result<usize, Error>),
    /// Something else may have changed.
    Otherwise,
}

impl Line<'_> {
    /// Does one thing: takes a block, sends one, or waits.
    async fn step(&mut self) -> Result<(), End> {
        let link = self.link;
        // Made before the look.
        let (room, changed) = (pin!(link.room.notified()), pin!(link.changed.notified()));
        let changed = select(room, changed);
        self.give_up_late();
        self.offer()?;
        if self.held.is_none() && std::mem::take(&mut self.asked) {
            return self.receive().await;
        }
        // Whoever asks first is first.
        if self.buffer.is_empty() {
            self.look().await?;
        }
        if !self.buffer.is_empty() {
            // Between two blocks anything but ENQ is noise (E4 §7.5).
            let asks = self.buffer.contains(&ENQ);
            self.buffer.clear();
            if asks && self.held.is_none() {
                return self.receive().await;
            }
            self.asked |= asks;
            return Ok(());
        }
        // A master that waits for our EOT would not give us its own.
        let may_send = !self.asked || self.is_master();
        if may_send && self.next_to_send() {
            return self.send().await;
        }
        if let Some(end) = self.is_over() {
            return Err(end);
        }
        self.wait(changed).await
    }

    /// Of two that ask at once the host gives way (E4 §7.4).
    pub(super) fn is_master(&self) -> bool {
        self.link.endpoint.equipment
    }

    /// How the connection ends now that nothing is left to be sent, if it is to.
    fn is_over(&self) -> Option<End> {
        let state = self.link.state();
        let nothing = self.sending.is_none() && state.out.data.is_empty();
        state.out.closing.as_ref().filter(|_| nothing).map(|(end, _)| end.clone())
    }

    async fn wait(&mut self, changed: impl Future + Unpin) -> Result<(), End> {
        let link = self.link;
        let woken = {
            self.buffer.reserve(READ);
            let reading = pin!(self.input.read_buf(&mut self.buffer));
            let sending = pin!(link.to_send.notified());
            // T4, if a message has begun.
            let late = self.assembly.deadline().map(|when| when.saturating_sub(link.host.now()));
            let late = async {
                match late {
                    Some(left) => link.host.timer(left).await,
                    None => std::future::pending().await,
                }
            };
            let late = pin!(late);
            let others = select(changed, select(sending, late));
            match select(reading, others).await {
                Either::Left((read, _)) => Woken::Read(read.map_err(Error::from)),
                Either::Right(_) => Woken::Otherwise,
            }
        };
        match woken {
            Woken::Read(read) => self.has_read(read).map(drop),
            Woken::Otherwise => match &link.state().end {
                Some(end) => Err(end.clone()),
                None => Ok(()),
            },
        }
    }

    fn has_read(&self, read: Result<usize, Error>) -> Result<usize, End> {
        match read {
            Ok(0) => Err(self.ended()),
            Ok(count) => Ok(count),
            Err(error) => Err(End::Failed(error.with_retry(Retry::Now))),
        }
    }

    /// The peer has ended the line. SECS-I has no goodbye: between messages it is one.
    fn ended(&self) -> End {
        if let Some((end, _)) = &self.link.state().out.closing {
            return end.clone();
        }
        if self.busy {
            return broken("the peer has ended the connection while a block was under way");
        }
        match self.assembly.deadline() {
            Some(_) => broken("the peer has ended the connection within a message"),
            None => ENDED,
        }
    }

    /// Takes in what has come, without waiting.
    async fn look(&mut self) -> Result<(), End> {
        self.buffer.reserve(READ);
        match self.input.read_buf(&mut self.buffer).now_or_never() {
            Some(read) => self.has_read(read.map_err(Error::from)).map(drop),
            None => Ok(()),
        }
    }

    /// Forgets what has come: it is no answer to what we are about to say.
    pub(super) async fn forget(&mut self) -> Result<(), End> {
        self.look().await?;
        self.buffer.clear();
        Ok(())
    }

    /// Waits for more, so long at most; `false` if nothing came.
    pub(super) async fn more(&mut self, within: Duration) -> Result<bool, End> {
        self.buffer.reserve(READ);
        let timer = self.link.host.timer(within);
        let read = {
            let reading = pin!(self.input.read_buf(&mut self.buffer));
            match select(reading, timer).await {
                Either::Left((read, _)) => read.map_err(Error::from),
                Either::Right(_) => return Ok(false),
            }
        };
        self.has_read(read).map(|_| true)
    }

    /// The next byte, if it comes before `until`.
    pub(super) async fn byte(&mut self, until: Duration) -> Result<Option<u8>, End> {
        while self.buffer.is_empty() {
            if !self.more(until.saturating_sub(self.link.host.now())).await? {
                return Ok(None);
            }
        }
        Ok(Some(self.buffer.get_u8()))
    }

    /// Says something. A line that takes nothing for T2 is none.
    pub(super) async fn say(&mut self, bytes: &[u8]) -> Result<(), End> {
        let t2 = self.times.t2;
        let timer = self.link.host.timer(t2);
        let writing = pin!(async {
            self.output.write_all(bytes).await?;
            self.output.flush().await
        });
        match select(writing, timer).await {
            Either::Left((Ok(()), _)) => Ok(()),
            Either::Left((Err(error), _)) => {
                Err(End::Failed(Error::from(error).with_retry(Retry::Now)))
            }
            Either::Right(_) => {
                Err(timed_out(format!("the line takes no bytes within {t2:?} (T2)")))
            }
        }
    }

    /// Hands over what is whole, if there is room for it.
    pub(super) fn offer(&mut self) -> Result<(), End> {
        if let Some((header, body)) = &self.held
            && incoming::offer(self.link, *header, body)?
        {
            self.held = None;
        }
        Ok(())
    }

    /// Hands over what came before the end, and waits for room, unless we are closing ourselves.
    async fn give(&mut self) {
        let link = self.link;
        loop {
            let (room, closing) = (pin!(link.room.notified()), pin!(link.to_send.notified()));
            // That the connection was ended meanwhile is no news.
            let over = self.offer().is_err() || link.state().out.closing.is_some();
            if over || self.held.is_none() {
                return;
            }
            select(room, closing).await;
        }
    }
}
