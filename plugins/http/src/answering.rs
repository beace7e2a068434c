//! Answering the requests of a session, for handlers.

use crate::failure::of_content;
use hyper::StatusCode;
use jackfield_plugin_api::{
    Body, Envelope, Error, HeaderBlock, Incoming, Origin, Result, Secret, Serving, Session,
};
use std::collections::BTreeMap;
use std::future::poll_fn;

/// Answers of one session that are under way at once; more requests wait.
const MOST: usize = 128;

/// Answers each request with what `answer` makes of it, until the peer sends no more.
pub(crate) async fn answer_all<F>(session: Session, answer: impl Fn(Envelope) -> F) -> Result<()>
where
    F: Future<Output = Result<Envelope>> + Send,
{
    let exchange = session
        .take_exchange()
        .ok_or_else(|| Error::unsupported("answering a session without requests"))?;
    let answer = &answer;
    let one = |incoming: Incoming| async move {
        let answered = answer(incoming.request).await;
        let envelope = answered.or_else(|error| match error.origin() {
            Origin::Downstream => {
                let (status, line) = of_content(&error);
                text(status, line)
            }
            _ => text(StatusCode::INTERNAL_SERVER_ERROR, "failed"),
        });
        if let Ok(envelope) = envelope {
            // A client that has left needs no answer.
            let _ = incoming.answer.send(envelope).await;
        }
    };
    let mut serving = Serving::new(exchange, MOST);
    poll_fn(|cx| serving.poll(cx, one)).await
}

/// A head of a status and fields, with content.
pub(crate) fn answer<N: AsRef<str>, V: AsRef<str>>(
    status: StatusCode,
    fields: impl IntoIterator<Item = (N, V)>,
    body: Body,
) -> Result<Envelope> {
    let mut all = vec![(":status".to_owned(), status.as_str().to_owned())];
    let fields = fields.into_iter();
    all.extend(fields.map(|(name, value)| (name.as_ref().to_owned(), value.as_ref().to_owned())));
    Ok(Envelope::new(HeaderBlock::new(all)?, body))
}

/// A line of text.
pub(crate) fn text(status: StatusCode, line: &str) -> Result<Envelope> {
    let fields = [("content-type", "text/plain; charset=utf-8")];
    answer(status, fields, Body::full(format!("{line}\n")))
}

/// Fields of an option, checked as those of a request are.
pub(crate) fn checked(headers: &BTreeMap<String, Secret>) -> Result<Vec<(String, String)>> {
    let block = HeaderBlock::new(headers.iter().map(|(name, value)| (name, value.expose())))?;
    crate::head::fields(&block).map_err(|error| {
        let field = error.context().find(|(key, _)| *key == "field");
        let name = field.map_or("a field", |(_, name)| name);
        Error::option("headers", format!("{name:?} is not well formed"))
    })?;
    if let Some(name) = headers.keys().find(|name| name.starts_with(':')) {
        return Err(Error::option("headers", format!("{name:?} is not the name of a header")));
    }
    Ok(headers.iter().map(|(name, value)| (name.clone(), value.expose().to_owned())).collect())
}
