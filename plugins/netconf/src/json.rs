//! XML as JSON, and back, without a model: an element is an object of its attributes (`@name`), its elements and its
//! text (`#text`), a text if it has nothing else, or null if it is empty; elements of one name are a list.

use crate::xml::{Element, escape};
use jackfield_plugin_api::{Error, ErrorKind, Result};
use serde_json::{Map, Value};

/// An element's content.
pub(crate) fn of_element(element: &Element) -> Value {
    if element.attributes.is_empty() && element.children.is_empty() {
        return if element.text.is_empty() {
            Value::Null
        } else {
            Value::String(element.text.clone())
        };
    }
    let mut all = Map::new();
    for (name, value) in &element.attributes {
        all.insert(format!("@{name}"), Value::String(value.clone()));
    }
    for child in &element.children {
        let value = of_element(child);
        match all.get_mut(&child.name) {
            None => {
                all.insert(child.name.clone(), value);
            }
            Some(Value::Array(list)) => list.push(value),
            Some(first) => *first = Value::Array(vec![first.take(), value]),
        }
    }
    if !element.text.is_empty() {
        all.insert("#text".to_owned(), Value::String(element.text.clone()));
    }
    Value::Object(all)
}

/// Elements by their names.
///
/// # Errors
/// [`ErrorKind::Config`]: a name that no element can have, a list in a list, or deeper than `deepest`.
pub(crate) fn to_xml(elements: &Map<String, Value>, deepest: usize) -> Result<String> {
    let mut out = String::new();
    for (name, value) in elements {
        write(name, value, deepest, &mut out)?;
    }
    Ok(out)
}

fn write(name: &str, value: &Value, deepest: usize, out: &mut String) -> Result<()> {
    if let Value::Array(list) = value {
        if list.iter().any(Value::is_array) {
            return Err(wrong("a list in a list has no form in XML", name));
        }
        return list.iter().try_for_each(|value| write(name, value, deepest, out));
    }
    let below = deepest.checked_sub(1).ok_or_else(|| {
        Error::new(ErrorKind::Limit, "elements lie deeper in each other than may be")
    })?;
    out.push('<');
    out.push_str(checked(name)?);
    let mut content = String::new();
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                match (key.strip_prefix('@'), key.as_str()) {
                    (Some(attribute), _) => {
                        let value =
                            plain(value).ok_or_else(|| wrong("an attribute is a text", key))?;
                        out.push_str(&format!(" {}=\"{}\"", checked(attribute)?, escape(&value)));
                    }
                    (None, "#text") => {
                        let value = plain(value).ok_or_else(|| wrong("#text is a text", name))?;
                        content.push_str(&escape(&value));
                    }
                    (None, key) => write(key, value, below, &mut content)?,
                }
            }
        }
        value => content.push_str(&escape(&plain(value).unwrap_or_default())),
    }
    if content.is_empty() {
        out.push_str("/>");
    } else {
        out.push_str(&format!(">{content}</{name}>"));
    }
    Ok(())
}

fn plain(value: &Value) -> Option<String> {
    match value {
        Value::Null => Some(String::new()),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        Value::String(text) => Some(text.clone()),
        Value::Array(_) | Value::Object(_) => None,
    }
}

/// A name as XML has it.
fn checked(name: &str) -> Result<&str> {
    let first = name.starts_with(|first: char| first.is_alphabetic() || first == '_');
    let rest = name.chars().all(|letter| letter.is_alphanumeric() || "_-.:".contains(letter));
    if first && rest { Ok(name) } else { Err(wrong("expected the name of an element", name)) }
}

fn wrong(what: &str, name: &str) -> Error {
    Error::new(ErrorKind::Config, what).with("name", name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xml::tree;
    use serde_json::json;

    #[test]
    fn json_and_xml_are_turned_into_each_other() {
        let value = json!({ "top": { "@xmlns": "urn:x", "interface": [{ "name": "a<b", "up": null }, { "name": "c" }], "mtu": "9" } });
        let xml = to_xml(value.as_object().unwrap(), 10).unwrap();
        assert!(
            xml.contains("<name>a&lt;b</name><up/>") && xml.contains("<top xmlns=\"urn:x\">"),
            "{xml}"
        );
        assert_eq!(of_element(&tree(&xml, 10).unwrap()), value["top"]);
        let mixed = tree("<a x='1'>t</a>", 10).unwrap();
        assert_eq!(of_element(&mixed), json!({ "@x": "1", "#text": "t" }));
    }

    #[test]
    fn what_has_no_form_is_refused() {
        for wrong in [
            json!({ "a b": 1 }),
            json!({ "": 1 }),
            json!({ "a": [[1]] }),
            json!({ "a": { "@b": {} } }),
            json!({ "<x>": 1 }),
        ] {
            assert_eq!(
                to_xml(wrong.as_object().unwrap(), 10).unwrap_err().kind(),
                ErrorKind::Config,
                "{wrong}"
            );
        }
        assert_eq!(
            to_xml(json!({ "a": { "b": 1 } }).as_object().unwrap(), 1).unwrap_err().kind(),
            ErrorKind::Limit
        );
    }
}
