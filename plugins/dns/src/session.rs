//! A session: a server that is asked, and answers that are kept for it.

use crate::answer::Answer;
use crate::cache::Cache;
use crate::operations::{Resolve, Reverse};
use crate::options::DnsOptions;
use crate::question::{Flags, Question, reverse};
use crate::way::{Heard, Way};
use domain::base::iana::OptRcode;
use jackfield_plugin_api::sync::Semaphore;
use jackfield_plugin_api::{
    Control, Error, ErrorKind, Facets, Host, Info, Result, Session, params,
};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What sessions of this driver have.
pub(crate) const FACETS: Facets = Facets::CALL.union(Facets::PING);

/// Options, checked.
#[derive(Debug)]
pub struct DnsEndpoint {
    pub(crate) options: DnsOptions,
    timeout: Duration,
    /// Of all its sessions, so that it outlives each of them.
    cache: Mutex<Cache>,
}

impl DnsEndpoint {
    pub(crate) fn new(options: DnsOptions) -> Result<Self> {
        let timeout = Duration::try_from_secs_f64(options.timeout)
            .map_err(|_| Error::option("timeout", "expected seconds, such as 5 or 0.5"))?;
        Ok(DnsEndpoint { timeout, cache: Mutex::new(Cache::new(&options)), options })
    }
}

struct Asking {
    host: Host,
    endpoint: Arc<DnsEndpoint>,
    way: Way,
    /// How many may still ask; closed with the session.
    turns: Semaphore,
}

/// A session that asks over `way`. It has sent nothing yet.
pub(crate) fn session(host: Host, endpoint: &Arc<DnsEndpoint>, way: Way) -> Session {
    let most = usize::try_from(endpoint.options.max_requests).unwrap_or(usize::MAX);
    let asking = Asking { host, way, turns: Semaphore::new(most), endpoint: Arc::clone(endpoint) };
    Session::builder(asking).facets(FACETS).build()
}

impl Control for Asking {
    fn info(&self) -> Info {
        self.way.info()
    }

    async fn call(&self, operation: String, given: Value) -> Result<Value> {
        match operation.as_str() {
            "resolve" => {
                let asked: Resolve = params(given)?;
                let flags = Flags {
                    recursion: asked.recursion.unwrap_or(true),
                    dnssec: asked.dnssec.unwrap_or(self.endpoint.options.dnssec),
                    checking_disabled: asked.checking_disabled.unwrap_or(false),
                };
                let rtype = asked.r#type.as_deref().unwrap_or("A");
                let class = asked.class.as_deref().unwrap_or("IN");
                let question = Question::new(&asked.name, rtype, class, flags)?;
                self.resolve(question, asked.cache.unwrap_or(true)).await
            }
            "reverse" => {
                let asked: Reverse = params(given)?;
                let flags = Flags {
                    recursion: true,
                    dnssec: self.endpoint.options.dnssec,
                    checking_disabled: false,
                };
                let question = Question::new(&reverse(asked.address), "PTR", "IN", flags)?;
                self.resolve(question, asked.cache.unwrap_or(true)).await
            }
            _ => {
                let text =
                    format!("operation {operation:?}; there are \"resolve\" and \"reverse\"");
                Err(Error::unsupported(&text))
            }
        }
    }

    /// Any answer shows that the server is there.
    async fn ping(&self) -> Result<Duration> {
        let flags = Flags { recursion: false, dnssec: false, checking_disabled: false };
        let question = Question::new(".", "NS", "IN", flags)?;
        let begun = self.host.now();
        self.ask(&question).await?;
        Ok(self.host.now().saturating_sub(begun))
    }

    async fn close(&self, _code: u64, _reason: String) -> Result<()> {
        self.turns.close();
        self.way.close().await;
        Ok(())
    }
}

impl Asking {
    fn cache(&self) -> MutexGuard<'_, Cache> {
        self.endpoint.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn resolve(&self, question: Question, cached: bool) -> Result<Value> {
        let key = (self.way.server().to_owned(), question.clone());
        let known = if cached { self.cache().get(&key, self.host.now()) } else { None };
        if let Some((answer, age)) = known {
            return shown(&question, &answer, age, self.way.server(), None);
        }
        let (answer, heard) = self.ask(&question).await?;
        let answer = Arc::new(answer);
        self.cache().put(key, &answer, self.host.now());
        shown(&question, &answer, 0, &heard.server, Some(heard.over))
    }

    /// An answer of any code, with as many attempts as the options say.
    async fn ask(&self, question: &Question) -> Result<(Answer, Heard)> {
        let closed = |_| Error::new(ErrorKind::Closed, "the session was closed");
        let _turn = self.turns.acquire().await.map_err(closed)?;
        let options = &self.endpoint.options;
        let mut edns = options.edns_size;
        let mut last = Error::new(ErrorKind::TimedOut, "the server does not answer");
        let attempts = usize::try_from(options.attempts).unwrap_or(1);
        for attempt in 0..attempts {
            // Each has an id of its own, so that a late answer is that of no other.
            let message = question.message(edns)?;
            let asked = self.way.ask(attempt, &message, edns);
            let heard = self.host.timeout(self.endpoint.timeout, "the answer of the server", asked);
            let read = heard.await.and_then(|heard| Ok((Answer::read(&heard.bytes)?, heard)));
            let more = attempt + 1 < attempts;
            match read {
                // A server of before 1999.
                Ok((answer, _)) if more && edns > 0 && knows_no_edns(answer.rcode) => edns = 0,
                // Another server may know.
                Ok((answer, _))
                    if more
                        && attempt + 1 < self.way.servers()
                        && answer.rcode == OptRcode::SERVFAIL => {}
                Ok(answered) => return Ok(answered),
                Err(error) => last = error,
            }
        }
        Err(last.with("question", question).with("to", self.way.server()))
    }
}

fn knows_no_edns(rcode: OptRcode) -> bool {
    [OptRcode::FORMERR, OptRcode::NOTIMP, OptRcode::BADVERS].contains(&rcode)
}

/// What a caller is given: of an answer that was kept, without `over`.
fn shown(
    question: &Question,
    answer: &Answer,
    age: u32,
    server: &str,
    over: Option<&str>,
) -> Result<Value> {
    answer.check(&question.to_string(), server, age)?;
    let mut shown = answer.shown(age);
    shown["name"] = json!(question.name());
    shown["type"] = json!(question.rtype.to_string());
    shown["class"] = json!(question.class.to_string());
    shown["server"] = json!(server);
    shown["cached"] = json!(over.is_none());
    shown["over"] = json!(over.unwrap_or("cache"));
    Ok(shown)
}
