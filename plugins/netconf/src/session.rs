//! A session: requests with numbers, their answers, and notifications as events.

use crate::framing::{Decoder, Framing, encode};
use crate::hello::{self, Hello};
use crate::json;
use crate::operations::request;
use crate::options::{Form, NetconfOptions};
use crate::reply::Reply;
use crate::xml::{BASE, Outline, outline, tree};
use bytes::Bytes;
use jackfield_plugin_api::{
    Control, Error, ErrorKind, Event, EventQueue, Facets, Host, Info, Op, Result, Session, Stream,
};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

/// What sessions of this driver have.
pub(crate) const FACETS: Facets =
    Facets::CALL.union(Facets::PING).union(Facets::EVENTS).union(Facets::DRAIN);

/// Where notifications are (RFC 5277 §4).
const NOTIFICATION: &str = "urn:ietf:params:xml:ns:netconf:notification:1.0";
/// The longest notification that is kept whole for whoever fetches it.
const MAX_TOLD: usize = 256 * 1024;
/// How long the server may take to say goodbye.
const GOODBYE: Duration = Duration::from_secs(2);

/// What a session and its tasks share.
struct Shared {
    state: Mutex<State>,
    events: EventQueue,
    room: Arc<Semaphore>,
    options: Arc<NetconfOptions>,
}

#[derive(Default)]
struct State {
    next: u64,
    waiting: HashMap<u64, Waiting>,
    broken: Option<Error>,
    draining: bool,
}

struct Waiting {
    tell: oneshot::Sender<Result<Reply>>,
    /// Given back with the answer, whether or not anybody still waits for it.
    _room: OwnedSemaphorePermit,
}

/// A session with a server.
pub(crate) struct Netconf {
    shared: Arc<Shared>,
    hello: Hello,
    framing: Framing,
    out: mpsc::Sender<Bytes>,
    info: Info,
    host: Host,
    /// Dropped with the session, they end.
    _tasks: [Op<()>; 2],
}

/// Greets the server on a stream. Cancel safe: the stream is dropped.
///
/// # Errors
/// The server is none of NETCONF, or has no base in common; the stream's.
pub(crate) async fn connect(
    host: Host,
    options: Arc<NetconfOptions>,
    stream: Stream,
    below: &Info,
) -> Result<Session> {
    let size = |value: u32| usize::try_from(value).unwrap_or(usize::MAX);
    let (mut read, mut write) = tokio::io::split(stream);
    let mut decoder = Decoder::new(size(options.max_message));
    write.write_all(&encode(Framing::EndOfMessage, &hello::ours(options.base))?).await?;
    write.flush().await?;
    let greeting = text(&next(&mut read, &mut decoder).await?.ok_or_else(closed)?)?;
    let hello = Hello::read(&greeting, size(options.max_depth))?;
    let framing = hello.framing(options.base)?;
    decoder.set_framing(framing);
    let shared = Arc::new(Shared {
        state: Mutex::default(),
        events: EventQueue::new(size(options.events)),
        room: Arc::new(Semaphore::new(size(options.max_requests))),
        options,
    });
    let (out, queue) = mpsc::channel(16);
    let tasks = [
        host.spawn(write_all(write, queue, Arc::clone(&shared))),
        host.spawn(read_all(read, decoder, Arc::clone(&shared))),
    ];
    let base = if framing == Framing::Chunked { "1.1" } else { "1.0" };
    let info = Info::new().with("session_id", hello.session_id).with("base", base);
    let names: Vec<&String> = hello.capabilities.iter().collect();
    let info = info.with("capabilities", json!(names)).over(below);
    let session = Netconf { shared, hello, framing, out, info, host, _tasks: tasks };
    Ok(Session::builder(session).facets(FACETS).build())
}

impl Netconf {
    /// Sends what is in a request, and waits for its answer.
    async fn ask(&self, xml: &str) -> Result<Reply> {
        let shared = &self.shared;
        let room = Arc::clone(&shared.room).acquire_owned().await.map_err(|_| shared.why())?;
        let place = self.out.reserve().await.map_err(|_| shared.why())?;
        // From here on nothing waits, so that what is noted also leaves.
        let (tell, told) = oneshot::channel();
        let id = shared.note(Waiting { tell, _room: room })?;
        let message = format!("<rpc xmlns=\"{BASE}\" message-id=\"{id}\">{xml}</rpc>");
        let most = usize::try_from(shared.options.max_message).unwrap_or(usize::MAX);
        let encoded = if message.len() > most {
            let error = Error::new(ErrorKind::Limit, "the request is too long");
            Err(error.with("bytes", message.len()).with("max_message", most))
        } else {
            encode(self.framing, &message)
        };
        place.send(encoded.inspect_err(|_| shared.forget(id))?);
        told.await.unwrap_or_else(|_| Err(shared.why()))
    }

    fn depth(&self) -> usize {
        usize::try_from(self.shared.options.max_depth).unwrap_or(usize::MAX)
    }
}

impl Control for Netconf {
    fn info(&self) -> Info {
        self.info.clone()
    }

    async fn call(&self, operation: String, params: Value) -> Result<Value> {
        let depth = self.depth();
        let request = request(&operation, params, &self.hello, depth)?;
        if self.shared.state().draining {
            return Err(Error::new(ErrorKind::Closed, "the session is draining"));
        }
        let format = request.format.unwrap_or(self.shared.options.format);
        self.ask(&request.xml).await?.result(format, depth)
    }

    /// An empty filter selects nothing (RFC 6241 §6.4.2).
    async fn ping(&self) -> Result<Duration> {
        let begun = self.host.now();
        let answer = self.ask("<get><filter type=\"subtree\"/></get>").await?;
        // That it is refused is an answer, too.
        drop(answer);
        Ok(self.host.now().saturating_sub(begun))
    }

    async fn next_event(&self) -> Result<Option<Event>> {
        Ok(self.shared.events.next().await)
    }

    async fn drain(&self) -> Result<()> {
        self.shared.state().draining = true;
        let all = self.shared.options.max_requests;
        // All are free when no answer is owed; a session that ends meanwhile owes none.
        let _ = self.shared.room.acquire_many(all).await;
        Ok(())
    }

    /// RFC 6241 §7.8: the server ends the session and gives its locks back.
    async fn close(&self, _code: u64, _reason: String) -> Result<()> {
        let goodbye = std::pin::pin!(self.ask("<close-session/>"));
        let limit = std::pin::pin!(self.host.timer(GOODBYE));
        // A server that has gone already has ended it, too.
        let _ = futures_util::future::select(goodbye, limit).await;
        self.shared.fail(Error::new(ErrorKind::Closed, "the session was closed"));
        Ok(())
    }
}

impl Drop for Netconf {
    fn drop(&mut self) {
        self.shared.fail(closed());
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn why(&self) -> Error {
        self.state().broken.clone().unwrap_or_else(closed)
    }

    fn note(&self, waiting: Waiting) -> Result<u64> {
        let mut state = self.state();
        if let Some(error) = &state.broken {
            return Err(error.clone());
        }
        state.next += 1;
        let id = state.next;
        state.waiting.insert(id, waiting);
        Ok(id)
    }

    fn forget(&self, id: u64) {
        self.state().waiting.remove(&id);
    }

    /// The session is over; the first reason stays.
    fn fail(&self, error: Error) {
        let waiting = {
            let mut state = self.state();
            state.broken.get_or_insert(error);
            std::mem::take(&mut state.waiting)
        };
        self.room.close();
        let error = self.why();
        for waiting in waiting.into_values() {
            // Who does not wait any more need not know.
            let _ = waiting.tell.send(Err(error.clone()));
        }
        self.events.end();
    }

    /// Gives a message to whom it is for.
    fn take(&self, message: &Bytes) -> Result<()> {
        let text = text(message)?;
        let depth = usize::try_from(self.options.max_depth).unwrap_or(usize::MAX);
        let outline = outline(&text, depth)?;
        match (outline.name.as_str(), outline.namespace.as_str()) {
            ("rpc-reply", BASE) => self.answer(Reply { text, outline }),
            ("notification", NOTIFICATION) => self.notify(&text, &outline, depth),
            _ => {
                let text = "expected an answer or a notification of NETCONF";
                Err(Error::new(ErrorKind::Protocol, text).with("got", outline.name))
            }
        }
    }

    fn answer(&self, reply: Reply) -> Result<()> {
        let waiting = {
            let mut state = self.state();
            let id = match reply.outline.attribute("message-id") {
                Some(text) => text.parse().ok(),
                // What a server could not read has no number; it is meant for the one that is asked.
                None if state.waiting.len() == 1 => state.waiting.keys().next().copied(),
                None => None,
            };
            id.and_then(|id| state.waiting.remove(&id))
        };
        let Some(waiting) = waiting else {
            let text = "the server answered a request that was not made";
            let id = reply.outline.attribute("message-id").unwrap_or("none");
            let id: String = id.chars().filter(|letter| !letter.is_control()).take(40).collect();
            return Err(Error::new(ErrorKind::Protocol, text).with("message_id", id));
        };
        // Who asked may have gone; the answer was read all the same.
        let _ = waiting.tell.send(Ok(reply));
        Ok(())
    }

    fn notify(&self, text: &str, outline: &Outline, depth: usize) -> Result<()> {
        let told = tree(text, depth)?;
        let time = told.text_of("eventTime").unwrap_or_default().to_owned();
        let others = outline.children.iter().filter(|(name, _)| name != "eventTime");
        let (mut name, mut xml) = (String::new(), String::new());
        for (child, place) in others {
            if name.is_empty() {
                name.clone_from(child);
            }
            xml.push_str(&text[place.clone()]);
        }
        let mut data = json!({ "time": time, "name": name });
        match self.options.format {
            _ if text.len() > MAX_TOLD => data["bytes"] = json!(text.len()),
            Form::Xml => data["xml"] = Value::String(xml),
            Form::Json => {
                let children =
                    told.children.iter().filter(|child| child.local_name() != "eventTime");
                let fields = children.map(|child| (child.name.clone(), json::of_element(child)));
                data["data"] = Value::Object(fields.collect());
            }
        }
        self.events.tell("notification", data);
        Ok(())
    }
}

async fn write_all(
    mut write: WriteHalf<Stream>,
    mut queue: mpsc::Receiver<Bytes>,
    shared: Arc<Shared>,
) {
    while let Some(message) = queue.recv().await {
        let sent = async {
            write.write_all(&message).await?;
            if queue.is_empty() { write.flush().await } else { Ok(()) }
        };
        if let Err(error) = sent.await {
            shared.fail(Error::from(error));
            return;
        }
    }
}

async fn read_all(mut read: ReadHalf<Stream>, mut decoder: Decoder, shared: Arc<Shared>) {
    let error = loop {
        match next(&mut read, &mut decoder).await {
            Ok(Some(message)) => {
                if let Err(error) = shared.take(&message) {
                    break error;
                }
            }
            Ok(None) => break closed(),
            Err(error) => break error,
        }
    };
    // What follows a mistake may be anything: nothing more is read.
    shared.fail(error);
}

/// The next message; `None` at an end between messages.
async fn next(read: &mut ReadHalf<Stream>, decoder: &mut Decoder) -> Result<Option<Bytes>> {
    let mut piece = vec![0; 16 * 1024];
    loop {
        if let Some(message) = decoder.next_message()? {
            return Ok(Some(message));
        }
        match read.read(&mut piece).await? {
            0 if decoder.is_between() => return Ok(None),
            0 => {
                let text = "the server has ended the connection in the middle of a message";
                return Err(Error::new(ErrorKind::Closed, text));
            }
            count => decoder.push(&piece[..count]),
        }
    }
}

fn text(message: &Bytes) -> Result<String> {
    String::from_utf8(message.to_vec())
        .map_err(|_| Error::new(ErrorKind::Protocol, "a message of the server is not UTF-8"))
}

fn closed() -> Error {
    Error::new(ErrorKind::Closed, "the server has ended the session")
}
