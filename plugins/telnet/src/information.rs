//! What peers tell of themselves: terminal type (RFC 1091), window size (RFC 1073), environment
//! (RFC 1572), character set (RFC 2066). No input or output happens here.

use std::collections::BTreeMap;

pub(crate) const IS: u8 = 0;
pub(crate) const SEND: u8 = 1;
const INFO: u8 = 2;

const VAR: u8 = 0;
const VALUE: u8 = 1;
const ESC: u8 = 2;
const USERVAR: u8 = 3;

/// Names that have no need of being marked as a user's own (RFC 1572 §4).
const WELL_KNOWN: [&str; 6] = ["USER", "JOB", "ACCT", "PRINTER", "SYSTEMTYPE", "DISPLAY"];

/// Variables of a peer that are kept, at most.
pub(crate) const MAX_VARIABLES: usize = 64;

pub(crate) fn window(columns: u16, rows: u16) -> [u8; 4] {
    let ([a, b], [c, d]) = (columns.to_be_bytes(), rows.to_be_bytes());
    [a, b, c, d]
}

pub(crate) fn parse_window(bytes: &[u8]) -> Option<(u16, u16)> {
    let [a, b, c, d] = *bytes else { return None };
    Some((u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])))
}

/// The answer to a server that wants to know variables: those of `wanted`, or all of them.
pub(crate) fn environment(variables: &BTreeMap<String, String>, wanted: &[String]) -> Vec<u8> {
    let mut bytes = vec![IS];
    for (name, value) in variables {
        if wanted.is_empty() || wanted.contains(name) {
            let known = WELL_KNOWN.contains(&name.as_str());
            bytes.push(if known { VAR } else { USERVAR });
            escaped(name, &mut bytes);
            bytes.push(VALUE);
            escaped(value, &mut bytes);
        }
    }
    bytes
}

fn escaped(text: &str, bytes: &mut Vec<u8>) {
    for byte in text.bytes() {
        if matches!(byte, VAR | VALUE | ESC | USERVAR) {
            bytes.push(ESC);
        }
        bytes.push(byte);
    }
}

/// What is said of an environment.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Environment {
    /// The names that are asked for; none asks for all.
    Wanted(Vec<String>),
    /// Names and values; `None`: not defined.
    Told(Vec<(String, Option<String>)>),
}

pub(crate) fn parse_environment(bytes: &[u8]) -> Option<Environment> {
    let (kind, rest) = bytes.split_first()?;
    if !matches!(*kind, IS | SEND | INFO) {
        return None;
    }
    let mut found: Vec<(Vec<u8>, Option<Vec<u8>>)> = Vec::new();
    let mut bytes = rest.iter();
    while let Some(byte) = bytes.next() {
        let byte = match *byte {
            VAR | USERVAR => {
                found.push((Vec::new(), None));
                continue;
            }
            VALUE => {
                if let Some((_, value)) = found.last_mut() {
                    *value = Some(Vec::new());
                }
                continue;
            }
            ESC => *bytes.next()?,
            byte => byte,
        };
        let (name, value) = found.last_mut()?;
        value.as_mut().unwrap_or(name).push(byte);
    }
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    found.retain(|(name, _)| !name.is_empty());
    let found = found.into_iter().map(|(name, value)| (text(name), value.map(text)));
    Some(match *kind {
        SEND => Environment::Wanted(found.map(|(name, _)| name).collect()),
        _ => Environment::Told(found.collect()),
    })
}

const REQUEST: u8 = 1;
const ACCEPTED: u8 = 2;
const REJECTED: u8 = 3;
const TABLE_IS: u8 = 4;
const TABLE_REJECTED: u8 = 5;

/// Offers character sets.
pub(crate) fn offer(charsets: &[String]) -> Vec<u8> {
    let mut bytes = vec![REQUEST];
    for charset in charsets {
        bytes.push(b';');
        bytes.extend(charset.bytes());
    }
    bytes
}

/// What came of what was said of character sets.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Charset {
    /// To be said in turn.
    pub(crate) reply: Option<Vec<u8>>,
    /// What has been agreed on.
    pub(crate) agreed: Option<String>,
}

/// Reads what a peer says of character sets; `ours` are those that we agree to.
pub(crate) fn charset(bytes: &[u8], ours: &[String]) -> Option<Charset> {
    let (kind, rest) = bytes.split_first()?;
    match *kind {
        REQUEST => {
            // Translation tables may be offered before the list.
            let rest =
                rest.strip_prefix(b"[TTABLE]").map_or(rest, |rest| rest.get(1..).unwrap_or(rest));
            let (separator, list) = rest.split_first()?;
            let offered: Vec<_> = list
                .split(|byte| byte == separator)
                .map(|name| String::from_utf8_lossy(name).into_owned())
                .collect();
            let fits =
                |name: &&String| offered.iter().any(|offer| offer.eq_ignore_ascii_case(name));
            Some(match ours.iter().find(fits) {
                Some(name) => Charset {
                    reply: Some([&[ACCEPTED], name.as_bytes()].concat()),
                    agreed: Some(name.clone()),
                },
                None => Charset { reply: Some(vec![REJECTED]), agreed: None },
            })
        }
        ACCEPTED => {
            let name = String::from_utf8_lossy(rest);
            let agreed = ours.iter().find(|ours| ours.eq_ignore_ascii_case(&name)).cloned();
            Some(Charset { reply: None, agreed })
        }
        TABLE_IS => Some(Charset { reply: Some(vec![TABLE_REJECTED]), agreed: None }),
        REJECTED => Some(Charset { reply: None, agreed: None }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_character_set_that_both_know_is_agreed_on() {
        let ours = ["UTF-8".to_owned(), "US-ASCII".to_owned()];
        let said = charset(b"\x01 iso-8859-1 us-ascii utf-8", &ours).expect("sense");
        assert_eq!(said.agreed.as_deref(), Some("UTF-8"));
        assert_eq!(said.reply.as_deref(), Some(&b"\x02UTF-8"[..]));
        let said = charset(b"\x01[TTABLE]\x01;x;y", &ours).expect("sense");
        assert_eq!((said.agreed, said.reply), (None, Some(vec![3])));
        let said = charset(b"\x02utf-8", &ours).expect("sense");
        assert_eq!((said.agreed.as_deref(), said.reply), (Some("UTF-8"), None));
        assert_eq!(charset(&offer(&ours), &ours).expect("sense").agreed.as_deref(), Some("UTF-8"));
        assert_eq!(charset(b"\x01", &ours), None);
    }

    proptest! {
        #[test]
        fn an_environment_comes_back(
            variables in prop::collection::btree_map("[A-Z\\x00-\\x03]{1,5}", ".{0,6}", 0..5),
        ) {
            let told = parse_environment(&environment(&variables, &[]));
            let wanted = variables.into_iter().map(|(name, value)| (name, Some(value))).collect();
            prop_assert_eq!(told, Some(Environment::Told(wanted)));
        }

        #[test]
        fn random_bytes_are_no_harm(bytes in prop::collection::vec(0_u8..6, 0..40)) {
            let _ = (parse_environment(&bytes), parse_window(&bytes));
            let _ = charset(&bytes, &["UTF-8".to_owned()]);
        }
    }
}
