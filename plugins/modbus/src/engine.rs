//! [`Engine`]: the requests of one line, in their order, and what becomes of each. Nothing here waits: what time it is
//! stands in the arguments.

use crate::delivery::{Asker, Delivery};
use crate::endpoint::{Line, ModbusEndpoint};
use crate::expect;
use crate::frame::{Frame, Framing};
use crate::pdu::{BROADCAST, exception_of, function, function_of, is_read};
use bytes::Bytes;
use jackfield_plugin_api::{Error, ErrorKind, Result, Retry};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// How long a session that is closed waits for answers.
const PATIENCE: Duration = Duration::from_secs(2);

/// One request.
pub(crate) struct Job {
    pub(crate) unit: u8,
    pub(crate) pdu: Bytes,
    /// The highest goes first; among equal ones the first.
    pub(crate) priority: u8,
    pub(crate) timeout: Option<Duration>,
    pub(crate) asker: Asker,
}

impl Job {
    /// What tells its answer from others on a line without numbers.
    fn key(&self) -> (u8, u8) {
        (self.unit, function_of(&self.pdu))
    }

    /// Whether asking twice does what asking once does.
    fn repeats(&self) -> bool {
        is_read(&self.pdu)
            || matches!(
                function_of(&self.pdu),
                function::WRITE_COIL
                    | function::WRITE_REGISTER
                    | function::DIAGNOSTICS
                    | function::WRITE_COILS
                    | function::WRITE_REGISTERS
                    | function::MASK_WRITE_REGISTER
                    | function::READ_WRITE_REGISTERS
                    | function::INTERFACE
            )
    }
}

/// A request that is sent, or is to be sent again.
struct Active {
    job: Job,
    transaction: u16,
    /// How often it was sent.
    sent: u32,
    deadline: Duration,
    /// Whether an answer has begun.
    heard: bool,
    /// Why an answer was not taken.
    strange: Option<String>,
}

/// Answers of one function of one unit that may still come.
struct Held {
    until: Duration,
    missing: u32,
}

/// What has happened, ever.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) requests: u64,
    pub(crate) answers: u64,
    pub(crate) exceptions: u64,
    pub(crate) retries: u64,
    pub(crate) timeouts: u64,
    pub(crate) late: u64,
    pub(crate) strange: u64,
    pub(crate) noise: u64,
}

/// Something to tell of.
pub(crate) enum News {
    /// An answer that nobody waits for.
    Late { unit: u8, function: u8 },
    /// An answer that does not fit.
    Strange { unit: u8, function: u8, why: String },
    /// A request without an answer, after all its repetitions.
    Unanswered { unit: u8, function: u8 },
}

/// The requests of one line.
pub(crate) struct Engine {
    endpoint: Arc<ModbusEndpoint>,
    line: Line,
    queue: VecDeque<Job>,
    /// Sent, and not answered yet.
    active: Vec<Active>,
    /// To be sent again.
    again: VecDeque<Active>,
    held: HashMap<(u8, u8), Held>,
    /// When something may be sent again.
    free: Duration,
    last: u16,
    pub(crate) counts: Counts,
    pub(crate) news: Vec<News>,
    pub(crate) delivery: Delivery,
    pub(crate) end: Option<Error>,
    /// Whether nothing new is taken.
    pub(crate) closing: bool,
}

impl Engine {
    pub(crate) fn new(endpoint: Arc<ModbusEndpoint>, line: Line) -> Self {
        Engine {
            endpoint,
            line,
            queue: VecDeque::new(),
            active: Vec::new(),
            again: VecDeque::new(),
            held: HashMap::new(),
            free: Duration::ZERO,
            last: 0,
            counts: Counts::default(),
            news: Vec::new(),
            delivery: Delivery::default(),
            end: None,
            closing: false,
        }
    }

    /// Requests that wait for their turn, and those that wait for their answer.
    pub(crate) fn waiting(&self) -> (usize, usize) {
        (self.queue.len(), self.active.len() + self.again.len())
    }

    pub(crate) fn has_room(&self) -> bool {
        self.queue.len() + self.delivery.unread() < self.endpoint.max_queue
    }

    /// Takes a request, whether or not there is room.
    pub(crate) fn add(&mut self, job: Job) {
        self.queue.push_back(job);
    }

    /// Forgets the requests that were given as messages whose metadata begins with `token`, as far as they were not sent.
    pub(crate) fn withdraw(&mut self, token: &[u8]) {
        let before = self.queue.len();
        self.queue.retain(|job| !job.asker.is_message(token));
        self.delivery.done += (before - self.queue.len()) as u64;
        self.delivery.wake_writer();
    }

    fn is_serial(&self) -> bool {
        self.endpoint.framing.is_serial()
    }

    fn is_held(&self, job: &Job, now: Duration) -> bool {
        self.held.get(&job.key()).is_some_and(|held| held.until > now)
    }

    /// The next frame to be sent, if one may be: then [`Engine::sent`] is called once it was.
    pub(crate) fn next(&mut self, now: Duration) -> Option<Bytes> {
        if now < self.free || self.active.len() >= self.endpoint.in_flight || self.end.is_some() {
            return None;
        }
        let mut active = match self.again.pop_front() {
            Some(active) => active,
            None => self.first(now)?,
        };
        active.transaction = self.transaction();
        active.sent += 1;
        (active.heard, active.strange) = (false, None);
        if active.sent > 1 {
            self.counts.retries += 1;
        } else {
            self.counts.requests += 1;
        }
        let frame = Frame {
            transaction: active.transaction,
            unit: active.job.unit,
            pdu: active.job.pdu.clone(),
        };
        active.deadline = Duration::MAX;
        self.active.push(active);
        Some(self.endpoint.framing.write(&frame))
    }

    /// The next request of the queue that somebody still waits for and nothing holds.
    fn first(&mut self, now: Duration) -> Option<Active> {
        self.queue.retain(|job| !job.asker.is_gone());
        let mut best: Option<(usize, u8)> = None;
        for (at, job) in self.queue.iter().enumerate() {
            if best.is_none_or(|(_, priority)| job.priority > priority) && !self.is_held(job, now) {
                best = Some((at, job.priority));
            }
        }
        let job = self.queue.remove(best?.0)?;
        self.delivery.wake_writer();
        let deadline = Duration::MAX;
        Some(Active { job, transaction: 0, sent: 0, deadline, heard: false, strange: None })
    }

    fn transaction(&mut self) -> u16 {
        if self.is_serial() {
            return 0;
        }
        loop {
            self.last = self.last.wrapping_add(1);
            // Of at most 64.
            if self.active.iter().all(|active| active.transaction != self.last) {
                return self.last;
            }
        }
    }

    /// The last frame of [`Engine::next`] was handed over, `bytes` long.
    pub(crate) fn sent(&mut self, bytes: usize, now: Duration) {
        let Some(active) = self.active.last_mut() else { return };
        let on_line = self.line.character * u32::try_from(bytes).unwrap_or(u32::MAX);
        let unit = active.job.unit;
        let timeout = active.job.timeout.unwrap_or(self.endpoint.timing(unit).timeout);
        active.deadline = now + on_line + timeout;
        if unit == BROADCAST && self.endpoint.framing.is_serial() {
            self.free = now + on_line + self.endpoint.turnaround;
            if let Some(active) = self.active.pop() {
                self.delivery.answer(active.job, Ok(Bytes::new()));
            }
        }
    }

    /// Which answer is waited for, on a line without numbers.
    pub(crate) fn asked(&self) -> Option<(u8, u8)> {
        self.active.first().map(|active| active.job.key())
    }

    /// Bytes have come.
    pub(crate) fn heard(&mut self, now: Duration) {
        if !self.is_serial() {
            return;
        }
        self.free = self.free.max(now + self.line.rest);
        let rest = self.line.character * u32::try_from(crate::ascii::MAX_FRAME).unwrap_or(u32::MAX);
        if let Some(active) = self.active.first_mut().filter(|active| !active.heard) {
            active.heard = true;
            active.deadline = active.deadline.max(now + rest);
        }
    }

    /// An answer has come, behind `noise` bytes that are none.
    pub(crate) fn answer(&mut self, frame: Frame, noise: usize, now: Duration) {
        self.counts.noise += noise as u64;
        let function = function_of(&frame.pdu);
        let Some(at) = self.meant(&frame) else {
            self.late(frame.unit, function, now);
            return;
        };
        let job = &self.active[at].job;
        let any = self.endpoint.any_unit && !self.is_serial();
        let other_unit = frame.unit != job.unit && !any;
        let why = match expect::fits(&job.pdu, &frame.pdu) {
            _ if other_unit => {
                Some(format!("expected an answer of unit {}, not of {}", job.unit, frame.unit))
            }
            Ok(()) => None,
            Err(why) => Some(why),
        };
        if let Some(why) = why {
            self.counts.strange += 1;
            self.news.push(News::Strange { unit: frame.unit, function, why: why.clone() });
            self.active[at].strange = Some(why.clone());
            if !self.is_serial() && !other_unit {
                // Its number says that it is the answer.
                let active = self.active.swap_remove(at);
                let error = Error::new(ErrorKind::Protocol, format!("the answer is wrong: {why}"));
                self.delivery.answer(active.job, Err(error.with("unit", frame.unit)));
            }
            return;
        }
        let active = self.active.swap_remove(at);
        self.counts.answers += 1;
        if exception_of(&frame.pdu).is_some() {
            self.counts.exceptions += 1;
        }
        self.free = self.free.max(now + self.endpoint.timing(active.job.unit).pause);
        if active.sent > 1 {
            // The answers to the others may come yet.
            self.hold(active.job.key(), active.sent - 1, now);
        }
        self.delivery.answer(active.job, Ok(frame.pdu));
    }

    /// Which request an answer is for.
    fn meant(&self, frame: &Frame) -> Option<usize> {
        self.active.iter().position(|active| match self.endpoint.framing {
            Framing::Tcp => active.transaction == frame.transaction,
            Framing::Rtu | Framing::Ascii => {
                active.job.key() == (frame.unit, function_of(&frame.pdu))
            }
        })
    }

    fn late(&mut self, unit: u8, function: u8, now: Duration) {
        self.counts.late += 1;
        self.news.push(News::Late { unit, function });
        if let Some(held) = self.held.get_mut(&(unit, function)) {
            held.missing = held.missing.saturating_sub(1);
            if held.missing == 0 || held.until <= now {
                self.held.remove(&(unit, function));
            }
        }
    }

    fn hold(&mut self, key: (u8, u8), missing: u32, now: Duration) {
        self.held.retain(|_, held| held.until > now);
        if self.is_serial() && !self.endpoint.late.is_zero() {
            let until = now + self.endpoint.late;
            self.held.insert(key, Held { until, missing });
        }
    }

    /// Gives up what was not answered in time.
    pub(crate) fn due(&mut self, now: Duration) {
        while let Some(at) = self.active.iter().position(|active| active.deadline <= now) {
            let active = self.active.swap_remove(at);
            self.counts.timeouts += 1;
            let (unit, function) = active.job.key();
            let retries = u32::from(self.endpoint.timing(unit).retries);
            let wanted = active.job.repeats() && !active.job.asker.is_gone();
            if active.sent <= retries && wanted && !self.closing {
                self.again.push_back(active);
                continue;
            }
            self.hold((unit, function), active.sent, now);
            self.news.push(News::Unanswered { unit, function });
            let times = if active.sent == 1 { "" } else { ", though it was asked again" };
            let text = format!("unit {unit} does not answer in time{times}");
            let mut error = Error::new(ErrorKind::TimedOut, text)
                .with("unit", unit)
                .with("function", function)
                .with("sent", active.sent);
            if let Some(why) = active.strange {
                error = error.with("wrong_answer", why);
            }
            self.delivery.answer(active.job, Err(error));
        }
    }

    /// When something is due, or may be sent.
    pub(crate) fn alarm(&self, now: Duration) -> Option<Duration> {
        let answers = self.active.iter().map(|active| active.deadline);
        let room = self.active.len() < self.endpoint.in_flight;
        let next = (room && !(self.queue.is_empty() && self.again.is_empty())).then(|| {
            let held = |job: &Job| self.held.get(&job.key()).map_or(now, |held| held.until);
            let first = self.queue.iter().map(held).min();
            self.free.max(if self.again.is_empty() { first.unwrap_or(now) } else { now })
        });
        answers.chain(next).min()
    }

    /// Takes nothing new, forgets what was not sent yet, and waits no longer than [`PATIENCE`] for the rest.
    pub(crate) fn close(&mut self, now: Duration) {
        if !self.closing {
            let limit = now + PATIENCE;
            self.active.iter_mut().for_each(|it| it.deadline = it.deadline.min(limit));
        }
        self.closing = true;
        for job in std::mem::take(&mut self.queue) {
            self.delivery.answer(job, Err(Error::unsent()));
        }
        for active in std::mem::take(&mut self.again) {
            let text = "the session is closed before the request is asked again";
            self.delivery.answer(active.job, Err(Error::new(ErrorKind::Closed, text)));
        }
    }

    /// Ends, with everybody who waits. The first reason counts.
    pub(crate) fn finish(&mut self, error: &Error) {
        if self.end.is_some() {
            return;
        }
        self.end = Some(error.clone());
        self.close(Duration::ZERO);
        for active in std::mem::take(&mut self.active) {
            self.delivery.answer(active.job, Err(error.clone().with_retry(Retry::Never)));
        }
        self.delivery.end();
    }

    /// Why nothing can be asked, if that is so.
    ///
    /// # Errors
    /// That it is.
    pub(crate) fn open(&self) -> Result<()> {
        match &self.end {
            Some(error) => Err(error.clone()),
            None if self.closing => {
                Err(Error::new(ErrorKind::Closed, "the session is being closed"))
            }
            None => Ok(()),
        }
    }
}
