//! The way between a process and the one that takes over from it: a pair of sockets, of which the new process has one
//! as its standard input.
//!
//! ```text
//! old ── sockets, with their descriptors ──▶ new     as many messages as it takes
//! old ◀── ready, or why not ──────────────── new     it accepts; or it has ended
//! old ── go ───────────────────────────────▶ new     the old one has let go, and the service manager knows
//! ```

use super::HandoverName;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};
use serde::{Deserialize, Serialize};
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

/// Descriptors in one message.
pub const AT_ONCE: usize = 32;

/// The longest message. A path is 4 KiB at most.
const MESSAGE: usize = 192 << 10;

/// What is said.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HandoverMessage {
    /// The names of the descriptors that come with it.
    Sockets {
        /// In the order of the descriptors.
        names: Vec<HandoverName>,
        /// Whether another message of this kind follows.
        more: bool,
    },
    /// It accepts, and has taken these.
    Ready {
        /// Their names.
        taken: Vec<HandoverName>,
    },
    /// It ends, and why.
    Failed(String),
    /// The process before has let go.
    Go,
}

/// One end.
#[derive(Debug)]
pub struct HandoverChannel(OwnedFd);

impl HandoverChannel {
    /// This process's end, and that of the process to be started.
    pub fn pair() -> io::Result<(Self, OwnedFd)> {
        let (own, other) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        Ok((HandoverChannel(own), other))
    }

    /// The end that the process before this one has given as the standard input.
    pub fn of_stdin() -> io::Result<Self> {
        Ok(HandoverChannel(io::stdin().as_fd().try_clone_to_owned()?))
    }

    /// Says something, with descriptors. Blocks for `limit` at most.
    pub fn send(
        &self,
        message: &HandoverMessage,
        fds: &[BorrowedFd<'_>],
        limit: Duration,
    ) -> io::Result<()> {
        set_socket_timeout(&self.0, Timeout::Send, Some(limit))?;
        let text = serde_json::to_vec(message)?;
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(AT_ONCE))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if !fds.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(fds)) {
            return Err(io::Error::other("too many descriptors in one message"));
        }
        sendmsg(&self.0, &[IoSlice::new(&text)], &mut ancillary, SendFlags::NOSIGNAL)?;
        Ok(())
    }

    /// Hears something. Blocks for `limit` at most; `None` when the other process has ended.
    pub fn receive(&self, limit: Duration) -> io::Result<Option<(HandoverMessage, Vec<OwnedFd>)>> {
        set_socket_timeout(&self.0, Timeout::Recv, Some(limit))?;
        let mut text = vec![0; MESSAGE];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(AT_ONCE))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let mut parts = [IoSliceMut::new(&mut text)];
        let received = recvmsg(&self.0, &mut parts, &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
        let mut fds = Vec::new();
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(more) = message {
                fds.extend(more);
            }
        }
        if received.bytes == 0 {
            return Ok(None);
        }
        let message = serde_json::from_slice(&text[..received.bytes])?;
        Ok(Some((message, fds)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    #[test]
    fn descriptors_come_with_their_names_and_an_end_is_seen() {
        let limit = Duration::from_secs(10);
        let (one, other) = HandoverChannel::pair().unwrap();
        let other = HandoverChannel(other);
        let (mut read, write) = io::pipe().unwrap();
        let names = vec![HandoverName::Named("pipe".into())];
        let message = HandoverMessage::Sockets { names, more: false };
        one.send(&message, &[write.as_fd()], limit).unwrap();
        drop((one, write));
        let (message, mut fds) = other.receive(limit).unwrap().unwrap();
        assert!(matches!(message, HandoverMessage::Sockets { more: false, .. }), "{message:?}");
        std::fs::File::from(fds.remove(0)).write_all(b"through").unwrap();
        let mut text = String::new();
        read.read_to_string(&mut text).unwrap();
        assert_eq!(text, "through");
        assert!(other.receive(limit).unwrap().is_none());
    }
}
