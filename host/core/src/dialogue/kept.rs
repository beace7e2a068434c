//! A session whose stream was used for a login: its prompt and the input after it are read first.

use super::known::PROMPT;
use super::prompt::Prompt;
use bytes::Bytes;
use jackfield_plugin_api::{Control, Facets, Info, Reading, Session, Stream};

/// `session` with its `stream` in place again, `prompt` and `rest` before what that still gives, and the prompt as
/// a fact.
pub(super) fn session(
    session: Session,
    stream: Stream,
    prompt: Option<Prompt>,
    rest: &[u8],
) -> Session {
    let shown = prompt.as_ref().map_or(&[][..], |prompt| prompt.as_str().as_bytes());
    let stream = Stream::new(Reading::new(stream, Bytes::from([shown, rest].concat())));
    // What is read ahead is no socket's any more.
    let facets = session.facets().difference(Facets::TAKE_FD);
    Session::builder(DialogueSession { session, prompt })
        .facets(facets)
        .stream(stream)
        .inner_data()
        .build()
}

struct DialogueSession {
    session: Session,
    prompt: Option<Prompt>,
}

impl Control for DialogueSession {
    fn inner(&self) -> Option<&Session> {
        Some(&self.session)
    }

    fn info(&self) -> Info {
        let info = self.session.info();
        match &self.prompt {
            Some(prompt) => info.with(PROMPT, prompt.as_str()),
            None => info,
        }
    }
}
