//! [`Delivery`]: answers on their way to who has asked, by a call or by a message.

use crate::engine::Job;
use crate::pdu::{exception, exception_name, exception_of, function_of, loopback_data, refusal};
use bytes::Bytes;
use jackfield_plugin_api::sync::oneshot;
use jackfield_plugin_api::{Error, ErrorKind, Message, MessageKind, Result, Retry};
use std::collections::VecDeque;
use std::task::Waker;

/// The kind of messages that are requests and answers: the id is the unit, the content the function and its data, the
/// metadata comes back with the answer.
pub(crate) const PDU: MessageKind = MessageKind(16);
/// The kind of messages that take a request back, by the same metadata.
pub(crate) const WITHDRAW: MessageKind = MessageKind(17);

/// Who has asked.
pub(crate) enum Asker {
    /// A call.
    Call(oneshot::Sender<Result<Bytes>>),
    /// A message, whose metadata comes back.
    Message {
        /// As it was given.
        metadata: Bytes,
        /// Whether only the data of a loopback was given, and is given back.
        loopback: bool,
    },
}

impl Asker {
    /// Whether nobody waits any more.
    pub(crate) fn is_gone(&self) -> bool {
        matches!(self, Asker::Call(answer) if answer.is_closed())
    }

    /// Whether it is the message whose metadata begins so.
    pub(crate) fn is_message(&self, token: &[u8]) -> bool {
        matches!(self, Asker::Message { metadata, .. } if metadata.starts_with(token))
    }
}

/// What messages are answered with, until somebody reads it.
#[derive(Default)]
pub(crate) struct Delivery {
    inbox: VecDeque<Result<Message>>,
    /// Whether messages are read at all.
    pub(crate) is_read: bool,
    pub(crate) ended: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
    /// Messages that were handed over, ever, and those of them that were sent or given up.
    pub(crate) given: u64,
    pub(crate) done: u64,
}

impl Delivery {
    /// Answers that nobody has read yet.
    pub(crate) fn unread(&self) -> usize {
        self.inbox.len()
    }

    /// The next answer.
    pub(crate) fn next(&mut self) -> Option<Result<Message>> {
        self.inbox.pop_front()
    }

    /// Wakes `waker` when there is an answer.
    pub(crate) fn read_later(&mut self, waker: &Waker) {
        self.reader = Some(waker.clone());
    }

    /// Wakes `waker` when a request was sent or answered.
    pub(crate) fn write_later(&mut self, waker: &Waker) {
        self.writer = Some(waker.clone());
    }

    pub(crate) fn wake_writer(&mut self) {
        if let Some(writer) = self.writer.take() {
            writer.wake();
        }
    }

    fn wake_reader(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }

    /// Nothing more will come.
    pub(crate) fn end(&mut self) {
        self.ended = true;
        self.wake_reader();
        self.wake_writer();
    }

    /// Gives the answer to a request to whoever has asked.
    pub(crate) fn answer(&mut self, job: Job, answer: Result<Bytes>) {
        let (metadata, loopback) = match job.asker {
            // Who has asked may be gone: then the answer is nobody's.
            Asker::Call(asker) => {
                let _ = asker.send(answer);
                return;
            }
            Asker::Message { metadata, loopback } => (metadata, loopback),
        };
        self.done += 1;
        let message = match answer {
            // What went to all units has none.
            Ok(pdu) if pdu.is_empty() => None,
            answer if loopback => Some(back(answer)),
            Ok(pdu) => Some(Ok(Message::of(PDU, pdu))),
            Err(error) if error.kind() == ErrorKind::Closed => None,
            // As a gateway says it (Application Protocol §7).
            Err(_) => {
                let pdu = refusal(function_of(&job.pdu), exception::NO_ANSWER);
                Some(Ok(Message::of(PDU, pdu)))
            }
        };
        if self.is_read
            && let Some(message) = message
        {
            let id = u64::from(job.unit);
            self.inbox.push_back(message.map(|it| it.with_id(id).with_metadata(metadata)));
            self.wake_reader();
        }
        self.wake_writer();
    }
}

/// The data of a loopback that has come back.
fn back(answer: Result<Bytes>) -> Result<Message> {
    let pdu = answer?;
    if let Some(code) = exception_of(&pdu) {
        return Err(refused(code));
    }
    let data = loopback_data(&pdu).unwrap_or_default();
    Ok(Message::binary(data))
}

/// The device answers, and its answer is an exception.
pub(crate) fn refused(code: u8) -> Error {
    let name = exception_name(code);
    let text = format!("the device refuses the request: {name} (exception {code})");
    // It works on something else, and may have time later.
    let retry = if matches!(code, 5 | 6) { Retry::Now } else { Retry::Never };
    Error::new(ErrorKind::Refused, text).with_retry(retry).with_code("modbus", code)
}
