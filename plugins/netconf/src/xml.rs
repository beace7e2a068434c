//! XML as far as NETCONF has it: no document types, no entities but the five and those of characters.

use jackfield_plugin_api::{Error, ErrorKind, Result};
use quick_xml::NsReader;
use quick_xml::escape::unescape;
use quick_xml::events::{BytesRef, BytesStart, Event};
use quick_xml::name::ResolveResult;
use std::ops::Range;

/// The namespace of NETCONF (RFC 6241 §3.1).
pub const BASE: &str = "urn:ietf:params:xml:ns:netconf:base:1.0";

/// An element's first level: what it is, and where its children are in the text.
#[derive(Debug, PartialEq)]
pub struct Outline {
    /// Its name without a prefix.
    pub name: String,
    /// Its namespace; empty: none.
    pub namespace: String,
    /// Its attributes as they are written.
    pub attributes: Vec<(String, String)>,
    /// Between its tags.
    pub inner: Range<usize>,
    /// Names without prefixes, and where they are.
    pub children: Vec<(String, Range<usize>)>,
}

impl Outline {
    /// An attribute's value.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        let found = self.attributes.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// An element with all that is in it.
#[derive(Debug, Default, PartialEq)]
pub struct Element {
    /// Its name as it is written.
    pub name: String,
    /// Its attributes as they are written.
    pub attributes: Vec<(String, String)>,
    /// Elements in it.
    pub children: Vec<Element>,
    /// Text in it, without spaces around it.
    pub text: String,
}

impl Element {
    /// Its name without a prefix.
    pub fn local_name(&self) -> &str {
        self.name.rsplit(':').next().unwrap_or_default()
    }

    /// The text of its first child of that name.
    pub fn text_of(&self, name: &str) -> Option<&str> {
        let found = self.children.iter().find(|child| child.local_name() == name);
        found.map(|child| child.text.as_str()).filter(|text| !text.is_empty())
    }
}

/// What is wrong with a text, in one line.
fn broken(at: u64, what: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Protocol, format!("this is no XML: {what}")).with("byte", at)
}

/// Reads one element and nothing behind it, each piece with its place.
struct Pieces<'a> {
    reader: NsReader<&'a [u8]>,
    depth: usize,
    deepest: usize,
}

impl<'a> Pieces<'a> {
    fn new(text: &'a str, deepest: usize) -> Self {
        let mut reader = NsReader::from_str(text);
        reader.config_mut().expand_empty_elements = true;
        reader.config_mut().check_end_names = true;
        Pieces { reader, depth: 0, deepest }
    }

    fn position(&self) -> usize {
        usize::try_from(self.reader.buffer_position()).unwrap_or(usize::MAX)
    }

    /// The next start, end or text; `None` behind the element.
    fn next(&mut self) -> Result<Option<Event<'a>>> {
        loop {
            let event = self.reader.read_event();
            let event = event.map_err(|error| broken(self.reader.error_position(), error))?;
            match &event {
                Event::Eof if self.depth > 0 => {
                    return Err(broken(self.reader.buffer_position(), "it is cut short"));
                }
                Event::Eof => return Ok(None),
                Event::DocType(_) => {
                    let text =
                        "document types are not taken, since entities could make much of little";
                    return Err(broken(self.reader.buffer_position(), text));
                }
                Event::Start(_) => {
                    self.depth += 1;
                    if self.depth > self.deepest {
                        let text = "elements lie deeper in each other than may be";
                        return Err(
                            Error::new(ErrorKind::Limit, text).with("max_depth", self.deepest)
                        );
                    }
                }
                Event::End(_) => self.depth = self.depth.saturating_sub(1),
                Event::Decl(_) | Event::PI(_) | Event::Comment(_) | Event::Empty(_) => continue,
                Event::Text(text) if self.depth == 0 && text.trim().is_empty() => continue,
                Event::Text(_) | Event::CData(_) | Event::GeneralRef(_) if self.depth == 0 => {
                    return Err(broken(
                        self.reader.buffer_position(),
                        "there is text beside the element",
                    ));
                }
                Event::Text(_) | Event::CData(_) | Event::GeneralRef(_) => {}
            }
            return Ok(Some(event));
        }
    }

    /// The start of the one element.
    fn first(&mut self) -> Result<BytesStart<'a>> {
        match self.next()? {
            Some(Event::Start(start)) => Ok(start),
            _ => Err(broken(0, "there is no element")),
        }
    }

    /// That nothing follows the element.
    fn finish(&mut self) -> Result<()> {
        match self.next()? {
            None => Ok(()),
            Some(_) => Err(broken(self.reader.buffer_position(), "more than one element")),
        }
    }
}

/// Reads one element, with elements at most `deepest` deep.
///
/// # Errors
/// [`ErrorKind::Protocol`]: it is no XML, or has what NETCONF has not. [`ErrorKind::Limit`]: too deep.
pub fn outline(text: &str, deepest: usize) -> Result<Outline> {
    let mut pieces = Pieces::new(text, deepest);
    let start = pieces.first()?;
    let namespace = match pieces.reader.resolver().resolve_element(start.name()).0 {
        ResolveResult::Bound(namespace) => namespace.as_ref().to_owned(),
        _ => String::new(),
    };
    let mut inner = pieces.position()..pieces.position();
    let mut children: Vec<(String, Range<usize>)> = Vec::new();
    loop {
        let before = pieces.position();
        match pieces.next()? {
            Some(Event::Start(child)) if pieces.depth == 2 => {
                let name = child.local_name().as_ref().to_owned();
                children.push((name, before..before));
            }
            Some(Event::End(_)) if pieces.depth == 1 => {
                if let Some((_, range)) = children.last_mut() {
                    range.end = pieces.position();
                }
            }
            Some(Event::End(_)) if pieces.depth == 0 => {
                inner.end = before;
                break;
            }
            Some(Event::GeneralRef(reference)) => drop(resolve(&reference)?),
            Some(_) => {}
            None => return Err(broken(0, "it is cut short")),
        }
    }
    pieces.finish()?;
    let name = start.local_name().as_ref().to_owned();
    Ok(Outline { name, namespace, attributes: attributes(&start)?, inner, children })
}

/// Reads one element with all that is in it.
///
/// # Errors
/// As [`outline`].
pub fn tree(text: &str, deepest: usize) -> Result<Element> {
    let mut pieces = Pieces::new(text, deepest);
    let start = pieces.first()?;
    let mut open = vec![element(&start)?];
    loop {
        match pieces.next()? {
            Some(Event::Start(start)) => open.push(element(&start)?),
            Some(Event::End(_)) => {
                let Some(mut done) = open.pop() else {
                    return Err(broken(0, "an end without a start"));
                };
                done.text = done.text.trim().to_owned();
                match open.last_mut() {
                    Some(above) => above.children.push(done),
                    None => {
                        pieces.finish()?;
                        return Ok(done);
                    }
                }
            }
            Some(piece) => {
                if let Some(current) = open.last_mut() {
                    add_text(&mut current.text, &piece)?;
                }
            }
            None => return Err(broken(0, "it is cut short")),
        }
    }
}

fn add_text(text: &mut String, piece: &Event<'_>) -> Result<()> {
    match piece {
        Event::Text(more) => text.push_str(&more.xml10_content()),
        Event::CData(more) => text.push_str(&more.xml10_content()),
        Event::GeneralRef(reference) => text.push(resolve(reference)?),
        _ => {}
    }
    Ok(())
}

fn element(start: &BytesStart<'_>) -> Result<Element> {
    let name = start.name().as_ref().to_owned();
    Ok(Element { name, attributes: attributes(start)?, ..Element::default() })
}

fn attributes(start: &BytesStart<'_>) -> Result<Vec<(String, String)>> {
    let mut all = Vec::new();
    for attribute in start.attributes() {
        let attribute = attribute.map_err(|error| broken(0, error))?;
        let value = unescape(&attribute.value).map_err(|error| broken(0, error))?;
        all.push((attribute.key.as_ref().to_owned(), value.into_owned()));
    }
    Ok(all)
}

/// The character that a reference stands for.
fn resolve(reference: &BytesRef<'_>) -> Result<char> {
    if let Some(letter) = reference.resolve_char_ref().map_err(|error| broken(0, error))? {
        return Ok(letter);
    }
    match &**reference {
        "lt" => Ok('<'),
        "gt" => Ok('>'),
        "amp" => Ok('&'),
        "apos" => Ok('\''),
        "quot" => Ok('"'),
        _ => Err(broken(0, "an entity that is none of the five of XML")),
    }
}

/// Text as it stands between tags or in an attribute.
pub fn escape(text: &str) -> std::borrow::Cow<'_, str> {
    quick_xml::escape::escape(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outline_has_the_first_level_with_its_places() {
        let text = "<?xml version=\"1.0\"?>\n<nc:rpc-reply xmlns:nc=\"urn:ietf:params:xml:ns:netconf:base:1.0\" message-id=\"7\">\
                    <nc:ok/> <b><c/>x&amp;y</b></nc:rpc-reply>\n";
        let outline = outline(text, 10).unwrap();
        assert_eq!((outline.name.as_str(), outline.namespace.as_str()), ("rpc-reply", BASE));
        assert_eq!(outline.attribute("message-id"), Some("7"));
        assert_eq!(&text[outline.inner.clone()], "<nc:ok/> <b><c/>x&amp;y</b>");
        let children: Vec<_> =
            outline.children.iter().map(|(name, at)| (name.as_str(), &text[at.clone()])).collect();
        assert_eq!(children, [("ok", "<nc:ok/>"), ("b", "<b><c/>x&amp;y</b>")]);
    }

    #[test]
    fn a_tree_has_all_that_is_in_it() {
        let tree = tree("<a x='1&lt;2'><b> t&#233;<![CDATA[<x>]]>&gt; </b><n:c/></a>", 10).unwrap();
        assert_eq!(tree.attributes, [("x".to_owned(), "1<2".to_owned())]);
        assert_eq!(tree.text_of("b"), Some("té<x>>"));
        assert_eq!(tree.children[1].local_name(), "c");
    }

    #[test]
    fn what_is_dangerous_or_no_xml_is_refused() {
        let deep = "<a>".repeat(20);
        for (text, kind) in [
            ("<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", ErrorKind::Protocol),
            ("<a>&b;</a>", ErrorKind::Protocol),
            ("<a x='&b;'/>", ErrorKind::Protocol),
            ("<a>&#0;</a>", ErrorKind::Protocol),
            ("<a><b></a></b>", ErrorKind::Protocol),
            ("<a>", ErrorKind::Protocol),
            ("<a/><b/>", ErrorKind::Protocol),
            ("x<a/>", ErrorKind::Protocol),
            ("", ErrorKind::Protocol),
            ("</a>", ErrorKind::Protocol),
            ("<a x='1' x='2'/>", ErrorKind::Protocol),
            (deep.as_str(), ErrorKind::Limit),
        ] {
            assert_eq!(tree(text, 10).expect_err(text).kind(), kind, "{text}");
            assert_eq!(outline(text, 10).expect_err(text).kind(), kind, "{text}");
        }
    }
}
