//! [`Requests`]: what the masters of a listener have asked and what is not answered yet. Nothing here waits.

use crate::delivery::PDU;
use crate::frame::{Frame, Framing};
use crate::pdu::{BROADCAST, exception, function_of, loopback, loopback_data, refusal};
use bytes::{Buf, Bytes, BytesMut};
use jackfield_plugin_api::{Error, Message};
use std::collections::VecDeque;
use std::task::Waker;

/// What a destination of bytes may send before a loopback asks for it.
const UNASKED: usize = 64 << 10;

/// A request that is not answered yet.
struct Open {
    number: u64,
    transaction: u16,
    unit: u8,
    function: u8,
    /// Of a loopback: how much data it wants to have back.
    loopback: Option<usize>,
}

/// What has happened, ever.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Served {
    pub(crate) requests: u64,
    pub(crate) answers: u64,
    /// Answers that came too late: the master has asked something else, or nobody has asked.
    pub(crate) dropped: u64,
    pub(crate) noise: u64,
}

/// The requests of one master.
pub(crate) struct Requests {
    framing: Framing,
    most: usize,
    open: VecDeque<Open>,
    last: u64,
    inbox: VecDeque<Message>,
    /// Data of loopbacks that has come back and answers none yet.
    data: BytesMut,
    /// Frames to be sent.
    pub(crate) out: BytesMut,
    pub(crate) served: Served,
    pub(crate) end: Option<Error>,
    /// Whether all ends once `out` was sent.
    pub(crate) closing: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Requests {
    pub(crate) fn new(framing: Framing, most: usize) -> Self {
        Requests {
            framing,
            most,
            open: VecDeque::new(),
            last: 0,
            inbox: VecDeque::new(),
            data: BytesMut::new(),
            out: BytesMut::new(),
            served: Served::default(),
            end: None,
            closing: false,
            reader: None,
            writer: None,
        }
    }

    /// Requests without an answer.
    pub(crate) fn pending(&self) -> usize {
        self.open.len()
    }

    /// Whether another request may be read: on a serial line always, since it says that the one before is given up.
    pub(crate) fn has_room(&self) -> bool {
        let most = if self.framing.is_serial() { usize::MAX } else { self.most };
        self.open.len() < most && self.inbox.len() < self.most
    }

    /// Takes a request of the master.
    pub(crate) fn take(&mut self, frame: Frame, noise: usize) {
        self.served.requests += 1;
        self.served.noise += noise as u64;
        self.last += 1;
        let Frame { transaction, unit, pdu } = frame;
        if self.framing.is_serial() {
            self.served.dropped += self.open.len() as u64;
            self.open.clear();
        }
        let data = loopback_data(&pdu);
        // Nobody answers what goes to all.
        if !(self.framing.is_serial() && unit == BROADCAST) {
            let loopback = data.as_ref().map(Bytes::len);
            let function = function_of(&pdu);
            self.open.push_back(Open { number: self.last, transaction, unit, function, loopback });
        }
        let message = match data {
            Some(data) => Message::binary(data),
            None => Message::of(PDU, pdu),
        };
        let metadata = Bytes::copy_from_slice(&self.last.to_be_bytes());
        self.inbox.push_back(message.with_id(u64::from(unit)).with_metadata(metadata));
        wake(&mut self.reader);
    }

    /// The next request, for whoever answers.
    pub(crate) fn next(&mut self) -> Option<Message> {
        self.inbox.pop_front()
    }

    /// Wakes `waker` when there is a request.
    pub(crate) fn read_later(&mut self, waker: &Waker) {
        self.reader = Some(waker.clone());
    }

    /// Wakes `waker` when there is room for answers.
    pub(crate) fn write_later(&mut self, waker: &Waker) {
        self.writer = Some(waker.clone());
    }

    /// Whether answers may be given now.
    pub(crate) fn takes_answers(&self) -> bool {
        self.data.len() < UNASKED && self.out.len() < UNASKED
    }

    /// Gives an answer, by the number in its metadata; data without one answers the loopbacks in their order.
    pub(crate) fn answer(&mut self, message: &Message) {
        let Some(number) = message.metadata.first_chunk().map(|it| u64::from_be_bytes(*it)) else {
            self.data.extend_from_slice(&message.payload);
            self.give_back();
            return;
        };
        let Some(at) = self.open.iter().position(|open| open.number == number) else {
            self.served.dropped += 1;
            return;
        };
        let Some(open) = self.open.remove(at) else { return };
        let pdu = match open.loopback {
            Some(_) if message.kind != PDU => loopback(&message.payload),
            _ => message.payload.clone(),
        };
        self.send(&open, pdu);
        // A loopback may stand behind this one.
        self.give_back();
    }

    /// Answers loopbacks as far as there is data.
    fn give_back(&mut self) {
        while let Some(at) = self.open.iter().position(|open| open.loopback.is_some()) {
            let length = self.open[at].loopback.unwrap_or(0);
            if self.data.is_empty() || self.data.len() < length {
                return;
            }
            let data = self.data.split_to(length);
            if let Some(open) = self.open.remove(at) {
                self.send(&open, loopback(&data));
            }
        }
    }

    fn send(&mut self, open: &Open, pdu: Bytes) {
        self.served.answers += 1;
        let frame = Frame { transaction: open.transaction, unit: open.unit, pdu };
        self.out.extend_from_slice(&self.framing.write(&frame));
    }

    /// What was sent of `out`.
    pub(crate) fn sent(&mut self, bytes: usize) {
        self.out.advance(bytes);
        wake(&mut self.writer);
    }

    /// Ends once all is sent; what is not answered is refused: nobody will answer any more.
    pub(crate) fn close(&mut self, code: u8) {
        self.closing = true;
        for open in std::mem::take(&mut self.open) {
            self.send(&open, refusal(open.function, code));
        }
    }

    /// Ends now. The first reason counts.
    pub(crate) fn finish(&mut self, error: Error) {
        self.end.get_or_insert(error);
        wake(&mut self.reader);
        wake(&mut self.writer);
    }
}

/// The exception that says that a destination has failed.
pub(crate) const FAILED: u8 = exception::NO_ANSWER;

fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}
