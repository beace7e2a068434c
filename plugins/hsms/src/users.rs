//! The users of a link: the session itself, and the streams that share it. Each has what came for it.

use crate::header::Header;
use crate::peers::Filter;
use bytes::Bytes;
use jackfield_plugin_api::{Error, ErrorKind, Message, MessageKind};
use std::collections::{BTreeMap, VecDeque};
use std::task::Waker;

/// The number of the session itself.
pub(crate) const MAIN: u64 = 0;

/// The kind of messages of SECS-II, with the header as their metadata.
pub(crate) const DATA: MessageKind = MessageKind(16);

/// One of them.
#[derive(Default)]
pub(crate) struct User {
    inbox: VecDeque<Message>,
    /// Of the inbox.
    bytes: usize,
    /// Whether somebody reads or writes here, or has.
    pub(crate) used: bool,
    pub(crate) filter: Filter,
    pub(crate) answers: bool,
    pub(crate) reader: Option<Waker>,
    pub(crate) writer: Option<Waker>,
    /// Why it has ended by itself.
    pub(crate) over: Option<Error>,
}

/// All of a link.
#[derive(Default)]
pub(crate) struct Users {
    all: BTreeMap<u64, User>,
    next: u64,
}

/// What became of a message.
#[derive(PartialEq, Eq, Debug)]
pub(crate) enum Delivered {
    Yes,
    /// There is no room for it yet.
    Full,
    /// Nobody is there for it.
    No,
}

impl User {
    /// The next message that came.
    pub(crate) fn next(&mut self) -> Option<Message> {
        let message = self.inbox.pop_front()?;
        self.bytes -= message.payload.len();
        Some(message)
    }

    fn push(&mut self, message: Message) {
        self.bytes += message.payload.len();
        self.inbox.push_back(message);
        if let Some(waker) = self.reader.take() {
            waker.wake();
        }
    }

    /// Each message counts, also one without content.
    fn has_room(&self, most: usize) -> bool {
        self.inbox.is_empty() || self.bytes + self.inbox.len() * 64 < most
    }
}

/// A message as users have it.
pub(crate) fn message(header: Header, body: Bytes) -> Message {
    Message::of(DATA, body).with_id(header.id()).with_metadata(header.bytes().to_vec())
}

impl Users {
    pub(crate) fn add_main(&mut self) {
        let main = User { answers: true, ..User::default() };
        self.all.insert(MAIN, main);
        self.next = MAIN + 1;
    }

    /// Adds a stream; `None` if there are as many.
    pub(crate) fn add(&mut self, filter: Filter, answers: bool, most: usize) -> Option<u64> {
        // The session itself is no stream.
        if self.all.len() > most {
            return None;
        }
        let id = self.next;
        self.next += 1;
        self.all.insert(id, User { filter, answers, used: true, ..User::default() });
        Some(id)
    }

    pub(crate) fn remove(&mut self, id: u64) {
        self.all.remove(&id);
    }

    pub(crate) fn get(&mut self, id: u64) -> Option<&mut User> {
        self.all.get_mut(&id)
    }

    /// Streams that are open.
    pub(crate) fn streams(&self) -> usize {
        self.all.len().saturating_sub(1)
    }

    /// Whether nobody reads messages: whatever comes is told as an event, too.
    pub(crate) fn nobody_reads(&self) -> bool {
        !self.all.values().any(|user| user.used)
    }

    /// Whether somebody takes a message that begins a transaction, and whether somebody takes any of its stream. As
    /// long as nobody reads, somebody may.
    pub(crate) fn know(&self, header: Header) -> (bool, bool) {
        let readers = || self.all.values().filter(|user| user.used);
        let known = self.nobody_reads() || readers().any(|user| user.filter.takes(header));
        let stream = header.stream();
        (known, known || readers().any(|user| user.filter.names_stream(stream)))
    }

    /// Gives a message to one user, as its own answer.
    pub(crate) fn deliver(&mut self, id: u64, message: &Message, most: usize) -> Delivered {
        let Some(user) = self.all.get_mut(&id).filter(|user| user.over.is_none()) else {
            return Delivered::No;
        };
        if user.has_room(most) {
            user.push(message.clone());
            return Delivered::Yes;
        }
        if id != MAIN {
            user.reads_too_slowly();
            return Delivered::No;
        }
        // Of a session that nobody reads the oldest is lost; a reader is waited for.
        if user.used {
            return Delivered::Full;
        }
        while !user.has_room(most) && user.next().is_some() {}
        user.push(message.clone());
        Delivered::Yes
    }

    /// Gives a message that begins a transaction to all that want it: to those that are used, or, where none
    /// is, to the session itself for later. Also gives those of them that are to answer.
    pub(crate) fn deliver_all(
        &mut self,
        header: Header,
        body: &Bytes,
        most: usize,
    ) -> (Delivered, Vec<u64>) {
        let quiet =
            Header::data(header.session, header.stream(), header.function(), false, header.system);
        let nobody = self.nobody_reads();
        let wants = |id: u64, user: &User| {
            user.over.is_none() && user.filter.takes(header) && (user.used || nobody && id == MAIN)
        };
        if let Some(main) = self.all.get(&MAIN)
            && main.used
            && wants(MAIN, main)
            && !main.has_room(most)
        {
            return (Delivered::Full, Vec::new());
        }
        let ids: Vec<u64> =
            self.all.iter().filter(|(id, user)| wants(**id, user)).map(|(id, _)| *id).collect();
        let (mut delivered, mut answering) = (Delivered::No, Vec::new());
        for id in ids {
            let answers = self.all.get(&id).is_some_and(|user| user.answers);
            let message = message(if answers { header } else { quiet }, body.clone());
            if self.deliver(id, &message, most) == Delivered::Yes {
                delivered = Delivered::Yes;
                answering.extend(answers.then_some(id));
            }
        }
        (delivered, answering)
    }

    pub(crate) fn wake_writers(&mut self) {
        for waker in self.all.values_mut().filter_map(|user| user.writer.take()) {
            waker.wake();
        }
    }

    pub(crate) fn wake_all(&mut self) {
        self.wake_writers();
        for waker in self.all.values_mut().filter_map(|user| user.reader.take()) {
            waker.wake();
        }
    }
}

impl User {
    /// One that shares a link and does not read must not stop the others.
    fn reads_too_slowly(&mut self) {
        let text = "reads too slowly: more than `read_ahead` waits for it, and others share the connection";
        self.over = Some(Error::new(ErrorKind::Limit, text));
        for waker in [self.reader.take(), self.writer.take()].into_iter().flatten() {
            waker.wake();
        }
    }
}
