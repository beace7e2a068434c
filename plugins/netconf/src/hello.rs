//! The greetings (RFC 6241 §8.1): who can what, and from when on messages are in chunks.

use crate::framing::Framing;
use crate::options::Base;
use crate::xml::{BASE, escape, outline, tree};
use jackfield_plugin_api::{Error, ErrorKind, Result};
use std::collections::BTreeSet;

const BASE_1_0: &str = "urn:ietf:params:netconf:base:1.0";
const BASE_1_1: &str = "urn:ietf:params:netconf:base:1.1";
const CAPABILITY: &str = "urn:ietf:params:netconf:capability:";
/// The most capabilities of a server; large routers have some thousands of models.
const MAX_CAPABILITIES: usize = 16_384;

/// What a server has told of itself.
#[derive(Debug, Default)]
pub(crate) struct Hello {
    pub(crate) session_id: u32,
    pub(crate) capabilities: BTreeSet<String>,
}

/// Our greeting.
pub(crate) fn ours(base: Base) -> String {
    let mut capabilities = vec![BASE_1_0];
    if base == Base::V1_1 {
        capabilities.push(BASE_1_1);
    }
    let listed: String =
        capabilities.iter().map(|it| format!("<capability>{}</capability>", escape(it))).collect();
    format!("<hello xmlns=\"{BASE}\"><capabilities>{listed}</capabilities></hello>")
}

impl Hello {
    /// Reads the server's greeting.
    ///
    /// # Errors
    /// [`ErrorKind::Protocol`]: it is none, or lacks what it must have.
    pub(crate) fn read(text: &str, deepest: usize) -> Result<Self> {
        let found = outline(text, deepest)?;
        if found.name != "hello" || found.namespace != BASE {
            return Err(wrong("expected a hello of NETCONF").with("got", found.name));
        }
        let greeting = tree(text, deepest)?;
        let session_id = greeting.text_of("session-id").and_then(|id| id.parse().ok());
        let session_id = session_id.filter(|id| *id > 0);
        let listed = greeting.children.iter().find(|child| child.local_name() == "capabilities");
        let listed = listed.map(|it| it.children.as_slice()).unwrap_or_default();
        if listed.len() > MAX_CAPABILITIES {
            let error =
                Error::new(ErrorKind::Limit, "the server has more capabilities than may be");
            return Err(error.with("most", MAX_CAPABILITIES));
        }
        Ok(Hello {
            session_id: session_id.ok_or_else(|| wrong("the server's hello has no session-id"))?,
            capabilities: listed.iter().map(|capability| capability.text.clone()).collect(),
        })
    }

    /// How messages are told apart from the next one on.
    ///
    /// # Errors
    /// [`ErrorKind::Protocol`]: there is no base that both have.
    pub(crate) fn framing(&self, base: Base) -> Result<Framing> {
        let has = |name: &str| self.capabilities.contains(name);
        if base == Base::V1_1 && has(BASE_1_1) {
            Ok(Framing::Chunked)
        } else if has(BASE_1_0) {
            Ok(Framing::EndOfMessage)
        } else {
            let bases = self.capabilities.iter().filter(|it| it.contains(":netconf:base:"));
            let bases = bases.map(String::as_str).collect::<Vec<_>>().join(" ");
            Err(wrong("the server has no base that is offered to it").with("server", bases))
        }
    }

    /// Whether it has a capability of RFC 6241 §8 or another by its short name, such as `candidate`.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.capabilities.iter().any(|have| {
            let rest = have.strip_prefix(CAPABILITY).and_then(|rest| rest.strip_prefix(name));
            rest.is_some_and(|rest| rest.starts_with(':'))
        })
    }
}

fn wrong(what: &str) -> Error {
    Error::new(ErrorKind::Protocol, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello(capabilities: &[&str], id: &str) -> Result<Hello> {
        let listed: String =
            capabilities.iter().map(|it| format!("<capability>\n {it} </capability>")).collect();
        let text = format!(
            "\n<n:hello xmlns:n=\"{BASE}\"><n:capabilities>{listed}</n:capabilities>{id}</n:hello>"
        );
        Hello::read(&text, 10)
    }

    #[test]
    fn both_must_have_a_base() {
        let id = "<session-id>4</session-id>";
        let both = hello(&[BASE_1_0, BASE_1_1, &format!("{CAPABILITY}candidate:1.0")], id).unwrap();
        assert_eq!(both.session_id, 4);
        assert!(both.has("candidate") && !both.has("cand") && !both.has("startup"));
        assert_eq!(both.framing(Base::V1_1).unwrap(), Framing::Chunked);
        assert_eq!(both.framing(Base::V1_0).unwrap(), Framing::EndOfMessage);
        let old = hello(&[BASE_1_0], id).unwrap();
        assert_eq!(old.framing(Base::V1_1).unwrap(), Framing::EndOfMessage);
        assert!(hello(&[], id).unwrap().framing(Base::V1_1).is_err());
        assert!(hello(&[BASE_1_1], id).unwrap().framing(Base::V1_0).is_err());
    }

    #[test]
    fn what_is_no_hello_is_refused() {
        for id in ["", "<session-id>0</session-id>", "<session-id>x</session-id>"] {
            assert_eq!(hello(&[BASE_1_0], id).unwrap_err().kind(), ErrorKind::Protocol);
        }
        for text in
            ["<hello/>", "<rpc-reply xmlns=\"urn:ietf:params:xml:ns:netconf:base:1.0\"/>", "login:"]
        {
            assert_eq!(Hello::read(text, 10).unwrap_err().kind(), ErrorKind::Protocol, "{text}");
        }
        let ours = ours(Base::V1_1);
        assert!(ours.contains(BASE_1_0) && ours.contains(BASE_1_1));
    }
}
